//! The verbs that start a role.

use super::{Engine, LogFormat, LogLevel, pair};
use argh::{ArgsInfo, FromArgs};

/// What every verb that starts an orchestrator takes, written once and given to a macro: argh has no way to share fields.
macro_rules! orchestrator_options {
    ($then:ident { $($own:tt)* }) => {
        $then! { { $($own)* }
            /// no screen, only a log
            #[argh(switch)]
            headless: bool,
            /// where REST listens (default 127.0.0.1:8080, or $CARES_HTTP_ADDR)
            #[argh(option, arg_name = "addr")]
            http_addr: Option<String>,
            /// where workers join (default 127.0.0.1:50051, or $CARES_GRPC_ADDR)
            #[argh(option, arg_name = "addr")]
            grpc_addr: Option<String>,
            /// where it keeps its data (default below $XDG_DATA_HOME/cares, or $CARES_DATA_DIR)
            #[argh(option, arg_name = "dir")]
            data_dir: Option<String>,
            /// text or json
            #[argh(option, arg_name = "format", default = "LogFormat::Text")]
            log_format: LogFormat,
            /// error, warn, info or debug
            #[argh(option, arg_name = "level", default = "LogLevel::Info")]
            log_level: LogLevel,
            /// log each request too: a line when its answer is over
            #[argh(switch)]
            access_log: bool,
            /// listen beyond this machine although nothing asks for a token
            #[argh(switch)]
            open: bool,
            /// a file with a token that may do everything; from then on everybody needs one (or $AUTH_TOKEN)
            #[argh(option, arg_name = "file")]
            token_file: Option<String>,
            /// where workers that join over HTTP may be called: CIDR or HOST, with :PORT or without; repeatable (default:
            /// each at the address that it registers from)
            #[argh(option, arg_name = "where")]
            worker_endpoints: Vec<String>,
            /// where results may be sent (X-Callback-Url): CIDR or HOST, with :PORT or without; repeatable (default: wherever
            /// this machine gets to, itself only for who calls from there)
            #[argh(option, arg_name = "where")]
            callbacks: Vec<String>,
            /// another limit than usual, NAME=VALUE, of those below; repeatable (or $CARES_LIMITS, with commas between)
            #[argh(option, arg_name = "name=value")]
            limit: Vec<String>,
            /// a site whose pages may use the API, as its scheme and host, beside those of localhost; repeatable; * is any
            #[argh(option, arg_name = "origin")]
            allow_origin: Vec<String>,
            /// a host name under which functions answer and nothing else does: their pages then have an origin of their own; repeatable
            #[argh(option, arg_name = "name")]
            function_host: Vec<String>,
            /// a file with the keys (a JWKS) of an issuer whose tokens open the door too; looked at again as it changes
            #[argh(option, arg_name = "file")]
            jwt_keys: Option<String>,
            /// who must have issued such a token: its `iss`
            #[argh(option, arg_name = "iss")]
            jwt_issuer: Option<String>,
            /// whom it must be for: its `aud` (default: anybody)
            #[argh(option, arg_name = "aud")]
            jwt_audience: Option<String>,
            /// a certificate in PEM: REST is then HTTPS; read again when it changes
            #[argh(option, arg_name = "file")]
            tls_cert: Option<String>,
            /// its key
            #[argh(option, arg_name = "file")]
            tls_key: Option<String>,
            /// the key that secrets are kept sealed with, made if there is none (default: secrets.key in its data)
            #[argh(option, arg_name = "file")]
            secret_key_file: Option<String>,
            /// the key that they were sealed with before: they are sealed anew, with the other one
            #[argh(option, arg_name = "file")]
            secret_key_was: Option<String>,
            /// where images are kept after they were built, HOST:PORT or HOST:PORT/PATH (default: nodes get them from each other; or
            /// $CARES_REGISTRY)
            #[argh(option, arg_name = "place")]
            registry: Option<String>,
            /// a file like Docker's config.json: what nodes log in to registries with (or $CARES_REGISTRY_AUTH)
            #[argh(option, arg_name = "file")]
            registry_auth: Option<String>,
            /// a registry that speaks plain HTTP, HOST or HOST:PORT; repeatable. Each node's engine must be told as well
            #[argh(option, arg_name = "host")]
            registry_insecure: Vec<String>,
            /// a folder of runtimes: each folder in it is one (with those in its data folder's runtimes)
            #[argh(option, arg_name = "dir")]
            runtimes: Option<String>,
            /// the image a runtime's builds begin with, RUNTIME=IMAGE; repeatable
            #[argh(option, arg_name = "runtime=image", from_str_fn(pair))]
            base: Vec<(String, String)>,
        }
    };
}

/// These options for those who read them.
macro_rules! plain {
    ({ $(#[$of:meta])* $name:ident } $($(#[doc = $doc:tt])* #[argh($($argh:tt)*)] $field:ident: $type:ident $(<$inner:tt>)?,)*) => {
        $(#[$of])*
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type$(<$inner>)?,)*
        }
    };
}

/// A verb with fields of its own beside them.
macro_rules! verb {
    (
        { $(#[doc = $about:tt])* $name:ident as $verb:tt { $($own:tt)* } }
        $($(#[doc = $doc:tt])* #[argh($($argh:tt)*)] $field:ident: $type:ident $(<$inner:tt>)?,)*
    ) => {
        #[derive(FromArgs, ArgsInfo, Debug, Default)]
        $(#[doc = $about])*
        #[argh(subcommand, name = $verb, help_triggers("-h", "--help", "help"))]
        pub struct $name {
            $($own)*
            $($(#[doc = $doc])* #[argh($($argh)*)] pub $field: $type$(<$inner>)?,)*
        }

        impl $name {
            pub fn options(&self) -> OrchestratorOptions {
                OrchestratorOptions { $($field: self.$field.clone(),)* }
            }
        }
    };
}

orchestrator_options! {
    plain {
        /// What every verb that starts an orchestrator takes.
        #[derive(Clone, Debug, Default)]
        OrchestratorOptions
    }
}

orchestrator_options! {
    verb {
        /// run an orchestrator and one worker in one process
        Up as "up" {
            /// deploy and invoke two example functions, hello and echo
            #[argh(switch)]
            pub demo: bool,
            /// docker, process or auto (default auto: every engine that works here)
            #[argh(option, arg_name = "engine", default = "Engine::Auto")]
            pub engine: Engine,
            /// where its worker's own REST and its tasks' ports listen (default 127.0.0.1:9000, else a free port)
            #[argh(option, arg_name = "addr")]
            pub worker_addr: Option<String>,
        }
    }
}

orchestrator_options! {
    verb {
        /// run the orchestrator: the REST API, and the address workers join
        Orchestrator as "orchestrator" {}
    }
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
    /// log each request to its own REST too: a line when its answer is over
    #[argh(switch)]
    pub access_log: bool,
    /// listen beyond this machine although nothing asks for a token
    #[argh(switch)]
    pub open: bool,
    /// a file with the token to join with (or $CARES_JOIN_TOKEN, else the other token)
    #[argh(option, arg_name = "file")]
    pub join_token_file: Option<String>,
    /// a file with a token that this worker's own REST asks for (or $AUTH_TOKEN)
    #[argh(option, arg_name = "file")]
    pub token_file: Option<String>,
    /// another limit than usual, NAME=VALUE, of those below; repeatable (or $CARES_LIMITS, with commas between)
    #[argh(option, arg_name = "name=value")]
    pub limit: Vec<String>,
    /// a certificate in PEM: its own REST is then HTTPS; read again when it changes
    #[argh(option, arg_name = "file")]
    pub tls_cert: Option<String>,
    /// its key
    #[argh(option, arg_name = "file")]
    pub tls_key: Option<String>,
}
