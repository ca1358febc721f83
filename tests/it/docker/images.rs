//! Each kind of image as a function: what its caller gets, and what is told when it misbehaves.

use super::{Docked, settings_of_mode};
use crate::harness::{cares, run, wait_for};
use crate::process::peak_mib;
use crate::wire::ReadSome;
use cares::client::{Body, Invoke};
use cares::types::{Files, FunctionSpec, Isolation, Mode};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[test]
fn an_image_registered_and_invoked_by_hand_is_a_function() {
    let Some(docked) = Docked::start(1) else { return };
    let url = docked.cluster.head.url();
    let (status, out, err) = run(cares().args(["register", "hello", "cares-test/upper:1", "--url", &url]));
    assert!(status.success(), "{out}{err}");
    let (status, out, err) = run(cares().args(["invoke", "hello", "--data", "world", "--url", &url]));
    assert!(status.success() && out == "WORLD", "{out:?} {err}");
}

#[test]
fn an_image_without_a_port_is_a_job_and_one_with_a_port_serves_http() {
    let Some(mut docked) = Docked::start(1) else { return };
    docked.register("job", "upper");
    docked.register("http", "echo");
    docked.register("other", "other");
    for name in ["job", "http", "other"] {
        assert_eq!(docked.function(name).mode, Mode::Auto, "{name}");
    }
    assert_eq!(docked.call("job", "some words"), "SOME WORDS");
    let long = "abcdefg ".repeat(200_000);
    assert!(docked.call("job", &long) == long.to_uppercase(), "1.6 MB in, 1.6 MB out");
    assert_eq!(docked.call("http", "body"), "POST / HTTP/1.1\nbody");
    assert_eq!(docked.post("http/some/path?a=b", "").text(), "POST /some/path?a=b HTTP/1.1\n");
    assert_eq!(docked.call("other", "x"), "POST / HTTP/1.1\nx", "on its own port, 3000");
    let modes = |docked: &Docked| ["job", "http", "other"].map(|name| docked.function(name).mode);
    assert_eq!(modes(&docked), [Mode::Job, Mode::Http, Mode::Http]);
    assert_eq!(docked.function("http").instances.len(), 1, "the second call found it warm");
    wait_for("the jobs' containers are gone", || docked.containers(0).len() == 2);

    docked.cluster.restart_head();
    docked.wait_docked("w1");
    assert_eq!(modes(&docked), [Mode::Job, Mode::Http, Mode::Http]);
    let kept = docked.containers(0);
    assert_eq!(docked.call("http", "again"), "POST / HTTP/1.1\nagain");
    assert_eq!(docked.containers(0), kept, "what was warm still is");
}

#[test]
fn mode_says_otherwise_than_the_image() {
    let Some(docked) = Docked::start(1) else { return };
    docked.register_as("job", "chatty", settings_of_mode(Mode::Job)); // exposes a port, but prints
    let text = docked.call("job", "");
    assert_eq!(text.len(), 100 << 20);
    assert_eq!(docked.function("job").mode, Mode::Job);
    let spec = FunctionSpec { command: Some(vec!["echo".into()]), ..settings_of_mode(Mode::Http) };
    docked.register_as("http", "upper", spec); // exposes none
    let problem = docked.problem("http");
    assert_eq!((problem.status, problem.code.as_str()), (502, "function_not_started"), "{}", problem.detail);
    assert!(problem.detail.contains("$PORT") && problem.detail.contains("exited with code 0"), "{}", problem.detail);
}

#[test]
fn its_environment_reaches_it() {
    let Some(docked) = Docked::start(1) else { return };
    let env = BTreeMap::from([("GREETING".into(), "hello there = ü".into()), ("K_SERVICE".into(), "forged".into())]);
    docked.register_as("env", "env", FunctionSpec { env: Some(env), ..FunctionSpec::default() });
    let text = docked.post("env/some/path?q=1", "").text();
    let lines: Vec<&str> = text.lines().collect();
    let own = ["K_SERVICE=env", "K_CONFIGURATION=env", "K_REVISION=env-00001", "CARES_METHOD=POST"];
    let call = ["CARES_PATH=/some/path", "CARES_QUERY=q=1", "GREETING=hello there = ü", "FROM_IMAGE=1"];
    for wanted in own.iter().chain(&call) {
        assert!(lines.contains(wanted), "{wanted} is missing in\n{text}");
    }
    assert!(!text.contains("forged"), "{text}");
    // What an http function sees is read from its container.
    docked.register("http", "echo");
    let env = BTreeMap::from([("PORT".into(), "9001".into())]);
    docked.register_as("given", "echo", FunctionSpec { env: Some(env), ..FunctionSpec::default() });
    for (name, port) in [("http", "PORT=8080"), ("given", "PORT=9001")] {
        wait_for("no job is left", || docked.containers(0).len() == usize::from(name == "given"));
        docked.call(name, "");
        let newest = docked.containers(0)[0].clone();
        let env = super::docker(&["inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", &newest]);
        let has = |line: &str| env.lines().any(|l| l == line);
        assert!(has(port) && has(&format!("K_SERVICE={name}")), "{env}");
    }
}

#[test]
fn one_that_fails_is_a_502_with_its_last_words() {
    let Some(docked) = Docked::start(1) else { return };
    docked.register("fails", "fails");
    docked.register("exits", "exits");
    docked.register("none", "none");
    for (name, code, words) in [
        ("fails", "function_failed", ["code 3", "this is why it failed"]),
        ("exits", "function_not_started", ["code 7", "no configuration found"]),
        ("none", "function_failed", ["/nothing-here", "`command`"]),
    ] {
        let problem = docked.problem(name);
        assert_eq!((problem.status, problem.code.as_str()), (502, code), "{name}: {}", problem.detail);
        assert!(words.iter().all(|word| problem.detail.contains(word)), "{name}: {}", problem.detail);
        assert!(!problem.detail.contains("this is stdout"), "{}", problem.detail);
    }
    docked.wait_none(0);
}

#[test]
fn one_that_never_listens_is_a_504_at_its_timeout_with_a_hint() {
    let Some(docked) = Docked::start(1) else { return };
    docked.register_as("deaf", "deaf", FunctionSpec { timeout_s: Some(3.0), ..FunctionSpec::default() });
    let asked = Instant::now();
    let problem = docked.problem("deaf");
    let took = asked.elapsed();
    assert_eq!((problem.status, problem.code.as_str()), (504, "function_timeout"), "{}", problem.detail);
    assert!(problem.detail.contains("$PORT"), "{}", problem.detail);
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(docked.function("deaf").mode, Mode::Http);
    // A start goes on for later callers; given up with the function, it leaves nothing.
    docked.container(0);
    docked.client().delete_function("deaf").expect("deleted");
    docked.wait_none(0);
}

#[test]
fn one_that_takes_more_memory_than_it_may_is_a_502_that_says_so() {
    let Some(docked) = Docked::start(1) else { return };
    let limit = || FunctionSpec { memory_mb: Some(16), ..FunctionSpec::default() };
    docked.register_as("job", "eats", limit());
    docked.register_as("http", "echo", limit());
    let problem = docked.problem("job");
    assert_eq!((problem.status, problem.code.as_str()), (502, "function_failed"), "{}", problem.detail);
    assert!(problem.detail.contains("memory_mb"), "{}", problem.detail);
    docked.call("http", "it is small enough");
    docked.post("http/eat", "").problem(502, "function_failed");
    wait_for("it is told why", || docked.function("http").last_error.is_some_and(|why| why.contains("memory")));
    docked.call("http", "the next one is fine");
}

#[test]
fn a_hundred_megabytes_stream_through_in_little_memory() {
    let Some(docked) = Docked::start(1) else { return };
    docked.register("prints", "prints");
    let invoke = Invoke { method: "POST".into(), body: Body::Bytes(Vec::new()), ..Default::default() };
    let mut answer = docked.client().invoke("prints", invoke).expect("an answer");
    assert_eq!(answer.status, 200);
    let (mut buffer, mut bytes, mut lines) = (vec![0; 1 << 16], 0, 0);
    loop {
        let n = answer.reader.read_some(&mut buffer).expect("a whole answer");
        if n == 0 {
            break;
        }
        bytes += n;
        lines += buffer[..n].iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!((bytes, lines), (100 << 20, 100 << 10));
    let peaks = [docked.cluster.workers[0].pid(), docked.cluster.head.pid()].map(peak_mib);
    assert!(peaks.iter().all(|mib| *mib < 64), "{peaks:?} MiB");
    docked.wait_none(0);
}

#[test]
fn an_image_that_does_not_exist_is_named_with_what_to_do() {
    let Some(docked) = Docked::start(1) else { return };
    // A registry that nobody runs: the answer comes at once, and from no network.
    let spec = |image: &str| FunctionSpec { name: "gone".into(), image: image.into(), ..FunctionSpec::default() };
    docked.client().register(&spec("127.0.0.1:9/nobody/nothing:7")).expect("registered");
    let problem = docked.problem("gone");
    assert_eq!((problem.status, problem.code.as_str()), (502, "function_not_started"), "{}", problem.detail);
    assert!(problem.detail.contains("127.0.0.1:9/nobody/nothing:7"), "{}", problem.detail);
    assert!(problem.detail.contains("check") || problem.detail.contains("docker login"), "{}", problem.detail);
    // Known and fine from the next revision on.
    let settings = FunctionSpec { image: "cares-test/upper:1".into(), ..FunctionSpec::default() };
    docked.client().replace("gone", &settings).expect("a new revision");
    assert_eq!(docked.call("gone", "back"), "BACK");
    assert_eq!(docked.function("gone").mode, Mode::Job);
}

#[test]
fn fifty_functions_started_at_once_all_answer() {
    let Some(mut docked) = Docked::start(1) else { return };
    let settings = || FunctionSpec { timeout_s: Some(120.0), ..FunctionSpec::default() };
    for n in 0..50 {
        docked.register_as(&format!("f{n}"), "echo", settings());
    }
    let calls: Vec<_> = (0..50).map(|n| docked.cluster.call_aside(&format!("f{n}"), &format!("call {n}"))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        let (status, text, _) = call.join().expect("an answer");
        assert_eq!((status, text), (200, format!("POST / HTTP/1.1\ncall {n}")), "f{n}");
    }
    assert_eq!(docked.containers(0).len(), 50);
    docked.leaves_none(0);
}

#[test]
fn a_container_gets_at_nothing_and_takes_only_what_it_may() {
    let Some(docked) = Docked::start(1) else { return };
    let isolation = Isolation { pids: Some(50), tmp_mb: Some(8), ..Default::default() };
    docked.register_as("attack", "attack", FunctionSpec { isolation: Some(isolation), ..Default::default() });
    assert_eq!(docked.call("attack", ""), "8 MiB of temporary files\nlimited processes\n");
    let open = Isolation { files: Some(Files::Open), ..isolation };
    docked.register_as("open", "attack", FunctionSpec { isolation: Some(open), ..Default::default() });
    let text = docked.call("open", "");
    assert!(text.contains("wrote to its root") && !text.contains("mounted") && !text.contains("engine"), "{text}");
}
