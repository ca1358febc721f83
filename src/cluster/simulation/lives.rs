//! Seeded lives of one of the core's machines, on all processors, and what was seen in them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Below so many lives a thing may not happen by chance.
const ENOUGH: u64 = 100;
/// So often what is expected must have happened.
const OFTEN: u64 = 50;

/// What happened, and how often.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    pub fn saw(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn add(&mut self, other: Seen) {
        other.0.into_iter().for_each(|(what, times)| *self.0.entry(what).or_default() += times);
    }

    /// Fails unless each of these happened so often: else the lives would prove little.
    pub fn must_hold(&self, expected: &[&str], often: u64) {
        for what in expected {
            assert!(self.0.get(what).is_some_and(|times| *times >= often), "'{what}' hardly ever happens: {self:#?}");
        }
    }
}

pub fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Lives so many, or as many as `CARES_SIM_SEEDS` says from `CARES_SIM_FIRST` on, or the one that `CARES_SIM_SEED` says.
/// `test` names what replays one that breaks a promise; all that is `expected` must happen in them.
pub fn live(count: u64, test: &str, expected: &[&str], life: impl Fn(u64) -> Result<Seen, String> + Sync) {
    let (first, count) = match from_env("CARES_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (from_env("CARES_SIM_FIRST").unwrap_or(0), from_env("CARES_SIM_SEEDS").unwrap_or(count)),
    };
    let seen = live_all(first..first + count, life).unwrap_or_else(|(seed, why)| {
        panic!("seed {seed}: {why}\nreplay it: CARES_SIM_SEED={seed} cargo test {test}");
    });
    if count > ENOUGH {
        seen.must_hold(expected, OFTEN);
    }
}

/// What was seen in all of these lives; or the first that breaks a promise, a panic among them, and how.
pub fn live_all(seeds: Range<u64>, life: impl Fn(u64) -> Result<Seen, String> + Sync) -> Result<Seen, (u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let (seen, broken) = (Mutex::new(Seen::default()), Mutex::new(None::<(u64, String)>));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| life(seed))).unwrap_or_else(|panic| Err(told(&*panic))) {
                        Ok(of_one) => seen.lock().unwrap().add(of_one),
                        Err(why) => {
                            let mut broken = broken.lock().unwrap();
                            if broken.as_ref().is_none_or(|(first, _)| seed < *first) {
                                *broken = Some((seed, why));
                            }
                            next.store(seeds.end, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    broken.into_inner().unwrap().map_or_else(|| Ok(seen.into_inner().unwrap()), Err)
}

/// What a panic said.
pub fn told(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_else(|| "panic".into())
}

#[test]
fn the_first_broken_life_is_told() {
    let broken = live_all(0..100, |seed| match seed {
        7 | 8 | 30 => Err(format!("broken in {seed}")),
        _ => Ok(Seen::default()),
    });
    assert_eq!(broken.expect_err("three are"), (7, "broken in 7".to_string()));
}
