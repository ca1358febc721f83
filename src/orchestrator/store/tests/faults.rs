//! A disk that fails while the store is in use: what was refused is not there, what was acknowledged is, also after a
//! power cut, and the store goes on when the disk does.

use super::disk::{Disk, Fault};
use super::*;
use std::io::ErrorKind::{Other, StorageFull};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Writes functions until one is refused; the names of those that were not.
fn write_until_refused(store: &Store, from: usize) -> Vec<String> {
    let mut kept = Vec::new();
    for n in from..from + 1_000 {
        let name = format!("f{n}");
        let before = vec![(Arc::from(&*name), Lasting::default())];
        match wait(store, store.write(Write::Function(function(&name, &["x"])), before)) {
            Ok(()) => kept.push(name),
            Err(error) => {
                assert!(error.to_string().contains("the-store"), "{error}");
                return kept;
            }
        }
    }
    panic!("the disk never failed");
}

fn wait_until_it_works(store: &Store) {
    let end = Instant::now() + PATIENCE;
    while let Some(error) = store.trouble() {
        assert!(Instant::now() < end, "still {error}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn wherever_the_disk_fails_what_was_acknowledged_stays_and_the_store_recovers() {
    let faults = [Fault::Writes(StorageFull), Fault::Writes(Other), Fault::Sync];
    let cases: Vec<_> = (0..30).flat_map(|after| faults.map(|fault| (after, fault))).collect();
    std::thread::scope(|scope| {
        for some in cases.chunks(6) {
            scope.spawn(|| some.iter().for_each(|(after, fault)| fails_and_recovers(*after, *fault))); // most of it is waiting
        }
    });
}

fn fails_and_recovers(after: usize, fault: Fault) {
    let disk = Disk::default();
    let store = on(&disk);
    disk.fail(Some((after, fault)));
    let mut kept = write_until_refused(&store, 0);
    assert!(disk.failed(), "{fault:?} {after}");
    let at_power_cut = found(&disk.after_power_cut()).expect("a store").1;
    kept.iter().for_each(|name| assert!(at_power_cut.contains_key(name), "{fault:?} {after}: {name}"));
    disk.fail(None);
    wait_until_it_works(&store);
    let written = store.write(Write::Function(function("after", &["x"])), Vec::new());
    wait(&store, written).expect("it works again");
    kept.push("after".into());
    // Nobody undid what was refused here, so it may be there too: whole.
    for disk in [disk.after_power_cut(), disk.clone()] {
        let said = found(&disk).expect("a store").1;
        kept.iter().for_each(|name| assert!(said.contains_key(name), "{fault:?} {after}: {name}"));
        let more: Vec<&String> = said.keys().filter(|name| !kept.contains(name)).collect();
        assert!(more.len() <= 1, "{fault:?} {after}: {more:?}");
    }
    store.close();
}

#[test]
fn while_it_fails_nothing_is_taken_and_its_owner_undoes_and_says_what_to_keep() {
    #[derive(Default)]
    struct Memory {
        store: OnceLock<Arc<Store>>,
        undone: Mutex<Vec<Before>>,
    }
    impl Owner for Memory {
        fn undo(&self) {
            let refused = self.store.get().expect("a store").refused();
            self.undone.lock().expect("no panic").extend(refused.before());
        }
        fn as_they_are_now(&self, changed: &BTreeSet<Subject>) -> Vec<Write> {
            changed
                .iter()
                .map(|subject| match subject {
                    Subject::Function(name) => Write::Function(function(name, &["as it was"])),
                    Subject::Node(id) => Write::Node(node(id), true),
                    Subject::Task(id) => Write::TaskGone(id.clone()),
                })
                .collect()
        }
    }
    let disk = Disk::default();
    let store = Arc::new(on(&disk));
    let memory = Arc::new(Memory::default());
    assert!(memory.store.set(store.clone()).is_ok());
    let owner: Weak<Memory> = Arc::downgrade(&memory);
    store.belongs_to(owner);
    let before = |texts: &[&str]| vec![(Arc::from("f"), function("f", texts))];
    wait(&store, store.write(Write::Function(function("f", &["as it was"])), Vec::new())).expect("kept");
    disk.fail(Some((0, Fault::Writes(StorageFull))));
    let first = store.write(Write::Function(function("f", &["second"])), before(&["as it was"]));
    let next = store.write(Write::FunctionGone("f".into()), before(&["second"]));
    let of_a_node = store.write(Write::Node(node("n"), true), Vec::new());
    for written in [first, next, of_a_node] {
        let error = wait(&store, written).expect_err("the disk is full").to_string();
        assert!(error.contains("the-store") && error.contains("no storage space"), "{error}");
    }
    assert!(wait(&store, store.write(Write::NodeGone("m".into()), Vec::new())).is_err());
    assert!(crate::rt::block_on(store.snapshot()).is_err());
    let undone = memory.undone.lock().expect("no panic").clone();
    assert_eq!(undone[0].1.revisions[0].description, "as it was", "the first's, though another followed");
    disk.fail(None);
    wait_until_it_works(&store);
    let said = found(&disk.after_power_cut()).expect("a store").1;
    assert_eq!(said["f"], ["as it was"]);
    assert_eq!(said["node n"], ["true"], "it was never undone");
    store.close();
}

#[test]
fn all_that_was_queued_before_a_failure_was_known_is_told_the_same() {
    let disk = Disk::default();
    let store = on(&disk);
    disk.fail(Some((0, Fault::Writes(StorageFull))));
    // More than one commit takes.
    let write = |n| store.write(Write::Node(node(&format!("n{n}")), true), Vec::new());
    let written: Vec<Written> = disk.while_it_stands_still(|| (0..=1_000).map(write).collect());
    let errors = written.into_iter().map(|written| wait(&store, written).expect_err("the disk is full").to_string());
    let told: BTreeSet<String> = errors.collect();
    assert!(told.len() == 1 && told.iter().all(|error| error.contains("no storage space")), "{told:?}");
    store.close();
}

#[test]
fn any_damaged_byte_is_refused_or_does_no_harm() {
    let disk = Disk::default();
    let store = on(&disk);
    let writes = (0..30).map(|n| store.write(Write::Function(function(&format!("f{n}"), &["some text"])), Vec::new()));
    writes.collect::<Vec<_>>().into_iter().for_each(|written| wait(&store, written).expect("kept"));
    let killed = disk.after_power_cut().bytes();
    store.close();
    let closed = disk.bytes();
    let good = found(&disk).expect("a store").1;
    let (mut refused, mut fine) = (0, 0);
    for bytes in [killed, closed] {
        let interesting = bytes.chunks(64).enumerate().filter(|(_, chunk)| chunk.iter().any(|b| *b != 0));
        // The byte that says which of the last two commits is the later is the one that redb covers by no checksum.
        let places = interesting.map(|(at, _)| at * 64 + 17).chain((10..320).step_by(3)).filter(|at| *at != 9);
        for at in places {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            match found(&Disk::with(Some(bad))) {
                Ok((_, said)) => {
                    assert_eq!(said, good, "byte {at}");
                    fine += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 20, "{refused} refused, {fine} did no harm");
}
