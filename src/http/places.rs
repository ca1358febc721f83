//! Who watches lists: so many at once.

use super::problem::Problem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Watchers at once, of all lists: each costs some bytes a row.
pub const WATCHERS: usize = 64;

/// How many watch one program, over all its lists.
#[derive(Clone, Default)]
pub struct Places(Arc<AtomicUsize>);

/// One of them; counted out when dropped.
pub struct Place(Places);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    /// One more, if there is room.
    pub fn take(&self) -> Result<Place, Problem> {
        let room = |taken: usize| (taken < WATCHERS).then_some(taken + 1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(Place(self.clone())),
            Err(_) => {
                let detail =
                    format!("{WATCHERS} lists are watched, as many as may be: close a watch, or ask without it");
                Err(Problem::new(503, "too_many_watchers", detail).retry_after(5))
            }
        }
    }
}
