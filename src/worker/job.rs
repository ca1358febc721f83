//! A job: a process for one call, the request's body its stdin, its stdout the answer. Ends with its call.

use super::engine::{Control, EngineError, Exit, Kind, Running, hint};
use super::jobs::Job;
use super::pool::{Pool, Runnable, Slot};
use crate::body::{Body, BoxError};
use crate::rt::{self, Scoped};
use crate::wire::proto::Revision;
use bytes::{Bytes, BytesMut};
use futures_lite::future;
use futures_lite::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use http_body_util::BodyExt;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use std::sync::Arc;
use std::time::Duration;

/// Output held back until the job's end tells whether it failed; beyond it the answer streams.
const HELD_BYTES: usize = 1 << 20;
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
    request: Request<Body>,
) -> Result<Response<Body>, JobError> {
    let job = pool.jobs.note(&call, &revision.function);
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
    let started = pool.launch(&call, &revision, &runnable, Kind::Job, &env).await;
    let Running { stdin, stdout, control, .. } = started.map_err(|e| match e {
        EngineError::Unavailable(why) => JobError::NotStarted(why),
        other => JobError::Failed(other.to_string()),
    })?;
    let feeding = stdin.map(|stdin| rt::spawn_scoped(feed(body, stdin)));
    let mut output = stdout.unwrap_or_else(|| Box::new(futures_lite::io::empty()));
    let mut held = BytesMut::new();
    let ended = match read_until_end(&mut output, &*control, &mut held).await {
        Read::Full => None,
        Read::Ended(exit) => Some(exit),
    };
    match ended {
        Some(exit) if exit.success() => Ok(answer(&held.clone(), Body::full(held.freeze()))),
        Some(exit) => Err(JobError::Failed(failure(exit, &*control))),
        None => {
            let answer = answer(&held, Body::Empty);
            let rest = Rest { first: Some(held.freeze()), output, control, _kept: (feeding, runnable, slot, job) };
            Ok(answer.map(|_| Body::unfold(Some(rest), more)))
        }
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
            (!exit.success()).then(|| (Err(failure(exit, &*rest.control).into()), None))
        }
    }
}

enum Read {
    Full,
    Ended(Exit),
}

/// Reads until the job has ended and all it wrote is here, or until no more is held back.
async fn read_until_end(output: &mut Output, control: &dyn Control, held: &mut BytesMut) -> Read {
    let mut buffer = vec![0; READ_BYTES];
    while let Some(n) = next(output, control, &mut buffer).await {
        held.extend_from_slice(&buffer[..n]);
        if held.len() >= HELD_BYTES {
            return Read::Full;
        }
    }
    Read::Ended(control.ended().await)
}

/// Reads once; `None` at the end of the output. A job that has ended but left something running that holds its output
/// open has that ended too.
pub(super) async fn next(output: &mut Output, control: &dyn Control, buffer: &mut [u8]) -> Option<usize> {
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
pub(super) fn failure(exit: Exit, control: &dyn Control) -> String {
    let words = control.last_words();
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
