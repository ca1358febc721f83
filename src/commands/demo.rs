//! The examples: deploys `hello` (a job) and `echo` (an http function), calls both and shows how. Must never touch a
//! function of that name that is not the example, nor wait for ever.

use crate::client::{Body, Invoke, Orchestrator, problem_in};
use crate::clock;
use crate::errors::Error;
use crate::output;
use crate::types::{FunctionSpec, Mode};
use std::io::{Cursor, Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a node may take to become active, and each example to answer its first call.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// The most shown of an answer.
const MAX_ANSWER_BYTES: u64 = 4 << 10;

struct Example {
    name: &'static str,
    mode: Mode,
    /// What the call here sends.
    sent: &'static str,
    /// What the command that is shown sends.
    tried: &'static str,
}

const EXAMPLES: [Example; 2] = [
    Example { name: "hello", mode: Mode::Job, sent: "", tried: "World" },
    Example { name: "echo", mode: Mode::Http, sent: "ping", tried: "ping" },
];

/// Deploys the examples where they are missing, calls them, and tells their answers and how to call them. `url` is
/// what people are told to use.
///
/// # Errors
/// The client's own; `Api` with what the orchestrator last said when no node became active or no answer came in time.
pub fn run(client: &Orchestrator, url: &str, tell: &dyn Fn(&str)) -> Result<(), Error> {
    wait_for_a_node(client, clock::now() + PATIENCE)?;
    tell(&format!("the dashboard, for a browser: {url}/"));
    for example in &EXAMPLES {
        if !deploy(client, example)? {
            tell(&format!("'{}' is a function of your own; it is left as it is", example.name));
            continue;
        }
        let answer = call(client, example, clock::now() + PATIENCE)?;
        let (name, tried) = (example.name, example.tried);
        let text = format!(
            "{name} answered: {}\n  curl -d {tried} {url}/invoke/{name}\n  cares invoke {name} -d {tried}",
            output::one_line(answer.trim_end())
        );
        tell(&text);
    }
    Ok(())
}

fn wait_for_a_node(client: &Orchestrator, deadline: Instant) -> Result<(), Error> {
    loop {
        let last = match client.readyz() {
            Ok(health) if health.status == "ok" && health.active_nodes != Some(0) => return Ok(()),
            Ok(health) => no_node(&health.status),
            Err(error @ (Error::Unreachable { .. } | Error::Timeout { .. })) => error,
            Err(Error::Api(problem)) if problem.status == 503 => Error::Api(problem),
            Err(error) => return Err(error),
        };
        if clock::now() >= deadline {
            return Err(last);
        }
        sleep(PAUSE);
    }
}

fn no_node(status: &str) -> Error {
    let detail = format!(
        "no node became active within {} s (ready: {status}). Start one with 'cares worker ADDRESS', or see 'cares doctor'",
        PATIENCE.as_secs()
    );
    Error::Api(crate::types::Problem {
        kind: "about:blank".to_string(),
        title: "Service Unavailable".to_string(),
        status: 503,
        detail,
        code: "no_active_node".to_string(),
    })
}

/// Whether the example is there now; `false` when the name is another function's.
fn deploy(client: &Orchestrator, example: &Example) -> Result<bool, Error> {
    let command = ["cares", "demo-function", example.name].map(str::to_string).to_vec();
    match client.function(example.name) {
        Ok(function) => return Ok(function.command == command),
        Err(error) if error.status() == Some(404) => {}
        Err(error) => return Err(error),
    }
    let spec = FunctionSpec {
        name: example.name.to_string(),
        mode: Some(example.mode),
        command: Some(command),
        ..Default::default()
    };
    let zip = bundle(&spec)?;
    client.upload_bundle(example.name, &mut zip.as_slice(), zip.len() as u64)?;
    Ok(true)
}

/// A bundle of nothing but its function.json: the program is the worker's own.
fn bundle(spec: &FunctionSpec) -> Result<Vec<u8>, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::BadRequest(format!("the example cannot be packed: {why}"));
    let json = serde_json::to_vec(spec).map_err(|error| failed(&error))?;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("function.json", options).map_err(|error| failed(&error))?;
    zip.write_all(&json)?;
    Ok(zip.finish().map_err(|error| failed(&error))?.into_inner())
}

/// Calls it; a cluster that just came up may need a moment (503) until the first call gets through.
fn call(client: &Orchestrator, example: &Example, deadline: Instant) -> Result<String, Error> {
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        let call = Invoke {
            method: "POST".to_string(),
            body: Body::Bytes(example.sent.as_bytes().to_vec()),
            timeout: left.max(PAUSE), // zero would be no limit
            ..Default::default()
        };
        let answer = client.invoke(example.name, call)?;
        let (status, is_problem) = (answer.status, answer.is_problem());
        let mut body = Vec::new();
        answer.reader.take(MAX_ANSWER_BYTES).read_to_end(&mut body)?;
        if status < 400 {
            return Ok(String::from_utf8_lossy(&body).into_owned());
        }
        if status != 503 || clock::now() >= deadline {
            let text = String::from_utf8_lossy(&body).into_owned();
            return Err(Error::Api(problem_in(&body).filter(|_| is_problem).unwrap_or_else(|| {
                crate::types::Problem {
                    kind: "about:blank".to_string(),
                    title: String::new(),
                    status,
                    detail: format!("'{}' answered with status {status}: {}", example.name, text.trim()),
                    code: "function_failed".to_string(),
                }
            })));
        }
        sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canned::{json, serve, with};

    const ABSENT: &str = r#"{"status":404,"code":"function_not_found","detail":"no"}"#;
    const STORED: &str = r#"{"name":"x","revision":1,"image":"bundle:x","invoke_path":"/invoke/x"}"#;

    #[test]
    fn waits_deploys_and_calls() {
        let ready = json("200 OK", r#"{"status":"ok","active_nodes":1}"#);
        let busy = json("503 Service Unavailable", r#"{"status":503,"code":"no_node","detail":"not yet"}"#);
        let function = |answers: &mut Vec<String>, body: &str| {
            answers.push(json("404 Not Found", ABSENT));
            answers.push(json("201 Created", STORED));
            answers.push(busy.clone());
            answers.push(with("200 OK", "", body));
        };
        let mut answers = vec![with("503 Service Unavailable", "", r#"{"status":"no active node"}"#), ready];
        function(&mut answers, "Hello from CARES\n");
        function(&mut answers, "ping");
        let (url, server) = serve(answers);
        run(&Orchestrator::new(&url).unwrap(), &url, &|_| {}).unwrap();
        let asked = server.join().unwrap();
        assert!(asked[3].starts_with("PUT /functions/hello/bundle "), "{}", asked[3]);
        assert!(asked[9].starts_with("POST /invoke/echo ") && asked[9].ends_with("ping"), "{}", asked[9]);
    }

    #[test]
    fn bundles_hold_their_function() {
        let spec = FunctionSpec { name: "a".to_string(), mode: Some(Mode::Job), ..Default::default() };
        let mut zip = zip::ZipArchive::new(Cursor::new(bundle(&spec).unwrap())).unwrap();
        let mut text = String::new();
        zip.by_name("function.json").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, r#"{"name":"a","mode":"job"}"#);
    }
}
