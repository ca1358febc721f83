//! What changes a function that is there, as argh reads it. Must never ask for its settings again.

use super::{ClientOptions, Format};
use argh::{ArgsInfo, FromArgs};

client_verb! {
    /// change how many instances a function has, without a new revision
    Scale as "scale" {
        /// the function
        #[argh(positional, arg_name = "name")]
        pub name: String,
        /// instances kept even when idle, and never frozen
        #[argh(option, arg_name = "n")]
        pub min: Option<u32>,
        /// instances kept even when idle, though they may be frozen
        #[argh(option, arg_name = "n")]
        pub ready: Option<u32>,
        /// instances at most
        #[argh(option, arg_name = "n")]
        pub max: Option<u32>,
    }
}

client_verb! {
    /// start a function that was stopped; an http function has an instance at once
    Start as "start" {
        /// the function
        #[argh(positional, arg_name = "name")]
        pub name: String,
    }
}

client_verb! {
    /// stop a function until it is started: what runs ends, calls are refused
    Stop as "stop" {
        /// the function
        #[argh(positional, arg_name = "name")]
        pub name: String,
    }
}

client_verb! {
    /// make a new revision: of a folder that was edited, or of the same image, as its tag may have moved
    Redeploy as "redeploy" {
        /// the function; where a folder is called so, that folder is deployed
        #[argh(positional, arg_name = "name")]
        pub name: String,
        /// build even what has been built already, without what is left of earlier builds
        #[argh(switch)]
        pub anew: bool,
    }
}

client_verb! {
    /// make an earlier revision the newest again
    Rollback as "rollback" {
        /// the function
        #[argh(positional, arg_name = "name")]
        pub name: String,
        /// the revision to go back to (default: what served before)
        #[argh(option, arg_name = "revision")]
        pub to: Option<u64>,
    }
}
