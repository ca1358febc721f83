//! The store against what disks and other versions do to it.

mod crash;
mod disk;
mod faults;
mod versions;

use super::*;
use crate::cluster::Revision;
use crate::orchestrator::spec;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A function with revisions, each with a description.
fn function(name: &str, descriptions: &[&str]) -> Lasting {
    let revision = |(number, text): (u64, &&str)| {
        let spec = FunctionSpec {
            name: name.into(),
            image: "hello-world".into(),
            description: Some(text.to_string()),
            ..FunctionSpec::default()
        };
        Arc::new(Revision { number, ..spec::revision(spec, 1_700_000_000_000).expect("valid") })
    };
    Lasting { revisions: (1..).zip(descriptions).map(revision).collect(), ..Lasting::default() }
}

/// What a store says, in short: each function's descriptions, each node's flag.
type Said = BTreeMap<String, Vec<String>>;

fn said(kept: &Kept) -> Said {
    let functions = kept.functions.iter().map(|function| {
        let descriptions = function.revisions.iter().map(|r| r.description.clone());
        (function.revisions[0].function.to_string(), descriptions.collect())
    });
    let nodes = kept.nodes.iter().map(|(spec, cordoned)| (format!("node {}", spec.id), vec![cordoned.to_string()]));
    let secrets = kept.secrets.iter().map(|(name, secret)| format!("{name} {}", secret.sealed)).collect::<Vec<_>>();
    let secrets = Some(("secrets".to_string(), secrets)).filter(|(_, all)| !all.is_empty());
    functions.chain(nodes).chain(secrets).collect()
}

/// Some secrets, sealed with a key of that name.
fn secrets(key: &str) -> Vec<(String, Secret)> {
    let one = |name: &str| {
        let sealed = format!("{name} sealed with {key}");
        (name.into(), Secret { version: 1, created_unix_ms: 0, updated_unix_ms: 0, updated_by: None, sealed })
    };
    ["s1", "s2", "s3"].map(one).into()
}

fn node(id: &str) -> NodeSpec {
    NodeSpec { id: id.into(), name: id.into(), ..NodeSpec::default() }
}

/// What opening a store over this disk finds.
fn found(disk: &disk::Disk) -> Result<(Start, Said), String> {
    let opened = medium::open(disk).map_err(|unfit| unfit.to_string())?;
    Ok((opened.start, said(&opened.kept)))
}

fn on(disk: &disk::Disk) -> Store {
    Store::on(Box::new(disk.clone()), "the-store".into()).expect("a store").0
}

fn wait(store: &Store, written: Written) -> Result<(), StoreError> {
    crate::rt::block_on(store.kept(written))
}
