//! `cares invoke` and `cares calls result`: calls a function, now or for later, and shows what it answered. stdout is the
//! answer's body, byte for byte; must never print anything else there.

use super::{FAILED, Failure, NOT_FOUND, Outcome, connect};
use crate::cli;
use crate::client::{Answer, Body, Invoke, Later, guess_type, problem_in};
use crate::output;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};

/// How much of an error is kept to tell its cause.
const MAX_PROBLEM_BYTES: usize = 64 << 10;

pub fn run(flags: &cli::Invoke) -> Outcome {
    if !flags.later && (flags.callback.is_some() || flags.key.is_some()) {
        return Err(Failure::Usage("--callback and --key are for asynchronous calls: add --async".to_string()));
    }
    let options = flags.client();
    let client = connect(&options)?;
    let mut headers = flags.headers.clone();
    let body = body(flags.data.as_deref())?;
    if let Body::Bytes(bytes) = &body
        && !headers.iter().any(|(key, _)| key.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("Content-Type".to_string(), guess_type(bytes).to_string()));
    }
    let call = Invoke {
        method: flags.method.as_deref().unwrap_or_default().to_uppercase(),
        path: flags.path.clone().unwrap_or_default(),
        headers,
        body,
        ..Default::default()
    };
    if flags.later {
        let later = Later { callback: flags.callback.clone(), idempotency_key: flags.key.clone() };
        let accepted = client.invoke_later(&flags.name, call, later)?;
        let line = format!("accepted {}. Next: cares calls get {0}, then cares calls result {0}", accepted.id);
        return Ok(output::print_change(&options, &accepted, &accepted.id, &line)?);
    }
    show(client.invoke(&flags.name, call)?, flags.include)
}

/// `cares calls result`: what an asynchronous call's function answered.
pub fn result(flags: &cli::CallResult) -> Outcome {
    show(connect(&flags.client())?.call_result(&flags.id)?, flags.include)
}

/// Prints an answer's body, or says what went wrong.
pub fn show(answer: Answer, include: bool) -> Outcome {
    if include {
        let headers: String = answer.headers.iter().map(|(key, value)| format!("\n{key}: {value}")).collect();
        output::note(&format!("HTTP {}{headers}\n", answer.status));
    }
    let status = answer.status;
    let problem = pass_on(answer, io::stdout().lock())?.and_then(|kept| problem_in(&kept));
    match problem {
        Some(problem) => {
            if io::stdout().is_terminal() {
                output::note(""); // ours has no line's end, and stands on the same screen
            }
            output::note(&format!("cares: {}", output::printable(&problem.detail)));
            let missing = problem.code.ends_with("_not_found");
            Err(Failure::Told(if missing { NOT_FOUND } else { FAILED }))
        }
        None if status >= 400 => {
            output::note(&format!("cares: the function answered with status {status}."));
            Err(Failure::Told(FAILED))
        }
        None => Ok(()),
    }
}

fn body(data: Option<&str>) -> Result<Body, Failure> {
    let unreadable =
        |path: &str, error: io::Error| Failure::Here(format!("cannot read {path}: {error}. Check the name after -d @"));
    match data {
        None => Ok(Body::Empty),
        Some("-") => Ok(Body::Reader(Box::new(io::stdin()), None)),
        Some(text) => match text.strip_prefix('@') {
            None => Ok(Body::Bytes(text.as_bytes().to_vec())),
            Some(path) => {
                let file = File::open(path).map_err(|error| unreadable(path, error))?;
                let kind = file.metadata().map_err(|error| unreadable(path, error))?;
                if kind.is_dir() {
                    return Err(unreadable(path, io::ErrorKind::IsADirectory.into()));
                }
                // A pipe's length is not its content's.
                let len = kind.is_file().then_some(kind.len());
                Ok(Body::Reader(Box::new(file), len))
            }
        },
    }
}

/// Copies the body as it comes; gives it back too, up to a limit, when it is an error of CARES.
fn pass_on(mut answer: Answer, mut output: impl Write) -> Result<Option<Vec<u8>>, Failure> {
    let mut kept = answer.is_problem().then(Vec::new);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match answer.reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let call = answer.call_id.as_deref().unwrap_or("unknown");
                let text = format!("the answer broke off: {error} (call {call}). See 'cares logs'");
                return Err(Failure::Here(text));
            }
        };
        output.write_all(&buffer[..count])?;
        output.flush()?; // a function that streams is read as it streams
        if let Some(kept) = kept.as_mut().filter(|kept| kept.len() < MAX_PROBLEM_BYTES) {
            kept.extend_from_slice(&buffer[..count]);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, reader: impl Read + Send + 'static) -> Answer {
        let headers = vec![("content-type".to_string(), kind.to_string())];
        Answer { status, headers, call_id: None, reader: Box::new(reader) }
    }

    #[test]
    fn bodies_pass_unchanged() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let mut out = Vec::new();
        let kept = pass_on(answer(500, "text/html", io::Cursor::new(bytes.clone())), &mut out);
        assert!(matches!(kept, Ok(None)) && out == bytes);
        let kept = pass_on(answer(404, "application/problem+json", &b"{}"[..]), &mut out);
        assert!(matches!(kept, Ok(Some(kept)) if kept == b"{}"));
    }
}
