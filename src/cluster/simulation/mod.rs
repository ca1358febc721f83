//! Thousands of seeded lives of a cluster: workers that crash, hang, vanish and return, messages lost, doubled and late,
//! callers that give up, operators at work; every promise is checked after every step.
//!
//! `CARES_SIM_SEEDS=n` lives that many; `CARES_SIM_SEED=n` lives one and shows its end.

mod chaos;
pub(in crate::cluster) mod dice;
mod shell;
mod workers;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::World;

const SEEDS: u64 = 10_000;
/// How much of a failed life is shown.
const LAST_LINES: usize = 40;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Lives one life. The error says what broke and, if asked to, what came before.
fn live(seed: u64, tell: bool) -> Result<(), String> {
    let mut world = World::new(seed, tell);
    let end = catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|t| t.to_string())).unwrap_or_else(|| "panic".into()))
    });
    end.map_err(|why| {
        let log = world.last_lines(LAST_LINES).join("\n");
        format!("seed {seed}, step {}, at {} ms: {why}\n{log}", world.step, world.now)
    })
}

/// The first seed that breaks a promise. Only then is its life written down: the same seed lives it again.
fn first_broken(first: u64, count: u64) -> Option<u64> {
    let (next, broken) = (AtomicU64::new(first), Mutex::new(None::<u64>));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    if live(seed, false).is_err() {
                        let mut broken = broken.lock().unwrap();
                        *broken = Some(broken.map_or(seed, |b| b.min(seed)));
                        next.store(first + count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    broken.into_inner().unwrap()
}

#[test]
fn promises_hold_in_every_life() {
    let (first, count) = match from_env("CARES_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (0, from_env("CARES_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    if let Some(seed) = first_broken(first, count) {
        let told = live(seed, true).expect_err("the same seed must fail again");
        panic!("{told}\nreplay it: CARES_SIM_SEED={seed} cargo test promises_hold_in_every_life");
    }
}

/// Else the simulation would prove little.
#[test]
fn lives_are_eventful() {
    let mut seen = std::collections::BTreeMap::<&str, u64>::new();
    for seed in 0..150 {
        let mut world = World::new(seed, false);
        world.live().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        for (what, times) in world.seen {
            *seen.entry(what).or_default() += times;
        }
    }
    if std::env::var_os("CARES_SIM_SHOW").is_some() {
        println!("{seen:#?}");
    }
    for what in world::WORTH_SEEING {
        assert!(seen.get(what).is_some_and(|times| *times >= 3), "'{what}' hardly ever happens: {seen:#?}");
    }
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let lines = |seed| {
        let mut world = World::new(seed, true);
        world.live().unwrap();
        world.last_lines(usize::MAX)
    };
    assert_eq!(lines(7), lines(7));
}
