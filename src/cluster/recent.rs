//! A function's last calls: a bounded ring. Never grows beyond it, and takes no memory before the first call.

use super::{InvocationKey, Millis, NodeKey, Origin};
use std::collections::VecDeque;

/// Calls kept of each function.
const KEPT: usize = 64;

/// A call that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub invocation: InvocationKey,
    /// Asynchronous calls are shown as a whole.
    pub origin: Origin,
    /// Where it ran at its end; `None`: it waited.
    pub node: Option<NodeKey>,
    pub success: bool,
    /// When it ended.
    pub at: Millis,
    /// Since it was accepted.
    pub took_us: u64,
}

/// The last calls, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<Ended>);

impl Recent {
    pub(super) fn push(&mut self, call: Ended) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(call);
    }

    /// Newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Ended> {
        self.0.iter().rev()
    }

    /// What half of them took at most.
    pub fn median_us(&self) -> Option<u64> {
        let mut took: Vec<u64> = self.0.iter().map(|call| call.took_us).collect();
        let middle = took.len().checked_sub(1)? / 2;
        Some(*took.select_nth_unstable(middle).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(n: u64, took_us: u64) -> Ended {
        Ended { invocation: InvocationKey(n), origin: Origin::Caller, node: None, success: true, at: n, took_us }
    }

    #[test]
    fn the_last_ones_are_kept_in_a_ring_that_does_not_grow() {
        let mut recent = Recent::default();
        assert_eq!((recent.0.capacity(), recent.median_us()), (0, None));
        (0..KEPT as u64).for_each(|n| recent.push(call(n, n)));
        let capacity = recent.0.capacity();
        (100..1_100).for_each(|n| recent.push(call(n, n)));
        let keys: Vec<u64> = recent.newest_first().map(|call| call.invocation.0).collect();
        assert_eq!((keys.len(), keys[0], keys[KEPT - 1], recent.0.capacity()), (KEPT, 1_099, 1_036, capacity));
    }

    #[test]
    fn the_median_is_what_half_of_them_took_at_most() {
        let mut recent = Recent::default();
        for (took, median) in [(9, 9), (1, 1), (5, 5), (100, 5), (100, 9)] {
            recent.push(call(0, took));
            assert_eq!(recent.median_us(), Some(median));
        }
    }
}
