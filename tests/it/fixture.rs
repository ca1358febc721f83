//! Functions that misbehave: this very test binary, run by a worker. A bundle's command names it and its `env` says how
//! to misbehave, so that no test needs more on the machine than cargo.

use crate::chaos::ledger::append;
use crate::wire::ReadSome;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Says how to misbehave; unset in a test run, where this test has nothing to do.
const VARIABLE: &str = "CARES_FIXTURE";

const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\nX-Own: kept\r\ncares-own: dropped\r\n\r\n";

/// Connections being answered.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The manifest of an http function that behaves so; `by-path`: as the first name in the path says.
pub fn manifest(behaviour: &str) -> String {
    manifest_with(behaviour, "")
}

/// The same, with more settings, such as `,"timeout_s":1`.
pub fn manifest_with(behaviour: &str, settings: &str) -> String {
    let program = program();
    manifest_of(&format!(r#"["{program}","fixture::function","--exact","--nocapture"]"#), behaviour, settings)
}

/// The manifest of an http function whose process ignores SIGTERM.
pub fn stubborn_manifest(behaviour: &str) -> String {
    let shell = format!("trap '' TERM; exec {} fixture::function --exact --nocapture", program());
    // A shell of a function does not see this binary.
    manifest_of(&format!(r#"["sh","-c","{shell}"]"#), behaviour, r#","isolation":{"files":"open"}"#)
}

fn manifest_of(command: &str, behaviour: &str, settings: &str) -> String {
    format!(r#"{{"mode":"http","command":{command},"env":{{"{VARIABLE}":"{behaviour}"}}{settings}}}"#)
}

fn program() -> String {
    std::env::current_exe().expect("this binary").to_str().expect("UTF-8").to_string()
}

#[test]
fn function() {
    let Ok(behaviour) = std::env::var(VARIABLE) else { return };
    let port: u16 = std::env::var("PORT").expect("PORT").parse().expect("a port");
    match behaviour.as_str() {
        "never-listens" => hang(),
        "exits-at-start" => {
            eprintln!("no configuration found");
            std::process::exit(3);
        }
        "tells-at-start" => {
            // In one piece: eprintln writes several, and what is said on stdout could come between them.
            let line = format!("cannot log in with {:?}\n", std::env::var("DB_PASSWORD"));
            std::io::stderr().write_all(line.as_bytes()).expect("told");
            std::process::exit(4);
        }
        "chatters" => drop(std::thread::spawn(|| {
            loop {
                eprintln!("{}", "blah ".repeat(1_000));
            }
        })),
        _ => {}
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    for stream in listener.incoming().flatten() {
        let behaviour = behaviour.clone();
        std::thread::spawn(move || {
            OPEN.fetch_add(1, Ordering::SeqCst);
            answer(stream, &behaviour);
            OPEN.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3_600));
    }
}

fn answer(mut stream: TcpStream, behaviour: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read_some(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or("/");
    let behaviour = match behaviour {
        "by-path" => path.split(['/', '?']).nth(1).unwrap_or(""),
        other => other,
    };
    let ends = "Connection: close\r\n";
    let text = |status: &str, headers: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}{ends}\r\n{body}", body.len())
    };
    let _ = match behaviour {
        "garbage" => stream.write_all(b"\x00\x01 this is not HTTP \xff\r\n\r\n"),
        "closes" => Ok(()),
        "crashes" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf an ans");
            std::process::abort()
        }
        "hangs" => hang(),
        "secrets" => {
            let secret = std::env::var("DB_PASSWORD").expect("a secret");
            let folder = std::env::var("CARES_SECRETS_DIR").expect("a folder");
            let file = std::fs::read_to_string(Path::new(&folder).join("tls.key")).expect("a file");
            stream.write_all(text("200 OK", "", &format!("{secret} {file}")).as_bytes())
        }
        // An event at once, and more for as long as somebody takes them.
        "events" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n");
            loop {
                std::thread::sleep(Duration::from_millis(50));
                if stream.write_all(b"data: more\n\n").is_err() {
                    return;
                }
            }
        }
        // As much as is taken, for ever.
        "floods" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
            return;
        }
        // As long as a small piece of work takes.
        "naps" => {
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(text("200 OK", "", "").as_bytes())
        }
        // Goes on in another protocol, asked or not: says what it hears; a word and no more; all that is taken.
        "switches" => {
            let _ = stream.write_all(SWITCHED);
            let mut heard = [0; 4_096];
            while let Ok(n @ 1..) = stream.read_some(&mut heard) {
                let _ = stream.write_all(&heard[..n]);
            }
            return;
        }
        "switches-and-leaves" => {
            let _ = stream.write_all(&[SWITCHED, b"bye"].concat());
            return;
        }
        "switches-and-floods" => {
            let _ = stream.write_all(SWITCHED);
            while stream.write_all(&[b'x'; 65_536]).is_ok() {}
            return;
        }
        "switches-and-hears-nothing" => {
            let _ = stream.write_all(SWITCHED);
            hang()
        }
        "pid" | "chatters" => stream.write_all(text("200 OK", "", &std::process::id().to_string()).as_bytes()),
        // How many others it is answering.
        "open" => {
            let others = OPEN.load(Ordering::SeqCst) - 1;
            stream.write_all(text("200 OK", "", &others.to_string()).as_bytes())
        }
        // On stderr: for which module it is called.
        "says" => {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let module = lines.find(|(key, _)| key.eq_ignore_ascii_case("x-cares-module")).map_or("none", |(_, m)| m);
            std::io::stderr().write_all(format!("called for {module}\n").as_bytes()).expect("told");
            stream.write_all(text("200 OK", "", "").as_bytes())
        }
        // What it was asked.
        "head" if head.starts_with("HEAD ") => {
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n{ends}\r\n").as_bytes())
        }
        "head" => stream.write_all(text("200 OK", "", &head).as_bytes()),
        "204" => stream.write_all(format!("HTTP/1.1 204 No Content\r\nX-Kept: yes\r\n{ends}\r\n").as_bytes()),
        "304" => stream.write_all(
            format!("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Length: 1234\r\n{ends}\r\n").as_bytes(),
        ),
        // A length that its chunks do not have.
        "two-lengths" => {
            let lengths = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n";
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{lengths}{ends}\r\na\r\n0123456789\r\n0\r\n\r\n").as_bytes())
        }
        // A head of some hundred KiB.
        "huge-head" => stream.write_all(text("200 OK", &format!("X-Huge: {}\r\n", "#".repeat(400_000)), "").as_bytes()),
        "trailers" => {
            let chunked = "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n";
            stream.write_all(
                format!("HTTP/1.1 200 OK\r\n{chunked}{ends}\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n").as_bytes(),
            )
        }
        "headers" => {
            let headers = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Own: kept\r\ncares-outcome: failed\r\nX-Call-Id: mine\r\n\
                Keep-Alive: timeout=5\r\nConnection: x-private\r\nX-Private: 1\r\nContent-Type: application/x-own\r\n";
            stream.write_all(text("418 I'm a teapot", headers, "short and stout").as_bytes())
        }
        // Into the file it names: which call this is, and which attempt. Answers with the path.
        writes if writes.starts_with("writes ") => {
            let value = |name: &str| {
                let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
                pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("none", |(_, value)| value)
            };
            let line = format!("{} {}", value("x-call-id"), value("x-cares-attempt"));
            append(Path::new(&writes["writes ".len()..]), &line);
            stream.write_all(text("200 OK", "", path).as_bytes())
        }
        other => panic!("no such behaviour: {other}"),
    };
}
