//! The command line of tasks, and nothing else. Must never check a value against the world or import ours.

use super::{ClientOptions, Format, pair};
use argh::{ArgsInfo, FromArgs};

/// run containers and bundles somewhere, for a while or for good
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "task", help_triggers("-h", "--help", "help"))]
pub struct Task {
    #[argh(subcommand)]
    pub verb: TaskVerb,
}

/// What is to be done with tasks.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant)] // there is one
pub enum TaskVerb {
    Run(TaskRun),
    List(TaskList),
    Get(TaskGet),
    Logs(TaskLogs),
    Stop(TaskStop),
    Start(TaskStart),
    Rm(TaskRm),
}

client_verb! {
    /// run a task: IMAGE, then -- and a command if not the image's own
    TaskRun as "run" {
        /// an image reference, or bundle:DIGEST
        #[argh(positional, arg_name = "image")]
        pub image: String,
        /// the command, after --
        #[argh(positional, arg_name = "command")]
        pub command: Vec<String>,
        /// what people call it (default: its id)
        #[argh(option, arg_name = "name")]
        pub name: Option<String>,
        /// environment, KEY=VALUE; repeatable
        #[argh(option, short = 'e', arg_name = "env", from_str_fn(pair))]
        pub env: Vec<(String, String)>,
        /// cores, reserved for it
        #[argh(option, arg_name = "cores")]
        pub cpu: Option<f64>,
        /// memory, reserved for it: bytes, or 64k, 64m, 2g
        #[argh(option, arg_name = "size")]
        pub memory: Option<String>,
        /// disk, reserved for it: as --memory
        #[argh(option, arg_name = "size")]
        pub disk: Option<String>,
        /// a port: CONTAINER, or HOST:CONTAINER, with /udp if so; repeatable
        #[argh(option, short = 'p', arg_name = "port")]
        pub port: Vec<String>,
        /// a volume of its node: NAME:PATH, or NAME:PATH:ro; repeatable
        #[argh(option, short = 'v', arg_name = "volume")]
        pub volume: Vec<String>,
        /// a device: gpu, or /dev/NAME; repeatable
        #[argh(option, arg_name = "device")]
        pub device: Vec<String>,
        /// started again: never (default), on-failure or always
        #[argh(option, arg_name = "policy")]
        pub restart: Option<String>,
        /// restarts within ten minutes before it has failed (default 5)
        #[argh(option, arg_name = "n")]
        pub restart_limit: Option<u32>,
        /// what this may be within, in seconds, if not ten minutes
        #[argh(option, arg_name = "seconds")]
        pub restart_window: Option<f64>,
        /// seconds before the first restart, doubled for each further one (default 1)
        #[argh(option, arg_name = "seconds")]
        pub restart_backoff: Option<f64>,
        /// it is well while GET of this path answers below 400
        #[argh(option, arg_name = "path")]
        pub health_http: Option<String>,
        /// it is well while its port accepts
        #[argh(switch)]
        pub health_tcp: bool,
        /// it is well while this command of a shell inside it ends with 0
        #[argh(option, arg_name = "command")]
        pub health_command: Option<String>,
        /// the port that is asked (default: its first)
        #[argh(option, arg_name = "port")]
        pub health_port: Option<u16>,
        /// seconds between two such questions (default 10)
        #[argh(option, arg_name = "seconds")]
        pub health_interval: Option<f64>,
        /// seconds each may take (default 5)
        #[argh(option, arg_name = "seconds")]
        pub health_timeout: Option<f64>,
        /// failures in a row that make it sick (default 3)
        #[argh(option, arg_name = "n")]
        pub health_retries: Option<u32>,
        /// seconds from its start in which failures do not count (default 0)
        #[argh(option, arg_name = "seconds")]
        pub health_start: Option<f64>,
        /// seconds between SIGTERM and SIGKILL (default 10)
        #[argh(option, arg_name = "seconds")]
        pub stop_grace: Option<f64>,
        /// how a node is chosen: cost (default), round-robin, spread or binpack
        #[argh(option, arg_name = "name")]
        pub scheduler: Option<String>,
        /// a tag its node must have, KEY=VALUE; repeatable
        #[argh(option, arg_name = "tag", from_str_fn(pair))]
        pub tag: Vec<(String, String)>,
        /// the processor its node must have, such as x86_64
        #[argh(option, arg_name = "arch")]
        pub arch: Option<String>,
        /// the system its node must have, such as linux
        #[argh(option, arg_name = "os")]
        pub os: Option<String>,
        /// a tool its node must have, such as git; repeatable
        #[argh(option, arg_name = "tool")]
        pub tool: Vec<String>,
        /// a label, KEY=VALUE; repeatable
        #[argh(option, arg_name = "label", from_str_fn(pair))]
        pub label: Vec<(String, String)>,
        /// a name of your own for this: asking twice with it makes one task
        #[argh(option, arg_name = "key")]
        pub key: Option<String>,
        /// wait until it has ended, or with --restart always until it runs; its failure is ours
        #[argh(switch, short = 'w')]
        pub wait: bool,
        /// print what it prints until it has ended; its failure is ours
        #[argh(switch, short = 'f')]
        pub follow: bool,
    }
}

client_verb! {
    /// list tasks
    TaskList as "list" {
        /// only those in this state, such as Running
        #[argh(option, arg_name = "state")]
        pub state: Option<String>,
        /// only those of this node
        #[argh(option, arg_name = "node")]
        pub node: Option<String>,
        /// only those of this name
        #[argh(option, arg_name = "name")]
        pub name: Option<String>,
        /// only those with this label: KEY=VALUE, or KEY
        #[argh(option, arg_name = "label")]
        pub label: Option<String>,
        /// go on, with each row as it changes
        #[argh(switch, short = 'w')]
        pub watch: bool,
    }
}

client_verb! {
    /// show all there is to know of a task
    TaskGet as "get" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
    }
}

client_verb! {
    /// show what a task printed
    TaskLogs as "logs" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
        /// go on with new lines until it has ended
        #[argh(switch, short = 'f')]
        pub follow: bool,
        /// how many lines of the past
        #[argh(option, arg_name = "n")]
        pub tail: Option<u64>,
        /// lines since then: 2026-01-31T12:00:00Z, or seconds since 1970
        #[argh(option, arg_name = "time")]
        pub since: Option<String>,
    }
}

client_verb! {
    /// end a task; its record is kept
    TaskStop as "stop" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
        /// wait until it has ended
        #[argh(switch, short = 'w')]
        pub wait: bool,
    }
}

client_verb! {
    /// start a task that has ended once more
    TaskStart as "start" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
    }
}

client_verb! {
    /// forget a task that has ended; stop one that has not
    TaskRm as "rm" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
    }
}
