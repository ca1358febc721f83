//! The command line of tokens, and nothing else. Must never check a value against the world or import ours.

use super::{ClientOptions, Format};
use argh::{ArgsInfo, FromArgs};

/// Seconds.
fn span(text: &str) -> Result<u64, String> {
    let bad = || "it must look like 90d, 12h, 30m or 45s".to_string();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds)).ok_or_else(bad)
}

/// make, list, revoke and save the tokens that people and machines come with
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "token", help_triggers("-h", "--help", "help"))]
pub struct Token {
    #[argh(subcommand)]
    pub verb: TokenVerb,
}

/// What is to be done with tokens.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum TokenVerb {
    Create(TokenCreate),
    Join(TokenJoin),
    List(TokenList),
    Revoke(TokenRevoke),
    Save(TokenSave),
}

client_verb! {
    /// make a token, and print it this one time
    TokenCreate as "create" {
        /// whose it is, such as ci or laptop
        #[argh(positional, arg_name = "name")]
        pub name: String,
        /// admin, deploy, invoke, invoke:FUNCTION, read or worker; repeatable
        #[argh(option, arg_name = "scope")]
        pub scope: Vec<String>,
        /// how long it is valid, such as 90d, 12h, 30m or 45s (default: until it is revoked)
        #[argh(option, arg_name = "time", from_str_fn(span))]
        pub expires: Option<u64>,
        /// requests a second with it (default: the orchestrator's --limit requests-per-s-token)
        #[argh(option, arg_name = "n")]
        pub rate: Option<u32>,
    }
}

client_verb! {
    /// make a join token, for workers of other machines, and print it this one time, or write it to a file
    TokenJoin as "join" {
        /// what it is called (default: join- and a number)
        #[argh(option, arg_name = "name")]
        pub name: Option<String>,
        /// how long it is valid, such as 7d, 12h, 30m or 45s (default: 1d)
        #[argh(option, arg_name = "time", from_str_fn(span))]
        pub expires: Option<u64>,
        /// write it there, for its owner's eyes alone, and print nothing of it
        #[argh(option, arg_name = "file")]
        pub file: Option<String>,
    }
}

client_verb! {
    /// list tokens; what they consist of is not kept
    TokenList as "list" {}
}

client_verb! {
    /// make a token worthless
    TokenRevoke as "revoke" {
        /// the token's name or id
        #[argh(positional, arg_name = "token")]
        pub token: String,
    }
}

client_verb! {
    /// keep a token, from --token-file, $AUTH_TOKEN or stdin, to be sent to --url from now on
    TokenSave as "save" {}
}
