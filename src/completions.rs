//! What a shell offers after `cares`: read from the command line's own description, so that it never says what that does
//! not take. Must never ask anyone; the scripts do, for the names of functions and nodes.

mod bash;
mod fish;
#[cfg(test)]
mod tests;
mod zsh;

use crate::cli::Cli;
use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind};

/// What stands where a value is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Anything,
    Files,
    Folders,
    Functions,
    Nodes,
    Words(&'static [&'static str]),
}

impl Value {
    /// Of what the help calls it.
    fn of(flag: &str, name: &str) -> Value {
        match (flag, name) {
            ("--log-format", _) => Value::Words(&["text", "json"]),
            ("--output", _) => Value::Words(&["table", "json", "wide", "name"]),
            (_, "level") => Value::Words(&["error", "warn", "info", "debug"]),
            (_, "engine") => Value::Words(&["docker", "process", "auto"]),
            (_, "mode") => Value::Words(&["auto", "http", "job"]),
            (_, "shell") => Value::Words(&["bash", "zsh", "fish"]),
            (_, "scope") => Value::Words(&["admin", "deploy", "invoke", "read", "worker"]),
            (_, "file") => Value::Files,
            (_, "dir") => Value::Folders,
            (_, "node") => Value::Nodes,
            _ => Value::Anything,
        }
    }

    /// What a script calls it: `words a b`, `files`, ….
    fn told(self) -> String {
        match self {
            Value::Anything => "anything".into(),
            Value::Files => "files".into(),
            Value::Folders => "folders".into(),
            Value::Functions => "functions".into(),
            Value::Nodes => "nodes".into(),
            Value::Words(words) => format!("words {}", words.join(" ")),
        }
    }
}

/// An option, by all its names.
struct Flag {
    names: Vec<String>,
    about: String,
    /// Of one that takes a value.
    value: Option<Value>,
}

/// A verb, or a verb of a verb.
struct Verb {
    /// Its words, such as `node list`; empty for the program itself.
    path: String,
    /// The words that may follow, and what they do.
    verbs: Vec<(String, String)>,
    flags: Vec<Flag>,
    positionals: Vec<Value>,
}

impl Verb {
    /// What its flags' values and its positionals are, as branches of a shell's `case`; bash and zsh write them alike.
    fn cases(&self, values: &mut String, positionals: &mut String) {
        let path = &self.path;
        for flag in &self.flags {
            let Some(value) = flag.value else { continue };
            let names: Vec<String> = flag.names.iter().map(|name| format!("'{path} {name}'")).collect();
            *values += &format!("        {}) echo '{}' ;;\n", names.join(" | "), value.told());
        }
        for (at, value) in self.positionals.iter().enumerate() {
            *positionals += &format!("        '{path}/{at}') echo '{}' ;;\n", value.told());
        }
    }
}

/// The script for a shell; `None`: it is not known.
pub fn script(shell: &str) -> Option<String> {
    let mut verbs = Vec::new();
    collect("", &Cli::get_args_info(), &mut verbs);
    match shell {
        "bash" => Some(bash::script(&verbs)),
        "zsh" => Some(zsh::script(&verbs)),
        "fish" => Some(fish::script(&verbs)),
        _ => None,
    }
}

fn collect(path: &str, command: &CommandInfoWithArgs, into: &mut Vec<Verb>) {
    let flag = |flag: &argh::FlagInfo| {
        let short = flag.short.map(|short| format!("-{short}"));
        let value = match flag.kind {
            FlagInfoKind::Option { arg_name } => Some(Value::of(flag.long, arg_name)),
            FlagInfoKind::Switch => None,
        };
        let names = short.into_iter().chain([flag.long.to_string()]).collect();
        Flag { names, about: line(flag.description), value }
    };
    let shown = command.flags.iter().filter(|flag| !flag.hidden && flag.long.starts_with("--"));
    let makes = ["register", "token create"].contains(&path); // a name of its own
    let positional = |positional: &argh::PositionalInfo| match positional.name {
        "name" if !makes && !path.contains(' ') => Value::Functions,
        name => Value::of("", name),
    };
    let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path} {name}") };
    into.push(Verb {
        path: path.into(),
        verbs: command.commands.iter().map(|sub| (sub.name.to_string(), line(sub.command.description))).collect(),
        flags: shown.map(flag).collect(),
        positionals: command.positionals.iter().filter(|p| !p.hidden).map(positional).collect(),
    });
    command.commands.iter().for_each(|sub| collect(&below(sub.name), &sub.command, into));
}

/// The first line, without what would end a quoted word in any of the shells.
fn line(about: &str) -> String {
    let plain = |c: char| if "'\"`$\\[]:\n".contains(c) { ' ' } else { c };
    let text: String = about.chars().map(plain).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split(", or ").next().unwrap_or_default().chars().take(70).collect()
}
