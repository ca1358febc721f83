//! Limits that are fixed and no setting lowers: each is filled from behind, and then asked for one more.

use super::later::wait_for;
use crate::auth::{Caller, Gate};
use crate::client;
use crate::clock;
use crate::hidden::Hidden;
use crate::orchestrator::audit::Audit;
use crate::orchestrator::events::{EventLog, Told};
use crate::orchestrator::identities::{IDENTITIES_MAX, Identities, Stranger};
use crate::orchestrator::store::{EVENTS_KEPT, Identity, Secret, Store, Token};
use crate::orchestrator::tokens::{self, TOKENS_MAX, Tokens};
use crate::orchestrator::{self, secrets};
use crate::ring::Next;
use crate::rt;
use crate::tls::{Authority, MadeKey};
use crate::types::{Event, JoinTokenSpec, TokenSpec};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

fn open(dir: &TempDir) -> (Arc<Store>, Arc<Audit>) {
    let (store, ..) = Store::open(dir.path()).unwrap();
    let store = Arc::new(store);
    let events = Arc::new(EventLog::new(0, Vec::new(), store.clone()));
    (store.clone(), Arc::new(Audit { store, events }))
}

#[test]
fn tokens_and_their_scopes_are_counted() {
    let dir = TempDir::new().unwrap();
    let (store, audit) = open(&dir);
    let token = |n: usize| Token {
        name: format!("kept-{n}"),
        scopes: vec!["read".into()],
        digest: format!("{n:064x}"),
        created_unix_ms: 0,
        created_by: None,
        expires_unix_ms: None,
        rate_per_s: None,
    };
    let kept = (1..TOKENS_MAX).map(|n| (format!("t-{n}"), token(n))).collect();
    let tokens = Tokens::new(Gate::new(None), audit, kept);
    let make = |name: &str, scopes: usize| {
        let spec = TokenSpec { name: name.into(), scopes: vec!["admin".into(); scopes], ..TokenSpec::default() };
        tokens.create(spec, &Caller::default())
    };
    assert!(matches!(make("wide", 65), Err(tokens::Refused::Field { field: "scopes", .. })));
    make("last", 64).expect("the last there is room for");
    assert!(matches!(make("more", 1), Err(tokens::Refused::TooMany)));
    tokens.revoke("kept-7", &Caller::default()).expect("revoked");
    make("more", 1).expect("room again");
    store.close();
}

#[test]
fn nodes_with_a_certificate_are_counted() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(&dir);
    let authority = Authority::open(dir.path(), "c1", Duration::from_secs(3_600)).unwrap();
    let kept = (1..IDENTITIES_MAX).map(|n| (format!("n-{n}"), Identity::default())).collect();
    let identities = Identities::new("c1", authority, store.clone(), kept).unwrap();
    let key = MadeKey::new().unwrap();
    let enroll = |node| rt::block_on(identities.enroll(node, "secret", key.public(), None));
    enroll("last").expect("the last there is room for");
    assert!(matches!(enroll("more"), Err(Stranger::TooMany)));
    enroll("last").expect("who is there gets another");
    store.close();
}

#[test]
fn secrets_are_counted() {
    let dir = TempDir::new().unwrap();
    let running = orchestrator::start(&super::config(dir.path())).unwrap();
    let app = running.app.clone();
    let there = Secret { version: 1, created_unix_ms: 0, updated_unix_ms: 0, updated_by: None, sealed: String::new() };
    app.secrets.add(&(1..1_000).map(|n| (format!("kept-{n}"), there.clone())).collect::<Vec<_>>());
    let set = |name| app.secrets.set(&app.state, name, &Hidden::new(b"value".to_vec()), &Caller::default());
    set("last").expect("the last there is room for");
    assert!(matches!(set("more"), Err(secrets::Refused::TooMany)));
    set("last").expect("one that is there gets another value");
    running.stop();
}

/// How many of those told are no longer there, to who has read the first.
fn missed(events: &EventLog) -> u64 {
    match rt::block_on(events.follow(Some(1)).next()) {
        Next::Missed(count) => count,
        Next::Entries(_) => 0,
    }
}

#[test]
fn events_are_kept_by_number_and_bytes_in_memory_and_on_disk() {
    let dir = TempDir::new().unwrap();
    let (store, audit) = open(&dir);
    let tell = |times: usize, bytes: usize| {
        let told = Told { kind: "test.told", level: "info", message: "x".repeat(bytes), ..Told::default() };
        (0..times).for_each(|_| audit.events.add(&told));
        rt::block_on(store.all_kept()).unwrap();
    };
    tell(EVENTS_KEPT, 1);
    assert_eq!(missed(&audit.events), 0);
    tell(50, 1);
    assert_eq!((EVENTS_KEPT, missed(&audit.events)), (10_000, 49));
    store.close();
    drop((store, audit));
    let (store, _, kept) = Store::open(dir.path()).unwrap();
    let ids = |events: &[Event]| (events.first().map(|e| e.id), events.len());
    assert_eq!(ids(&kept.events), (Some(51), 10_000));
    let events = EventLog::new(0, Vec::new(), Arc::new(store));
    let large = Told { kind: "test.told", level: "info", message: "x".repeat(1 << 20), ..Told::default() };
    (0..15).for_each(|_| events.add(&large));
    assert_eq!(missed(&events), 0);
    (0..5).for_each(|_| events.add(&large));
    assert_eq!(missed(&events), 4, "15 and what is around each are 16 MiB");
}

#[test]
fn workers_that_are_refused_are_told_of_once_a_second() {
    let dir = TempDir::new().unwrap();
    let running = orchestrator::start(&super::config(dir.path())).unwrap();
    let app = running.app.clone();
    let before = clock::now();
    (0..1_000).for_each(|n| app.tell_worker_refused(([127, 0, 0, 1], n).into(), "no"));
    let seconds = before.elapsed().as_secs() + 1;
    let Next::Entries(told) = rt::block_on(app.events.follow(Some(0)).next()) else { panic!("all are kept") };
    let refused = told.iter().filter(|(_, event)| event.kind == "node.refused").count() as u64;
    assert!((1..=seconds).contains(&refused), "{refused} in {seconds} s");
    running.stop();
}

#[test]
fn a_backup_has_so_many_bytes_and_one_is_restored_at_a_time() {
    let dir = TempDir::new().unwrap();
    let running = orchestrator::start(&super::config(dir.path())).unwrap();
    let client = client::Orchestrator::new(&format!("http://{}", running.http)).unwrap();
    let restore = |bytes: u64| {
        let refused = client.restore(&mut std::io::repeat(0).take(bytes), Some(bytes)).expect_err("refused");
        (refused.status().unwrap_or(0), refused.code().to_string())
    };
    assert_eq!(restore((16 << 30) + 1), (413, "too_large".into()));
    assert_eq!(restore(10), (400, "invalid_backup".into()));
    let mut other = TcpStream::connect(running.http).unwrap();
    let (at, asks) = (running.http, "Content-Length: 100\r\nExpect: 100-continue");
    write!(other, "POST /restore HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/x-tar\r\n{asks}\r\n\r\n").unwrap();
    let mut word = [0; 12];
    other.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"HTTP/1.1 100", "its turn has come, and its body does not");
    assert_eq!(restore(10), (409, "backup_busy".into()));
    drop(other);
    wait_for("it is given up", || restore(10).0 == 400);
    running.stop();
}

#[test]
fn join_tokens_and_certificates_last_as_long_as_is_said() {
    let dir = TempDir::new().unwrap();
    let config = super::config(dir.path());
    assert_eq!(config.certificate_life, Duration::from_secs(30 * 86_400));
    let running = orchestrator::start(&config).unwrap();
    let client = client::Orchestrator::new(&format!("http://{}", running.http)).unwrap();
    let spec =
        |name: &str, scope: &str| TokenSpec { name: name.into(), scopes: vec![scope.into()], ..Default::default() };
    let admin = client.create_token(&spec("admin", "admin")).unwrap().secret; // the door is closed from now on
    let client = client.token(&admin);
    let made = client.create_join_token(&JoinTokenSpec::default()).unwrap();
    let until = made.token.expires_at.unwrap();
    let told = [0, 1_000].map(|ms| clock::rfc3339(clock::unix_ms() + 86_400_000 - ms));
    assert!(told.iter().any(|time| time[..16] == until[..16]), "{until}, not {told:?}");
    running.stop();
}
