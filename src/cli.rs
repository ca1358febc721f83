//! The command line as argh reads it, and nothing else. Must never check a value against the world or import ours.

use argh::{ArgsInfo, FromArgValue, FromArgs};

/// functions and containers on the machines you already have
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    help_triggers("-h", "--help", "help"),
    example = "cares up --demo",
    example = "cares deploy my-function",
    example = "cares invoke hello -d World",
    note = "Environment: API_URL (default http://127.0.0.1:8080), AUTH_TOKEN, CARES_JOIN_TOKEN, CARES_HTTP_ADDR, CARES_GRPC_ADDR, CARES_DATA_DIR.",
    note = "Exit codes: 0 done, 1 failed, 2 usage, 3 orchestrator unreachable, 4 not found."
)]
pub struct Cli {
    /// print the version
    #[argh(switch, short = 'V')]
    pub version: bool,
    #[argh(subcommand)]
    pub verb: Option<Verb>,
}

/// What is to be done.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum Verb {
    Up(Up),
    Orchestrator(Orchestrator),
    Worker(Worker),
    Register(Register),
    Deploy(Deploy),
    List(List),
    Describe(Describe),
    Scale(Scale),
    Redeploy(Redeploy),
    Rollback(Rollback),
    Delete(Delete),
    Invoke(Invoke),
    Calls(Calls),
    Logs(Logs),
    Events(Events),
    Node(Node),
    Token(Token),
    Backup(Backup),
    Restore(Restore),
    Tui(Tui),
    Doctor(Doctor),
    Version(Version),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromArgValue)]
pub enum Format {
    #[default]
    Table,
    Json,
    Wide,
    Name,
}

/// How the log is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromArgValue)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// From which level on the log is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromArgValue)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

/// What runs functions; `auto` is every engine that works here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromArgValue)]
pub enum Engine {
    Docker,
    Process,
    #[default]
    Auto,
}

/// What every verb that talks to an orchestrator takes.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    pub url: Option<String>,
    pub token_file: Option<String>,
    pub output: Option<Format>,
    pub quiet: bool,
    pub yes: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_string(), value.to_string())),
        _ => Err("it must look like KEY=VALUE".to_string()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.trim().to_string())),
        _ => Err("it must look like 'Name: value'".to_string()),
    }
}

/// run an orchestrator and one worker in one process
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(subcommand, name = "up", help_triggers("-h", "--help", "help"))]
pub struct Up {
    /// deploy and invoke two example functions, hello and echo
    #[argh(switch)]
    pub demo: bool,
    /// no screen, only a log
    #[argh(switch)]
    pub headless: bool,
    /// where REST listens (default 127.0.0.1:8080, or $CARES_HTTP_ADDR)
    #[argh(option, arg_name = "addr")]
    pub http_addr: Option<String>,
    /// where workers join (default 127.0.0.1:50051, or $CARES_GRPC_ADDR)
    #[argh(option, arg_name = "addr")]
    pub grpc_addr: Option<String>,
    /// where orchestrator and worker keep their folders (default $XDG_DATA_HOME/cares, or $CARES_DATA_DIR)
    #[argh(option, arg_name = "dir")]
    pub data_dir: Option<String>,
    /// text or json
    #[argh(option, arg_name = "format", default = "LogFormat::Text")]
    pub log_format: LogFormat,
    /// error, warn, info or debug
    #[argh(option, arg_name = "level", default = "LogLevel::Info")]
    pub log_level: LogLevel,
    /// listen beyond this machine although nothing asks for a token
    #[argh(switch)]
    pub open: bool,
    /// a file with a token that may do everything; from then on everybody needs one (or $AUTH_TOKEN)
    #[argh(option, arg_name = "file")]
    pub token_file: Option<String>,
}

/// run the orchestrator: the REST API, and the address workers join
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(subcommand, name = "orchestrator", help_triggers("-h", "--help", "help"))]
pub struct Orchestrator {
    /// no screen, only a log
    #[argh(switch)]
    pub headless: bool,
    /// where REST listens (default 127.0.0.1:8080, or $CARES_HTTP_ADDR)
    #[argh(option, arg_name = "addr")]
    pub http_addr: Option<String>,
    /// where workers join (default 127.0.0.1:50051, or $CARES_GRPC_ADDR)
    #[argh(option, arg_name = "addr")]
    pub grpc_addr: Option<String>,
    /// its folder (default $XDG_DATA_HOME/cares/orchestrator, or $CARES_DATA_DIR)
    #[argh(option, arg_name = "dir")]
    pub data_dir: Option<String>,
    /// text or json
    #[argh(option, arg_name = "format", default = "LogFormat::Text")]
    pub log_format: LogFormat,
    /// error, warn, info or debug
    #[argh(option, arg_name = "level", default = "LogLevel::Info")]
    pub log_level: LogLevel,
    /// listen beyond this machine although nothing asks for a token
    #[argh(switch)]
    pub open: bool,
    /// a file with a token that may do everything; from then on everybody needs one (or $AUTH_TOKEN)
    #[argh(option, arg_name = "file")]
    pub token_file: Option<String>,
}

/// join a cluster and run its functions
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(subcommand, name = "worker", help_triggers("-h", "--help", "help"))]
pub struct Worker {
    /// the orchestrator's gRPC address, HOST or HOST:PORT (port 50051)
    #[argh(positional, arg_name = "address")]
    pub address: String,
    /// no screen, only a log
    #[argh(switch)]
    pub headless: bool,
    /// what people call this node (default: host name and four digits)
    #[argh(option, arg_name = "name")]
    pub name: Option<String>,
    /// where this worker's own REST listens (default 127.0.0.1:9000, else a free port)
    #[argh(option, arg_name = "addr")]
    pub worker_addr: Option<String>,
    /// a tag functions can ask for, KEY=VALUE; repeatable
    #[argh(option, arg_name = "k=v", from_str_fn(pair))]
    pub tag: Vec<(String, String)>,
    /// calls at once, 1 to 65536 (default 256)
    #[argh(option, arg_name = "n")]
    pub slots: Option<u32>,
    /// docker, process or auto (default auto: every engine that works here)
    #[argh(option, arg_name = "engine", default = "Engine::Auto")]
    pub engine: Engine,
    /// also run images for an orchestrator of the first CARES, which calls this address (default: no); whoever reaches
    /// it can run programs here
    #[argh(option, arg_name = "addr")]
    pub legacy_grpc_addr: Option<String>,
    /// its folder (default: the first free $XDG_DATA_HOME/cares/worker-N, or $CARES_DATA_DIR)
    #[argh(option, arg_name = "dir")]
    pub data_dir: Option<String>,
    /// text or json
    #[argh(option, arg_name = "format", default = "LogFormat::Text")]
    pub log_format: LogFormat,
    /// error, warn, info or debug
    #[argh(option, arg_name = "level", default = "LogLevel::Info")]
    pub log_level: LogLevel,
    /// listen beyond this machine although nothing asks for a token
    #[argh(switch)]
    pub open: bool,
    /// a file with the token to join with (or $CARES_JOIN_TOKEN, else the other token)
    #[argh(option, arg_name = "file")]
    pub join_token_file: Option<String>,
    /// a file with a token that this worker's own REST asks for (or $AUTH_TOKEN)
    #[argh(option, arg_name = "file")]
    pub token_file: Option<String>,
}

/// A verb that talks to an orchestrator: its own fields and the options all of them take, for argh has no way to
/// share fields.
macro_rules! client_verb {
    ($(#[doc = $doc:tt])* $name:ident as $verb:tt { $($field:tt)* }) => {
        #[derive(FromArgs, ArgsInfo, Debug)]
        $(#[doc = $doc])*
        #[argh(subcommand, name = $verb, help_triggers("-h", "--help", "help"))]
        pub struct $name {
            $($field)*
            /// the orchestrator's REST address (default http://127.0.0.1:8080, or $API_URL)
            #[argh(option, arg_name = "url")]
            pub url: Option<String>,
            /// a file with the token to send (or $AUTH_TOKEN)
            #[argh(option, arg_name = "file")]
            pub token_file: Option<String>,
            /// table, json, wide or name
            #[argh(option, short = 'o', arg_name = "format")]
            pub output: Option<Format>,
            /// print nothing but errors and data
            #[argh(switch, short = 'q')]
            pub quiet: bool,
            /// do not ask before something is deleted
            #[argh(switch)]
            pub yes: bool,
        }

        impl $name {
            pub fn client(&self) -> ClientOptions {
                ClientOptions {
                    url: self.url.clone(),
                    token_file: self.token_file.clone(),
                    output: self.output,
                    quiet: self.quiet,
                    yes: self.yes,
                }
            }
        }
    };
}

mod calls;
mod nodes;
mod revisions;
mod tokens;

pub use calls::{CallCancel, CallGet, CallList, CallResult, Calls, CallsVerb, Invoke};
pub use nodes::{Node, NodeVerb};
pub use revisions::{Redeploy, Rollback, Scale};
pub use tokens::{Token, TokenCreate, TokenRevoke, TokenVerb};

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
        /// make a new revision when the name is taken
        #[argh(switch)]
        pub replace: bool,
    }
}

client_verb! {
    /// pack a folder and make a function of it
    Deploy as "deploy" {
        /// the folder, with its function.json (default: here)
        #[argh(positional, arg_name = "dir", default = "String::from(\".\")")]
        pub dir: String,
        /// what it is called (default: function.json's name, else the folder's)
        #[argh(option, arg_name = "name")]
        pub name: Option<String>,
    }
}

client_verb! {
    /// list functions
    List as "list" {
        /// go on, with each row as it changes
        #[argh(switch, short = 'w')]
        pub watch: bool,
    }
}

client_verb! {
    /// show all there is to know of a function
    Describe as "describe" {
        /// the function
        #[argh(positional, arg_name = "name")]
        pub name: String,
    }
}

client_verb! {
    /// delete a function
    Delete as "delete" {
        /// the function
        #[argh(positional, arg_name = "name")]
        pub name: String,
    }
}

client_verb! {
    /// show what a function printed, or without a name the log of the orchestrator or worker at --url
    Logs as "logs" {
        /// the function
        #[argh(positional, arg_name = "name")]
        pub name: Option<String>,
        /// go on with new lines
        #[argh(switch, short = 'f')]
        pub follow: bool,
        /// how many lines of the past
        #[argh(option, arg_name = "n")]
        pub tail: Option<u64>,
    }
}

client_verb! {
    /// show the cluster's events as they happen
    Events as "events" {
        /// go on, and reconnect when the orchestrator restarts
        #[argh(switch, short = 'f')]
        pub follow: bool,
    }
}

client_verb! {
    /// write all that the cluster keeps to a file, while it runs
    Backup as "backup" {
        /// where to, or - for stdout
        #[argh(positional, arg_name = "file")]
        pub file: String,
    }
}

client_verb! {
    /// make the functions those of a backup; connected workers stay
    Restore as "restore" {
        /// what `cares backup` wrote, or - for stdin
        #[argh(positional, arg_name = "file")]
        pub file: String,
    }
}

client_verb! {
    /// open the screen of an orchestrator, or of a worker at its own address
    Tui as "tui" {}
}

client_verb! {
    /// check this machine and the orchestrator, with a fix for what is wrong
    Doctor as "doctor" {
        /// the data folder to check (default: the cluster's, or $CARES_DATA_DIR)
        #[argh(option, arg_name = "dir")]
        pub data_dir: Option<String>,
    }
}

client_verb! {
    /// print the version of this program and of the orchestrator
    Version as "version" {}
}
