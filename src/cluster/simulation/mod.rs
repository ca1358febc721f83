//! Thousands of seeded lives of a cluster: workers that crash, hang, vanish and return, messages lost, doubled and late,
//! callers that give up, operators at work; every promise is checked after every step.
//!
//! `CARES_SIM_SEEDS=n` lives that many, from `CARES_SIM_FIRST=n` on; `CARES_SIM_SEED=n` lives one and shows its end,
//! `CARES_SIM_LINES=n` lines of it.

mod chaos;
mod disk;
pub(in crate::cluster) mod lives;
mod rare;
mod shell;
mod tasks;
mod workers;
mod world;

use lives::{Seen, from_env, live, live_all, told};
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

const SEEDS: u64 = 10_000;
/// What must happen in them.
const WORTH_SEEING: &[&str] = &[
    "lease ran out",
    "disconnected",
    "left",
    "drained",
    "joined again",
    "name taken",
    "stale session",
    "removed",
    "adopted",
    "not adopted",
    "start failed",
    "start timeout",
    "instance crashed",
    "queued",
    "queue full",
    "refused",
    "refused for good",
    "no node",
    "node lost",
    "deleted while waiting",
    "stopped while waiting",
    "function stopped",
    "gave up",
    "call after crash",
    "replaced",
    "take-over",
    "frozen",
    "woken by a call",
    "woken for the minimum",
    "evicted",
    "scaled",
    "put again",
    "no such revision",
    "successor serves",
    "revision failed",
    "mode asked",
    "restart",
    "restart with less",
    "disk full",
    "refused by the disk",
    "undone",
    "backup restored",
    "revoked",
    "not let in",
    "not that node",
    "set back",
    "found later",
    "woke late",
    "elsewhere",
    "no image",
    "too many calls",
    "too many of one",
    "wants more",
    "job over http",
    "job of the first",
    "job",
    "http",
    "task scheduled",
    "task running",
    "task stopping",
    "task completed",
    "task failed",
    "task stopped",
    "task refused",
    "task pending again",
    "task started again",
    "task submitted again",
    "local task",
];
/// How much of a failed life is shown.
const LAST_LINES: usize = 40;

/// Lives one life. Only one that breaks a promise is written down: the same seed lives it again.
fn life(seed: u64) -> Result<Seen, String> {
    one(seed, false).or_else(|_| one(seed, true).and(Err("the same seed lives well the second time".into())))
}

/// The error says what broke and, if asked to, what came before.
fn one(seed: u64, tell: bool) -> Result<Seen, String> {
    let mut world = World::new(seed, tell);
    let end = catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| Err(told(&*panic)));
    end.map_err(|why| {
        let lines = from_env("CARES_SIM_LINES").map_or(LAST_LINES, |lines| lines as usize);
        let log = world.last_lines(lines).join("\n");
        format!("step {}, at {} ms: {why}\n{log}", world.step, world.now)
    })?;
    Ok(world.seen)
}

#[test]
fn promises_hold_in_every_life() {
    live(SEEDS, "promises_hold_in_every_life", &[], life);
}

#[test]
fn lives_are_eventful() {
    let seen = live_all(0..150, life).unwrap_or_else(|(seed, why)| panic!("seed {seed}: {why}"));
    if std::env::var_os("CARES_SIM_SHOW").is_some() {
        println!("{seen:#?}");
    }
    seen.must_hold(WORTH_SEEING, 3);
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
