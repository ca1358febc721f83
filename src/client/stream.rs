//! Answers that do not end by themselves: events and watched lists (server-sent events) and logs (NDJSON), as iterators. Must never hold
//! more than one line.

use super::http::{Http, Limit};
use crate::errors::Error;
use crate::types::{Change, Event, LogLine, LogRecord};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read};
use std::marker::PhantomData;
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

/// Server-sent events, one at a time.
pub(super) struct Sse(Lines);

impl Sse {
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn fuzz(http: Http, bytes: Vec<u8>, limit: Limit) -> Sse {
        let reader = BufReader::new(Box::new(std::io::Cursor::new(bytes)) as Box<dyn Read + Send>);
        Sse(Lines { reader, http, limit, ended: false })
    }

    /// The next event's kind (empty when it has none) and data; `None` at the end and after an error.
    pub(super) fn next(&mut self) -> Option<Result<(String, Vec<u8>), Error>> {
        let mut kind = String::new();
        let mut data: Option<Vec<u8>> = None;
        loop {
            let line = match self.0.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            if line.is_empty() {
                match data.take() {
                    Some(data) => return Some(Ok((kind, data))),
                    None => continue,
                }
            }
            if let Some(given) = field(&line, b"event:") {
                kind = String::from_utf8_lossy(given).into_owned();
            }
            // Ids stand in the data too; comments keep the connection alive.
            let Some(part) = field(&line, b"data:") else { continue };
            let held = data.get_or_insert_default();
            if held.len() + part.len() > MAX_LINE_BYTES as usize {
                self.0.ended = true;
                let why = format!("an event is longer than {MAX_LINE_BYTES} bytes");
                return Some(Err(self.0.http.not_understood(why)));
            }
            if !held.is_empty() {
                held.push(b'\n');
            }
            held.extend_from_slice(part);
        }
    }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Cluster events as they happen. Ends when the orchestrator closes the stream; ask again with the last event's id.
pub struct Events(Sse);

impl Events {
    pub(super) fn new(http: &Http, body: Body, limit: Limit) -> Events {
        Events(Sse(Lines::new(http, body, limit)))
    }
}

impl Iterator for Events {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.next()?;
        Some(next.and_then(|(_, data)| self.0.0.http.json(&data)))
    }
}

/// A list's rows, and then what changes. Ends when the server closes the stream; ask again for all of it.
pub struct Watch<T> {
    sse: Sse,
    row: PhantomData<fn() -> T>,
}

impl<T> Watch<T> {
    pub(super) fn new(http: &Http, body: Body, limit: Limit) -> Watch<T> {
        Watch { sse: Sse(Lines::new(http, body, limit)), row: PhantomData }
    }
}

impl<T: DeserializeOwned> Iterator for Watch<T> {
    type Item = Result<Change<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (kind, data) = match self.sse.next()? {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            let http = &self.sse.0.http;
            return Some(match kind.as_str() {
                "put" => http.json(&data).map(Change::Put),
                "gone" => http.json::<Gone>(&data).map(|gone| Change::Gone(gone.id)),
                "synced" => Ok(Change::Synced),
                _ => continue, // of a later version
            });
        }
    }
}

#[derive(Deserialize)]
struct Gone {
    id: String,
}

/// A build's log, one line at a time. Ends with the build, if it follows.
pub struct BuildLog(Lines);

impl BuildLog {
    pub(super) fn new(http: &Http, body: Body, limit: Limit) -> BuildLog {
        BuildLog(Lines::new(http, body, limit))
    }
}

impl Iterator for BuildLog {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Ok(line) if line.is_empty() => {} // keeps the connection alive
                Ok(line) => return Some(Ok(String::from_utf8_lossy(&line).into_owned())),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Objects, one a line.
struct Ndjson<T> {
    lines: Lines,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Ndjson<T> {
    fn new(http: &Http, body: Body, limit: Limit) -> Ndjson<T> {
        Ndjson { lines: Lines::new(http, body, limit), row: PhantomData }
    }

    fn next(&mut self) -> Option<Result<T, Error>> {
        loop {
            match self.lines.next()? {
                Ok(line) if line.iter().all(u8::is_ascii_whitespace) => {} // keeps the connection alive
                Ok(line) => return Some(self.lines.http.json(&line)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A function's log lines. Ends at the last line there is, unless it follows.
pub struct Logs(Ndjson<LogLine>);

impl Logs {
    pub(super) fn new(http: &Http, body: Body, limit: Limit) -> Logs {
        Logs(Ndjson::new(http, body, limit))
    }
}

impl Iterator for Logs {
    type Item = Result<LogLine, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// A program's own log. Ends at the last line there is, unless it follows.
pub struct OwnLog(Ndjson<LogRecord>);

impl OwnLog {
    pub(super) fn new(http: &Http, body: Body, limit: Limit) -> OwnLog {
        OwnLog(Ndjson::new(http, body, limit))
    }
}

impl Iterator for OwnLog {
    type Item = Result<LogRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
