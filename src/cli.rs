//! The command line as argh reads it, and nothing else. Must never check a value against the world or import ours.

use argh::{ArgsInfo, FromArgValue, FromArgs};

/// functions and containers on the machines you already have
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    help_triggers("-h", "--help", "help"),
    example = "cares up --demo",
    example = "cares init my-function --runtime python-flask",
    example = "cares deploy my-function",
    example = "cares invoke hello -d World",
    note = "Environment: API_URL (default http://127.0.0.1:8080), BUILDER_URL and CONTROLLER_URL (default $API_URL), AUTH_TOKEN, CARES_CA, CARES_JOIN_TOKEN, CARES_HTTP_ADDR, CARES_GRPC_ADDR, CARES_DATA_DIR.",
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
#[allow(clippy::large_enum_variant)] // there is one
pub enum Verb {
    Up(Up),
    Orchestrator(Orchestrator),
    Worker(Worker),
    Init(Init),
    Register(Register),
    Deploy(Deploy),
    Build(Build),
    List(List),
    Describe(Describe),
    Start(Start),
    Stop(Stop),
    Scale(Scale),
    Redeploy(Redeploy),
    Rollback(Rollback),
    Delete(Delete),
    Invoke(Invoke),
    Calls(Calls),
    Pipeline(Pipeline),
    Logs(Logs),
    Events(Events),
    Node(Node),
    Secret(Secret),
    Task(Task),
    Token(Token),
    Backup(Backup),
    Restore(Restore),
    Tui(Tui),
    Doctor(Doctor),
    Completions(Completions),
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
    pub ca: Option<String>,
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
            /// a file with the authority of the orchestrator's certificate, in PEM, for https:// (or $CARES_CA; default:
            /// those of the web)
            #[argh(option, arg_name = "file")]
            pub ca: Option<String>,
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
                    ca: self.ca.clone(),
                    output: self.output,
                    quiet: self.quiet,
                    yes: self.yes,
                }
            }
        }
    };
}

mod builds;
mod calls;
mod functions;
mod init;
mod nodes;
mod pipelines;
mod revisions;
mod roles;
mod secrets;
mod tasks;
mod tokens;

pub use builds::{Build, BuildCancel, BuildGet, BuildList, BuildLog, BuildRun, BuildVerb};
pub use calls::{CallCancel, CallGet, CallList, CallResult, Calls, CallsVerb, Invoke};
pub use functions::{Deploy, Register};
pub use init::Init;
pub use nodes::{Node, NodeVerb};
pub use pipelines::{
    Pipeline, PipelineCancel, PipelineGet, PipelineList, PipelineLogs, PipelineResult, PipelineRetry, PipelineRun,
    PipelineVerb,
};
pub use revisions::{Redeploy, Rollback, Scale, Start, Stop};
pub use roles::{Orchestrator, OrchestratorOptions, Up, Worker};
pub use secrets::{Secret, SecretDelete, SecretSet, SecretVerb};
pub use tasks::{Task, TaskGet, TaskList, TaskLogs, TaskRm, TaskRun, TaskStart, TaskStop, TaskVerb};
pub use tokens::{Token, TokenCreate, TokenJoin, TokenRevoke, TokenVerb};

client_verb! {
    /// list functions
    List as "list" {
        /// go on, with each row as it changes
        #[argh(switch, short = 'w')]
        pub watch: bool,
        /// only those with this label, KEY=VALUE or KEY; repeatable
        #[argh(option, short = 'l', arg_name = "k=v")]
        pub label: Vec<String>,
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
        /// a certificate that a role is to be started with; and its key
        #[argh(option, arg_name = "file")]
        pub tls_cert: Option<String>,
        /// its key
        #[argh(option, arg_name = "file")]
        pub tls_key: Option<String>,
        /// a file with the token that a worker is to join with (or $CARES_JOIN_TOKEN)
        #[argh(option, arg_name = "file")]
        pub join_token_file: Option<String>,
    }
}

/// print what has a shell complete these commands: bash, zsh or fish
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "completions", help_triggers("-h", "--help", "help"))]
pub struct Completions {
    /// the shell; the first line printed says where to put it
    #[argh(positional, arg_name = "shell")]
    pub shell: String,
}

client_verb! {
    /// print the version of this program and of the orchestrator
    Version as "version" {}
}
