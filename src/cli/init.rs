//! The verb that begins a function, as argh reads it. It talks to nobody.

use argh::{ArgsInfo, FromArgs};

/// make a folder with a function to begin with
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "init",
    help_triggers("-h", "--help", "help"),
    example = "cares init hello --runtime python-flask",
    note = "What is left out is asked for on a terminal; elsewhere the name is my-function."
)]
pub struct Init {
    /// the folder, whose last name is the function's
    #[argh(positional, arg_name = "name")]
    pub name: Option<String>,
    /// go, nodejs, python-flask, rust, shell, static-binary, or one of the operator's own
    #[argh(option, arg_name = "runtime")]
    pub runtime: Option<String>,
    /// a folder with more runtimes, each a folder of its name; repeatable (default: runtimes in the data folder)
    #[argh(option, arg_name = "dir")]
    pub runtimes: Vec<String>,
    /// print nothing but errors
    #[argh(switch, short = 'q')]
    pub quiet: bool,
}
