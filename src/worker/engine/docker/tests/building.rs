//! What builds leave at the engine.

use super::*;
use crate::worker::engine::ImageBuild;
use std::collections::BTreeSet;

/// What this worker is to remove one day.
fn noted(bench: &Bench, file: &Path) -> BTreeSet<String> {
    bench.engine.shared.images.pulled.save();
    let all: std::collections::BTreeMap<String, u64> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    all.into_keys().collect()
}

fn is_there(image: &str) -> bool {
    Command::new("docker").args(["image", "inspect", image]).output().unwrap().status.success()
}

#[test]
fn what_builds_leave_goes_when_it_is_of_no_use() {
    let Some(bench) = Bench::new() else { return };
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("pulled.json");
    bench.engine.shared.images.pulled.remember_in(file.clone());
    let source = dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let stamp = format!("{}-{}", bench.node, clock::unix_ms());
    std::fs::write(source.join("stamp"), &stamp).unwrap();
    let image = format!("cares-test/built-{}:1", std::process::id());
    let build = |anew: bool, last: &str| {
        let file = format!("FROM cares-test/fails:1 AS one\nCOPY stamp /stamp\n{last}\n");
        std::fs::write(source.join("Dockerfile"), file).unwrap();
        let order = ImageBuild {
            function: "f".into(),
            image: image.clone(),
            folder: source.clone(),
            dockerfile: None,
            runtime: String::new(),
            base: None,
            memory_bytes: None,
            anew,
        };
        let (say, said) = rt::unbounded();
        let done = block_on(bench.engine.build(&order, &say));
        drop(say);
        let lines: Vec<String> = std::iter::from_fn(|| said.try_recv().ok()).collect();
        (done, lines)
    };
    let rules = crate::garbage::Rules { young_ms: 0, bytes: 0, ..pulled::RULES };
    let sweep = || block_on(pulled::sweep(&bench.engine.shared, &rules)).unwrap();

    let (done, lines) = build(false, "RUN [\"/p\", \"fails\"]");
    let why = done.unwrap_err().to_string();
    assert!(why.contains("step 3/4") && why.contains("code: 3"), "{why}");
    assert!(lines.iter().any(|line| line.contains("this is why it failed")), "{lines:?}");
    let left = noted(&bench, &file);
    let layer = left.first().expect("the layer with the stamp").clone();
    assert!(left.len() == 1 && is_there(&layer), "{left:?}");
    // Somebody gives it a name: it is theirs.
    let theirs = format!("cares-test/theirs-{}:1", std::process::id());
    docker(&["tag", &layer, &theirs]);
    sweep();
    assert!(is_there(&theirs) && noted(&bench, &file).is_empty());
    docker(&["rmi", &theirs]);

    let (done, _) = build(false, "ENV A=1");
    done.unwrap();
    assert_eq!(noted(&bench, &file), BTreeSet::from([image.clone()]));
    assert!(build(false, "ENV A=2").1.iter().any(|line| line.contains("has not changed")), "it is there");
    // Another of that name: the one before has none any more.
    let (done, _) = build(true, "ENV A=3");
    done.unwrap();
    let all = noted(&bench, &file);
    assert!(all.len() == 2 && all.contains(&image), "{all:?}");
    sweep();
    assert!(all.iter().all(|image| !is_there(image)), "{all:?}");
    assert!(noted(&bench, &file).is_empty());

    // Of several stages nothing refers to those that are only copied from.
    let (done, _) = build(true, "FROM cares-test/fails:1\nCOPY --from=one /stamp /copied");
    done.unwrap();
    let all = noted(&bench, &file);
    let stage = all.iter().find(|name| **name != image).expect("the layer of the first stage");
    assert!(all.len() == 2 && is_there(stage), "{all:?}");
    sweep();
    assert!(all.iter().all(|image| !is_there(image)), "{all:?}");
}
