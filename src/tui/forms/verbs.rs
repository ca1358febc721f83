//! The words of the command line: the CLI's own structs, done on this screen. Must never differ from them in what a word
//! means; what needs a shell says so.

use super::answer::{self, Call};
use super::ask::{self, Turn};
use super::calls;
use super::pipelines;
use super::rows::{functions, lines, nodes, one, tokens};
use super::sheet::{Row, Sheet};
use super::tasks;
use super::viewer;
use crate::cli::{self, CallsVerb, Cli, ClientOptions, NodeVerb, TokenVerb};
use crate::client::Orchestrator;
use crate::errors::Error;
use crate::settings;
use crate::tui::session::{Model, Session};
use crate::tui::theme::Tone;
use crate::types::{Function, Node};
use crate::usage::{self, Instead};
use argh::ArgsInfo;
use cursive::Cursive;
use cursive::event::Event;
use std::collections::BTreeSet;

/// Verbs that start something of their own, read this machine's folders, or take what is not for a screen.
const SHELL: [&str; 8] = ["up", "orchestrator", "worker", "deploy", "build", "events", "doctor", "secret"];
// Those the CLI has no need of.
const OWN: [&str; 2] = ["help", "quit"];

/// What was typed, understood.
pub enum Verb {
    Quit,
    Help,
    /// An answer that needs nobody else.
    Text(String),
    Cli(Box<cli::Verb>),
}

/// What became of it.
pub enum Outcome {
    /// Done or on its way: the line may close.
    Done,
    Refused(String),
}

/// Understands a line; else says what is wrong with it.
pub fn read(line: &str) -> Result<Verb, String> {
    let words = words(line)?;
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["q" | "quit" | "exit"] => return Ok(Verb::Quit),
        ["help" | "?"] => return Ok(Verb::Help),
        [verb, ..] if SHELL.contains(verb) => return Err(format!("'{verb}' is for a shell: cares {line}")),
        _ => {}
    }
    let cli = usage::parse(&words);
    match cli {
        Err(Instead::Help(text)) => Ok(Verb::Text(text)),
        // It names the program, which is not typed here.
        Err(Instead::Usage(text)) => Err(text.replace("See 'cares ", "See '")),
        Ok(Cli { version: true, .. }) => Ok(Verb::Text(format!("cares {}", crate::version::long()))),
        Ok(Cli { verb: None, .. }) => Ok(Verb::Help),
        Ok(Cli { verb: Some(verb), .. }) => match options(&verb) {
            Some(options) if options.url.is_some() => {
                Err("--url means nothing here: this screen shows one orchestrator. Use 'cares tui --url'.".into())
            }
            Some(options) if options.token_file.is_some() => {
                Err("--token-file means nothing here: this screen has a token. Use 'cares tui --token-file'.".into())
            }
            _ => Ok(Verb::Cli(Box::new(verb))),
        },
    }
}

/// Does it.
pub fn run(siv: &mut Cursive, session: &Session, verb: Verb) -> Outcome {
    match verb {
        Verb::Help => help(siv),
        Verb::Text(text) => show(siv, "cares", lines(&text)),
        // As its key does, on the screen below: only that knows what would end with it.
        Verb::Quit => {
            let ui = session.ui.clone();
            siv.cb_sink()
                .send(Box::new(move |siv: &mut Cursive| {
                    siv.on_event(Event::Char('q'));
                    ui.redraw();
                }))
                .ok();
        }
        Verb::Cli(verb) => return run_cli(siv, session, *verb),
    }
    Outcome::Done
}

fn run_cli(siv: &mut Cursive, session: &Session, verb: cli::Verb) -> Outcome {
    let format = options(&verb).and_then(|options| options.output).unwrap_or_default();
    match verb {
        cli::Verb::Register(flags) => return register(session, &flags),
        cli::Verb::Delete(flags) if flags.yes => ask::delete_function_now(siv, session, &flags.name),
        cli::Verb::Delete(flags) => ask::delete_function(siv, session, &flags.name),
        cli::Verb::Invoke(flags) => return invoke(siv, session, flags),
        cli::Verb::Calls(flags) => return calls::run(session, flags.verb),
        cli::Verb::Logs(flags) => match &flags.name {
            Some(name) => viewer::open_function(siv, session, name),
            None => viewer::open_log(siv, session, None),
        },
        cli::Verb::List(_) => {
            answer_to(session, "Functions", Orchestrator::functions, move |found| functions(&found, format))
        }
        cli::Verb::Describe(flags) => {
            let name = flags.name.clone();
            answer_to(session, &flags.name, move |c| c.function(&name), move |found| one(&found, &found.name, format));
        }
        cli::Verb::Scale(flags) => match settings::scale(&flags) {
            Ok(scale) => changed(session, "scaled", &flags.name.clone(), move |c| c.scale(&flags.name, &scale)),
            Err(why) => return Outcome::Refused(why),
        },
        cli::Verb::Start(cli::Start { name, .. }) => {
            changed(session, "started", &name.clone(), move |c| c.start(&name).and_then(|f| c.function(&f.name)));
        }
        cli::Verb::Stop(cli::Stop { name, .. }) => {
            changed(session, "stopped", &name.clone(), move |c| c.stop(&name).and_then(|f| c.function(&f.name)));
        }
        cli::Verb::Redeploy(flags) => {
            changed(session, "redeployed", &flags.name.clone(), move |client| client.redeploy(&flags.name));
        }
        cli::Verb::Rollback(flags) => {
            changed(session, "rolled back", &flags.name.clone(), move |client| client.rollback(&flags.name, flags.to));
        }
        cli::Verb::Version(_) => {
            answer_to(session, "Version", Orchestrator::version, move |v| one(&v, &v.version, format))
        }
        cli::Verb::Node(flags) => match flags.verb {
            NodeVerb::List(_) => answer_to(session, "Nodes", Orchestrator::nodes, move |found| nodes(&found, format)),
            NodeVerb::Describe(flags) => {
                let node = flags.node.clone();
                answer_to(session, &flags.node, move |c| c.node(&node), move |found| one(&found, &found.name, format));
            }
            NodeVerb::Status(_) => return shell(), // asks a worker at its own address
            NodeVerb::Cordon(flags) => ask::turn_node(session, &flags.node, Turn::Cordon),
            NodeVerb::Uncordon(flags) => ask::turn_node(session, &flags.node, Turn::Uncordon),
            NodeVerb::Drain(flags) => ask::turn_node(session, &flags.node, Turn::Drain),
            NodeVerb::Revoke(_) => return shell(), // it asks, and says what else to do
            NodeVerb::Remove(flags) if flags.yes => ask::remove_node_now(siv, session, &flags.node, &flags.node),
            NodeVerb::Remove(flags) => {
                let named = |node: &&Node| node.id == flags.node || node.name == flags.node;
                let known = session.model().nodes.values().find(named).cloned();
                match known {
                    Some(node) => ask::remove_node(siv, session, &node),
                    None => return Outcome::Refused(format!("No node '{}' is known here.", flags.node)),
                }
            }
        },
        cli::Verb::Token(flags) => match flags.verb {
            TokenVerb::List(_) => answer_to(session, "Tokens", Orchestrator::tokens, move |t| tokens(&t, format)),
            TokenVerb::Create(_) | TokenVerb::Join(_) | TokenVerb::Revoke(_) | TokenVerb::Save(_) => return shell(), // a secret is not for a screen
        },
        cli::Verb::Pipeline(flags) => return pipelines::run(siv, session, flags.verb),
        cli::Verb::Up(_) | cli::Verb::Orchestrator(_) | cli::Verb::Worker(_) => return shell(),
        cli::Verb::Init(_) | cli::Verb::Deploy(_) | cli::Verb::Build(_) => return shell(), // they are of folders here
        cli::Verb::Events(_) | cli::Verb::Tui(_) | cli::Verb::Doctor(_) | cli::Verb::Completions(_) => return shell(),
        cli::Verb::Backup(_) | cli::Verb::Restore(_) | cli::Verb::Secret(_) => return shell(),
        cli::Verb::Task(flags) => return tasks::run(siv, session, flags.verb),
    }
    Outcome::Done
}

fn shell() -> Outcome {
    Outcome::Refused("That is for a shell.".into())
}

/// What all verbs that ask an orchestrator take.
fn options(verb: &cli::Verb) -> Option<ClientOptions> {
    Some(match verb {
        cli::Verb::Register(flags) => flags.client(),
        cli::Verb::List(flags) => flags.client(),
        cli::Verb::Describe(flags) => flags.client(),
        cli::Verb::Start(flags) => flags.client(),
        cli::Verb::Stop(flags) => flags.client(),
        cli::Verb::Scale(flags) => flags.client(),
        cli::Verb::Redeploy(flags) => flags.client(),
        cli::Verb::Rollback(flags) => flags.client(),
        cli::Verb::Delete(flags) => flags.client(),
        cli::Verb::Invoke(flags) => flags.client(),
        cli::Verb::Logs(flags) => flags.client(),
        cli::Verb::Version(flags) => flags.client(),
        cli::Verb::Calls(calls) => match &calls.verb {
            CallsVerb::List(flags) => flags.client(),
            CallsVerb::Get(flags) => flags.client(),
            CallsVerb::Result(flags) => flags.client(),
            CallsVerb::Cancel(flags) => flags.client(),
        },
        cli::Verb::Pipeline(pipeline) => pipelines::options(&pipeline.verb),
        cli::Verb::Node(node) => match &node.verb {
            NodeVerb::List(flags) => flags.client(),
            NodeVerb::Describe(flags) => flags.client(),
            NodeVerb::Status(flags) => flags.client(),
            NodeVerb::Cordon(flags) => flags.client(),
            NodeVerb::Uncordon(flags) => flags.client(),
            NodeVerb::Drain(flags) => flags.client(),
            NodeVerb::Revoke(flags) => flags.client(),
            NodeVerb::Remove(flags) => flags.client(),
        },
        cli::Verb::Token(token) => match &token.verb {
            TokenVerb::List(flags) => flags.client(),
            TokenVerb::Create(flags) => flags.client(),
            TokenVerb::Join(flags) => flags.client(),
            TokenVerb::Revoke(flags) => flags.client(),
            TokenVerb::Save(flags) => flags.client(),
        },
        cli::Verb::Task(task) => tasks::options(&task.verb),
        _ => return None,
    })
}

fn register(session: &Session, flags: &cli::Register) -> Outcome {
    let spec = match settings::from_flags(flags) {
        Ok(spec) => spec,
        Err(why) => return Outcome::Refused(why),
    };
    let (name, replace, after) = (flags.name.clone(), flags.replace, session.clone());
    let job = move |client: &Orchestrator| match replace {
        true => client.replace(&spec.name, &spec).map(drop),
        false => client.register(&spec).map(drop),
    };
    session.act(format!("Registering {name}"), job, move |siv, answer| match answer {
        Ok(()) => after.note("info", format!("Successfully registered '{name}'")),
        Err(error) => {
            let hint = if error.code() == "name_taken" { " (--replace makes a new revision of it)" } else { "" };
            after.note("error", format!("'{name}' was not registered: {error}"));
            ask::failure(siv, &format!("Registering {name} failed"), &format!("{error}{hint}"));
        }
    });
    Outcome::Done
}

/// Changes a function; its row shows the rest.
fn changed(
    session: &Session,
    what: &'static str,
    name: &str,
    job: impl FnOnce(&Orchestrator) -> Result<Function, Error> + Send + 'static,
) {
    let (after, name) = (session.clone(), name.to_string());
    session.act(format!("{name} is being {what}"), job, move |siv, answer| match answer {
        Ok(f) => {
            let now = format!("revision {}, min {}, ready {}, max {}", f.revision, f.min, f.ready, f.max);
            after.note("info", format!("Successfully {what} '{name}': {now}"));
        }
        Err(error) => {
            after.note("error", format!("'{name}' was not {what}: {error}"));
            ask::failure(siv, &format!("{name} was not {what}"), &error.to_string());
        }
    });
}

fn invoke(siv: &mut Cursive, session: &Session, flags: cli::Invoke) -> Outcome {
    let body = flags.data.clone().unwrap_or_default();
    if body == "-" || body.starts_with('@') {
        return Outcome::Refused(format!("-d {body} is for a shell; here a body is typed: -d TEXT, or the key i."));
    }
    if flags.later {
        return calls::invoke_later(session, cli::Invoke { data: Some(body), ..flags });
    }
    if flags.callback.is_some() || flags.key.is_some() {
        return Outcome::Refused("--callback and --key are for asynchronous calls: add --async.".into());
    }
    let usual = if body.is_empty() { "GET" } else { "POST" };
    let method = flags.method.map_or(usual.to_string(), |method| method.to_uppercase());
    let path = flags.path.unwrap_or_default();
    answer::open(siv, session, Call { function: flags.name, method, path, headers: flags.headers, body });
    Outcome::Done
}

/// Asks, and shows the answer in a box.
pub fn answer_to<T: Send + 'static>(
    session: &Session,
    title: &str,
    job: impl FnOnce(&Orchestrator) -> Result<T, Error> + Send + 'static,
    rows: impl FnOnce(T) -> Vec<Row> + Send + 'static,
) {
    let (after, title) = (session.clone(), title.to_string());
    session.act(format!("Asking for {title}"), job, move |siv, answer| match answer {
        Ok(found) => show(siv, &title, rows(found)),
        Err(error) => {
            after.note("error", error.to_string());
            ask::failure(siv, &title, &error.to_string());
        }
    });
}

fn show(siv: &mut Cursive, title: &str, rows: Vec<Row>) {
    Sheet::of(title, rows).sized((20, 1), 110).button("Close", |_| {}).open(siv);
}

fn help(siv: &mut Cursive) {
    let root = Cli::get_args_info();
    let mut all: Vec<(String, String)> = Vec::new();
    for sub in root.commands.iter().filter(|sub| !SHELL.contains(&sub.name)) {
        let needs: String = sub.command.positionals.iter().map(|p| format!(" {}", p.name.to_uppercase())).collect();
        let subs: Vec<&str> = sub.command.commands.iter().map(|sub| sub.name).collect();
        let needs = if subs.is_empty() { needs } else { format!(" {}", subs.join("|")) };
        all.push((format!("{}{needs}", sub.name), sub.command.description.to_string()));
    }
    all.push(("quit".into(), "leave".into()));
    let mut rows: Vec<Row> = Vec::new();
    for (verb, what) in all {
        rows.push((Tone::Title, verb));
        rows.push((Tone::Plain, format!("    {what}")));
    }
    rows.push((Tone::Dim, String::new()));
    let more = "VERB --help says more. Tab completes, up and down bring back what was typed.";
    rows.push((Tone::Dim, more.into()));
    show(siv, "Commands", rows);
}

/// The line with its last word completed as far as it is certain, and what it could become.
pub fn complete(line: &str, model: &Model) -> (String, Vec<String>) {
    let start =
        line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(0, char::len_utf8));
    let (before, last) = line.split_at(start);
    let fitting: Vec<String> = choices(before, last, model).into_iter().filter(|c| c.starts_with(last)).collect();
    let completed = match fitting.as_slice() {
        [] => last.to_string(),
        [only] => format!("{only} "),
        [first, others @ ..] => {
            let shared = |n: &usize| others.iter().all(|other| other.get(..*n) == first.get(..*n));
            let ends = first.char_indices().map(|(at, c)| at + c.len_utf8());
            ends.take_while(shared).last().map_or(last.to_string(), |end| first[..end].to_string())
        }
    };
    (format!("{before}{completed}"), fitting)
}

fn choices(before: &str, last: &str, model: &Model) -> BTreeSet<String> {
    let root = Cli::get_args_info();
    let mut command = &root;
    let mut verbs = Vec::new();
    let mut words = before.split_whitespace();
    for word in words.by_ref() {
        let Some(sub) = command.commands.iter().find(|sub| sub.name == word) else { break };
        verbs.push(word);
        command = &sub.command;
        if command.commands.is_empty() {
            break;
        }
    }
    if !command.commands.is_empty() {
        let subs = command.commands.iter().map(|sub| sub.name).filter(|name| !SHELL.contains(name));
        let own = OWN.iter().copied().filter(|_| verbs.is_empty());
        return if before.split_whitespace().count() > verbs.len() {
            BTreeSet::new()
        } else {
            subs.chain(own).map(str::to_string).collect()
        };
    }
    if last.starts_with('-') {
        return command.flags.iter().map(|flag| format!("--{}", flag.long.trim_start_matches('-'))).collect();
    }
    match verbs.as_slice() {
        ["delete" | "describe" | "invoke" | "logs"] => model.functions.keys().cloned().collect(),
        ["task", "get" | "logs" | "stop" | "start" | "rm"] => model.tasks.keys().cloned().collect(),
        ["pipeline", verb] if !matches!(*verb, "list" | "run") => model.pipelines.keys().cloned().collect(),
        ["node", verb] if *verb != "list" => model.nodes.values().map(|node| node.name.clone()).collect(),
        _ => BTreeSet::new(),
    }
}

/// The words of a line, as a shell takes them: quotes keep blanks, a backslash keeps what follows.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("A quote ({open}) is not closed.")),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    #[test]
    fn words_are_a_shells() {
        assert_eq!(
            words(r#"a 'b "c' "d'\" e" f\ g '' h"#).as_deref(),
            Ok(&["a", "b \"c", "d'\" e", "f g", "", "h"].map(String::from)[..])
        );
        assert!(words("a 'b").is_err());
    }

    #[test]
    fn every_verb_is_here_or_for_a_shell() {
        for sub in Cli::get_args_info().commands {
            let needs: String = sub.command.positionals.iter().map(|_| " x").collect();
            let line = match sub.name {
                "node" | "calls" | "token" | "pipeline" | "task" => format!("{} list", sub.name),
                verb => format!("{verb}{needs}"),
            };
            assert_eq!(read(&line).is_err(), SHELL.contains(&sub.name), "{line}");
        }
    }

    #[test]
    fn fields_read_without_braces() {
        let json = serde_json::json!({ "a": "x \"y\"", "b": { "c": [1, 2] }, "d": [] });
        let shown: Vec<String> = one(&json, "n", Format::Table).into_iter().map(|(_, line)| line).collect();
        assert_eq!(shown, ["a: x \\\"y\\\"", "b:", "  c:", "    1", "    2", "d: []"]);
    }
}
