//! Backups that are whole come back as they were; all others are refused, each with its reason.

use super::*;
use crate::hex::hex;
use sha2::{Digest, Sha256};

fn head() -> Head {
    Head {
        form: FORM,
        schema: 1,
        cluster: "c0ffee".into(),
        created_at: "2026-01-01T00:00:00.000Z".into(),
        cares: "0.1.0".into(),
        functions: 1,
        nodes: 0,
        bundles: 2,
    }
}

fn bundles() -> Vec<(String, Vec<u8>)> {
    let named = |bytes: Vec<u8>| (hex(Sha256::digest(&bytes)), bytes);
    vec![named(b"one bundle".to_vec()), named(vec![7; 20_000])]
}

fn written(head: &Head) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), head, 1_700_000_000_000).expect("begun");
    let records = |show: &mut Show<'_, io::Error>| {
        show("functions", "f", br#"{"a":1.5}"#)?;
        show("nodes", "n \"1\"", b"[]")
    };
    writer.records(records).expect("records");
    for (digest, bytes) in bundles() {
        writer.bundle(&digest, bytes.len() as u64, &mut &*bytes).expect("a bundle");
    }
    writer.finish().expect("finished")
}

fn check(bytes: &[u8]) -> Result<Vec<String>, BackupError> {
    let mut seen = Vec::new();
    let head = read(bytes, |part| {
        seen.push(match part {
            Part::Head(head) => head.cluster.clone(),
            Part::Record { table, key, value } => format!("{table}/{key}={}", String::from_utf8_lossy(&value)),
            Part::Bundle { digest, bytes } => {
                let mut all = Vec::new();
                bytes.read_to_end(&mut all)?;
                format!("{digest} {}", all.len())
            }
        });
        Ok(())
    })?;
    assert_eq!(head, super::tests::head());
    Ok(seen)
}

#[test]
fn what_was_written_is_read() {
    let seen = check(&written(&head())).expect("whole");
    assert_eq!(seen[..3], ["c0ffee", r#"functions/f={"a":1.5}"#, r#"nodes/n "1"=[]"#]);
    assert_eq!(seen.len(), 5);
    let bytes = written(&head());
    let padded = [&bytes[..], &[0; 10_240]].concat();
    check(&padded).expect("tools fill it up");
}

#[test]
fn it_is_a_tar_that_other_tools_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("backup.tar");
    std::fs::write(&path, written(&head())).expect("a file");
    let listed = std::process::Command::new("tar").arg("tf").arg(&path).output();
    let Ok(listed) = listed else { return eprintln!("skipped: there is no tar here") };
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success() && text.starts_with("cares-backup.json\nrecords.ndjson\nbundles/"), "{listed:?}");
    assert!(text.ends_with("cares-checksum.json\n"), "{text}");
}

#[test]
fn cut_off_anywhere_it_is_refused() {
    let bytes = written(&head());
    for length in (0..bytes.len()).step_by(97) {
        match check(&bytes[..length]) {
            Err(BackupError::Truncated) => assert!(length >= 512),
            Err(BackupError::Foreign) => assert!(length < 512, "{length}"),
            other => panic!("{length} of {}: {other:?}", bytes.len()),
        }
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    let bytes = written(&head());
    let good = check(&bytes).expect("whole");
    let checksum = bytes.len() - 4 * 512; // its own entry, and the end: what is of no meaning there may be anything
    for at in (0..bytes.len()).step_by(13) {
        let mut bad = bytes.clone();
        bad[at] ^= 0x20;
        match check(&bad) {
            Ok(seen) => assert!(at >= checksum && seen == good, "byte {at} of {}", bytes.len()),
            Err(error) => assert!(at >= 512 || matches!(error, BackupError::Foreign), "byte {at}: {error}"),
        }
    }
    assert!(matches!(check(&[&bytes[..], b"more"].concat()), Err(BackupError::Damaged(_))));
}

#[test]
fn what_is_newer_or_something_else_is_told_so() {
    let newer = Head { form: FORM + 1, cares: "9.9.9".into(), ..head() };
    let text = check(&written(&newer)).expect_err("newer").to_string();
    assert!(text.contains("9.9.9") && text.contains(&format!("form is {}", FORM + 1)), "{text}");
    for foreign in [&b""[..], b"hello", &[0; 2_000], &[b'x'; 2_000]] {
        assert!(matches!(check(foreign), Err(BackupError::Foreign)));
    }
    let fewer = Head { bundles: 1, ..head() };
    assert!(check(&written(&fewer)).is_err());
}
