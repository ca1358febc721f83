//! The command line of calls, and nothing else. Must never check a value against the world or import ours.

use super::{ClientOptions, Format, header};
use argh::{ArgsInfo, FromArgs};

client_verb! {
    /// call a function; its answer's body goes to stdout
    Invoke as "invoke" {
        /// the function
        #[argh(positional, arg_name = "name")]
        pub name: String,
        /// body: text, @FILE, or - for stdin
        #[argh(option, short = 'd', long = "data", arg_name = "body")]
        pub data: Option<String>,
        /// HTTP method (default: POST with a body, else GET)
        #[argh(option, arg_name = "method")]
        pub method: Option<String>,
        /// path below the function, such as /items/1?page=2
        #[argh(option, arg_name = "path")]
        pub path: Option<String>,
        /// header, 'Name: value'; repeatable
        #[argh(option, short = 'H', long = "header", arg_name = "header", from_str_fn(header))]
        pub headers: Vec<(String, String)>,
        /// print status and headers to stderr
        #[argh(switch, short = 'i')]
        pub include: bool,
        /// accept the call and print its id; it runs when there is room, again if need be
        #[argh(switch, long = "async")]
        pub later: bool,
        /// with --async: http:// address its result is POSTed to
        #[argh(option, arg_name = "url")]
        pub callback: Option<String>,
        /// with --async: a name of your own; asking twice with it makes one call
        #[argh(option, arg_name = "key")]
        pub key: Option<String>,
    }
}

/// calls of late and asynchronous ones: look, read results, cancel
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "calls", help_triggers("-h", "--help", "help"))]
pub struct Calls {
    #[argh(subcommand)]
    pub verb: CallsVerb,
}

/// What is to be done with calls.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum CallsVerb {
    List(CallList),
    Get(CallGet),
    Result(CallResult),
    Cancel(CallCancel),
}

client_verb! {
    /// list calls of late, and asynchronous ones that wait or run
    CallList as "list" {
        /// only of this function
        #[argh(option, arg_name = "name")]
        pub function: Option<String>,
        /// only those queued, running, succeeded, failed or cancelled
        #[argh(option, arg_name = "status")]
        pub status: Option<String>,
        /// only asynchronous ones
        #[argh(switch, long = "async")]
        pub later: bool,
        /// at most so many (default 100)
        #[argh(option, arg_name = "n")]
        pub limit: Option<u32>,
    }
}

client_verb! {
    /// show what became of an asynchronous call
    CallGet as "get" {
        /// the call's id
        #[argh(positional, arg_name = "id")]
        pub id: String,
    }
}

client_verb! {
    /// print what an asynchronous call's function answered
    CallResult as "result" {
        /// the call's id
        #[argh(positional, arg_name = "id")]
        pub id: String,
        /// print status and headers to stderr
        #[argh(switch, short = 'i')]
        pub include: bool,
    }
}

client_verb! {
    /// cancel an asynchronous call: what runs of it ends
    CallCancel as "cancel" {
        /// the call's id
        #[argh(positional, arg_name = "id")]
        pub id: String,
    }
}
