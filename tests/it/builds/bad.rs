//! What is no good as a source folder, or as a form: refused before anything is built, each in its own words.

use super::{build, form};
use crate::bundles::{Entry, file, zip};
use crate::harness::Cluster;
use crate::wire::{ask, get};

#[test]
fn a_folder_that_cannot_be_built_is_refused_in_words() {
    let cluster = Cluster::start_told(tempfile::tempdir().expect("a folder"), 0, &["--limit", "bundle-bytes=2000000"]);
    let to = cluster.head.http();
    let named = [("name", "f")];
    let app = || file("app.py", "x = 1\n");
    let refused = |status, code: &str, zip: &[u8], parts: &[&str]| {
        let said = build(to, "/build", &named, zip).problem(status, code);
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
    };
    refused(400, "invalid_bundle", b"no zip", &["not a zip"]);
    refused(400, "invalid_bundle", &zip(&[app(), file("../up", "x")]), &["../up", ".."]);
    refused(400, "invalid_bundle", &zip(&[app(), Entry { mode: 0o120_777, ..file("link", "/etc/passwd") }]), &["link"]);
    let many: Vec<Entry> = (0..10_001).map(|n| file(&format!("{n}"), "")).collect();
    refused(413, "too_large", &zip(&many), &["10,000 entries"]);
    refused(413, "too_large", &vec![0; 2_100_000], &["2000000", "bundle-bytes"]);
    let bomb = Entry { deflated: Some(2_000 << 20), ..file("bomb", "x") };
    refused(413, "too_large", &zip(&[app(), bomb]), &["bomb", "512 MiB"]);
    refused(422, "nothing_to_build", &zip(&[file("readme.txt", "hello")]), &["no Dockerfile", "app.py", "runtime"]);
    refused(422, "nothing_to_build", &zip(&[file("function.json", r#"{"runtime":"cobol"}"#)]), &["cobol", "nodejs"]);
    refused(503, "no_node", &zip(&[app()]), &["cares worker"]);
    let with = |more: &[(&str, &str)]| build(to, "/build", more, &zip(&[app()]));
    for (fields, says) in [
        (&[][..], "name: "),
        (&[("name", "No!")], "name: "),
        (&[("name", "f"), ("anew", "perhaps")], "anew: "),
        (&[("name", &"x".repeat(2_000))], "name: is longer"),
    ] {
        let said = with(fields).problem(400, "invalid_field");
        assert!(said.starts_with(says), "{said}");
    }
    assert!(with(&[("name", "f"), ("runtime", "cobol")]).problem(422, "nothing_to_build").contains("cobol"));
    let (kind, whole) = form(&named, &zip(&[app()]));
    let send = |kind: &str, body: &[u8]| ask(to, "POST", "/build", &[("Content-Type", kind)], body);
    assert!(send("application/zip", &whole).problem(400, "invalid_request").contains("multipart"));
    assert!(send(&kind, &whole[..whole.len() - 10]).problem(400, "invalid_request").contains("broke off"));
    assert!(send(&kind, b"--b--\r\n").problem(400, "invalid_field").starts_with("file: "));
    for path in ["/builds/b1", "/builds/x", "/builds/b1/log"] {
        get(to, path).problem(404, "build_not_found");
    }
    assert_eq!(get(to, "/builds").json(), serde_json::json!([]));
    let data = cluster.dir.path().join("orchestrator");
    let left = |folder: &str| std::fs::read_dir(data.join(folder)).expect("a folder").count();
    assert_eq!((left("builds"), left("bundles")), (0, 0), "nothing is left of what was refused");
}
