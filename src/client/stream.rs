//! Answers that do not end by themselves: events (server-sent events) and logs (NDJSON), as iterators. Must never hold
//! more than one line.

use super::http::{Http, Limit};
use crate::errors::Error;
use crate::types::{Event, LogLine};
use std::io::{BufRead, BufReader, Read};
use ureq::Body;

/// The longest line taken; a function's log lines are cut far below it.
const MAX_LINE_BYTES: u64 = 4 << 20;

struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    http: Http,
    limit: Limit,
    ended: bool,
}

impl Lines {
    fn new(http: &Http, body: Body, limit: Limit) -> Lines {
        Lines { reader: BufReader::new(Box::new(body.into_reader())), http: http.clone(), limit, ended: false }
    }

    /// The next line without its end; `None` at the end and after an error.
    fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        if self.ended {
            return None;
        }
        let mut line = Vec::new();
        let read = (&mut self.reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        let failed = match read {
            Err(error) => match (self.http.explain(error.into(), self.limit), self.limit) {
                (Error::Timeout { .. }, Limit::Quiet(_)) => {
                    self.ended = true;
                    return None;
                }
                (error, _) => Some(error),
            },
            Ok(_) if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") => {
                Some(self.http.not_understood(format!("a line is longer than {MAX_LINE_BYTES} bytes")))
            }
            Ok(0) => {
                self.ended = true;
                return None;
            }
            Ok(_) => None,
        };
        if let Some(error) = failed {
            self.ended = true;
            return Some(Err(error));
        }
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        Some(Ok(line))
    }
}

/// Cluster events as they happen. Ends when the orchestrator closes the stream; ask again with the last event's id.
pub struct Events(Lines);

impl Events {
    pub(super) fn new(http: &Http, body: Body, limit: Limit) -> Events {
        Events(Lines::new(http, body, limit))
    }
}

impl Iterator for Events {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut data: Option<Vec<u8>> = None;
        loop {
            let line = match self.0.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            if line.is_empty() {
                match data.take() {
                    Some(json) => return Some(self.0.http.json(&json)),
                    None => continue,
                }
            }
            // The id and the kind stand in the data too; comments keep the connection alive.
            let Some(part) = line.strip_prefix(b"data:") else { continue };
            let part = part.strip_prefix(b" ").unwrap_or(part);
            let held = data.get_or_insert_default();
            if held.len() + part.len() > MAX_LINE_BYTES as usize {
                self.0.ended = true;
                return Some(Err(self
                    .0
                    .http
                    .not_understood(format!("an event is longer than {MAX_LINE_BYTES} bytes"))));
            }
            if !held.is_empty() {
                held.push(b'\n');
            }
            held.extend_from_slice(part);
        }
    }
}

/// A function's log lines. Ends at the last line there is, unless it follows.
pub struct Logs(Lines);

impl Logs {
    pub(super) fn new(http: &Http, body: Body, limit: Limit) -> Logs {
        Logs(Lines::new(http, body, limit))
    }
}

impl Iterator for Logs {
    type Item = Result<LogLine, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Ok(line) if line.iter().all(u8::is_ascii_whitespace) => {} // keeps the connection alive
                Ok(line) => return Some(self.0.http.json(&line)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
