//! `cares token …`: what people and machines come with. Must never show a token but when it is made.

use super::{Failure, Outcome, Part, client_of, confirm, connect, given_token, saved};
use crate::auth::Secret;
use crate::cli::{ClientOptions, Format, TokenCreate, TokenJoin, TokenRevoke, TokenVerb};
use crate::output::{self, Column, NONE, age};
use crate::types::{JoinTokenSpec, Token, TokenMade, TokenSpec};
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const COLUMNS: [Column<Token>; 8] = [
    Column::new("NAME", |t, _| t.name.clone()),
    Column::new("SCOPES", |t, _| t.scopes.join(",")),
    Column::status("STATUS", |t, _| t.status.clone()),
    Column::new("EXPIRES", |t, _| t.expires_at.clone().unwrap_or_else(|| NONE.into())),
    Column::wide("ID", |t, _| t.id.clone()),
    Column::wide("RATE", |t, _| t.rate_per_s.map_or_else(|| NONE.into(), |n| n.to_string())),
    Column::wide("BY", |t, _| t.created_by.clone().unwrap_or_else(|| NONE.into())),
    Column::new("AGE", |t, now| age(&t.created_at, now)),
];

pub fn run(verb: &TokenVerb) -> Outcome {
    match verb {
        TokenVerb::Create(flags) => create(flags),
        TokenVerb::Join(flags) => join(flags),
        TokenVerb::List(flags) => list(&flags.client()),
        TokenVerb::Revoke(flags) => revoke(flags),
        TokenVerb::Save(flags) => save(&flags.client()),
    }
}

fn create(flags: &TokenCreate) -> Outcome {
    if flags.scope.is_empty() {
        let text = "say what it may do with --scope: admin, deploy, invoke, invoke:FUNCTION, read or worker";
        return Err(Failure::Usage(text.into()));
    }
    let options = flags.client();
    let spec = TokenSpec {
        name: flags.name.clone(),
        scopes: flags.scope.clone(),
        expires_s: flags.expires,
        rate_per_s: flags.rate,
    };
    let made = connect(&options)?.create_token(&spec)?;
    let name = &made.token.name;
    let next = format!("created {name}; it is shown this one time. Revoke it with: cares token revoke {name}");
    print_made(&options, &made, &next)?;
    if made.token.created_by.is_none() {
        // nobody was asked for one so far
        let text = "From now on everybody needs a token. Workers that joined without one stay until they reconnect: \
                    start each again with a token of its own (cares token join)";
        output::progress(&options, text);
    }
    Ok(())
}

fn join(flags: &TokenJoin) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    let made = client.create_join_token(&JoinTokenSpec { name: flags.name.clone(), expires_s: flags.expires })?;
    let join = client.cluster()?.join_command;
    let next = format!(
        "created {}; it is shown this one time. Next, with it in a file on the other machine: {join}",
        made.token.name
    );
    let Some(file) = &flags.file else { return print_made(&options, &made, &next) };
    let kept = keep(Path::new(file), &made.secret);
    kept.map_err(|error| {
        Failure::Here(format!("cannot write {file}: {error}. Revoke it: cares token revoke {}", made.token.name))
    })?;
    let line = format!("created {} in {file}. Next, with that file on the other machine: {join}", made.token.name);
    Ok(output::print_change(&options, &made.token, &made.token.name, &line)?)
}

/// Whole or not at all, and never to be read by others.
fn keep(file: &Path, secret: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_os_string();
    beside.push(format!(".{}", std::process::id()));
    let beside = Path::new(&beside);
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    let written = writeln!(to, "{secret}").and_then(|()| to.sync_all()).and_then(|()| fs::rename(beside, file));
    written.inspect_err(|_| drop(fs::remove_file(beside)))
}

fn print_made(options: &ClientOptions, made: &TokenMade, next: &str) -> Outcome {
    match options.output.unwrap_or_default() {
        Format::Json => output::print(&output::json(made)?)?,
        _ => {
            output::progress(options, next);
            output::print(&format!("{}\n", made.secret))?; // alone on stdout, for `> FILE`
        }
    }
    Ok(())
}

fn list(options: &ClientOptions) -> Outcome {
    let tokens = connect(options)?.tokens()?;
    if tokens.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(options, "No tokens. Make one: cares token create NAME --scope admin");
        return Ok(());
    }
    Ok(output::print_list(options, &tokens, &COLUMNS)?)
}

fn revoke(flags: &TokenRevoke) -> Outcome {
    let (options, token) = (flags.client(), &flags.token);
    let client = connect(&options)?;
    confirm(&options, &format!("Revoke the token '{token}'? Whoever uses it is refused from then on."))?;
    client.revoke_token(token)?;
    let answer = serde_json::json!({ "token": token, "status": "revoked" });
    let line = format!("revoked {token}. Next: cares token list");
    Ok(output::print_change(&options, &answer, token, &line)?)
}

/// Only one that opens the door is kept.
fn save(options: &ClientOptions) -> Outcome {
    let token = match given_token(options)? {
        Some(token) => token,
        None => read_token()?,
    };
    let client = client_of(options, Part::Api)?.token(token.reveal());
    client.version()?;
    let path = saved::path().ok_or_else(|| Failure::Here("there is no place for it: HOME is not set".into()))?;
    saved::save(&path, client.url(), &token).map_err(Failure::Here)?;
    let answer = serde_json::json!({ "url": client.url(), "status": "saved" });
    let line = format!("saved for {} in {}. Next: cares list", client.url(), path.display());
    Ok(output::print_change(options, &answer, client.url(), &line)?)
}

fn read_token() -> Result<Secret, Failure> {
    /// More is no token.
    const MOST: u64 = 64 * 1024;
    if io::stdin().is_terminal() {
        let text = "give the token with --token-file or AUTH_TOKEN, or on stdin: a terminal would show it";
        return Err(Failure::Usage(text.into()));
    }
    let mut text = String::new();
    let read = io::stdin().lock().take(MOST).read_to_string(&mut text);
    read.map_err(|error| Failure::Here(format!("cannot read stdin: {error}")))?;
    Secret::new(&text).map_err(|why| Failure::Usage(format!("stdin: {why}")))
}
