//! The command line of secrets, and nothing else. Must never check a value against the world or import ours.

use super::{ClientOptions, Format};
use argh::{ArgsInfo, FromArgs};

/// set, list and delete the secrets that functions are given
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "secret", help_triggers("-h", "--help", "help"))]
pub struct Secret {
    #[argh(subcommand)]
    pub verb: SecretVerb,
}

/// What is to be done with secrets.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum SecretVerb {
    Set(SecretSet),
    List(SecretList),
    Delete(SecretDelete),
}

client_verb! {
    /// set a secret; http functions that use it start anew, and no call fails for it
    SecretSet as "set" {
        /// what it is called
        #[argh(positional, arg_name = "name")]
        pub name: String,
        /// its value, @FILE or - for stdin; a value given here is seen by others on this machine while this runs
        /// (default: asked for on a terminal, else stdin)
        #[argh(option, short = 'd', arg_name = "value")]
        pub data: Option<String>,
    }
}

client_verb! {
    /// list secrets and the functions that use them; nobody is shown a value
    SecretList as "list" {}
}

client_verb! {
    /// delete a secret that no function uses
    SecretDelete as "delete" {
        /// the secret
        #[argh(positional, arg_name = "name")]
        pub name: String,
    }
}
