//! HTTPS at the front door, and what clients make of it.

use crate::harness::{Cluster, PATIENCE, Role, cares, invoke, own_ip, run, wait_for};
use crate::head::Head;
use cares::client::{Invoke, Later, Orchestrator};
use cares::errors::Error;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An authority, as an operator has one.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for an address and its key, as text.
    fn pair(&self, ip: IpAddr, until_year: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).expect("a name");
        params.subject_alt_names.push(SanType::IpAddress(ip));
        params.not_after = date_time_ymd(until_year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }

    /// Written to the folder's `cert.pem` and `key.pem`.
    pub fn write_pair(&self, dir: &Path, ip: IpAddr, until_year: i32) {
        let (certificate, key) = self.pair(ip, until_year);
        std::fs::write(dir.join("key.pem"), key).expect("written");
        std::fs::write(dir.join("cert.pem"), certificate).expect("written");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// An orchestrator that speaks HTTPS, with a worker.
struct Secure {
    cluster: Cluster,
    ca: Ca,
    ca_file: PathBuf,
    ip: IpAddr,
}

impl Secure {
    fn start(workers: usize) -> Secure {
        let (dir, ca, ip) = (TempDir::new().expect("a folder"), Ca::new(), own_ip());
        ca.write_pair(dir.path(), ip, 2100);
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, ca.pem()).expect("written");
        let own = format!("{ip}:0");
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let pair = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
        let head = Head::of(dir.path()).at(&own, &own).told(&pair).env("CARES_CA", &ca_file); // for its callbacks
        let head = head.start();
        let client = Orchestrator::new(&url(&head)).expect("a URL").ca(ca.pem().as_bytes()).expect("a certificate");
        let cluster = Cluster { workers: Vec::new(), head, client, dir }.with_workers(workers, &[]);
        Secure { cluster, ca, ca_file, ip }
    }

    fn address(&self) -> SocketAddr {
        self.cluster.head.ready("https").parse().expect("an address")
    }

    /// A verb that trusts its authority.
    fn verb(&self, args: &[&str]) -> (bool, String) {
        let (url, ca) = (url(&self.cluster.head), text(&self.ca_file));
        let (status, out, err) = run(cares().args(args).args(["--url", &url, "--ca", ca]));
        (status.success(), out + &err)
    }

    /// A connection over TLS, as a browser makes one.
    fn connect(&self) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        let der = rustls::pki_types::CertificateDer::from_pem_slice(self.ca.pem().as_bytes()).expect("PEM");
        roots.add(der).expect("a certificate");
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = rustls::pki_types::ServerName::from(self.ip);
        let connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).expect("a connection");
        let stream = TcpStream::connect(self.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        rustls::StreamOwned::new(connection, stream)
    }
}

fn url(head: &Role) -> String {
    format!("https://{}", head.ready("https"))
}

#[test]
fn everything_works_over_https() {
    let secure = Secure::start(1);
    let manifest = r#"{"mode":"http","command":["cares","demo-function","echo"]}"#;
    let folder = secure.cluster.folder("echo", manifest, &[]);
    let (fine, said) = secure.verb(&["deploy", text(&folder), "--name", "echo"]);
    assert!(fine && said.contains("https://"), "{said}");
    let (answer, body) = invoke(&secure.cluster.client, "echo", "hello");
    assert_eq!((answer.status, body.as_str()), (200, "hello"));
    let large = "x".repeat(3 << 20);
    assert!(invoke(&secure.cluster.client, "echo", &large).1 == large, "a large body comes back whole");
    let (fine, said) = secure.verb(&["invoke", "echo", "-d", "again"]);
    assert!(fine && said.contains("again"), "{said}");
    let (_, said) = secure.verb(&["doctor"]);
    assert!(said.contains("its certificate is good until 2100-01-01"), "{said}");
    let kept = secure.cluster.client.cluster().expect("an answer");
    assert!(kept.https && kept.nodes_until.is_some());
    let events = secure.cluster.client.past_events().expect("a stream").count();
    assert!(events > 0);
}

#[test]
fn who_is_not_trusted_is_told_what_to_do() {
    let secure = Secure::start(0);
    let url = url(&secure.cluster.head);
    let (status, _, err) = run(cares().args(["list", "--url", &url]));
    assert!(status.code() == Some(3) && err.contains("--ca FILE or CARES_CA"), "{err}");
    let other = Orchestrator::new(&url).expect("a URL").ca(Ca::new().pem().as_bytes()).expect("a certificate");
    assert!(matches!(other.version(), Err(Error::Untrusted { .. })));
    let (status, out, _) = run(cares().args(["version", "--url", &url]).env("CARES_CA", &secure.ca_file));
    assert!(status.success(), "{out}");
    let named = url.replace(&secure.ip.to_string(), "127.0.0.1");
    let nobody = Orchestrator::new(&named).expect("a URL").ca(secure.ca.pem().as_bytes()).expect("a certificate");
    let told = nobody.version().expect_err("nobody listens there, or it is for another name").to_string();
    assert!(told.contains("127.0.0.1"), "{told}");
    let (status, _, err) = run(cares().args(["list", "--url", &url, "--ca", "/nowhere.pem"]));
    assert!(status.code() == Some(2) && err.contains("--ca /nowhere.pem"), "{err}");
}

#[test]
fn plain_http_is_told_to_use_https() {
    let secure = Secure::start(0);
    let plain = Orchestrator::new(&url(&secure.cluster.head).replace("https", "http")).expect("a URL");
    let error = plain.version().expect_err("it is refused");
    assert_eq!((error.status(), error.code()), (Some(400), "https_only"));
}

#[test]
fn garbage_and_half_handshakes_end_and_hold_nobody_up() {
    let secure = Secure::start(0);
    let mut halves: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(secure.address()).expect("a connection");
            stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).expect("sent");
            stream
        })
        .collect();
    for garbage in [
        &b"\x16\x03\x01\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x00\x01\x02",
        b"\x16\x03\x01\x00\x05\x99aaaa",
        b"\xff",
    ] {
        let mut stream = TcpStream::connect(secure.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.write_all(garbage).expect("sent");
        let _ = stream.read_to_end(&mut Vec::new()).inspect_err(|e| {
            assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "{garbage:?} is held on to");
        });
    }
    assert!(secure.cluster.client.version().is_ok(), "others are served meanwhile");
    for half in &mut halves {
        half.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let _ = half.read_to_end(&mut Vec::new()).inspect_err(|e| {
            assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "a half handshake is held on to");
        });
    }
}

#[test]
fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let secure = Secure::start(0);
    let get = |stream: &mut rustls::StreamOwned<rustls::ClientConnection, TcpStream>| {
        let host = secure.ip;
        stream.write_all(format!("HEAD /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200"));
        stream.conn.peer_certificates().expect("one")[0].to_vec()
    };
    let mut before = secure.connect();
    let first = get(&mut before);
    secure.ca.write_pair(secure.cluster.dir.path(), secure.ip, 2090);
    wait_for("new connections get the new certificate", || get(&mut secure.connect()) != first);
    assert_eq!(get(&mut before), first, "the old connection goes on");
    let second = get(&mut secure.connect());
    std::fs::write(secure.cluster.dir.path().join("cert.pem"), "nonsense").expect("written");
    wait_for("it is told", || {
        get(&mut secure.connect());
        secure.cluster.head.log().contains("--tls-cert")
    });
    assert_eq!(get(&mut secure.connect()), second, "the good one is kept");
}

#[test]
fn an_expired_certificate_is_named() {
    let secure = Secure::start(0);
    secure.ca.write_pair(secure.cluster.dir.path(), secure.ip, 2020);
    let fresh =
        || Orchestrator::new(&url(&secure.cluster.head)).expect("a URL").ca(secure.ca.pem().as_bytes()).expect("one");
    wait_for("clients refuse it, and say why", || {
        fresh().version().is_err_and(|e| e.to_string().contains("has expired"))
    });
    let (_, said) = secure.verb(&["list"]);
    assert!(said.contains("has expired"), "{said}");
}

#[test]
fn bad_files_are_refused_at_the_start() {
    let dir = TempDir::new().expect("a folder");
    let ca = Ca::new();
    ca.write_pair(dir.path(), own_ip(), 2100);
    let file = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_string();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    std::fs::write(file("other.pem"), KeyPair::generate().expect("a key").serialize_pem()).expect("written");
    let start = |args: &[&str]| {
        let data = file("data");
        let own = format!("{}:0", own_ip());
        let all = ["orchestrator", "--headless", "--http-addr", &own, "--grpc-addr", &own, "--data-dir", &data];
        let (status, _, err) = run(cares().args(all).args(args));
        assert!(!status.success());
        err
    };
    for (args, says) in [
        (&["--tls-cert", &certificate][..], "--tls-cert is given without --tls-key"),
        (&["--tls-key", &key], "--tls-key is given without --tls-cert"),
        (&["--tls-cert", "/nowhere", "--tls-key", &key], "--tls-cert /nowhere: cannot be read"),
        (&["--tls-cert", &key, "--tls-key", &key], "there is no certificate in it"),
        (&["--tls-cert", &certificate, "--tls-key", &certificate], "there is no private key in it"),
        (&["--tls-cert", &certificate, "--tls-key", &file("other.pem")], "is not the key of"),
    ] {
        let err = start(args);
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

#[test]
fn a_callback_over_https_is_made_to_who_is_trusted() {
    let (secure, stranger) = (Secure::start(1), Secure::start(0));
    let folder = secure.cluster.folder("cat", r#"{"mode":"job","command":["cat"]}"#, &[]);
    let (fine, said) = secure.verb(&["deploy", text(&folder), "--name", "cat"]);
    assert!(fine, "{said}");
    let client = &secure.cluster.client;
    let call = |to: &Role| {
        let later = Later { callback: Some(format!("{}/invoke/cat", url(to))), ..Later::default() };
        client.invoke_later("cat", Invoke { method: "POST".into(), ..Invoke::default() }, later).expect("taken").id
    };
    let callback = |id: &str| client.call(id).expect("a call").callback.expect("a callback");
    let (good, bad) = (call(&secure.cluster.head), call(&stranger.cluster.head));
    wait_for("it is delivered", || callback(&good).status == "delivered");
    let refused = || callback(&bad).last_error.is_some_and(|why| why.contains("not trusted"));
    wait_for("the stranger gets nothing", refused);
}
