//! Connections to the gRPC port that have not shown yet that they are a worker's: so many at once, and each for so long.
//! A worker's own are bounded by how many workers there may be.

use crate::lock::lock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// At once. All workers of a large cluster come back together after a restart, and are strangers for some milliseconds.
pub const STRANGERS: usize = 4_096;

/// How many there are.
#[derive(Default)]
pub struct Strangers(Arc<AtomicUsize>);

impl Strangers {
    /// One more, if there is room.
    pub fn enter(&self) -> Option<Stranger> {
        let room = |count: usize| (count < STRANGERS).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Stranger(Arc::new(Mutex::new(Some(Place(self.0.clone()))))))
    }
}

/// A connection; clones are the same one.
#[derive(Clone)]
pub struct Stranger(Arc<Mutex<Option<Place>>>);

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stranger {
    /// It is a worker's.
    pub fn is_known(&self) {
        drop(lock(&self.0).take());
    }

    /// Whether that has been shown.
    pub fn known(&self) -> bool {
        lock(&self.0).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_for_others_once_they_are_known_or_gone() {
        let strangers = Strangers::default();
        let mut all: Vec<Stranger> = (0..STRANGERS).map(|_| strangers.enter().expect("room")).collect();
        assert!(strangers.enter().is_none());
        all[0].clone().is_known();
        all[0].is_known();
        assert!(all[0].known() && !all[1].known());
        all.push(strangers.enter().expect("room"));
        assert!(strangers.enter().is_none());
        all.truncate(2);
        assert_eq!(strangers.0.load(Ordering::Relaxed), 1);
    }
}
