//! A job: a process for one call, the request's body its stdin, its stdout the answer. Ends with its call.

use super::engine::{Control, EngineError, Exit, Kind, Running, hint};
use super::jobs::Job;
use super::pool::{Pool, Slot};
use super::runnable::Runnable;
use crate::body::{Body, BoxError};
use crate::http::trace;
use crate::rt::{self, Scoped};
use crate::wire::proto::{Revision, Secret, Secrets};
use bytes::{Bytes, BytesMut};
use futures_lite::future;
use futures_lite::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use http_body_util::BodyExt;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use std::sync::Arc;
use std::time::Duration;

/// One read of the job's output.
const READ_BYTES: usize = 32 * 1024;

type Output = Box<dyn AsyncRead + Send + Unpin>;

/// Why a job has no answer.
pub enum JobError {
    NotStarted(String),
    Failed(String),
}

/// Runs it. The answer streams when it is long.
pub async fn run(
    pool: Arc<Pool>,
    slot: Slot,
    call: String,
    revision: Arc<Revision>,
    mut secrets: Option<Secrets>,
    request: Request<Body>,
) -> Result<Response<Body>, JobError> {
    let plain = secrets.as_mut().map(|secrets| std::mem::take(&mut secrets.plain)).unwrap_or_default();
    let text = |secret: &Secret| String::from_utf8_lossy(&secret.value).into_owned();
    let module = plain.iter().find(|variable| variable.name == "CARES_MODULE").map(text);
    let job = pool.jobs.note(&call, &revision.function, module);
    let runnable = pool.runnable(&revision).await.map_err(JobError::NotStarted)?;
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
    let env = [
        ("CARES_CALL_ID", header("x-call-id").unwrap_or_else(|| call.clone())), // the same at each attempt
        ("CARES_ATTEMPT", header("x-cares-attempt").unwrap_or_else(|| "1".into())),
        ("CARES_METHOD", head.method.to_string()),
        ("CARES_PATH", head.uri.path().to_string()),
        ("CARES_QUERY", head.uri.query().unwrap_or("").to_string()),
    ];
    let given = plain.iter().map(|secret| (secret.name.as_str(), text(secret)));
    let env: Vec<(&str, String)> = given.chain(trace::variables(&head.headers)).chain(env).collect(); // ours last: they are not to be replaced
    let secrets = secrets.filter(|secrets| !secrets.env.is_empty() || !secrets.files.is_empty());
    let started = pool.launch(&call, &revision, &runnable, Kind::Job, &env, secrets).await;
    let Running { stdin, stdout, control, .. } = started.map_err(|e| match e {
        EngineError::Unavailable(why) => JobError::NotStarted(why),
        other => JobError::Failed(other.to_string()),
    })?;
    let feeding = stdin.map(|stdin| rt::spawn_scoped(feed(body, stdin)));
    let mut output = stdout.unwrap_or_else(|| Box::new(futures_lite::io::empty()));
    let mut held = BytesMut::new();
    let ended = match read_until_end(&mut output, &*control, &mut held, pool.output_bytes).await {
        Read::Full => None,
        Read::Ended(exit) => Some(exit),
    };
    match ended {
        Some(exit) if exit.success() => Ok(answer(&held.clone(), Body::full(held.freeze()))),
        Some(exit) => Err(JobError::Failed(failure(exit, &control.last_words()))),
        None => {
            let answer = answer(&held, Body::Empty);
            let rest = Rest { first: Some(held.freeze()), output, control, _kept: (feeding, runnable, slot, job) };
            Ok(answer.map(|_| Body::unfold(Some(rest), more)))
        }
    }
}

/// Why a job has no output to hand over whole.
#[derive(Debug)]
pub enum NoOutput {
    /// It wrote more than this many bytes.
    TooMuch(usize),
    /// It failed. `words`: the last of its stderr.
    Ended { exit: Exit, words: String },
}

impl std::fmt::Display for NoOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoOutput::TooMuch(limit) => {
                write!(f, "the job wrote more than {limit} bytes, and as it was called no more can be carried")
            }
            NoOutput::Ended { exit, words } => f.write_str(&failure(*exit, words)),
        }
    }
}

/// All that a job has written, once it has ended well.
pub async fn output_of(running: &mut Running, input: Body, limit: usize) -> Result<Vec<u8>, NoOutput> {
    let Running { stdin, stdout, control, .. } = running;
    let _feeding = stdin.take().map(|stdin| rt::spawn_scoped(feed(input, stdin)));
    let mut output = Vec::new();
    if let Some(mut stdout) = stdout.take() {
        let mut buffer = vec![0; READ_BYTES];
        while let Some(n) = next(&mut stdout, &**control, &mut buffer).await {
            output.extend_from_slice(&buffer[..n]);
            if output.len() > limit {
                return Err(NoOutput::TooMuch(limit));
            }
        }
    }
    let exit = control.ended().await;
    match exit.success() {
        true => Ok(output),
        false => Err(NoOutput::Ended { exit, words: control.last_words() }),
    }
}

/// A long answer that is still being made. Dropping it ends the job.
struct Rest {
    first: Option<Bytes>,
    output: Output,
    control: Box<dyn Control>,
    _kept: (Option<Scoped>, Runnable, Slot, Job),
}

/// The next piece of a long answer; at the end of a job that failed, what breaks the connection.
async fn more(rest: Option<Rest>) -> Option<(Result<Bytes, BoxError>, Option<Rest>)> {
    let mut rest = rest?;
    if let Some(first) = rest.first.take() {
        return Some((Ok(first), Some(rest)));
    }
    let mut buffer = vec![0; READ_BYTES];
    match next(&mut rest.output, &*rest.control, &mut buffer).await {
        Some(n) => {
            buffer.truncate(n);
            Some((Ok(buffer.into()), Some(rest)))
        }
        None => {
            let exit = rest.control.ended().await;
            (!exit.success()).then(|| (Err(failure(exit, &rest.control.last_words()).into()), None))
        }
    }
}

enum Read {
    Full,
    Ended(Exit),
}

/// Reads until the job has ended and all it wrote is here, or until no more is held back.
async fn read_until_end(output: &mut Output, control: &dyn Control, held: &mut BytesMut, most: usize) -> Read {
    let mut buffer = vec![0; READ_BYTES];
    while let Some(n) = next(output, control, &mut buffer).await {
        held.extend_from_slice(&buffer[..n]);
        if held.len() >= most {
            return Read::Full;
        }
    }
    Read::Ended(control.ended().await)
}

/// Reads once; `None` at the end of the output. A job that has ended but left something running that holds its output
/// open has that ended too.
async fn next(output: &mut Output, control: &dyn Control, buffer: &mut [u8]) -> Option<usize> {
    let ended = async {
        control.ended().await;
        control.stop(Duration::ZERO).await;
        None
    };
    let read = match future::or(async { Some(output.read(buffer).await) }, ended).await {
        Some(read) => read,
        None => output.read(buffer).await,
    };
    read.ok().filter(|n| *n > 0)
}

/// What it is called when it fails.
fn failure(exit: Exit, words: &str) -> String {
    match words.trim() {
        "" => format!("the job {exit} and said nothing on stderr"),
        words => format!("the job {exit}; it last said:\n{words}{}", hint(words)),
    }
}

fn answer(start: &[u8], body: Body) -> Response<Body> {
    let text = match str::from_utf8(start) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(), // cut within a character
    };
    let kind = if text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Writes the request's body to the job, and closes its stdin.
async fn feed(mut body: Body, mut stdin: Box<dyn futures_lite::io::AsyncWrite + Send + Unpin>) {
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        if stdin.write_all(&data).await.is_err() {
            return; // it does not read on
        }
    }
    let _ = stdin.close().await;
}
