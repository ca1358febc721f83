//! The command line of nodes, and nothing else. Must never check a value against the world or import ours.

use super::{ClientOptions, Format};
use argh::{ArgsInfo, FromArgs};

/// list nodes and change what they take
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "node", help_triggers("-h", "--help", "help"))]
pub struct Node {
    #[argh(subcommand)]
    pub verb: NodeVerb,
}

/// What is to be done with nodes.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum NodeVerb {
    List(NodeList),
    Describe(NodeDescribe),
    Status(NodeStatus),
    Cordon(NodeCordon),
    Uncordon(NodeUncordon),
    Drain(NodeDrain),
    Revoke(NodeRevoke),
    Remove(NodeRemove),
}

client_verb! {
    /// list nodes
    NodeList as "list" {
        /// go on, with each row as it changes
        #[argh(switch, short = 'w')]
        pub watch: bool,
    }
}

client_verb! {
    /// show all there is to know of a node
    NodeDescribe as "describe" {
        /// the node's name or id
        #[argh(positional, arg_name = "node")]
        pub node: String,
    }
}

client_verb! {
    /// show a worker as it sees itself, joined or not; --url is the worker's own address
    NodeStatus as "status" {}
}

client_verb! {
    /// give a node nothing new; what runs goes on
    NodeCordon as "cordon" {
        /// the node's name or id
        #[argh(positional, arg_name = "node")]
        pub node: String,
    }
}

client_verb! {
    /// let a cordoned or drained node take work again
    NodeUncordon as "uncordon" {
        /// the node's name or id
        #[argh(positional, arg_name = "node")]
        pub node: String,
    }
}

client_verb! {
    /// empty a node: it finishes what it has and gets nothing new
    NodeDrain as "drain" {
        /// the node's name or id
        #[argh(positional, arg_name = "node")]
        pub node: String,
    }
}

client_verb! {
    /// throw a node out: its connections end, and it is not let in again
    NodeRevoke as "revoke" {
        /// the node's name or id
        #[argh(positional, arg_name = "node")]
        pub node: String,
    }
}

client_verb! {
    /// forget a node
    NodeRemove as "remove" {
        /// the node's name or id
        #[argh(positional, arg_name = "node")]
        pub node: String,
    }
}
