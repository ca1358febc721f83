//! The program: one file a verb, and here what they share: dispatch, the client, failures and exit codes. Must never
//! reach a cluster but through `client`.

mod backup;
mod build;
mod build_log;
mod calls;
mod completions;
mod delete;
mod demo;
mod demo_echo;
mod demo_function;
mod demo_websocket;
mod deploy;
mod describe;
mod doctor;
mod doctor_engine;
mod doctor_host;
mod doctor_registry;
mod events;
mod howto;
mod init;
mod invoke;
mod list;
mod logs;
mod make_bundle;
mod node;
mod node_status;
mod orchestrator;
mod pipeline;
mod pipeline_tree;
mod register;
mod restore;
mod revisions;
mod role;
mod saved;
mod secret;
mod systemd;
mod task;
mod task_progress;
mod token;
mod tui;
mod up;
mod version;
mod watch;
mod worker;

use crate::auth::Secret;
use crate::cli::{ClientOptions, Verb};
use crate::client::{self, Orchestrator};
use crate::config::{ConfigError, Env, OrchestratorConfig, UpConfig, WorkerConfig};
use crate::errors::Error;
use crate::output;
use crate::usage::{self, Instead};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// Exit codes scripts may rely on; 0 is done.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;
const NOT_FOUND: u8 = 4;

/// Why a verb did not do what it was asked.
enum Failure {
    /// The orchestrator, or the way to it.
    Client(Error),
    /// stdout.
    Output(io::Error),
    /// What was asked makes no sense.
    Usage(String),
    /// Something on this machine.
    Here(String),
    /// Told already; only the exit code is left.
    Told(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

type Outcome = Result<(), Failure>;

/// Runs the program with its arguments, the first of which is its own name.
pub fn run(args: Vec<OsString>) -> ExitCode {
    crate::clock::start();
    let mut words = Vec::new();
    for arg in args.into_iter().skip(1) {
        match arg.into_string() {
            Ok(word) => words.push(word),
            Err(arg) => {
                output::note(&format!("cares: the argument '{}' is not UTF-8. See 'cares --help'.", arg.display()));
                return ExitCode::from(USAGE);
            }
        }
    }
    // Not a verb for people, and on the path of every call of the examples: ahead of the parser.
    if let [verb, function] = words.as_slice()
        && verb == "demo-function"
    {
        return demo_function::run(function);
    }
    if words == ["make-bundle"] {
        return make_bundle::run();
    }
    let cli = match usage::parse(&words) {
        Ok(cli) => cli,
        Err(Instead::Help(text)) => return finish(output::print(&text).map_err(Failure::from)),
        Err(Instead::Usage(text)) => return finish(Err(Failure::Usage(text))),
    };
    if cli.version {
        return finish(output::print(&format!("cares {}\n", crate::version::long())).map_err(Failure::from));
    }
    match cli.verb {
        None => finish(tui::start()),
        Some(verb) => dispatch(verb),
    }
}

fn dispatch(verb: Verb) -> ExitCode {
    let env = Env::process();
    finish(match verb {
        Verb::Up(flags) => return role(UpConfig::new(&flags, &env), up::run),
        Verb::Orchestrator(flags) => return role(OrchestratorConfig::new(&flags.options(), &env), orchestrator::run),
        Verb::Worker(flags) => return role(WorkerConfig::new(&flags, &env), worker::run),
        Verb::Init(flags) => init::run(&flags),
        Verb::Register(flags) => register::run(&flags),
        Verb::Deploy(flags) => deploy::run(&flags),
        Verb::List(flags) => list::run(&flags),
        Verb::Describe(flags) => describe::run(&flags),
        Verb::Start(flags) => revisions::start(&flags),
        Verb::Stop(flags) => revisions::stop(&flags),
        Verb::Scale(flags) => revisions::scale(&flags),
        Verb::Redeploy(flags) => revisions::redeploy(&flags),
        Verb::Rollback(flags) => revisions::rollback(&flags),
        Verb::Delete(flags) => delete::run(&flags),
        Verb::Invoke(flags) => invoke::run(&flags),
        Verb::Calls(flags) => calls::run(&flags.verb),
        Verb::Pipeline(flags) => pipeline::run(&flags.verb),
        Verb::Logs(flags) => logs::run(&flags),
        Verb::Events(flags) => events::run(&flags),
        Verb::Node(flags) => node::run(&flags.verb),
        Verb::Build(flags) => build::run(&flags.verb),
        Verb::Task(flags) => task::run(&flags.verb),
        Verb::Secret(flags) => secret::run(&flags.verb),
        Verb::Token(flags) => token::run(&flags.verb),
        Verb::Backup(flags) => backup::run(&flags),
        Verb::Restore(flags) => restore::run(&flags),
        Verb::Tui(flags) => tui::run(&flags),
        Verb::Doctor(flags) => doctor::run(&flags),
        Verb::Completions(flags) => completions::run(&flags),
        Verb::Version(flags) => version::run(&flags.client()),
    })
}

fn role<C>(config: Result<C, ConfigError>, start: fn(C) -> ExitCode) -> ExitCode {
    match config {
        Ok(config) => start(config),
        Err(error) => finish(Err(Failure::Usage(format!("{error}.")))),
    }
}

/// Says what went wrong, and with which code to leave.
fn finish(outcome: Outcome) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    let (code, text) = match failure {
        // Whoever read our output has seen enough, as `head` does.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Failure::Output(error) => (FAILED, format!("cannot write the output: {error}")),
        Failure::Usage(text) => (USAGE, text),
        Failure::Here(text) => (FAILED, text),
        Failure::Told(code) => return ExitCode::from(code),
        Failure::Client(error) => (exit_code(&error), explain(&error)),
    };
    let stop = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    output::note(&format!("cares: {}{stop}", output::printable(&text)));
    ExitCode::from(code)
}

fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Unreachable { .. } | Error::Untrusted { .. } => UNREACHABLE,
        Error::Api(problem) if problem.status == 404 => NOT_FOUND,
        Error::BadUrl { .. } | Error::BadRequest(_) => USAGE,
        _ => FAILED,
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::Unreachable { .. } => {
            format!("{error}. Start one with 'cares up', or give its address with --url or API_URL.")
        }
        Error::Api(problem) if problem.status == 401 => {
            format!(
                "{}. Set AUTH_TOKEN, or --token-file, to a token the orchestrator knows",
                error.to_string().trim_end_matches('.')
            )
        }
        Error::Api(problem) if problem.code == "route_not_found" => {
            let detail = problem.detail.trim_end_matches('.');
            format!("{detail}. That may be a worker's own address: give the orchestrator's with --url or API_URL")
        }
        _ => error.to_string(),
    }
}

/// Which part of an orchestrator is asked: one program has them all, unless the environment says otherwise.
#[derive(Clone, Copy)]
enum Part {
    Api,
    /// Makes images of folders.
    Builder,
    /// Starts, stops and deletes functions, and has their logs.
    Controller,
}

impl Part {
    /// Where its address is found, first to last.
    fn variables(self) -> &'static [&'static str] {
        match self {
            Part::Api => &["API_URL"],
            Part::Builder => &["BUILDER_URL", "API_URL"],
            Part::Controller => &["CONTROLLER_URL", "API_URL"],
        }
    }
}

/// Where the orchestrator is, and who says so: flag, environment, default.
fn address(options: &ClientOptions, part: Part) -> (&'static str, String) {
    let set = |variable: &&'static str| {
        std::env::var(variable).ok().filter(|url| !url.is_empty()).map(|url| (*variable, url))
    };
    let given = options.url.clone().map(|url| ("--url", url)).or_else(|| part.variables().iter().find_map(set));
    given.unwrap_or_else(|| ("the default", client::DEFAULT_URL.to_string()))
}

fn url(options: &ClientOptions) -> String {
    address(options, Part::Api).1
}

/// From the flag, else the environment.
fn given_token(options: &ClientOptions) -> Result<Option<Secret>, Error> {
    let token = Env::process().token("--token-file", options.token_file.as_ref(), "AUTH_TOKEN");
    token.map_err(|error| Error::BadRequest(error.to_string()))
}

/// Whom it trusts is said by flag, environment, default.
fn client_of(options: &ClientOptions, part: Part) -> Result<Orchestrator, Error> {
    let (from, url) = address(options, part);
    let client = Orchestrator::new(&url).map_err(|error| match error {
        Error::BadUrl { url, why } if !from.starts_with('-') => Error::BadUrl { url: format!("{from}={url}"), why },
        error => error,
    })?;
    let variable = || std::env::var("CARES_CA").ok().filter(|path| !path.is_empty()).map(|path| ("CARES_CA", path));
    let Some((from, path)) = options.ca.clone().map(|path| ("--ca", path)).or_else(variable) else { return Ok(client) };
    let bad = |why: String| Error::BadRequest(format!("{from} {path}: {why}"));
    let pem = std::fs::read(&path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    client.ca(&pem).map_err(|error| bad(error.to_string()))
}

fn connect(options: &ClientOptions) -> Result<Orchestrator, Error> {
    connect_to(options, Part::Api)
}

fn connect_to(options: &ClientOptions, part: Part) -> Result<Orchestrator, Error> {
    let client = client_of(options, part)?;
    let token = given_token(options)?;
    let saved = || saved::path().map_or(Ok(None), |path| saved::token(&path, client.url()));
    let token = token.map_or_else(saved, |token| Ok(Some(token))).map_err(Error::BadRequest)?;
    Ok(match token {
        Some(token) => client.token(token.reveal()),
        None => client,
    })
}

/// Asks before something is deleted or replaced. The safe answer is the default; without a terminal only `--yes` is a yes.
fn confirm(options: &ClientOptions, question: &str) -> Outcome {
    if options.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(format!("{question} There is no terminal to answer on: add --yes if so.")));
    }
    output::note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    match read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(Failure::Here("nothing was changed".to_string())),
    }
}
