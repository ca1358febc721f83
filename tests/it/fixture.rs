//! Functions that misbehave: this very test binary, run by a worker. A bundle's command names it and its `env` says how
//! to misbehave, so that no test needs more on the machine than cargo.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Says how to misbehave; unset in a test run, where this test has nothing to do.
const VARIABLE: &str = "CARES_FIXTURE";

/// The manifest of an http function that behaves so.
pub fn manifest(behaviour: &str) -> String {
    let program = std::env::current_exe().expect("this binary");
    let program = program.to_str().expect("UTF-8");
    format!(
        r#"{{"mode":"http","command":["{program}","fixture::function","--exact","--nocapture"],"env":{{"{VARIABLE}":"{behaviour}"}}}}"#
    )
}

#[test]
fn function() {
    let Ok(behaviour) = std::env::var(VARIABLE) else { return };
    let port: u16 = std::env::var("PORT").expect("PORT").parse().expect("a port");
    match behaviour.as_str() {
        "never-listens" => loop {
            std::thread::sleep(Duration::from_secs(3_600));
        },
        "exits-at-start" => {
            eprintln!("no configuration found");
            std::process::exit(3);
        }
        _ => {}
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    for stream in listener.incoming().flatten() {
        let behaviour = behaviour.clone();
        std::thread::spawn(move || answer(stream, &behaviour));
    }
}

fn answer(mut stream: TcpStream, behaviour: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let _ = match behaviour {
        "garbage" => stream.write_all(b"\x00\x01 this is not HTTP \xff\r\n\r\n"),
        "closes" => Ok(()),
        "crashes" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf an ans");
            std::process::abort()
        }
        "hangs" => loop {
            std::thread::sleep(Duration::from_secs(3_600));
        },
        // One event when the request comes, and one for each byte the test sends after it.
        "events" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n");
            loop {
                std::thread::sleep(Duration::from_millis(50));
                if stream.write_all(b"data: more\n\n").is_err() {
                    return;
                }
            }
        }
        other => panic!("no such behaviour: {other}"),
    };
}
