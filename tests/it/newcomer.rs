//! What somebody is told who uses a verb as it is not meant: what is wrong, and what to do next. Whatever is given,
//! nothing panics, and no answer is longer than a screen.

use crate::harness::{Cluster, cares, run};

/// A verb asked of an address; its exit code and what it said.
fn told(url: &str, words: &[&str]) -> (i32, String) {
    let (status, _, err) = run(cares().args(words).env("API_URL", url));
    (status.code().expect("no signal"), err)
}

/// Verbs that take a name, and the name is to come next.
const NAMED: [&[&str]; 19] = [
    &["describe"],
    &["start"],
    &["stop"],
    &["rollback"],
    &["logs"],
    &["invoke"],
    &["delete", "--yes"],
    &["node", "describe"],
    &["node", "drain"],
    &["node", "remove", "--yes"],
    &["task", "get"],
    &["task", "logs"],
    &["task", "rm", "--yes"],
    &["calls", "get"],
    &["calls", "result"],
    &["pipeline", "get"],
    &["build", "get"],
    &["secret", "delete", "--yes"],
    &["token", "revoke", "--yes"],
];

#[test]
fn a_name_that_is_none_is_said_so_in_brief() {
    let cluster = Cluster::start(0);
    let url = cluster.head.url();
    let long = "a".repeat(5_000);
    for verb in NAMED {
        let with = |name| told(&url, &[verb, &[name]].concat());
        let (code, said) = with("");
        assert!(code == 2 && said.contains("an argument is empty") && said.contains(" --help'"), "{verb:?}: {said}");
        for name in ["..", "a/b?c=d#e %20", "\u{1b}[31mred", "é", &long] {
            let (code, said) = with(name);
            assert_eq!(code, 4, "{verb:?} {name}: {said}");
            assert!(said.len() < 400 && said.contains("cares ") && !said.contains('\u{1b}'), "{verb:?}: {said}");
        }
    }
}

#[test]
fn a_verb_that_is_none_is_named_with_the_nearest() {
    for (words, hint) in [
        (&["nod"][..], "there is no verb 'nod'; did you mean 'node'? See 'cares --help'."),
        (&["node", "drian", "x"], "there is no verb 'drian'; did you mean 'drain'? See 'cares node --help'."),
        (&["task", "ps"], "there is no verb 'ps'"),
    ] {
        let (code, said) = told("http://127.0.0.1:1", words);
        assert!(code == 2 && said.contains(hint), "{words:?}: {said}");
    }
}

#[test]
fn a_workers_address_is_no_orchestrators() {
    let cluster = Cluster::start(1);
    let worker = cluster.workers[0].url();
    for words in [&["list"][..], &["task", "list"], &["node", "list"]] {
        let (code, said) = told(&worker, words);
        assert!(code == 4 && said.contains("a worker's own address: give the orchestrator's"), "{words:?}: {said}");
    }
    let (code, said) = told(&cluster.head.url(), &["node", "status"]);
    assert!(code == 2 && said.contains("is no worker's address"), "{said}");
    let (status, out, _) = run(cares().args(["doctor"]).env("API_URL", &worker));
    assert_eq!(status.code(), Some(1), "{out}");
    assert!(out.contains("is a worker's own address") && out.contains("fix: give the orchestrator's"), "{out}");
    let (_, out, _) = run(cares().args(["version"]).env("API_URL", &worker));
    assert!(out.contains("worker:") && !out.contains("orchestrator:"), "{out}");
}
