//! The command line of pipelines, and nothing else. Must never check a value against the world or import ours.

use super::{ClientOptions, Format};
use argh::{ArgsInfo, FromArgs};

/// run modules that depend on each other, and look what became of them
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "pipeline", help_triggers("-h", "--help", "help"))]
pub struct Pipeline {
    #[argh(subcommand)]
    pub verb: PipelineVerb,
}

/// What is to be done with pipelines.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum PipelineVerb {
    Run(PipelineRun),
    List(PipelineList),
    Get(PipelineGet),
    Result(PipelineResult),
    Logs(PipelineLogs),
    Cancel(PipelineCancel),
    Retry(PipelineRetry),
}

client_verb! {
    /// submit a pipeline
    PipelineRun as "run" {
        /// its document in JSON, or - for stdin
        #[argh(positional, arg_name = "file")]
        pub file: String,
        /// show it as it runs, until it ends; exit 1 unless it succeeds
        #[argh(switch, short = 'f')]
        pub follow: bool,
        /// the same key is the same pipeline
        #[argh(option, arg_name = "key")]
        pub key: Option<String>,
    }
}

client_verb! {
    /// list pipelines, newest first
    PipelineList as "list" {
        /// only those that are running, succeeded, failed or cancelled
        #[argh(option, arg_name = "status")]
        pub status: Option<String>,
        /// go on, with each row as it changes
        #[argh(switch, short = 'w')]
        pub watch: bool,
    }
}

client_verb! {
    /// show a pipeline and its modules
    PipelineGet as "get" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
        /// go on as it runs, until it ends; exit 1 unless it succeeds
        #[argh(switch, short = 'f')]
        pub follow: bool,
    }
}

client_verb! {
    /// print what a module answered
    PipelineResult as "result" {
        /// the pipeline's id
        #[argh(positional, arg_name = "id")]
        pub id: String,
        /// the module
        #[argh(positional, arg_name = "module")]
        pub module: String,
    }
}

client_verb! {
    /// print what a module that runs as a job printed, all its attempts
    PipelineLogs as "logs" {
        /// the pipeline's id
        #[argh(positional, arg_name = "id")]
        pub id: String,
        /// the module
        #[argh(positional, arg_name = "module")]
        pub module: String,
        /// go on with new lines until it has ended
        #[argh(switch, short = 'f')]
        pub follow: bool,
        /// how many lines of the past
        #[argh(option, arg_name = "n")]
        pub tail: Option<u64>,
    }
}

client_verb! {
    /// end what runs of a pipeline, and start nothing more of it
    PipelineCancel as "cancel" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
    }
}

client_verb! {
    /// run again what did not succeed, and what depends on it
    PipelineRetry as "retry" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
        /// show it as it runs, until it ends; exit 1 unless it succeeds
        #[argh(switch, short = 'f')]
        pub follow: bool,
    }
}
