//! Engines that cannot be used: the node says why, does what it can without, and recovers by itself. Most need no engine.

use super::{Docked, containers_of, docker};
use crate::harness::{Cluster, Role, wait_for};
use std::os::unix::fs::symlink;

/// A worker that looks for its engine at a socket.
fn worker(cluster: &mut Cluster, name: &str, socket: &str, args: &[&str]) {
    let dir = cluster.dir.path().join(name);
    let mut all = vec!["worker", cluster.head.ready("grpc"), "--name", name, "--worker-addr", "127.0.0.1:0"];
    all.extend(["--data-dir", dir.to_str().expect("UTF-8")]);
    all.extend(args);
    let worker = Role::start_with(&all, |command| {
        command.env("DOCKER_HOST", socket);
    });
    cluster.wait_linked(name);
    cluster.workers.push(worker);
}

fn register(cluster: &Cluster, name: &str) {
    let spec = cares::types::FunctionSpec {
        name: name.into(),
        image: "cares-test/upper:1".into(),
        ..cares::types::FunctionSpec::default()
    };
    cluster.client.register(&spec).expect("registered");
}

#[test]
fn a_node_whose_engine_is_not_there_says_so_and_runs_bundles() {
    let mut cluster = Cluster::start(0);
    worker(&mut cluster, "w1", "unix:///nowhere/docker.sock", &[]);
    let node = cluster.client.node("w1").expect("the node");
    assert_eq!(node.engines, ["process"]);
    for says in ["/nowhere/docker.sock does not exist", "DOCKER_HOST"] {
        assert!(node.engine_trouble.contains(says), "{}", node.engine_trouble);
    }
    register(&cluster, "image");
    let problem = cluster.problem("image", "");
    assert_eq!(problem.status, 503, "{}", problem.detail);
    assert!(problem.detail.contains("/nowhere/docker.sock does not exist"), "{}", problem.detail);
    assert!(problem.detail.contains("w1"), "it says which node: {}", problem.detail);
    cluster.deploy_script("bundle", "cat");
    assert_eq!(cluster.call("bundle", "works"), (200, "works".into()));
}

#[test]
fn an_engine_elsewhere_is_refused_with_what_to_give() {
    let mut cluster = Cluster::start(0);
    worker(&mut cluster, "w1", "tcp://10.0.0.1:2375", &[]);
    let node = cluster.client.node("w1").expect("the node");
    assert_eq!(node.engines, ["process"]);
    for says in ["tcp://10.0.0.1:2375", "unix:///PATH"] {
        assert!(node.engine_trouble.contains(says), "{}", node.engine_trouble);
    }
}

#[test]
fn engine_process_ignores_docker() {
    let mut cluster = Cluster::start(0);
    worker(&mut cluster, "w1", "unix:///nowhere/docker.sock", &["--engine", "process"]);
    // Also where there is one.
    let plain = cluster.start_worker("w2", &["--engine", "process"]);
    cluster.workers.push(plain);
    cluster.wait_linked("w2");
    for name in ["w1", "w2"] {
        let node = cluster.client.node(name).expect("the node");
        assert_eq!((node.engines, node.engine_trouble.as_str()), (vec!["process".to_string()], ""), "{name}");
    }
    register(&cluster, "image");
    let problem = cluster.problem("image", "");
    assert_eq!(problem.status, 503, "{}", problem.detail);
    assert!(problem.detail.contains("container engine"), "{}", problem.detail);
}

#[test]
fn engine_docker_takes_no_bundles_and_is_in_trouble_without_one() {
    let mut cluster = Cluster::start(0);
    worker(&mut cluster, "w1", "unix:///nowhere/docker.sock", &["--engine", "docker"]);
    let node = cluster.client.node("w1").expect("the node");
    assert!(node.engines.is_empty(), "{:?}", node.engines);
    assert!(node.engine_trouble.contains("/nowhere/docker.sock"), "{}", node.engine_trouble);
    cluster.deploy_script("bundle", "cat");
    let problem = cluster.problem("bundle", "");
    assert_eq!(problem.status, 503, "{}", problem.detail);
}

#[test]
fn an_engine_that_comes_and_goes_is_used_while_it_is_there() {
    let Some(mut docked) = Docked::start(0) else { return };
    let socket = docked.cluster.dir.path().join("docker.sock");
    let appear = || symlink("/var/run/docker.sock", &socket).expect("a link");
    let vanish = || std::fs::remove_file(&socket).expect("no link");
    worker(&mut docked.cluster, "w1", &format!("unix://{}", socket.display()), &[]);
    docked.nodes.push(docked.cluster.workers[0].ready("node").to_string());
    let trouble = |docked: &Docked| docked.client().node("w1").expect("the node").engine_trouble;
    assert!(trouble(&docked).contains("does not exist"), "{}", trouble(&docked));
    docked.register("job", "upper");
    docked.register("http", "echo");
    docked.cluster.deploy_script("bundle", "cat");
    for round in 1..=2 {
        appear();
        docked.wait_docked("w1");
        assert_eq!(trouble(&docked), "");
        assert_eq!(docked.call("job", "works"), "WORKS");
        docked.call("http", "works");
        wait_for("one container is left of all", || docked.containers(0).len() == 1);
        let id = docked.container(0);

        vanish();
        wait_for("the node says that its engine is gone", || trouble(&docked).contains("does not exist"));
        assert_eq!(docked.client().node("w1").expect("the node").engines, ["process"], "round {round}");
        let problem = docked.problem("job");
        assert_eq!(problem.status, 503, "{}", problem.detail);
        assert!(problem.detail.contains("does not exist"), "{}", problem.detail);
        assert_eq!(docked.call("bundle", "works"), "works");
        wait_for("what ran there is taken for lost", || docked.function("http").instances.is_empty());

        appear();
        wait_for("what was taken for lost is removed", || !containers_of(&docked.nodes[0]).contains(&id));
        docked.wait_docked("w1");
        docked.call("http", "works again");
        docker(&["rm", "--force", &docked.container(0)]);
        wait_for("its end is noticed", || docked.function("http").instances.is_empty());
        vanish();
        wait_for("the node says so again", || trouble(&docked).contains("does not exist"));
    }
}

#[test]
fn an_app_that_only_its_container_reaches_is_told_so_before_its_callers_time_is_over() {
    let Some(site) = Docked::start(1) else { return };
    site.register("inward", "inward");
    let problem = site.cluster.problem("inward", "");
    for part in ["within 20 s on port 8080", "127.0.0.1", "0.0.0.0"] {
        assert!(problem.status == 502 && problem.detail.contains(part), "no {part}: {problem:?}");
    }
}
