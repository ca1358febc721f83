//! A call on its way and its answer, as it arrives. Must never hold more of it than is shown.

use super::invoke;
use super::payload;
use super::sheet::{Row, Sheet};
use crate::client::{Answer, Body, Invoke, Orchestrator, guess_type, problem_in};
use crate::clock;
use crate::errors::Error;
use crate::lock::lock;
use crate::tui::session::Session;
use crate::tui::theme::Tone;
use cursive::Cursive;
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is read and shown of a body; the rest is left.
const SHOWN_BYTES: usize = 64 << 10;
/// Headers shown, and characters of each.
const HEADERS_MAX: usize = 8;
const HEADER_CHARS: usize = 200;
/// A call may take this much longer than the function's own time limit, before its thread gives up.
const GRACE: Duration = Duration::from_secs(60);
/// The function's time limit, when it is not known.
const USUAL_TIMEOUT_S: f64 = 30.0;
/// Between two drawings of an answer that trickles.
const PACE: Duration = Duration::from_millis(25);

/// What is called, and with what.
#[derive(Clone)]
pub struct Call {
    pub function: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What has come so far.
#[derive(Default)]
struct Arrived {
    status: u16,
    headers: Vec<(String, String)>,
    call_id: Option<String>,
    bytes: Vec<u8>,
    /// `None`: it was there already.
    took_ms: Option<u64>,
    end: End,
}

#[derive(Default, PartialEq)]
enum End {
    #[default]
    Waiting,
    Receiving,
    Complete,
    /// At `SHOWN_BYTES`.
    Cut,
    /// In the middle of the body.
    Broke(String),
    /// Before any answer.
    Failed(String),
}

/// Between the thread that calls and the screen.
#[derive(Default)]
struct Shared {
    arrived: Mutex<Arrived>,
    version: AtomicU64,
    /// Nobody looks any more.
    left: AtomicBool,
}

impl Shared {
    fn change(&self, session: &Session, change: impl FnOnce(&mut Arrived)) {
        change(&mut lock(&self.arrived));
        self.version.fetch_add(1, Ordering::Release);
        session.ui.redraw();
    }
}

/// Says so when the box is gone.
struct Looking(Arc<Shared>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.left.store(true, Ordering::Release);
    }
}

/// Calls, and shows what comes back.
pub fn open(siv: &mut Cursive, session: &Session, call: Call) {
    let shared = Arc::new(Shared::default());
    let (looking, mut seen, name) = (Looking(shared.clone()), None, call.function.clone());
    let source = move || {
        let version = looking.0.version.load(Ordering::Acquire);
        (seen.replace(version) != Some(version)).then(|| rows(&name, &lock(&looking.0.arrived)))
    };
    let (again, edit, what) = (session.clone(), session.clone(), call.clone());
    let function = call.function.clone();
    Sheet::live(format!("{} {}{}", call.method, call.function, slashed(&call.path)), Box::new(source))
        .sized((50, 8), 100)
        .button("Again", move |siv| open(siv, &again, what.clone()))
        .button("Edit", move |siv| invoke::open(siv, &edit, &function))
        .button("Close", |_| {})
        .open(siv);
    start(session, shared, call);
}

fn slashed(path: &str) -> String {
    if path.is_empty() || path.starts_with('/') { path.to_string() } else { format!("/{path}") }
}

fn start(session: &Session, shared: Arc<Shared>, call: Call) {
    let timeout_s = session.model().functions.get(&call.function).map_or(USUAL_TIMEOUT_S, |f| f.timeout_s);
    let timeout = Duration::try_from_secs_f64(timeout_s).unwrap_or_default() + GRACE;
    let (there, failed) = (session.clone(), (session.clone(), shared.clone()));
    let started = session.act(
        format!("Calling {}", call.function),
        {
            let shared = shared.clone();
            move |client| run(client, &there, &shared, call, timeout)
        },
        move |_, answer| {
            if let Err(error) = answer {
                failed.1.change(&failed.0, |arrived| arrived.end = End::Failed(error.to_string()));
            }
        },
    );
    if !started {
        let why = "Too much is on its way already. Try again soon.".to_string();
        shared.change(session, |arrived| arrived.end = End::Failed(why));
    }
}

fn run(client: &Orchestrator, session: &Session, shared: &Shared, call: Call, timeout: Duration) -> Result<(), Error> {
    let mut headers = call.headers;
    let body = match call.body.is_empty() {
        true => Body::Empty,
        false => {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                headers.push(("content-type".into(), guess_type(call.body.as_bytes()).into()));
            }
            Body::Bytes(call.body.into_bytes())
        }
    };
    let start = clock::now_ms();
    let sent = Invoke { method: call.method, path: call.path, headers, body, timeout, ..Default::default() };
    let answer = client.invoke(&call.function, sent)?;
    let Answer { status, headers, call_id, mut reader } = answer;
    shared.change(session, |arrived| {
        *arrived = Arrived { status, headers, call_id, end: End::Receiving, ..Default::default() };
        arrived.took_ms = Some(clock::now_ms().saturating_sub(start));
    });
    let mut buffer = vec![0; 16 << 10];
    let mut first = true;
    loop {
        let (count, end) = match reader.read(&mut buffer) {
            Ok(0) => (0, Some(End::Complete)),
            Ok(count) => (count, None),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => (0, Some(End::Broke(error.to_string()))),
        };
        let mut over = end.is_some();
        shared.change(session, |arrived| {
            let room = SHOWN_BYTES - arrived.bytes.len();
            arrived.bytes.extend_from_slice(&buffer[..count.min(room)]);
            arrived.took_ms = Some(clock::now_ms().saturating_sub(start));
            over |= count > room;
            match end {
                Some(end) => arrived.end = end,
                None if over => arrived.end = End::Cut,
                None => {}
            }
        });
        if over || shared.left.load(Ordering::Acquire) {
            return Ok(());
        }
        if !std::mem::take(&mut first) && count < 1024 {
            std::thread::sleep(PACE); // many small pieces are drawn together
        }
    }
}

/// An answer that was kept, read as far as it is shown.
pub fn kept(answer: Answer) -> Vec<Row> {
    let Answer { status, headers, call_id, reader } = answer;
    let mut bytes = Vec::new();
    let end = match reader.take(SHOWN_BYTES as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() > SHOWN_BYTES => End::Cut,
        Ok(_) => End::Complete,
        Err(error) => End::Broke(error.to_string()),
    };
    bytes.truncate(SHOWN_BYTES);
    rows("", &Arrived { status, headers, call_id, bytes, took_ms: None, end })
}

fn rows(function: &str, arrived: &Arrived) -> Vec<Row> {
    match &arrived.end {
        End::Waiting => {
            let leave = "Closing this leaves the call to itself: it ends at the function's time limit at the latest.";
            let calling = (Tone::Accent, format!("Calling {function}…"));
            return vec![calling, (Tone::Plain, String::new()), (Tone::Dim, leave.into())];
        }
        End::Failed(why) => return vec![(Tone::Bad, why.clone())],
        _ => {}
    }
    let phrase = phrase(arrived.status);
    let call = arrived.call_id.as_ref().map(|id| format!(" · call {id}")).unwrap_or_default();
    let took = arrived.took_ms.map(|ms| format!(" · {ms} ms")).unwrap_or_default();
    let tone = if arrived.status < 400 { Tone::Good } else { Tone::Bad };
    let mut rows = vec![(tone, format!("{}{phrase}{took}{call}", arrived.status))];
    let named = |name: &str| {
        let known = ["content-type", "location", "retry-after", "allow"].contains(&name);
        known || (name.starts_with("x-") && name != "x-call-id")
    };
    for (name, value) in arrived.headers.iter().filter(|(name, _)| named(name)).take(HEADERS_MAX) {
        rows.push((Tone::Dim, format!("{name}: {}", value.chars().take(HEADER_CHARS).collect::<String>())));
    }
    rows.push((Tone::Plain, String::new()));
    rows.extend(body(arrived));
    match &arrived.end {
        End::Receiving => rows.push((Tone::Accent, format!("… receiving, {} bytes so far", arrived.bytes.len()))),
        End::Cut => {
            let cut = format!("… the answer goes on; only its first {} KiB are shown", SHOWN_BYTES >> 10);
            rows.push((Tone::Warn, cut));
        }
        End::Broke(why) => rows.push((Tone::Bad, format!("… the answer broke off: {why}"))),
        _ => {}
    }
    rows
}

fn body(arrived: &Arrived) -> Vec<Row> {
    let kind = arrived.headers.iter().find(|(name, _)| name == "content-type").map_or("", |(_, kind)| kind);
    let bytes = &arrived.bytes;
    if bytes.is_empty() {
        let empty = (Tone::Dim, "The body is empty.".to_string());
        return if arrived.end == End::Receiving { Vec::new() } else { vec![empty] };
    }
    if arrived.status >= 400
        && kind.starts_with("application/problem+json")
        && let Some(problem) = problem_in(bytes)
    {
        let text = if problem.detail.is_empty() { problem.title } else { problem.detail };
        return vec![(Tone::Bad, text), (Tone::Dim, format!("({})", problem.code))];
    }
    payload::rows(bytes, kind, arrived.end == End::Complete)
}

/// What a status means, for those people meet.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => " OK",
        201 => " Created",
        202 => " Accepted",
        204 => " No Content",
        400 => " Bad Request",
        401 => " Unauthorized",
        403 => " Forbidden",
        404 => " Not Found",
        405 => " Method Not Allowed",
        413 => " Content Too Large",
        429 => " Too Many Requests",
        500 => " Internal Server Error",
        502 => " Bad Gateway",
        503 => " Service Unavailable",
        504 => " Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canned;
    use crate::tui::puppet::Puppet;
    use std::io::Write;

    fn call(function: &str) -> Call {
        Call {
            function: function.into(),
            method: "GET".into(),
            path: String::new(),
            headers: vec![],
            body: String::new(),
        }
    }

    fn shown(columns: usize, rows: usize, url: &str) -> Puppet {
        Puppet::opened(columns, rows, url, |siv, session| open(siv, session, call("hello"))).0
    }

    #[test]
    fn failures_say_why() {
        let body =
            r#"{"status":503,"code":"no_capacity","detail":"No node can take it now. Add a worker or try again"}"#;
        let (url, _server) = canned::serve(vec![canned::json("503 Service Unavailable", body)]);
        let mut puppet = shown(60, 20, &url);
        for part in ["503 Service Unavailable", "No node can take it now", "(no_capacity)"] {
            puppet.shows(part);
        }
        println!("{}", puppet.text());
    }

    #[test]
    fn long_answers_scroll_and_are_cut() {
        let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let (url, _server) = canned::serve(vec![canned::with("200 OK", "", &lines)]);
        let mut puppet = shown(40, 10, &url);
        puppet.shows("line 3");
        puppet.types_until("G", "64 KiB are shown"); // the end moves while it comes
        println!("{}", puppet.text());
        puppet.types("gj");
        puppet.shows("line 0");
    }

    #[test]
    fn a_stream_is_shown_as_it_comes_and_left_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).expect("sent");
            for n in 0.. {
                let piece = format!("data: {n}\n\n");
                let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                if stream.write_all(chunk.as_bytes()).is_err() {
                    return n;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            0
        });
        let mut puppet = shown(80, 24, &url);
        puppet.shows("data: 3");
        puppet.shows("200 OK");
        puppet.types("\x1b");
        puppet.gone("200 OK");
        assert!(server.join().expect("the server") > 3, "the connection was closed");
    }

    #[test]
    fn bytes_are_shown_as_such() {
        let arrived = Arrived { bytes: vec![0, 255, b'a'], end: End::Complete, status: 200, ..Default::default() };
        let rows = rows("f", &arrived);
        assert_eq!(rows[3].1, "00 00 ff 61                ..a");
    }
}
