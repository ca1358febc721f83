//! Bundles that are of no use any more go by themselves, and no others; under rules far shorter than the real ones.

use super::later::{Bench, wait_for};
use crate::bundle;
use crate::garbage::Rules;
use crate::types::FunctionSpec;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const RULES: Rules = Rules { unused_ms: 600, young_ms: 100, bytes: 1 << 30, every: Duration::from_millis(20) };

fn start(dir: &Path) -> Bench {
    Bench::start_with(dir, |_| {}, RULES)
}

/// Makes a function of a bundle that says `text`; its digest.
fn upload(bench: &Bench, name: &str, text: &str) -> String {
    let source = TempDir::new().unwrap();
    std::fs::write(source.path().join("function.json"), r#"{"mode":"job","command":["cat"]}"#).unwrap();
    std::fs::write(source.path().join("text"), text).unwrap();
    let mut zip = Cursor::new(Vec::new());
    bundle::pack(source.path(), &crate::ignore::Ignore::default(), &mut zip).unwrap();
    let bytes = zip.into_inner();
    let stored = bench.client.upload_bundle(name, &mut &bytes[..], bytes.len() as u64).unwrap();
    stored.image.strip_prefix("bundle:").unwrap().to_string()
}

fn files(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir.join("bundles")).unwrap();
    let name = |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_string();
    entries.map(|entry| name(entry.unwrap().path())).collect()
}

fn set(digests: &[&String]) -> BTreeSet<String> {
    digests.iter().map(|digest| digest.to_string()).collect()
}

#[test]
fn bundles_that_no_revision_uses_go_and_all_others_stay() {
    let dir = TempDir::new().unwrap();
    let bench = start(dir.path());
    let (stays, dropped, deleted) =
        (upload(&bench, "stays", "1"), upload(&bench, "many", "2"), upload(&bench, "deleted", "3"));
    let image = |image: &str| FunctionSpec { image: image.into(), ..Default::default() };
    bench.client.replace("stays", &image("hello-world")).unwrap(); // an older revision still is that bundle
    bench.client.delete_function("deleted").unwrap();
    wait_for("the deleted function's bundle is gone", || files(dir.path()) == set(&[&stays, &dropped]));
    let gone = image(&format!("bundle:{deleted}"));
    assert_eq!(bench.client.replace("stays", &gone).unwrap_err().code(), "unknown_bundle");
    for n in 0..10 {
        assert!(files(dir.path()).contains(&dropped), "its revision is kept until {n} others came");
        bench.client.replace("many", &image("hello-world")).unwrap();
    }
    wait_for("the dropped revision's bundle is gone", || files(dir.path()) == set(&[&stays]));
    drop(bench);
    std::fs::write(dir.path().join("bundles").join(format!("{deleted}.zip")), "left by a crash").unwrap();
    let again = start(dir.path());
    wait_for("a file without a record goes too", || files(dir.path()) == set(&[&stays]));
    assert_eq!(again.client.replace("stays", &gone).unwrap_err().code(), "unknown_bundle");
    assert_eq!(upload(&again, "deleted", "3"), deleted, "and it can come again");
    again.client.replace("stays", &gone).unwrap();
    assert_eq!(files(dir.path()), set(&[&stays, &deleted]));
}
