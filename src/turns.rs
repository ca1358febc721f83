//! Whose turn it is: so many at once, the others in the order they came. Must never give a place to one who has gone.

use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// The places, and who waits for one.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    taken: usize,
    waiting: VecDeque<Sender<()>>,
}

/// A place; the next in the queue gets it when this is dropped.
pub struct Turn(Turns);

/// Somebody in the queue, who may go away.
struct Waits {
    turns: Turns,
    told: Receiver<()>,
}

impl Turns {
    /// Waits for a place, of which there are so many.
    pub async fn take(&self, places: usize) -> Turn {
        let waits = {
            let mut queue = self.lock();
            if queue.taken < places {
                queue.taken += 1;
                return Turn(self.clone());
            }
            let (tell, told) = rt::bounded(1);
            queue.waiting.push_back(tell);
            Waits { turns: self.clone(), told }
        };
        let _ = waits.told.recv().await; // its other end is in the queue until it is told
        Turn(self.clone())
    }

    fn pass_on(&self) {
        let mut queue = self.lock();
        while let Some(next) = queue.waiting.pop_front() {
            if next.try_send(()).is_ok() {
                return;
            }
        }
        queue.taken -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.0)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        // Closed first: nothing can be told any more, and what was told before is seen.
        self.told.close();
        if self.told.try_recv().is_ok() {
            self.turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future;

    #[test]
    fn places_go_round_in_order_and_none_is_lost() {
        let turns = Turns::default();
        let first = rt::block_on(turns.take(1));
        let (mut second, mut third) = (Box::pin(turns.take(1)), Box::pin(turns.take(1)));
        assert!(rt::block_on(future::poll_once(&mut second)).is_none());
        assert!(rt::block_on(future::poll_once(&mut third)).is_none());
        drop(first);
        assert!(rt::block_on(future::poll_once(&mut third)).is_none(), "it is the second's turn");
        drop(second); // told, but it never looked
        let third = rt::block_on(future::poll_once(&mut third)).expect("its turn");
        let mut fourth = Box::pin(turns.take(1));
        assert!(rt::block_on(future::poll_once(&mut fourth)).is_none());
        drop(fourth);
        drop(third);
        assert_eq!(turns.lock().taken, 0);
    }
}
