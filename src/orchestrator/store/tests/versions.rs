//! Stores of other versions: older ones become this one, newer and foreign ones are left alone.

use super::disk::Disk;
use super::*;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const FUNCTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("functions");
const NODES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("nodes");
const BUNDLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("bundles");
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

/// A store as version 1 wrote it, byte for byte where it counts: these texts are frozen.
fn version_1(path: &Path) {
    changed(path, |transaction| {
        let mut meta = transaction.open_table(META).expect("a table");
        for (key, value) in [("schema", "1"), ("epoch", "7"), ("cluster_id", "c0ffee")] {
            meta.insert(key, value).expect("inserted");
        }
        let function = br#"{"created_unix_ms":1700000000000,"revisions":[
            {"number":3,"updated_unix_ms":1700000000000,"spec":{"name":"hello","image":"hello-world","mode":"job",
             "command":["/hello"],"env":{"A":"b"},"timeout_s":1.5,"concurrency":80,"min":0,"max":20,"idle_s":300.0,
             "constraints":{"os":"linux","arch":null,"tools":[],"tags":{}},"labels":{"team":"x"},"description":"old"}},
            {"number":4,"updated_unix_ms":1700000001000,"spec":{"name":"hello","image":"hello-world","description":"new"}}]}"#;
        transaction.open_table(FUNCTIONS).expect("a table").insert("hello", &function[..]).expect("inserted");
        let node = br#"{"name":"w1","cordoned":true}"#;
        transaction.open_table(NODES).expect("a table").insert("n-1", &node[..]).expect("inserted");
        let bundle = br#"{"size_bytes":12,"unix_ms":1700000000000,"manifest":{"command":["./run.sh"]}}"#;
        transaction.open_table(BUNDLES).expect("a table").insert("ab", &bundle[..]).expect("inserted");
    });
}

/// Changes a file as whoever knows nothing of our tables; makes it where there is none.
fn changed(path: &Path, change: impl FnOnce(&WriteTransaction)) {
    let database = Database::create(path).expect("a database");
    let transaction = database.begin_write().expect("a transaction");
    change(&transaction);
    transaction.commit().expect("committed");
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("cluster.redb");
    (dir, path)
}

#[test]
fn a_store_of_version_1_opens_with_all_that_is_in_it() {
    let (dir, path) = folder();
    version_1(&path);
    let (store, start, kept) = Store::open(dir.path()).expect("opened");
    store.close();
    assert_eq!((start.epoch, start.cluster_id.as_str()), (8, "c0ffee"));
    assert_eq!(said(&kept)["hello"], ["old", "new"]);
    let hello = &kept.functions[0].revisions;
    assert_eq!((hello[0].number, hello[1].number, hello[0].timeout_ms), (3, 4, 1_500));
    assert_eq!((hello[1].created_unix_ms, hello[1].updated_unix_ms), (1_700_000_000_000, 1_700_000_001_000));
    assert_eq!(hello[0].constraints.os.as_deref(), Some("linux"));
    assert_eq!((kept.nodes[0].0.id.as_str(), kept.nodes[0].1), ("n-1", true));
    assert_eq!(kept.bundles[0].0, "ab");
    // What was not kept then: nothing is known to have answered, and no floor was asked for.
    assert_eq!((kept.functions[0].serving, &kept.functions[0].failed), (None, &None));
    assert_eq!((hello[1].ready, hello[1].freeze_ms, hello[1].fresh), (0, 30_000, false));
    let (store, start, again) = Store::open(dir.path()).expect("opened again");
    store.close();
    assert_eq!((start.epoch, said(&again)), (9, said(&kept)));
}

/// The same as version 2 wrote it: with events.
#[test]
fn a_store_of_version_2_opens_with_its_events() {
    let (dir, path) = folder();
    version_1(&path);
    changed(&path, |transaction| {
        transaction.open_table(META).expect("a table").insert("schema", "2").expect("inserted");
        let event = br#"{"id":5,"time":"2026-01-01T00:00:00.000Z","kind":"node.joined","level":"info","message":"m","node":"n-1","function":null}"#;
        transaction.open_table(EVENTS).expect("a table").insert(5, &event[..]).expect("inserted");
    });
    let (store, _, kept) = Store::open(dir.path()).expect("opened");
    store.close();
    assert_eq!(said(&kept)["hello"], ["old", "new"]);
    assert_eq!(kept.events.iter().map(|e| (e.id, e.message.as_str())).collect::<Vec<_>>(), [(5, "m")]);
}

/// What these added were tables, empty at first, and fields that may be missing.
#[test]
fn stores_of_versions_3_to_5_open_and_are_of_this_version_then() {
    for version in ["3", "4", "5"] {
        let (dir, path) = folder();
        version_1(&path);
        changed(&path, |transaction| {
            transaction.open_table(META).expect("a table").insert("schema", version).expect("inserted");
        });
        let (store, _, kept) = Store::open(dir.path()).expect("opened");
        store.close();
        assert_eq!(said(&kept)["hello"], ["old", "new"], "{version}");
        let database = Database::open(&path).expect("a database");
        let meta = database.begin_read().expect("a transaction").open_table(META).expect("a table");
        assert_eq!(meta.get("schema").expect("read").expect("there").value(), VERSION.to_string());
    }
}

#[test]
fn which_revision_serves_and_what_failed_is_kept_with_all_settings() {
    let (dir, _) = folder();
    let (store, ..) = Store::open(dir.path()).expect("opened");
    let mut f = function("f", &["serves", "failed"]);
    let changed = |r: &Arc<Revision>| Revision {
        min: 1,
        ready: 3,
        max: 5,
        freeze_ms: 1_500,
        fresh: true,
        born: 7,
        ..(**r).clone()
    };
    let revisions = f.revisions.iter().map(|r| Arc::new(changed(r)));
    f = Lasting {
        revisions: revisions.collect(),
        serving: Some(1),
        failed: Some("exit code 3".into()),
        stopped: false,
    };
    // created when its first revision was
    let created = f.revisions[0].created_unix_ms;
    assert!(f.revisions.iter().all(|r| r.created_unix_ms == created));
    wait(&store, store.write(Write::Function(f.clone()), Vec::new())).expect("kept");
    store.close();
    let (store, _, kept) = Store::open(dir.path()).expect("opened again");
    store.close();
    assert_eq!(kept.functions, [f]);
}

fn refused(dir: &Path) -> String {
    Store::open(dir).err().expect("it is refused").to_string()
}

#[test]
fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let (dir, path) = folder();
    version_1(&path);
    changed(&path, |transaction| {
        transaction.open_table(META).expect("a table").insert("schema", "4711").expect("inserted");
    });
    let bytes = std::fs::read(&path).expect("the file");
    let text = refused(dir.path());
    for part in [path.to_str().expect("UTF-8"), "schema 4711", &format!("up to {VERSION}"), "newer", "--data-dir"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(std::fs::read(&path).expect("the file") == bytes, "it was changed");
}

#[test]
fn what_is_no_store_of_ours_is_refused_and_left_alone() {
    let (dir, path) = folder();
    changed(&path, |transaction| {
        transaction.open_table(FUNCTIONS).expect("a table").insert("theirs", &b"x"[..]).expect("inserted");
    });
    let bytes = std::fs::read(&path).expect("the file");
    let text = refused(dir.path());
    assert!(text.contains("not one of CARES") && text.contains("cluster.redb"), "{text}");
    assert!(std::fs::read(&path).expect("the file") == bytes, "it was changed");
    for (bytes, says) in [(&b""[..], "it is empty"), (b"PK\x03\x04 a zip", "damaged")] {
        std::fs::write(&path, bytes).expect("written");
        let text = refused(dir.path());
        assert!(text.contains(says) && text.contains("cares restore"), "{text}");
    }
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder");
    let text = refused(dir.path());
    assert!(text.contains("irectory") && text.contains("cluster.redb"), "{text}");
}

#[test]
fn a_record_that_makes_no_sense_is_named() {
    let (dir, path) = folder();
    version_1(&path);
    changed(&path, |transaction| {
        transaction.open_table(NODES).expect("a table").insert("n-2", &b"{}"[..]).expect("inserted");
    });
    let text = refused(dir.path());
    assert!(text.contains("'n-2' in 'nodes'") && text.contains("name"), "{text}");
}

#[test]
fn steps_are_taken_in_order_from_the_version_found_and_all_in_one_commit() {
    let disk = Disk::default();
    drop(medium::open(&disk).map_err(|unfit| unfit.to_string()).expect("a store"));
    let (database, _) = medium::reopen(&disk, false).map_err(|unfit| unfit.to_string()).expect("a store");
    let text = |database: &Database| {
        let transaction = database.begin_read().expect("a transaction");
        let table = transaction.open_table(META).expect("a table");
        table.get("steps").expect("read").map(|v| v.value().to_string())
    };
    fn note(transaction: &WriteTransaction, step: &str) -> Result<(), redb::Error> {
        let mut meta = transaction.open_table(META)?;
        let so_far = meta.get("steps")?.map(|v| v.value().to_string()).unwrap_or_default();
        meta.insert("steps", &*(so_far + step))?;
        Ok(())
    }
    let steps: [schema::Step; 3] = [|t| note(t, "2"), |t| note(t, "3"), |t| note(t, "4")];
    let transaction = schema::begin(&database).expect("a transaction");
    schema::migrate(&transaction, 2, &steps).expect("migrated");
    assert_eq!(text(&database), None, "not before it is committed");
    transaction.commit().expect("committed");
    assert_eq!(text(&database).as_deref(), Some("34"));
}
