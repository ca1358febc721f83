//! What `cares doctor` and `cares version` say of a machine and of the cluster.

use super::*;

#[test]
fn version_and_doctor_look_at_this_machine_and_the_orchestrator() {
    let mut cluster = Cluster::start(1);
    let version = env!("CARGO_PKG_VERSION");
    let (status, out, _) = run(cares().arg("--version"));
    assert!(status.success() && out.starts_with(&format!("cares {version} (")), "{out}");
    let out = fine(&cluster, &["version"]);
    assert!(out.contains(&cluster.head.url()) && out.matches(version).count() == 2, "{out}");
    assert_eq!(json(&cluster, &["version", "-o", "json"])["orchestrator"]["role"], "orchestrator");
    assert_eq!(fine(&cluster, &["version", "-o", "name"]), format!("{version}\n"));

    // The default ports may be anyone's on the machine that tests.
    let doctor = |cluster: &Cluster, words: &[&str]| {
        let free = [("CARES_HTTP_ADDR", "127.0.0.1:0"), ("CARES_GRPC_ADDR", "127.0.0.1:0")];
        let data = cluster.dir.path().join("doctor");
        let (status, out, err) = run(cares()
            .arg("doctor")
            .args(words)
            .envs(free)
            .env("API_URL", cluster.head.url())
            .arg("--data-dir")
            .arg(data));
        (status.code(), out, err)
    };
    let (code, out, err) = doctor(&cluster, &[]);
    assert!(code == Some(0) && out.contains("answers at") && out.contains("1 of 1 active"), "{out}{err}");
    let (_, out, _) = doctor(&cluster, &["-o", "json"]);
    let checks: Value = serde_json::from_str(&out).expect("JSON");
    assert!(checks.as_array().expect("an array").iter().all(|check| check["status"] != "fail"), "{out}");
    cluster.workers[0].kill();
    cluster.wait_status("w1", "disconnected");
    let (code, out, _) = doctor(&cluster, &[]);
    assert!(
        code == Some(1) && out.contains("0 of 1 active") && out.contains("fix: add one with 'cares worker"),
        "{out}"
    );
    cluster.head.kill();
    let (code, out, _) = doctor(&cluster, &["-o", "name"]);
    assert_eq!((code, out.as_str()), (Some(1), "orchestrator\n"));
    let (code, out, _) = verb(&cluster, &["version"]);
    assert!(code == 0 && out.contains("unknown"), "its own version needs no orchestrator: {out}");
}

/// Each file and variable that a role may be given, wrong in each way: a line that names it, with its fix.
#[test]
fn doctor_says_what_is_wrong_with_files_and_variables() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
        path.to_str().expect("UTF-8").to_string()
    };
    let none = dir.path().join("none").to_str().expect("UTF-8").to_string();
    let (good, open) = (file("token", "a-good-token", 0o600), file("open", "a-good-token", 0o644));
    let (empty, cut) = (file("empty", "", 0o600), file("cut", "cares-join-1.cut-short", 0o600));
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = port.local_addr().expect("its address").to_string();
    let line = |check: &str, words: &[&str], env: &[(&str, &str)]| {
        let mut command = cares();
        command.envs([("CARES_HTTP_ADDR", "127.0.0.1:0"), ("CARES_GRPC_ADDR", "127.0.0.1:0")]);
        command.env("XDG_DATA_HOME", dir.path()).envs(env.iter().copied());
        let (status, out, err) = run(command.args(["doctor", "-o", "json", "--url", "http://127.0.0.1:9"]).args(words));
        let checks: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
        let failed = checks.iter().any(|check| check["status"] == "fail");
        assert_eq!(status.code(), Some(i32::from(failed)), "{out}");
        let line = checks.iter().find(|line| line["check"] == check).unwrap_or_else(|| panic!("no {check}: {out}"));
        assert_eq!(line.get("fix").is_some(), line["status"] != "ok", "{line}");
        line.clone()
    };
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        ("token", "ok", &["--token-file", &good], &[], &good),
        ("token", "ok", &[], &[("AUTH_TOKEN", "x")], "AUTH_TOKEN"),
        ("token", "warn", &["--token-file", &open], &[], "others than its owner"),
        ("token", "fail", &["--token-file", &none], &[], &none),
        ("token", "fail", &["--token-file", &empty], &[], "--token-file"),
        ("join token", "ok", &["--join-token-file", &good], &[], &good),
        ("join token", "fail", &["--join-token-file", &none], &[], &none),
        ("join token", "fail", &["--join-token-file", &cut], &[], "cut short"),
        ("join token", "fail", &[], &[("CARES_JOIN_TOKEN", "cares-join-1.cut-short")], "cut short"),
        ("authorities", "fail", &["--ca", &none], &[], &none),
        ("authorities", "fail", &[], &[("CARES_CA", &good)], "CARES_CA"),
        ("tls files", "fail", &["--tls-cert", &good], &[], "--tls-key"),
        ("tls files", "fail", &["--tls-cert", &none, "--tls-key", &good], &[], &none),
        ("tls files", "fail", &["--tls-cert", &good, "--tls-key", &good], &[], "--tls-cert"),
        ("data folder", "ok", &["--data-dir", &none], &[], "none can be written"),
        ("data folder", "fail", &["--data-dir", &good], &[], "no folder"),
        ("data folder", "fail", &["--data-dir", "/proc/cares"], &[], "/proc cannot be written"),
        ("http port", "fail", &[], &[("CARES_HTTP_ADDR", &taken)], "in use by another"),
        ("grpc port", "fail", &[], &[("CARES_GRPC_ADDR", &taken)], "in use by another"),
        ("http port", "fail", &[], &[("CARES_HTTP_ADDR", "192.0.2.1:80")], "192.0.2.1:80"),
        ("data folder", "fail", &["--data-dir", &good], &[], "is no folder"),
        ("docker engine", "warn", &[], &[("DOCKER_HOST", "tcp://x")], "tcp://x"),
        ("docker engine", "warn", &[], &[("DOCKER_HOST", "unix:///nowhere.sock")], "/nowhere.sock"),
        ("orchestrator", "fail", &[], &[], "http://127.0.0.1:9"),
        ("clock", "ok", &[], &[], "plausible"),
        ("open files", "ok", &[], &[], ""),
    ];
    for (check, status, words, env, says) in cases {
        let line = line(check, words, env);
        if *check == "open files" {
            continue; // as this machine is: that it has a line, and a fix where one is needed
        }
        assert_eq!(line["status"], *status, "{words:?} {env:?}: {line}");
        assert!(line["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{says}: {line}");
    }
}
