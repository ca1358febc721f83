//! Bundles as strangers send them: what is no good is refused in its own words, and leaves nothing behind.

use crate::harness::{Cluster, wait_for};
use crate::wire::{ask, connect, exchange, get, head, post, put};
use cares::errors::Error;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;

#[path = "../../src/bundle/by_hand.rs"]
mod by_hand;

pub use by_hand::{Entry, zip};

/// A file that may be run.
pub fn file(name: &str, body: &str) -> Entry {
    by_hand::file(name, body, 0o755)
}

fn manifest() -> Entry {
    file("function.json", r#"{"command":["./run.sh"]}"#)
}

/// Zeros, 258 for every 13 bits (deflate's fixed codes: length 258, distance 1), ever on.
fn zeros(times: usize) -> Vec<u8> {
    let mut bits = vec![false, true, false]; // not the last block; fixed codes
    bits.extend([false, false, true, true, false, false, false, false]); // the byte 0
    let again = [true, true, false, false, false, true, false, true, false, false, false, false, false];
    let mut bytes = Vec::with_capacity(times * 13 / 8 + 8);
    for _ in 0..8 {
        bits.extend(again);
    }
    let first = bits.len() % 8;
    bits.extend(&again[..(8 - first) % 8]);
    let byte = |bits: &[bool]| bits.iter().rev().fold(0u8, |byte, bit| byte << 1 | u8::from(*bit));
    bytes.extend(bits.chunks(8).map(byte));
    // From here on the pattern repeats every 8 copies, which are 13 whole bytes.
    let mut repeated: Vec<bool> = again.repeat(9)[(8 - first) % 8..].to_vec();
    repeated.truncate(8 * 13);
    let repeated: Vec<u8> = repeated.chunks(8).map(byte).collect();
    bytes.extend(repeated.repeat(times / 8));
    bytes
}

/// Everything in a folder, by path.
fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        found.insert(entry.path().to_string_lossy().into_owned());
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        }
    }
    found
}

#[test]
fn a_bad_bundle_is_refused_in_its_own_words_and_leaves_nothing() {
    let cluster = Cluster::start(0);
    let (to, data) = (cluster.head.http(), cluster.dir.path().join("orchestrator"));
    let before = files(&data);
    let json = |text: &str| zip(&[file("function.json", text)]);
    let with = |name: &str| zip(&[manifest(), file(name, "x")]);
    let link = Entry { mode: 0o120_777, ..file("link", "/etc/passwd") };
    let whole = zip(&[manifest(), file("run.sh", "#!/bin/sh\n")]);
    for (bytes, says) in [
        (Vec::new(), "not a zip"),
        (b"#!/bin/sh\necho hello\n".to_vec(), "not a zip"),
        (whole[..whole.len() - 10].to_vec(), "not a zip"),
        (with("../up"), "../up"),
        (with("a/../../up"), "a/../../up"),
        (with("/etc/cron.d/x"), "absolute"),
        (with("a\\b"), "backslash"),
        (with("function.json"), "two of this name"),
        (zip(&[manifest(), link]), "symbolic link"),
        (zip(&[file("main.py", "")]), "no function.json"),
        (zip(&[file("app/function.json", r#"{"command":["x"]}"#)]), "app/function.json"),
        (json("{"), "function.json"),
        (json(""), "function.json"),
        (json("[]"), "JSON object"),
        (json(r#"{"mode":"job"}"#), "`command` is missing"),
        (json(r#"{"command":[]}"#), "`command` is missing"),
        (json(r#"{"command":["x"],"mode":"vm"}"#), "`mode`"),
        (json(r#"{"command":["x"],"colour":"red"}"#), "`colour`"),
        (json(r#"{"command":["x"],"image":"alpine"}"#), "`image`"),
    ] {
        let detail = put(to, "/functions/f/bundle", bytes).problem(400, "invalid_bundle");
        assert!(detail.contains(says), "'{detail}' does not say '{says}'");
    }
    let detail = put(to, "/functions/f/bundle", json(r#"{"command":["x"],"cpu":-1}"#)).problem(400, "invalid_field");
    assert!(detail.starts_with("cpu: "), "{detail}");
    get(to, "/functions/f").problem(404, "function_not_found");
    let kept: Vec<String> = files(&data).difference(&before).cloned().collect();
    // A whole and valid zip whose settings are refused may be kept, as it may be used by another function.
    assert!(kept.iter().all(|path| path.ends_with(".zip")) && kept.len() <= 1, "{kept:?}");
}

#[test]
fn a_bomb_is_refused_before_it_fills_anything() {
    let cluster = Cluster::start(0);
    let (to, data) = (cluster.head.http(), cluster.dir.path().join("orchestrator"));
    let before = files(&data);
    let bomb = |claimed: u32| Entry { deflated: Some(claimed), body: zeros((600 << 20) / 258), ..file("bomb", "") };
    let honest = zip(&[manifest(), bomb(600 << 20)]);
    assert!(honest.len() < 5 << 20);
    let detail = put(to, "/functions/f/bundle", honest).problem(413, "too_large");
    assert!(detail.contains("bomb") && detail.contains("512 MiB"), "{detail}");
    let many: Vec<Entry> = (0..3)
        .map(|n| Entry { name: format!("part{n}").into(), deflated: Some(400 << 20), ..file("", "x") })
        .chain([manifest()])
        .collect();
    let detail = put(to, "/functions/f/bundle", zip(&many)).problem(413, "too_large");
    assert!(detail.contains("1 GiB"), "{detail}");
    let detail = put(to, "/functions/f/bundle", zip(&[manifest(), bomb(10)])).problem(400, "invalid_bundle");
    assert!(detail.contains("bomb") && detail.contains("larger than its declared"), "{detail}");
    get(to, "/functions/f").problem(404, "function_not_found");
    assert_eq!(files(&data), before);
}

#[test]
fn an_upload_beyond_100_mib_is_refused_and_the_limit_named() {
    let cluster = Cluster::start(0);
    let (to, data) = (cluster.head.http(), cluster.dir.path().join("orchestrator"));
    let before = files(&data);
    let limit = 100 << 20;
    // With its length it is refused before it is sent.
    let length = (limit + 1).to_string();
    let asked = head("PUT", "/functions/f/bundle", &[("Content-Length", &length), ("Connection", "close")]) + "\r\n";
    let reply = crate::wire::Reply::parse(&exchange(to, asked.as_bytes())).expect("an answer without the body");
    assert!(reply.problem(413, "too_large").contains(&limit.to_string()));
    // The client library's users get to see that, too.
    let refused = cluster.client.upload_bundle("f", &mut std::io::repeat(0).take(limit + 1), limit + 1);
    assert!(matches!(&refused, Err(Error::Api(problem)) if problem.status == 413), "{refused:?}");
    // Without a length it is refused on the way.
    let mut stream = connect(to);
    let asked = head("PUT", "/functions/f/bundle", &[("Transfer-Encoding", "chunked"), ("Connection", "close")]);
    stream.write_all((asked + "\r\n").as_bytes()).expect("sent");
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + (1 << 20), 0);
    chunk.extend(b"\r\n");
    for _ in 0..=100 {
        if stream.write_all(&chunk).is_err() {
            break; // refused already
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // a reset ends it too
    let reply = crate::wire::Reply::parse(&answer).expect("an answer");
    assert!(reply.problem(413, "too_large").contains(&limit.to_string()));
    assert_eq!(files(&data), before);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let cluster = Cluster::start(0);
    let (to, bundles) = (cluster.head.http(), cluster.dir.path().join("orchestrator"));
    let before = files(&bundles);
    let mut stream = connect(to);
    let asked = head("PUT", "/functions/f/bundle", &[("Content-Length", "1000000")]) + "\r\nPK";
    stream.write_all(asked.as_bytes()).expect("sent");
    wait_for("the upload has begun", || files(&bundles) != before);
    drop(stream);
    wait_for("what came of it is removed", || files(&bundles) == before);
    get(to, "/functions/f").problem(404, "function_not_found");
}

#[test]
fn the_same_bundle_again_is_a_new_revision_of_the_same_image() {
    let cluster = Cluster::start(1);
    let to = cluster.head.http();
    let named = r#"{"name":"other","command":["./run.sh"],"description":"from the bundle","timeout_s":7}"#;
    let bytes = zip(&[file("function.json", named), file("run.sh", "#!/bin/sh\necho made it\n")]);
    let first = put(to, "/functions/f/bundle", &bytes);
    assert_eq!(first.status, 201, "{}", first.text());
    // The path's name wins over the bundle's.
    assert_eq!((first.json()["name"].as_str(), first.json()["revision"].as_u64()), (Some("f"), Some(1)));
    get(to, "/functions/other").problem(404, "function_not_found");
    let again = put(to, "/functions/f/bundle", &bytes);
    assert_eq!((again.status, again.json()["revision"].as_u64()), (200, Some(2)), "{}", again.text());
    assert_eq!(first.json()["image"], again.json()["image"]);
    assert_eq!(cluster.call("f", ""), (200, "made it\n".into()));

    // The image serves other functions; what they say for themselves stands over what the bundle says.
    let image = again.json()["image"].as_str().expect("an image").to_string();
    let reply = post(to, "/functions", format!(r#"{{"name":"second","image":"{image}","timeout_s":9}}"#));
    assert_eq!(reply.status, 201, "{}", reply.text());
    let second = get(to, "/functions/second").json();
    assert_eq!((second["timeout_s"].as_f64(), second["mode"].as_str()), (Some(9.0), Some("job")));
    assert_eq!(second["description"], "from the bundle");
    assert_eq!(cluster.call("second", ""), (200, "made it\n".into()));
    assert_eq!(ask(to, "DELETE", "/functions/f", &[], b"").status, 204);
    assert_eq!(cluster.call("second", ""), (200, "made it\n".into()));
}

#[test]
fn a_new_bundle_keeps_what_was_set_and_it_does_not_say() {
    let cluster = Cluster::start(1);
    let to = cluster.head.http();
    cluster.deploy_script("f", "echo one");
    let image = get(to, "/functions/f").json()["image"].as_str().expect("an image").to_string();
    let settings = format!(r#"{{"image":"{image}","timeout_s":5,"description":"mine"}}"#);
    assert_eq!(put(to, "/functions/f", settings).status, 200);
    cluster.deploy_script("f", "echo two");
    let now = get(to, "/functions/f").json();
    assert_eq!((now["timeout_s"].as_f64(), now["description"].as_str()), (Some(5.0), Some("mine")));
    assert_eq!((now["revision"].as_u64(), cluster.call("f", "")), (Some(3), (200, "two\n".into())));
    assert_ne!(now["image"], image.as_str());
}

#[test]
fn a_function_made_anew_under_an_old_name_runs_its_new_code() {
    let cluster = Cluster::start(1);
    for text in ["one", "two", "three"] {
        cluster.deploy_script("again", &format!("echo {text}"));
        assert_eq!(cluster.call("again", ""), (200, format!("{text}\n")));
        cluster.client.delete_function("again").expect("deleted"); // and its numbers begin at 1 again
    }
}
