//! `cares init`: what it makes, what it refuses, and what it asks on a terminal.

use crate::harness::{cares, run};
use crate::tmux::{Terminal, tmux_is_there};
use std::fs;
use std::path::Path;

/// Runs it in a folder; code, stdout, stderr.
fn init(dir: &Path, words: &[&str]) -> (i32, String, String) {
    let (status, out, err) = run(cares().arg("init").args(words).env("XDG_DATA_HOME", dir).current_dir(dir));
    (status.code().expect("a code"), out, err)
}

#[test]
fn a_folder_is_made_and_nothing_is_written_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, out, err) = init(dir.path(), &["hello", "--runtime", "python-flask"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "made hello (python-flask)\nNext: cares deploy hello\n", ""));
    let mut names: Vec<_> =
        fs::read_dir(dir.path().join("hello")).expect("it").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["app.py", "function.json", "requirements.txt"]);
    fs::write(dir.path().join("hello/app.py"), "mine").expect("written");
    let (code, out, err) = init(dir.path(), &["--runtime", "go"]); // as the platform's own quick start has it
    assert_eq!((code, out.as_str(), err.as_str()), (0, "made my-function (go)\nNext: cares deploy my-function\n", ""));
    for (words, code, part) in [
        (&["hello", "--runtime", "shell"][..], 1, "hello is there already"),
        (&["a", "--runtime", "cobol"], 2, "'cobol'; there are go, nodejs, python-flask"),
        (&["No", "--runtime", "shell"], 2, "'No' is no valid name"),
        (&["a"], 2, "--runtime is missing"),
        (&[], 2, "--runtime is missing"),
        (&["--runtime", "go"], 1, "my-function is there already"),
        (&["a", "--runtime", "go", "--runtimes", "hello"], 2, ""),
    ] {
        let (found, out, err) = init(dir.path(), words);
        if part.is_empty() {
            assert_eq!(found, 0, "a folder without runtimes adds none: {err}");
            continue;
        }
        assert_eq!((found, out.as_str()), (code, ""), "{words:?}: {err}");
        assert!(err.contains(part) && err.lines().count() == 1, "{words:?}: {err}");
    }
    assert_eq!(fs::read_to_string(dir.path().join("hello/app.py")).expect("it"), "mine");
    assert_eq!(init(dir.path(), &["deep/er/fn", "--runtime", "shell", "-q"]), (0, String::new(), String::new()));
    assert!(dir.path().join("deep/er/fn/main.sh").is_file());
}

#[test]
fn an_operators_runtime_has_its_starter() {
    let dir = tempfile::tempdir().expect("a folder");
    let own = dir.path().join("cares/orchestrator/runtimes/ruby");
    fs::create_dir_all(own.join("starter/lib")).expect("folders");
    fs::write(own.join("Dockerfile"), "FROM ruby\n").expect("written");
    fs::write(own.join("starter/lib/main.rb"), "puts 1\n").expect("written");
    let (code, out, err) = init(dir.path(), &["r", "--runtime", "ruby"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(fs::read_to_string(dir.path().join("r/lib/main.rb")).expect("it"), "puts 1\n");
    let manifest = fs::read_to_string(dir.path().join("r/function.json")).expect("it");
    assert_eq!(manifest, "{\n  \"runtime\": \"ruby\"\n}\n");
    fs::write(own.join("runtime.json"), "{").expect("written");
    let (code, _, err) = init(dir.path(), &["s", "--runtime", "ruby"]);
    assert!(code == 1 && err.contains("runtimes/ruby") && err.contains("runtime.json"), "{err}");
}

#[test]
fn what_is_missing_is_asked_for_on_a_terminal() {
    if !tmux_is_there() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let terminal = Terminal::shell(100, 24, dir.path(), &[]);
    let program = cares().get_program().to_str().expect("UTF-8").to_string();
    terminal.types(&format!("{program} init\n"));
    terminal.shows("Name [my-function]:");
    terminal.types("No\n");
    terminal.shows("no valid name");
    terminal.press("Enter");
    terminal.shows("Runtime [1-6]:");
    let screen = terminal.shows("  3  python-flask");
    assert!(screen.contains("Python with Flask"), "{screen}");
    terminal.types("7\n");
    terminal.shows("'7' is none of them");
    terminal.types("3\n");
    terminal.shows("made my-function (python-flask)");
    assert!(dir.path().join("my-function/app.py").is_file());
    terminal.types(&format!("clear; {program} init other --runtime go\n"));
    terminal.shows("made other (go)");
}
