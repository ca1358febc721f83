//! Calls of functions: what is sent and what comes back, both streamed. Must never hold a whole body of its own.

use super::Orchestrator;
use super::http::{Ask, Limit, Sent};
use super::url::{encode, encode_loosely};
use crate::errors::Error;
use crate::types::Problem;
use std::io::{self, Read};
use std::time::Duration;

/// What a call sends.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes held in memory.
    Bytes(Vec<u8>),
    /// Bytes as they come, with their number where it is known.
    Reader(Box<dyn Read + Send>, Option<u64>),
}

/// A call: `Invoke::default()` is a GET of the function's root.
#[derive(Default)]
pub struct Invoke {
    /// Any HTTP method; empty: POST with a body, GET without.
    pub method: String,
    /// Below the function's name, such as `/items/1`; empty for its root.
    pub path: String,
    /// Without the question mark; empty for none.
    pub query: String,
    /// Sent as they are.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Body,
    /// From the start to the answer's last byte; zero, the default, for none: the function's own time limit ends it.
    pub timeout: Duration,
}

/// The answer to a call, whatever its status.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// In the order they came; names in lower case, bytes that are no UTF-8 replaced.
    pub headers: Vec<(String, String)>,
    /// The call's id, as logs name it.
    pub call_id: Option<String>,
    /// The body, as it comes.
    pub reader: Box<dyn Read + Send>,
}

impl Answer {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the body is an error of CARES rather than the function's answer.
    pub fn is_problem(&self) -> bool {
        self.status >= 400
            && self.header("content-type").is_some_and(|kind| kind.starts_with("application/problem+json"))
    }
}

/// The error in the body of an answer whose `is_problem` is true; `None` when it cannot be read as one.
pub fn problem_in(body: &[u8]) -> Option<Problem> {
    serde_json::from_slice(body).ok()
}

/// The type of a text someone typed: JSON if it reads as an object or an array, else plain.
pub fn guess_type(bytes: &[u8]) -> &'static str {
    let structured = bytes.trim_ascii_start().starts_with(b"{") || bytes.trim_ascii_start().starts_with(b"[");
    match structured && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
        true => "application/json",
        false => "text/plain; charset=utf-8",
    }
}

impl Orchestrator {
    /// Calls a function and gives its answer, of whatever status, as soon as its head is here.
    ///
    /// # Errors
    /// Only when there is no answer: `Unreachable`, `Timeout`, `Protocol`, `BadRequest`, or `Io` when the body could not
    /// be read.
    pub fn invoke(&self, name: &str, call: Invoke) -> Result<Answer, Error> {
        self.send_call("/invoke", name, call)
    }

    /// Sends a call to a function below one of the paths that take it.
    pub(super) fn send_call(&self, below: &str, name: &str, call: Invoke) -> Result<Answer, Error> {
        let Invoke { method, path, query, headers, body, timeout } = call;
        let mut target = format!("{below}/{}", encode(name));
        if !path.is_empty() {
            target.push_str(if path.starts_with('/') { "" } else { "/" });
            target.push_str(&encode_loosely(&path));
        }
        if !query.is_empty() {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&encode_loosely(&query));
        }
        let mut stream;
        let bytes;
        let sent = match body {
            Body::Empty => Sent::Nothing,
            Body::Bytes(given) => {
                bytes = given;
                Sent::Bytes(&bytes)
            }
            Body::Reader(reader, len) => {
                stream = reader;
                Sent::Stream(&mut stream, len)
            }
        };
        let method = match (method.as_str(), &sent) {
            ("", Sent::Nothing) => "GET",
            ("", _) => "POST",
            (given, _) => given,
        };
        let limit = Limit::Whole(timeout);
        self.answer(Ask { method, url: self.at(&target), headers, body: sent, limit })
    }

    /// An answer of whatever status, as soon as its head is here.
    pub(super) fn answer(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        let answer = self.http.call(ask)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<_> =
            answer.headers().iter().map(|(key, value)| (key.as_str().to_string(), text(value.as_bytes()))).collect();
        let call_id = answer.headers().get("x-call-id").map(|id| text(id.as_bytes()));
        let status = answer.status().as_u16();
        let reader = Box::new(Plain(answer.into_body().into_reader()));
        Ok(Answer { status, headers, call_id, reader })
    }
}

/// Turns ureq's wrapped errors back into plain ones, so that callers may look at their kind.
struct Plain<R>(R);

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|error| match ureq::Error::from(error) {
            ureq::Error::Io(error) => error,
            ureq::Error::Timeout(_) => io::Error::new(io::ErrorKind::TimedOut, "the answer did not end in time"),
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed() {
        assert_eq!(guess_type(b" {\"a\":1}"), "application/json");
        for plain in ["World", "{oops", "1", "[x]"] {
            assert!(guess_type(plain.as_bytes()).starts_with("text/plain"), "{plain}");
        }
    }
}
