//! The store killed between any two writes and fsyncs: what was acknowledged is there, whole, and nothing half.

use super::disk::{Crashes, Disk, Reached};
use super::*;

/// A write, what it is of, and what is said of that afterwards.
type Step = (Write, String, Option<Vec<String>>);

/// Writes a realistic sequence, one by one and in groups. For each write: what the store says after it, and how much
/// the disk had been asked when it was acknowledged.
fn history(disk: &Disk) -> Vec<(Said, usize)> {
    let store = on(disk);
    let mut history = vec![(Said::new(), disk.asked())];
    let mut now = Said::new();
    let long = "x".repeat(900);
    let one = |name: &str, texts: &[&str]| {
        (Write::Function(function(name, texts)), name.to_string(), Some(texts.iter().map(|t| t.to_string()).collect()))
    };
    let gone = |name: &str| (Write::FunctionGone(name.into()), name.to_string(), None);
    let flag = |id: &str, cordoned: bool| {
        (Write::Node(node(id), cordoned), format!("node {id}"), Some(vec![cordoned.to_string()]))
    };
    let sealed = |key: &str| {
        let texts = secrets(key).into_iter().map(|(name, secret)| format!("{name} {}", secret.sealed));
        (Write::Secrets(secrets(key)), "secrets".to_string(), Some(texts.collect()))
    };
    let mut steps: Vec<Vec<Step>> = vec![
        vec![sealed("the first key")],
        vec![one("a", &["first"])],
        vec![one("a", &["first", "second"])],
        vec![flag("n1", false), one("b", &[&long]), one("c", &["c"]), gone("a")],
        vec![one("a", &["again"]), flag("n1", true)],
        vec![(Write::NodeGone("n1".into()), "node n1".into(), None)],
        vec![sealed("the second key")],
    ];
    steps.push((0..12).map(|n| one(&format!("many-{n}"), &[&long, "short"])).collect());
    steps.push((0..12).step_by(2).map(|n| gone(&format!("many-{n}"))).collect());
    for group in steps {
        let mut pending = Vec::new();
        let from = history.len();
        for (write, key, value) in group {
            pending.push(store.write(write, Vec::new()));
            match value {
                Some(value) => now.insert(key, value),
                None => now.remove(&key),
            };
            history.push((now.clone(), usize::MAX));
        }
        pending.into_iter().for_each(|written| wait(&store, written).expect("kept"));
        history[from..].iter_mut().for_each(|(_, asked)| *asked = disk.asked());
    }
    store.close();
    history
}

#[test]
fn at_every_crash_point_the_store_is_as_it_was_after_some_write_not_before_the_last_acknowledged() {
    let disk = Disk::default();
    let history = history(&disk);
    let journal = disk.journal();
    let mut crashes = Crashes::default();
    let mut opened = 0;
    for (at, op) in journal.iter().enumerate() {
        let acknowledged = history.iter().rposition(|(_, asked)| *asked <= at).unwrap_or(0);
        let reached = [Reached::Nothing, Reached::Everything, Reached::Torn, Reached::Some(at as u64 * 2_654_435_761)];
        for reached in reached {
            let left = crashes.disk(reached);
            let why = |said: &dyn std::fmt::Debug| {
                format!("crash before operation {at} of {}, {reached:?}: {said:?}", journal.len())
            };
            let (_, said) = found(&left).unwrap_or_else(|error| panic!("{}", why(&error)));
            assert!(history[acknowledged..].iter().any(|(state, _)| *state == said), "{}", why(&said));
            opened += 1;
        }
        crashes.go_on(op);
    }
    let (start, said) = found(&disk).expect("it was closed");
    assert_eq!((start.epoch, &said), (3, &history[history.len() - 1].0)); // made, opened, opened
    println!("{} crash points, {opened} stores opened", journal.len());
}
