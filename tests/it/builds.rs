//! From source to URL: folders that are built, on the real Docker engine where there is one, and what is no good of them.

use crate::bundles::{Entry, file, zip};
use crate::wire::{Reply, ask};
use cares::types::Build;
use std::net::SocketAddr;

mod bad;
mod disk;
mod docker;
mod engine;
mod first_tries;
mod kept;
mod life;
pub mod process;
mod tools;
mod trouble;
mod verbs;

/// A form with a folder's zip; its `Content-Type`, and the body.
fn form(fields: &[(&str, &str)], zip: &[u8]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    body.extend(b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.zip\"\r\n\r\n");
    body.extend(zip);
    body.extend(b"\r\n--b--\r\n");
    ("multipart/form-data; boundary=b".into(), body)
}

/// `POST /build`, waited for unless the target says otherwise.
fn build(to: SocketAddr, target: &str, fields: &[(&str, &str)], zip: &[u8]) -> Reply {
    let (kind, body) = form(fields, zip);
    ask(to, "POST", target, &[("Content-Type", &kind)], &body)
}

/// A folder's zip with a Dockerfile of these lines.
fn dockerfile(lines: &[&str], files: &[(&str, &str)]) -> Vec<u8> {
    let files = files.iter().map(|(name, text)| file(name, text));
    let all: Vec<Entry> = files.chain([file("Dockerfile", &(lines.join("\n") + "\n"))]).collect();
    zip(&all)
}

fn built(reply: &Reply) -> Build {
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_value(reply.json()).expect("a build")
}
