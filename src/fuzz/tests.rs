//! The corpus is replayed, and inputs by chance, made of it: the same ones each time.

use super::TARGETS;
use crate::dice::Dice;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Inputs by chance for each target. `CARES_FUZZ_INPUTS=n` has that many.
const INPUTS: u64 = 1_500;
/// What they grow to.
const BYTES_MAX: usize = 4_096;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut found: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    found.into_iter().map(|path| (path.clone(), fs::read(path).expect("an input"))).collect()
}

/// Another input out of some.
fn input(dice: &mut Dice, from: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut below = |bound: usize| dice.below(bound as u64) as usize;
    let mut one = from[below(from.len())].1.clone();
    for _ in 0..=below(4) {
        let at = below(one.len() + 1);
        let end = at + below((one.len() - at).min(64) + 1);
        match below(5) {
            0 => drop(one.drain(at..end)),
            1 => one.insert(at, below(256) as u8),
            2 => one.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << below(8)),
            3 => {
                let piece = one[at..end].to_vec();
                let to = below(one.len() + 1);
                drop(one.splice(to..to, piece));
            }
            _ => {
                let other = &from[below(from.len())].1;
                let start = below(other.len() + 1);
                one.truncate(at);
                one.extend(&other[start..]);
            }
        }
        one.truncate(BYTES_MAX);
    }
    one
}

#[test]
fn every_target_has_a_small_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let folders = fs::read_dir(root).expect("the corpus").map(|entry| entry.expect("an entry").file_name());
    let folders: BTreeSet<String> = folders.map(|name| name.into_string().expect("UTF-8")).collect();
    assert_eq!(folders, TARGETS.iter().map(|(name, _)| name.to_string()).collect());
    let all: Vec<_> = TARGETS.iter().flat_map(|(name, _)| corpus(name)).collect();
    let bytes: usize = all.iter().map(|(_, input)| input.len()).sum();
    assert!(all.len() <= 300 && bytes <= 300 << 10, "{} inputs, {bytes} bytes", all.len());
}

#[test]
fn the_corpus_and_what_chance_makes_of_it_break_no_promise() {
    let inputs = std::env::var("CARES_FUZZ_INPUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(INPUTS);
    std::thread::scope(|scope| {
        for (name, target) in TARGETS {
            scope.spawn(move || {
                let corpus = corpus(name);
                for (path, input) in &corpus {
                    println!("{}", path.display()); // seen when it fails
                    target(input);
                }
                let mut dice = Dice(4713);
                for n in 0..inputs {
                    let input = input(&mut dice, &corpus);
                    let broken = std::panic::catch_unwind(|| target(&input)).is_err();
                    assert!(!broken, "{name}, input {n}: {}", input.escape_ascii());
                }
            });
        }
    });
}
