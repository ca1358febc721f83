//! `cares secret …`: what functions are given and nobody is shown. Must never print a value.

use super::{Failure, Outcome, confirm, connect};
use crate::cli::{ClientOptions, Format, SecretDelete, SecretSet, SecretVerb};
use crate::hidden::Hidden;
use crate::output::{self, Column, NONE, age};
use crate::types::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};

/// More is no secret; the orchestrator says where the limit is.
const MOST_BYTES: u64 = 1 << 20;

const COLUMNS: [Column<Secret>; 5] = [
    Column::new("NAME", |s, _| s.name.clone()),
    Column::new("VERSION", |s, _| s.version.to_string()),
    Column::new("USED-BY", |s, _| if s.used_by.is_empty() { NONE.into() } else { s.used_by.join(",") }),
    Column::wide("BY", |s, _| s.updated_by.clone().unwrap_or_else(|| NONE.into())),
    Column::new("AGE", |s, now| age(&s.updated_at, now)),
];

pub fn run(verb: &SecretVerb) -> Outcome {
    match verb {
        SecretVerb::Set(flags) => set(flags),
        SecretVerb::List(flags) => list(&flags.client()),
        SecretVerb::Delete(flags) => delete(flags),
    }
}

fn set(flags: &SecretSet) -> Outcome {
    let (options, name) = (flags.client(), &flags.name);
    let client = connect(&options)?;
    let value = value(name, flags.data.as_deref())?;
    let secret = client.set_secret(name, value.reveal())?;
    if value.reveal().ends_with(b"\n") {
        output::progress(&options, "its value ends with a line break, which is part of it");
    }
    let next = match secret.used_by.is_empty() {
        true => format!("Next: cares register … --secret VARIABLE={name}"),
        false => format!("Used by {}. Next: cares secret list", secret.used_by.join(", ")),
    };
    let line = format!("set {name} version {}, {} bytes. {next}", secret.version, value.reveal().len());
    Ok(output::print_change(&options, &secret, name, &line)?)
}

fn list(options: &ClientOptions) -> Outcome {
    let secrets = connect(options)?.secrets()?;
    if secrets.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(options, "No secrets. Set one: cares secret set NAME");
        return Ok(());
    }
    Ok(output::print_list(options, &secrets, &COLUMNS)?)
}

fn delete(flags: &SecretDelete) -> Outcome {
    let (options, name) = (flags.client(), &flags.name);
    let client = connect(&options)?;
    confirm(&options, &format!("Delete the secret '{name}'? Its value is kept nowhere else."))?;
    client.delete_secret(name)?;
    let answer = serde_json::json!({ "secret": name, "status": "deleted" });
    let line = format!("deleted {name}. Next: cares secret list");
    Ok(output::print_change(&options, &answer, name, &line)?)
}

/// Byte for byte as it is given, but for the end of a line that is typed.
fn value(name: &str, data: Option<&str>) -> Result<Hidden, Failure> {
    let read = |from: &mut dyn Read, what: &str| {
        let mut bytes = Vec::new();
        let done = from.take(MOST_BYTES).read_to_end(&mut bytes);
        done.map_err(|error| Failure::Here(format!("cannot read {what}: {error}")))?;
        Ok(Hidden::new(bytes))
    };
    match data {
        None if io::stdin().is_terminal() => typed(name),
        None | Some("-") => read(&mut io::stdin().lock(), "stdin"),
        Some(text) => match text.strip_prefix('@') {
            None => Ok(Hidden::new(text.as_bytes().to_vec())),
            Some(path) => {
                let unreadable =
                    |error| Failure::Here(format!("cannot read {path}: {error}. Check the name after -d @"));
                read(&mut File::open(path).map_err(unreadable)?, path)
            }
        },
    }
}

/// Asks on the terminal, which shows nothing of what is typed.
fn typed(name: &str) -> Result<Hidden, Failure> {
    let failed =
        |error: io::Error| Failure::Here(format!("cannot ask on this terminal: {error}. Give it with -d @FILE"));
    let shown = tcgetattr(io::stdin()).map_err(|error| failed(error.into()))?;
    let mut quiet = shown.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).map_err(|error| failed(error.into()))?;
    output::note(&format!("Value of {name} (not shown):"));
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MOST_BYTES).read_until(b'\n', &mut bytes);
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, &shown); // the shell sets its own again too
    read.map_err(failed)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(Hidden::new(bytes))
}
