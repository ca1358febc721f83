//! What may be behind a program's last words, for people: one place for all engines. Must never hide the words.

use super::{Exit, Listening};
use std::time::Duration;

/// Modules whose package has another name.
const PACKAGES: [(&str, &str); 9] = [
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("dotenv", "python-dotenv"),
    ("jwt", "PyJWT"),
    ("PIL", "Pillow"),
    ("psycopg2", "psycopg2-binary"),
    ("sklearn", "scikit-learn"),
    ("yaml", "PyYAML"),
];

/// How an http function came not to be reached.
pub enum Start {
    /// Before it listened.
    Ended(Exit),
    /// It runs, but has not listened for so long; where it listens instead.
    Silent(Duration, Vec<Listening>),
}

/// Why an http function could not be reached, with what it last said.
pub fn at_start(what: Start, port: u16, words: &str) -> String {
    let words = words.trim();
    let (what, other) = match what {
        Start::Ended(exit) if exit.success() => (format!("it {exit} before it listened"), job().to_owned()),
        Start::Ended(exit) => (format!("it {exit} before it listened"), String::new()),
        Start::Silent(limit, seen) => {
            (format!("it did not listen within {} s", limit.as_secs()), elsewhere(words, &seen, port))
        }
    };
    let said = if words.is_empty() { ", and said nothing".into() } else { format!("; it last said:\n{words}") };
    let known = Some(hint(words)).filter(|known| !known.is_empty());
    format!("{what} on port {port} ($PORT){said}{}", known.unwrap_or(other))
}

/// Whether these words say that it listens on another port than this one, and on that one not.
pub fn listens_elsewhere(port: u16, words: &str) -> bool {
    let said = ports(words);
    !said.is_empty() && !said.contains(&port)
}

/// What may be behind these words, on a line of its own; empty when nothing is known.
pub fn hint(words: &str) -> String {
    match known(words) {
        Some(known) => format!("\n({known})"),
        None => String::new(),
    }
}

fn known(words: &str) -> Option<String> {
    if words.contains("Read-only file system") {
        return Some(
            "a function writes to /tmp, $HOME and $TMPDIR only; \"isolation\":{\"files\":\"open\"} lets a container write to \
             its root"
                .into(),
        );
    }
    // The last is what ended it.
    if let Some(module) = quoted_after(words, "ModuleNotFoundError: No module named ") {
        let module = module.split('.').next().unwrap_or(module);
        let package = PACKAGES.iter().find(|(name, _)| *name == module).map_or(module, |(_, package)| package);
        return Some(format!(
            "the Python module {module} is not there: add {package} to requirements.txt and deploy again; if it stands \
             there, the node that built it has the package itself and this one has not: install it here too"
        ));
    }
    if words.contains("ImportError: cannot import name ") {
        return Some(
            "two packages do not fit each other, such as an old Flask and a new Werkzeug: raise or pin both in \
             requirements.txt and deploy again"
                .into(),
        );
    }
    let ended = words.trim_end().lines().last().unwrap_or_default();
    if ended.starts_with("exec ") && ended.ends_with(": no such file or directory") {
        return Some(
            "the program is there, but not the loader or interpreter that it needs: link it statically, or begin with an image that \
             has it"
                .into(),
        );
    }
    let package = quoted_after(words, "Cannot find package ").or_else(|| quoted_after(words, "Cannot find module "));
    if let Some(package) = package {
        return Some(if package.starts_with(['.', '/']) {
            format!("the file {package} is not there: check the path, and that it was deployed")
        } else {
            format!("the package {package} is not there: add it to the dependencies in package.json and deploy again")
        });
    }
    let taken = ["Address already in use", "address already in use", "EADDRINUSE", "Address in use"];
    if taken.iter().any(|said| words.contains(said)) {
        return Some("the port it wants is in use: have it listen on the port that the variable PORT says".into());
    }
    None
}

/// What stands in quotes after the last of these words.
fn quoted_after<'a>(words: &'a str, before: &str) -> Option<&'a str> {
    let rest = &words[words.rfind(before)? + before.len()..];
    let quote = rest.chars().next().filter(|quote| "'\"".contains(*quote))?;
    rest[1..].split(quote).next().filter(|found| !found.is_empty())
}

/// It may not be meant to listen at all.
fn job() -> &'static str {
    "\n(an http function listens on the port that the variable PORT says, on 0.0.0.0; one that reads stdin and ends is a job: \
     \"mode\":\"job\")"
}

/// It runs, and nobody can reach it: where it listens instead, or where it says so.
fn elsewhere(words: &str, seen: &[Listening], port: u16) -> String {
    let said = if seen.is_empty() { ports(words) } else { seen.iter().map(|one| one.port).collect() };
    let does = if seen.is_empty() { "seems to listen" } else { "listens" };
    match said.iter().find(|said| **said != port) {
        _ if said.contains(&port) => {
            format!("\n(it {does} on port {port} of 127.0.0.1 alone: have it listen on 0.0.0.0)")
        }
        Some(other) => format!(
            "\n(it {does} on port {other}: have it listen on the port that the variable PORT says, on 0.0.0.0; an \
             image may have PORT={other} in the function's env instead)"
        ),
        None => job().into(),
    }
}

/// Numbers that read like ports: after `port ` or a host's colon, on lines that speak of listening.
fn ports(words: &str) -> Vec<u16> {
    let mut found = Vec::new();
    for line in words.lines() {
        let line = line.to_lowercase();
        if !["listen", "running", "serving", "started", "bound", "http://"].iter().any(|word| line.contains(word)) {
            continue;
        }
        for mark in ["port ", "port: ", "port=", ":"] {
            for (at, _) in line.match_indices(mark) {
                let digits = line[at + mark.len()..].split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                let hour = mark == ":" && line[..at].ends_with(|c: char| c.is_ascii_digit()) && digits.len() == 2;
                if let Ok(port @ 1..) = digits.parse()
                    && !hour
                {
                    found.push(port);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_names_the_cause_and_the_next_step() {
        for (words, parts) in [
            ("Traceback\nModuleNotFoundError: No module named 'requests'", &["requests", "requirements.txt"][..]),
            ("ModuleNotFoundError: No module named 'yaml.x'", &["module yaml", "add PyYAML to requirements.txt"]),
            ("ImportError: cannot import name 'url_quote' from 'werkzeug.urls'", &["Werkzeug", "requirements.txt"]),
            ("Error: Cannot find module 'express'\nRequire stack:", &["express", "package.json"]),
            ("exec ./main: no such file or directory", &["link it statically"]),
            ("Error: Cannot find module './lib'", &["file ./lib"]),
            (
                "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'koa' imported from /app/i.js",
                &["koa", "package.json"],
            ),
            ("OSError: [Errno 98] Address already in use", &["PORT"]),
            ("Error: listen EADDRINUSE: address already in use :::80", &["PORT"]),
            ("OSError: [Errno 30] Read-only file system: 'x'", &["$TMPDIR"]),
        ] {
            let text = hint(words);
            for part in parts {
                assert!(text.starts_with("\n(") && text.contains(part), "no '{part}' in: {text}");
            }
        }
        assert_eq!(hint("ModuleNotFoundError: No module named "), "");
        assert_eq!(hint("Cannot find module ''é"), "");
        assert_eq!(hint("it went wrong"), "");
    }

    #[test]
    fn a_wrong_port_is_seen_in_what_it_said() {
        for (words, part) in [
            ("* Running on http://127.0.0.1:5000", "port 5000:"),
            ("2026-11-21 14:07:31 Server listening on port 3000", "port 3000:"),
            ("listening on [::]:9090", "port 9090:"),
            ("Listening at: http://127.0.0.1:8080 (7)", "listen on 0.0.0.0"),
            ("12:30:59 started", "variable PORT says"),
            ("warming up", "variable PORT says"),
            ("", "variable PORT says"),
        ] {
            let text = at_start(Start::Silent(Duration::from_secs(9), Vec::new()), 8080, words);
            assert_eq!(listens_elsewhere(8080, words), part.starts_with("port "), "{words}");
            assert!(text.contains(part) && text.contains(words) && text.contains("port 8080 ($PORT)"), "{text}");
        }
        let seen = |port, loopback| {
            let seen = vec![Listening { port, loopback }];
            at_start(Start::Silent(Duration::from_secs(9), seen), 8080, "listening on port 3000")
        };
        assert!(
            seen(9999, false).contains("it listens on port 9999: have it listen on the port that the variable PORT")
        );
        assert!(seen(8080, true).contains("it listens on port 8080 of 127.0.0.1 alone"));
        let words = "listening on :3000\nModuleNotFoundError: No module named 'a'";
        let text = at_start(Start::Ended(Exit::Code(1)), 80, words);
        assert!(text.contains("requirements.txt") && !text.contains("3000:"), "{text}");
        let ended = |code| at_start(Start::Ended(Exit::Code(code)), 80, "done");
        assert!(ended(0).contains("\"mode\":\"job\"") && ended(1).ends_with("done"));
    }
}
