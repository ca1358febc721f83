//! A function's way from `cares init` to an answer and back, the same on every engine.

use super::process::fine;
use crate::harness::{Cluster, wait_for};
use std::fs;
use std::time::Instant;

/// A runtime's example: what is edited in it (the first becomes the second), and what it answers before and after.
pub struct Life {
    pub runtime: &'static str,
    file: &'static str,
    edit: [&'static str; 2],
    answers: [&'static str; 2],
}

pub const SHELL: Life =
    Life { runtime: "shell", file: "main.sh", edit: ["Hello", "Bye"], answers: ["Hello, Ann!\n", "Bye, Ann!\n"] };
pub const STATIC_BINARY: Life = Life {
    runtime: "static-binary",
    file: "main",
    edit: ["Hello!", "Howdy!"],
    answers: ["Hello! You sent: Ann\n", "Howdy! You sent: Ann\n"],
};
pub const FLASK: Life = Life { runtime: "python-flask", file: "app.py", ..SHELL };
pub const NODEJS: Life = Life { runtime: "nodejs", file: "index.js", ..SHELL };
pub const GO: Life = Life { runtime: "go", file: "main.go", ..SHELL };
pub const RUST: Life = Life { runtime: "rust", file: "src/main.rs", ..SHELL };

impl Life {
    /// From a folder to its URL, an edit, and back, to nothing.
    pub fn live(&self, cluster: &Cluster) {
        let Life { runtime, file, edit: [from, to], answers } = self;
        let timed = |words: &[&str]| {
            let begun = Instant::now();
            let said = fine(cluster, words);
            eprintln!("{runtime}: {}: {:.1} s", words.join(" "), begun.elapsed().as_secs_f64());
            said
        };
        assert_eq!(
            fine(cluster, &["init", "f", "--runtime", runtime]),
            format!("made f ({runtime})\nNext: cares deploy f\n")
        );
        let said = timed(&["deploy", "f"]);
        assert!(said.contains("revision 1") && said.contains("/invoke/f\n"), "{said}");
        assert_eq!(cluster.call("f", "Ann"), (200, answers[0].into()));
        let path = cluster.dir.path().join("f").join(file);
        let edited = replaced(&fs::read(&path).expect("the file"), from.as_bytes(), to.as_bytes());
        fs::write(&path, edited).expect("written");
        assert!(timed(&["redeploy", "f"]).contains("revision 2"));
        wait_for("the new revision answers", || cluster.call("f", "Ann") == (200, answers[1].into()));
        // The same again is the same bundle, without a build.
        let image = cluster.client.function("f").expect("it").image;
        timed(&["deploy", "f"]);
        assert_eq!(cluster.client.function("f").expect("it").image, image);
        timed(&["rollback", "f", "--to", "1"]);
        wait_for("the old revision answers", || cluster.call("f", "Ann") == (200, answers[0].into()));
        timed(&["delete", "f", "--yes"]);
        assert_eq!(cluster.call("f", "").0, 404);
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|part| part == from).expect("what is replaced");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}
