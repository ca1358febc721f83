//! HTTP written and read by hand: what no well-behaved client would send, and exactly what came back.

use crate::harness::PATIENCE;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// It came to its end as its head said; false when the connection broke before.
    pub whole: bool,
}

impl Reply {
    /// Reads the first final answer in `bytes`; `None` when there is no whole head.
    pub fn parse(bytes: &[u8]) -> Option<Reply> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        let rest = &bytes[end + 4..];
        if status < 200 {
            return Reply::parse(rest);
        }
        let mut reply = Reply { status, head, body: Vec::new(), whole: true };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.whole = unchunk(rest, &mut reply.body).is_some();
        } else {
            reply.body = rest.to_vec();
            if let Some(length) = reply.header("content-length").map(|l| l.parse::<usize>().expect("a length")) {
                reply.whole = rest.len() >= length;
                reply.body.truncate(length);
            }
        }
        Some(reply)
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.head, self.text()))
    }

    /// Takes it as an error of this status and code, with everything an error must have; its detail.
    pub fn problem(&self, status: u16, code: &str) -> String {
        let shown = format!("{}\n\n{}", self.head, self.text());
        assert_eq!(self.status, status, "{shown}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{shown}");
        let problem = self.json();
        for field in ["type", "title", "detail", "code"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {shown}");
        }
        assert_eq!(problem["status"], status, "{shown}");
        assert_eq!(problem["code"], code, "{shown}");
        problem["detail"].as_str().unwrap_or_default().to_string()
    }
}

/// Takes chunks up to the last; `None` when it is not there.
fn unchunk(mut rest: &[u8], body: &mut Vec<u8>) -> Option<()> {
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let length = usize::from_str_radix(str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        rest = &rest[line + 2..];
        if length == 0 {
            return Some(());
        }
        body.extend_from_slice(&rest[..length.min(rest.len())]);
        rest = rest.get(length + 2..)?;
    }
}

/// A request's head, without the empty line at its end.
pub fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// Asks on a connection of its own and reads to its end.
pub fn ask(to: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut bytes = head(method, target, headers).into_bytes();
    if !body.is_empty() || matches!(method, "POST" | "PUT") {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"Connection: close\r\n\r\n");
    bytes.extend_from_slice(body);
    let answer = exchange(to, &bytes);
    Reply::parse(&answer)
        .unwrap_or_else(|| panic!("no answer to {method} {target}: {}", String::from_utf8_lossy(&answer)))
}

/// Sends bytes as they are and reads all that comes until the other end closes.
pub fn exchange(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(to);
    let _ = stream.write_all(bytes); // it may have been refused half-way
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let over = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        assert!(!over, "the connection stayed open for {PATIENCE:?} after: {}", String::from_utf8_lossy(&answer));
    }
    answer
}

/// Reads that a signal does not break off, as it may where there is a time limit.
pub trait ReadSome: Read {
    fn read_some(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.read(into) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl<R: Read + ?Sized> ReadSome for R {}

/// A connection that fails what waits too long on it.
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}

pub fn get(to: SocketAddr, target: &str) -> Reply {
    ask(to, "GET", target, &[], b"")
}

pub fn post(to: SocketAddr, target: &str, body: impl AsRef<[u8]>) -> Reply {
    ask(to, "POST", target, &[("Content-Type", "application/json")], body.as_ref())
}

pub fn put(to: SocketAddr, target: &str, body: impl AsRef<[u8]>) -> Reply {
    ask(to, "PUT", target, &[("Content-Type", "application/json")], body.as_ref())
}
