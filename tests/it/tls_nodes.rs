//! Nodes over TLS: join tokens, certificates, who may speak for whom, and who is not let in again.

use crate::harness::{Cluster, Role, cares, own_ip, run, wait_for, wait_for_some};
use crate::head::Head;
use crate::wire;
use cares::client::Orchestrator;
use cares::types::JoinTokenSpec;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

const ADMIN: &str = "the-operators-own-token-0815";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// An orchestrator that asks for tokens. `life`: of its certificates, in seconds.
fn guarded_at(listen: &str, life: Option<u64>) -> Cluster {
    let dir = TempDir::new().expect("a folder");
    let mut cluster = head(dir.path(), life).at(listen, listen).alone(dir);
    cluster.client = cluster.client.token(ADMIN);
    cluster
}

fn head(dir: &Path, life: Option<u64>) -> Head {
    let head = Head::of(dir).guarded(ADMIN);
    life.into_iter().fold(head, |head, s| head.env("CARES_CERTIFICATE_S", s.to_string()))
}

fn guarded() -> Cluster {
    guarded_at(&format!("{}:0", own_ip()), None)
}

/// A file with a new join token.
fn join_token(cluster: &Cluster) -> PathBuf {
    let made = cluster.client.create_join_token(&JoinTokenSpec::default()).expect("a token");
    assert!(made.secret.starts_with("cares-join-1.") && made.token.expires_at.is_some(), "{:?}", made.token);
    file(cluster, &made.token.name, &made.secret)
}

fn file(cluster: &Cluster, name: &str, text: &str) -> PathBuf {
    let path = cluster.dir.path().join(name);
    std::fs::write(&path, text).expect("written");
    path
}

/// A worker that joins by join token.
fn add(cluster: &mut Cluster, name: &str) {
    let token = join_token(cluster);
    cluster.add_worker(name, &["--join-token-file", text(&token)]);
}

/// What a worker says that is not let in.
fn refused(cluster: &Cluster, folder: &str, args: &[&str]) -> String {
    refused_at(cluster, cluster.head.ready("grpc"), folder, args)
}

fn refused_at(cluster: &Cluster, at: &str, folder: &str, args: &[&str]) -> String {
    let dir = cluster.dir.path().join(folder);
    let all = ["worker", at, "--headless", "--worker-addr", "127.0.0.1:0", "--data-dir", text(&dir)];
    let (status, _, err) = run(cares().args(all).args(args));
    assert!(!status.success(), "{err}");
    err
}

fn deploy(cluster: &Cluster) {
    let folder = cluster.folder("echo", r#"{"mode":"http","command":["cares","demo-function","echo"]}"#, &[]);
    let mut deploy = cares();
    deploy.arg("deploy").arg(&folder).args(["--name", "echo", "--url", &cluster.head.url()]).env("AUTH_TOKEN", ADMIN);
    let (status, out, err) = run(&mut deploy);
    assert!(status.success(), "{out}{err}");
}

fn kinds(cluster: &Cluster) -> Vec<String> {
    let events = cluster.client.past_events().expect("a stream");
    events.map(|event| event.expect("an event").kind).collect()
}

#[test]
fn a_worker_joins_by_join_token_and_needs_none_again() {
    let mut cluster = guarded();
    add(&mut cluster, "w1");
    deploy(&cluster);
    assert_eq!(cluster.call("echo", "over TLS"), (200, "over TLS".into()));
    let large = "y".repeat(5 << 20);
    assert!(cluster.call("echo", &large).1 == large);
    let kept = cluster.dir.path().join("w1/node.pem");
    assert_eq!(std::fs::metadata(&kept).expect("it is kept").permissions().mode() & 0o777, 0o600);
    let own = Orchestrator::new(&cluster.workers[0].url()).expect("a URL").member().expect("an answer");
    assert!(own.certificate_until.is_some());
    assert!(kinds(&cluster).contains(&"node.enrolled".to_string()));

    cluster.restart_worker(0, "w1", &[]); // without a token
    assert_eq!(cluster.call("echo", "again"), (200, "again".into()));
    cluster.head.kill();
    cluster.head = head(cluster.dir.path(), None).at_those_of(&cluster.head).start();
    cluster.wait_linked("w1");
    assert_eq!(cluster.call("echo", "once more"), (200, "once more".into()));

    // From now on it is taken with its certificate alone.
    cluster.workers.clear();
    std::fs::remove_file(&kept).expect("removed");
    let admin = file(&cluster, "admin", ADMIN);
    let told = refused(&cluster, "w1", &["--join-token-file", text(&admin)]);
    assert!(told.contains("over TLS alone") && told.contains("cares token join"), "{told}");
}

#[test]
fn an_id_with_a_certificate_cannot_be_registered_over_http() {
    let mut cluster = guarded();
    add(&mut cluster, "w1");
    let id = cluster.client.node("w1").expect("it").id;
    cluster.workers.clear();
    let register = |cluster: &Cluster| {
        let body = format!(
            r#"{{"workerNode":{{"id":"{id}","endpoint":"http://{}:9","capabilities":{{"maxParallelModules":1}}}}}}"#,
            own_ip()
        );
        let token = [("Authorization", format!("Bearer {ADMIN}"))];
        let headers: Vec<(&str, &str)> = token.iter().map(|(name, value)| (*name, value.as_str())).collect();
        wire::ask(cluster.head.http(), "POST", "/api/workers/register", &headers, body.as_bytes())
    };
    register(&cluster).problem(403, "worker_not_yours");
    cluster.head.kill();
    cluster.head = head(cluster.dir.path(), None).at_those_of(&cluster.head).start(); // it knows the certificate, and no node
    let why = register(&cluster).problem(403, "worker_not_yours");
    assert!(why.contains(&id), "{why}");
}

#[test]
fn another_fingerprint_or_an_unknown_secret_is_refused() {
    let cluster = guarded();
    let token = std::fs::read_to_string(join_token(&cluster)).expect("a token");
    let (fingerprint, secret) = token.strip_prefix("cares-join-1.").and_then(|t| t.split_once('.')).expect("its parts");
    let other: String = fingerprint.chars().rev().collect::<String>().replace(|c: char| !c.is_alphanumeric(), "A");
    let other = format!("A{}A", &other[1..42]); // the last letter has few bits
    let forged = file(&cluster, "forged", &format!("cares-join-1.{other}.{secret}"));
    let told = refused(&cluster, "forged-data", &["--join-token-file", text(&forged)]);
    assert!(told.contains("another fingerprint") && told.contains("in between"), "{told}");
    let wrong = file(&cluster, "wrong", &format!("cares-join-1.{fingerprint}.cares_0123"));
    let told = refused(&cluster, "wrong-data", &["--join-token-file", text(&wrong)]);
    assert!(told.contains("not known here"), "{told}");
    let short = file(&cluster, "short", &token[..40]);
    let told = refused(&cluster, "short-data", &["--join-token-file", text(&short)]);
    assert!(told.contains("cut short"), "{told}");
}

#[test]
fn whoever_stands_in_between_is_not_believed() {
    let mut cluster = guarded();
    let between = guarded(); // it answers as an orchestrator does, with an authority of its own
    let token = join_token(&cluster);
    let told = refused_at(&cluster, between.head.ready("grpc"), "new", &["--join-token-file", text(&token)]);
    assert!(told.contains("another fingerprint"), "{told}");
    add(&mut cluster, "w1");
    cluster.workers.clear();
    let told = refused_at(&cluster, between.head.ready("grpc"), "w1", &[]);
    assert!(told.contains("another fingerprint"), "{told}");
    assert!(between.client.nodes().expect("nodes").is_empty(), "it learned nothing that it could join with");
}

#[test]
fn a_worker_cannot_speak_for_another() {
    let mut cluster = guarded();
    add(&mut cluster, "w1");
    add(&mut cluster, "w2");
    cluster.workers.clear();
    let of = |worker: &str, name: &str| cluster.dir.path().join(worker).join(name);
    for name in ["node-id", "node-secret"] {
        std::fs::copy(of("w1", name), of("w2", name)).expect("copied");
    }
    let told = refused(&cluster, "w2", &[]);
    assert!(told.contains("cannot speak for"), "{told}");
    // Nor does a join token make it another: that one's secret is its own.
    std::fs::remove_file(of("w2", "node.pem")).expect("removed");
    std::fs::write(of("w2", "node-secret"), "guessed").expect("written");
    let token = join_token(&cluster);
    let told = refused(&cluster, "w2", &["--join-token-file", text(&token)]);
    assert!(told.contains("does not have its secret"), "{told}");
}

#[test]
fn a_revoked_node_is_out_at_once_and_for_good() {
    let mut cluster = guarded();
    add(&mut cluster, "w1");
    let url = cluster.head.url();
    let verb = |args: &[&str]| run(cares().args(args).args(["--url", &url]).env("AUTH_TOKEN", ADMIN));
    let (status, out, err) = verb(&["node", "revoke", "w1", "--yes"]);
    assert!(status.success() && (out.clone() + &err).contains("cares token list"), "{out}{err}");
    assert_eq!(cluster.client.node("w1").expect("a node").status, "revoked");
    let (_, out, _) = verb(&["node", "list"]);
    assert!(out.contains("revoked"), "{out}");
    let told = |cluster: &Cluster| cluster.workers[0].log().contains("was revoked");
    wait_for("its worker hears of it", || told(&cluster));
    cluster.workers.clear();
    let token = join_token(&cluster);
    for args in [&[][..], &["--join-token-file", text(&token)]] {
        let told = refused(&cluster, "w1", args);
        assert!(told.contains("was revoked"), "{told}");
    }
    cluster.head.kill();
    cluster.head = head(cluster.dir.path(), None).at_those_of(&cluster.head).start();
    assert_eq!(cluster.client.node("w1").expect("a node").status, "revoked");
    cluster.client.remove_node("w1").expect("removed");
    assert!(refused(&cluster, "w1", &["--join-token-file", text(&token)]).contains("was revoked"));
    std::fs::remove_file(cluster.dir.path().join("w1/node.pem")).expect("removed");
    assert!(refused(&cluster, "w1", &["--join-token-file", text(&token)]).contains("was revoked"));
    let told = cluster.client.past_events().expect("a stream");
    let told = told.map(|event| event.expect("an event")).find(|event| event.kind == "node.revoked");
    assert_eq!(told.expect("it is told").actor.as_deref(), Some("AUTH_TOKEN"));
}

#[test]
fn certificates_are_renewed_while_the_worker_is_a_member() {
    let mut cluster = guarded_at(&format!("{}:0", own_ip()), Some(6));
    add(&mut cluster, "w1");
    let until = |cluster: &Cluster| {
        let own = Orchestrator::new(&cluster.workers[0].url()).expect("a URL").member().expect("an answer");
        own.certificate_until.expect("one")
    };
    let first = until(&cluster);
    wait_for("it is renewed", || until(&cluster) != first);
    let second = until(&cluster);
    wait_for("and again", || until(&cluster) != second);
    let kinds = kinds(&cluster);
    assert!(kinds.contains(&"node.renewed".to_string()), "{kinds:?}");
    assert!(!kinds.contains(&"node.lost".to_string()), "{kinds:?}");
    cluster.restart_worker(0, "w1", &[]);
}

#[test]
fn a_worker_cut_off_until_its_certificate_has_expired_joins_by_token_again() {
    let mut cluster = guarded_at(&format!("{}:0", own_ip()), Some(3));
    add(&mut cluster, "w1");
    cluster.workers.clear();
    let kept = cluster.dir.path().join("w1/node.pem");
    let made = std::fs::metadata(&kept).expect("it is kept").modified().expect("its time");
    wait_for("it has expired", || SystemTime::now().duration_since(made).is_ok_and(|age| age.as_secs() >= 5));
    let told = refused(&cluster, "w1", &[]);
    assert!(told.contains("has expired") && told.contains("cares token join"), "{told}");
    add(&mut cluster, "w1");
}

/// This machine's address on its network, if it is on one.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?; // nothing is sent
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn from_another_machine_nodes_join_over_tls_alone() {
    let Some(ip) = outward() else { return eprintln!("skipped: this machine has no address but loopback") };
    let mut cluster = guarded_at("0.0.0.0:0", None);
    let port = |key: &str| cluster.head.ready(key).rsplit_once(':').expect("a port").1.to_string();
    let (grpc, http) = (format!("{ip}:{}", port("grpc")), port("http"));
    cluster.client = Orchestrator::new(&format!("http://127.0.0.1:{http}")).expect("a URL").token(ADMIN);
    let admin = file(&cluster, "admin", ADMIN);
    let told = refused_at(&cluster, &grpc, "plain", &["--join-token-file", text(&admin)]);
    assert!(told.contains("over TLS") && told.contains("cares token join"), "{told}");
    let token = join_token(&cluster);
    let data = cluster.dir.path().join("w1");
    let args = ["worker", &grpc, "--name", "w1", "--worker-addr", "127.0.0.1:0", "--data-dir", text(&data)];
    let worker = Role::start(&[&args[..], &["--join-token-file", text(&token)]].concat());
    cluster.wait_linked("w1");
    drop(worker);
    wait_for_some("it is told", || kinds(&cluster).contains(&"node.refused".to_string()).then_some(()));
}

#[test]
fn up_beyond_loopback_needs_nothing_said() {
    let Some(ip) = outward() else { return eprintln!("skipped: this machine has no address but loopback") };
    let dir = TempDir::new().expect("a folder");
    let grpc = format!("{ip}:0");
    let args = ["up", "--http-addr", "127.0.0.1:0", "--grpc-addr", &grpc, "--data-dir", text(dir.path())];
    let both = Role::start_with(&args, |command| {
        command.env("AUTH_TOKEN", ADMIN);
    });
    let client = Orchestrator::new(&both.url()).expect("a URL").token(ADMIN);
    assert_eq!(client.nodes().expect("nodes").len(), 1);
}

#[test]
fn garbage_on_the_port_of_nodes_ends() {
    use std::io::{Read, Write};
    let cluster = guarded();
    for garbage in [&b"\x16\x03\x01\xff\xff\xff\xff\xff\xff\xff"[..], b"\x16\x03\x01\x00\x05\x99aaaa", b"\x16"] {
        let mut stream = std::net::TcpStream::connect(cluster.head.ready("grpc")).expect("a connection");
        stream.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a time limit");
        stream.write_all(garbage).expect("sent");
        let _ = stream.read_to_end(&mut Vec::new()).inspect_err(|e| {
            assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "{garbage:?} is held on to");
        });
    }
    assert!(cluster.client.version().is_ok());
}
