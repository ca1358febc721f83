//! What a new user's folder may be wrong in: each is told in a line or two with what to do, as early as it can be known.

use super::build;
use super::process::{cluster, fine};
use crate::bundles::{file, zip};
use std::path::Path;

#[test]
fn what_is_wrong_with_a_shell_function_is_told_by_its_build() {
    let cluster = cluster(&[]);
    for (script, parts) in [
        ("#!/bin/sh\r\necho hi\r\n", &["Windows line ends (CRLF)", "save it with Unix ones"][..]),
        ("#!/bin/no-such-shell -e\necho hi\n", &["names /bin/no-such-shell, which is not here", "/bin/sh"]),
        ("echo hi\n", &["its first line must name the shell", "#!/bin/sh"]),
        ("#!/bin/sh\nif then\n", &["main.sh: ", "yntax error"]),
    ] {
        let said = build(cluster.head.http(), "/build", &[("name", "f")], &zip(&[file("main.sh", script)]));
        let said = said.problem(422, "build_failed");
        assert!(parts.iter().all(|part| said.contains(part)), "{script:?}: {said}");
    }
    let plain = zip(&[file("main.sh", "#!/usr/bin/env sh\necho hi\n")]);
    assert_eq!(build(cluster.head.http(), "/build", &[("name", "f")], &plain).status, 200);
}

#[test]
fn what_is_wrong_with_a_nodejs_function_is_told_by_its_build() {
    if !Path::new("/usr/bin/node").exists() {
        return eprintln!("skipped, as there is no /usr/bin/node");
    }
    let cluster = cluster(&[]);
    let made = |card: &str, files: &[(&str, &str)]| {
        let mut all = vec![file("package.json", card)];
        all.extend(files.iter().map(|(name, text)| file(name, text)));
        build(cluster.head.http(), "/build", &[("name", "f")], &zip(&all))
    };
    for (card, files, parts) in [
        ("{", &[][..], &["package.json: ", "correct it"][..]),
        ("{}", &[("other.js", "1")], &["its main file index.js is not there", "\"main\""]),
        (r#"{"main":"app.js"}"#, &[("other.js", "1")], &["its main file app.js is not there"]),
        (
            r#"{"type":"module"}"#,
            &[("index.js", "import x from 'node:fs';\nconst (\n")],
            &["index.js: node cannot read it"],
        ),
        ("{}", &[("index.js", "let x = ;")], &["index.js: node cannot read it"]),
    ] {
        let said = made(card, files).problem(422, "build_failed");
        assert!(parts.iter().all(|part| said.contains(part)), "{card}: {said}");
    }
    for (card, files) in [
        (r#"{"main":"./lib"}"#, &[("lib/index.js", "1")][..]),
        (r#"{"main":"app"}"#, &[("app.js", "1")]),
        (r#"{"main":"gone.js"}"#, &[("index.js", "1")]),
        (r#"{"type":"module"}"#, &[("index.js", "await 1; export {};")]),
    ] {
        let made = made(card, files);
        assert_eq!(made.status, 200, "{card}: {}", made.text());
    }
}

#[test]
fn a_static_program_needs_no_execute_bit() {
    let cluster = cluster(&[]);
    fine(&cluster, &["init", "f", "--runtime", "static-binary"]);
    let main = cluster.dir.path().join("f/main");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&main, mode).expect("a mode");
    fine(&cluster, &["deploy", "f"]);
    assert_eq!(cluster.call("f", "Ann"), (200, "Hello! You sent: Ann\n".into()));
}
