//! The command line of builds, and nothing else. Must never check a value against the world or import ours.

use super::{ClientOptions, Format};
use argh::{ArgsInfo, FromArgs};

/// build folders of sources without deploying them, and look what became of builds
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "build", help_triggers("-h", "--help", "help"))]
pub struct Build {
    #[argh(subcommand)]
    pub verb: BuildVerb,
}

/// What is to be done with builds.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum BuildVerb {
    Run(BuildRun),
    List(BuildList),
    Get(BuildGet),
    Log(BuildLog),
    Cancel(BuildCancel),
}

client_verb! {
    /// build a folder as `deploy` does, and deploy nothing
    BuildRun as "run" {
        /// the folder: with a Dockerfile, or of a runtime (default: here)
        #[argh(positional, arg_name = "dir", default = "String::from(\".\")")]
        pub dir: String,
        /// the function it is for (default: function.json's name, else the folder's)
        #[argh(option, arg_name = "name")]
        pub name: Option<String>,
        /// what its sources are for, such as python-flask (default: function.json's runtime, else told from its files)
        #[argh(option, arg_name = "name")]
        pub runtime: Option<String>,
        /// build even what has been built already, without what is left of earlier builds
        #[argh(switch)]
        pub anew: bool,
        /// do not wait for its end
        #[argh(switch)]
        pub detach: bool,
    }
}

client_verb! {
    /// list builds, newest first
    BuildList as "list" {}
}

client_verb! {
    /// show all there is to know of a build
    BuildGet as "get" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
    }
}

client_verb! {
    /// show what a build printed
    BuildLog as "log" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
        /// go on with new lines until it has ended
        #[argh(switch, short = 'f')]
        pub follow: bool,
    }
}

client_verb! {
    /// end a build that waits or runs
    BuildCancel as "cancel" {
        /// its id
        #[argh(positional, arg_name = "id")]
        pub id: String,
    }
}
