//! The verbs that make functions.

use super::{ClientOptions, Format, pair};
use argh::{ArgsInfo, FromArgs};

client_verb! {
    /// make a function of a container image
    Register as "register" {
        /// what it is called
        #[argh(positional, arg_name = "name")]
        pub name: String,
        /// image reference, or bundle:DIGEST
        #[argh(positional, arg_name = "image")]
        pub image: String,
        /// auto, http (serves $PORT, kept warm) or job (one run a call)
        #[argh(option, arg_name = "mode")]
        pub mode: Option<String>,
        /// environment, KEY=VALUE; repeatable
        #[argh(option, arg_name = "k=v", from_str_fn(pair))]
        pub env: Vec<(String, String)>,
        /// environment that is a secret, KEY=SECRET; repeatable
        #[argh(option, arg_name = "k=secret", from_str_fn(pair))]
        pub secret: Vec<(String, String)>,
        /// a file in $CARES_SECRETS_DIR that is a secret, FILE=SECRET; repeatable
        #[argh(option, arg_name = "file=secret", from_str_fn(pair))]
        pub secret_file: Vec<(String, String)>,
        /// seconds a call may take (default 30)
        #[argh(option, arg_name = "s")]
        pub timeout_s: Option<f64>,
        /// memory an instance may use, in MiB
        #[argh(option, arg_name = "mib")]
        pub memory_mb: Option<u64>,
        /// cores an instance may use
        #[argh(option, arg_name = "cores")]
        pub cpu: Option<f64>,
        /// calls an instance takes at once (default 80)
        #[argh(option, arg_name = "n")]
        pub concurrency: Option<u32>,
        /// instances kept even when idle, and never frozen (default 0)
        #[argh(option, arg_name = "n")]
        pub min: Option<u32>,
        /// instances kept even when idle, though they may be frozen (default 0)
        #[argh(option, arg_name = "n")]
        pub ready: Option<u32>,
        /// instances at most (default 20)
        #[argh(option, arg_name = "n")]
        pub max: Option<u32>,
        /// seconds without a call until an instance is stopped (default 300)
        #[argh(option, arg_name = "s")]
        pub idle_s: Option<f64>,
        /// seconds without a call until an instance is frozen; the next call wakes it (default 30)
        #[argh(option, arg_name = "s")]
        pub freeze_s: Option<f64>,
        /// label, KEY=VALUE; repeatable
        #[argh(option, arg_name = "k=v", from_str_fn(pair))]
        pub label: Vec<(String, String)>,
        /// one line for people
        #[argh(option, arg_name = "text")]
        pub description: Option<String>,
        /// attempts of an asynchronous call that may fail (default 3)
        #[argh(option, arg_name = "n")]
        pub attempts: Option<u32>,
        /// call it by itself: 'minute hour day month weekday', or @hourly, @daily, …
        #[argh(option, arg_name = "cron")]
        pub schedule: Option<String>,
        /// the schedule's time zone, such as Europe/Berlin (default UTC)
        #[argh(option, arg_name = "zone")]
        pub schedule_zone: Option<String>,
        /// let anybody call it, also without a token
        #[argh(switch)]
        pub public: bool,
        /// calls a second it takes, of all callers together
        #[argh(option, arg_name = "n")]
        pub rate_per_s: Option<u32>,
        /// calls at once it takes, running or waiting, of all callers together
        #[argh(option, arg_name = "n")]
        pub calls_at_once: Option<u32>,
        /// make a new revision when the name is taken
        #[argh(switch)]
        pub replace: bool,
    }
}

client_verb! {
    /// make a function of a folder: a bundle with its command, or sources that are built first
    Deploy as "deploy" {
        /// the folder: with a Dockerfile, of a runtime, or with a function.json that has a command (default: here)
        #[argh(positional, arg_name = "dir", default = "String::from(\".\")")]
        pub dir: String,
        /// what it is called (default: function.json's name, else the folder's)
        #[argh(option, arg_name = "name")]
        pub name: Option<String>,
        /// what its sources are for, such as python-flask (default: function.json's runtime, else told from its files)
        #[argh(option, arg_name = "name")]
        pub runtime: Option<String>,
        /// build even what has been built already, without what is left of earlier builds
        #[argh(switch)]
        pub anew: bool,
    }
}
