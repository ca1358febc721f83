//! Deploying from the page: a folder, a zip, something dropped, an image; and what is said of what cannot be.

use super::{at, open};
use crate::harness::{cares, run, wait_for};
use serde_json::json;

const MANIFEST: &str = r#"{"mode":"job","command":["./run.sh"],"env":{"A":"1"}}"#;
const SCRIPT: &str = "#!/bin/sh\necho \"hello from $A\"\n";

#[test]
fn a_folder_becomes_a_function_and_so_does_what_is_dropped() {
    let Some((cluster, browser)) = open(1, "/deploy") else { return };
    let folder = cluster.folder("upper", MANIFEST, &[("run.sh", SCRIPT)]);
    std::fs::create_dir_all(folder.join(".git")).expect("a folder");
    std::fs::write(folder.join(".git/config"), "not this").expect("a file");
    browser.give("Choose a folder", &folder);
    browser.shows("2 files");
    browser.shows("nothing is built");
    browser.fill("Name", "folded");
    browser.click("Deploy");
    browser.shows("folded is deployed");
    browser.shows("/invoke/folded");
    assert_eq!(cluster.call("folded", ""), (200, "hello from 1\n".into()));

    browser.go(&at(&cluster, "/deploy"));
    browser.shows("Nothing chosen yet.");
    browser.js(
        "const given = new DataTransfer(); const [name, ...files] = arguments; \
         const zip = new File([Uint8Array.from(atob(name), (c) => c.charCodeAt(0))], 'Dropped One.zip', {type: 'application/zip'}); \
         given.items.add(zip); document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer: given, bubbles: true, cancelable: true}));",
        json!([zipped(&[("function.json", MANIFEST), ("run.sh", SCRIPT)])]),
    );
    browser.shows("2 files");
    browser.is_so(
        "the name is one",
        "return [...document.querySelectorAll('input')].some((one) => one.value === 'dropped-one')",
    );
    browser.click("Deploy");
    browser.shows("/invoke/dropped-one");
    assert_eq!(cluster.call("dropped-one", ""), (200, "hello from 1\n".into()));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// A zip with its files deflated, as other programs make them; base64.
fn zipped(files: &[(&str, &str)]) -> String {
    use base64::Engine;
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let deflated = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    for (name, text) in files {
        zip.start_file(*name, deflated).expect("a file");
        zip.write_all(text.as_bytes()).expect("written");
    }
    base64::engine::general_purpose::STANDARD.encode(zip.finish().expect("a zip").into_inner())
}

#[test]
fn what_cannot_be_deployed_is_said_on_the_page() {
    let Some((cluster, browser)) = open(1, "/deploy") else { return };
    let bad = cluster.folder("bad", "{", &[]);
    browser.give("Choose a folder", &bad);
    browser.shows("Its function.json is no JSON");
    browser.is_so("there is nothing to deploy", "return document.querySelector('form .primary').disabled");
    let unknown = cluster.folder("unknown", r#"{"mode":"job","command":["./x"],"no_such_field":1}"#, &[]);
    browser.give("Choose a folder", &unknown);
    browser.shows("1 file");
    browser.fill("Name", "unknown");
    browser.click("Deploy");
    browser.shows("no_such_field");
    assert!(cluster.client.function("unknown").is_err());
}

#[test]
fn an_image_becomes_a_function_with_the_settings_it_has() {
    let Some((cluster, browser)) = open(1, "/deploy") else { return };
    browser.click("Image");
    browser.fill("Image", "registry.example/some/tool:1.2");
    browser.fill("Environment", "A=1\nB=two words");
    browser.click("Deploy");
    browser.shows("tool is deployed");
    wait_for("it is there", || cluster.client.function("tool").is_ok());
    let made = cluster.client.function("tool").expect("it is there");
    assert_eq!((made.image.as_str(), made.env["B"].as_str()), ("registry.example/some/tool:1.2", "two words"));
    browser.go(&at(&cluster, "/deploy/tool"));
    browser.click("Image");
    browser.fill("Image", "registry.example/some/tool:1.3");
    browser.click("Deploy");
    wait_for("a new revision is there", || cluster.client.function("tool").is_ok_and(|f| f.revision == 2));
    assert_eq!(cluster.client.function("tool").expect("it is there").env["A"], "1");
}

#[test]
fn source_is_built_with_its_log_on_the_page_and_what_fails_says_why() {
    let Some((mut cluster, browser)) = open(0, "/deploy") else { return };
    cluster.add_worker("w1", &["--engine", "process"]);
    let folder = cluster.dir.path().join("greeter");
    let (status, _, err) = run(cares().args(["init", "--runtime", "shell"]).arg(&folder)); // its function.json says so
    assert!(status.success(), "{err}");
    let write = |text: &str| std::fs::write(folder.join("main.sh"), text).expect("written");
    let deploy = || {
        browser.give("Choose a folder", &folder);
        browser.shows("It is built on a node first.");
        browser.click("Deploy");
    };
    write("#!/bin/sh\nif then\n");
    deploy();
    browser.shows("✕\nfailed");
    browser.shows("That did not work.");
    browser.is_so("the log is there", "return document.querySelector('pre.log').children.length > 0");
    assert!(cluster.client.function("greeter").is_err());
    write("#!/bin/sh\necho \"hello $(cat)\"\n");
    deploy();
    browser.shows("greeter is deployed");
    assert_eq!(cluster.call("greeter", "Ann"), (200, "hello Ann\n".into()));
    let more = r#"{"runtime":"shell","env":{"A":"1"},"timeout":90}"#;
    std::fs::write(folder.join("function.json"), more).expect("written");
    write("#!/bin/sh\necho \"goodbye $(cat)\"\n");
    browser.go(&at(&cluster, "/deploy/greeter"));
    deploy();
    wait_for("it answers anew", || cluster.call("greeter", "Ann").1 == "goodbye Ann\n");
    browser.shows("/invoke/greeter");
    let made = cluster.client.function("greeter").expect("it is there");
    assert_eq!((made.env["A"].as_str(), made.timeout_s), ("1", 90.0), "what function.json says goes along");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
