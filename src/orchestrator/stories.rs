//! Which calls' stories are told in the logs: all of them while there are few, a sample when there are many, so that
//! telling never costs more than answering.

use crate::clock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stories told in one second.
const PER_SECOND: u64 = 20;

/// Counts stories second by second.
#[derive(Default)]
pub struct Stories {
    second: AtomicU64,
    told: AtomicU64,
    untold: AtomicU64,
}

impl Stories {
    /// Whether to tell this one; now and then says in the log how many were not told.
    pub fn tell(&self) -> bool {
        let second = clock::now_ms() / 1_000;
        // Looked at before it is written: every lane asks, at every call.
        if self.second.load(Ordering::Relaxed) != second && self.second.swap(second, Ordering::Relaxed) != second {
            self.told.store(0, Ordering::Relaxed);
            let untold = self.untold.swap(0, Ordering::Relaxed);
            if untold > 0 {
                log::info!("{untold} more calls were answered whose stories are not told");
            }
        }
        let may = self.told.load(Ordering::Relaxed) < PER_SECOND;
        let tell = may && self.told.fetch_add(1, Ordering::Relaxed) < PER_SECOND;
        if !tell {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_some_of_many() {
        let stories = Stories::default();
        let told = (0..10_000).filter(|_| stories.tell()).count() as u64;
        assert!((PER_SECOND..10_000 / 2).contains(&told), "{told}");
    }
}
