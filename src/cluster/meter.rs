//! What has happened so far, counted for whoever measures. Counts a call in a few additions, and decides nothing.

/// Upper bounds of a histogram's buckets in microseconds: from a warm call next door to the longest usual timeout.
pub const BOUNDS_US: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// How long things took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The last one is of those beyond all bounds.
    buckets: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// One more.
    pub fn add(&mut self, took_us: u64) {
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < took_us)] += 1;
        self.sum_us = self.sum_us.saturating_add(took_us);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What they took together.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// Each bound with how many took no longer.
    pub fn up_to(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0;
        BOUNDS_US.iter().zip(self.buckets).map(move |(bound, count)| {
            below += count;
            (*bound, below)
        })
    }
}

/// The calls of one function, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Calls that ended, from when they were accepted to the last byte.
    pub took: Histogram,
    /// Of these, such as failed.
    pub failures: u64,
    /// Calls that were not taken in.
    pub refused: u64,
    /// Calls for which no instance was up: they waited for one to start.
    pub cold: u64,
    /// Instances that were started.
    pub starts: u64,
    /// Instances that did not come up, or ended by themselves.
    pub crashes: u64,
}

impl Meter {
    /// One more call ended.
    pub(super) fn ended(&mut self, success: bool, took_us: u64) {
        self.took.add(took_us);
        self.failures += u64::from(!success);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_buckets_add_up() {
        let mut took = Histogram::default();
        for us in [0, 500, 501, 1_000, 60_000_000, 60_000_001, u64::MAX] {
            took.add(us);
        }
        let below: Vec<u64> = took.up_to().map(|(_, below)| below).collect();
        assert_eq!((below[0], below[1], below[2]), (2, 4, 4));
        assert_eq!((below[15], took.count(), took.sum_us()), (5, 7, u64::MAX));
        assert!(BOUNDS_US.is_sorted());
    }
}
