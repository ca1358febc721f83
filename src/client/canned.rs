//! A server for tests: one canned answer a connection, and what was asked is kept. Must never be in the program.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

/// Starts it. Each answer goes to one connection, which is then closed; an empty answer closes at once.
pub fn serve(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            asked.push(read_request(&mut stream));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (url, thread)
}

/// An answer with a JSON body.
pub fn json(status: &str, body: &str) -> String {
    let kind = if status.starts_with(['4', '5']) { "application/problem+json" } else { "application/json" };
    with(status, &format!("content-type: {kind}\r\n"), body)
}

/// An answer with headers, each ended by CRLF.
pub fn with(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn read_request(stream: &mut (impl Read + Write)) -> String {
    let mut got = Vec::new();
    let mut byte = [0];
    while !got.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        got.push(byte[0]);
    }
    let head = String::from_utf8(got.clone()).unwrap().to_lowercase();
    if head.contains("expect: 100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    }
    if let Some((_, rest)) = head.split_once("content-length: ") {
        let mut body = vec![0; rest.lines().next().unwrap().parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        got.extend(body);
    } else if head.contains("transfer-encoding: chunked") {
        while !got.ends_with(b"\r\n0\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            got.push(byte[0]);
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}
