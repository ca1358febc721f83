//! Whether an instance is frozen, and how many calls keep it awake. A call that finds it awake pays one atomic addition;
//! one that finds it frozen wakes it first. Must never freeze what a call is using.

use super::engine::Control;
use crate::rt::{self, Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Set while it is frozen, or on its way there or back; the other bits count the calls.
const FROZEN: u32 = 1 << 31;

/// One instance's.
pub struct Freezer {
    state: AtomicU32,
    /// Full while somebody freezes or wakes it.
    turn: (Sender<()>, Receiver<()>),
}

impl Default for Freezer {
    fn default() -> Self {
        Freezer { state: AtomicU32::new(0), turn: rt::bounded(1) }
    }
}

/// It is not frozen as long as this lives.
pub struct Awake(Arc<Freezer>);

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.state.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Lets the next one have its turn, also when its holder was given up.
struct Turn<'a>(&'a Freezer);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = self.0.turn.1.try_recv();
    }
}

impl Freezer {
    /// Calls that keep it awake.
    pub fn calls(&self) -> u32 {
        self.state.load(Ordering::Acquire) & !FROZEN
    }

    pub fn is_frozen(&self) -> bool {
        self.state.load(Ordering::Acquire) & FROZEN != 0
    }

    /// Wakes it if need be; it stays awake until the answer is dropped.
    pub async fn enter(self: &Arc<Self>, control: &dyn Control) -> Result<Awake, String> {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        let awake = Awake(self.clone());
        if before & FROZEN != 0 {
            let _turn = self.turn().await;
            if self.is_frozen() {
                control.thaw().await?;
                self.state.fetch_and(!FROZEN, Ordering::AcqRel);
            }
        }
        Ok(awake)
    }

    /// Freezes it unless a call is under way, which is no failure.
    pub async fn freeze(&self, control: &dyn Control) -> Result<(), String> {
        let _turn = self.turn().await;
        if self.state.compare_exchange(0, FROZEN, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Ok(()); // busy, or frozen already
        }
        // Given up or failed in the middle: the next call wakes it whatever became of it.
        if let Err(why) = control.freeze().await {
            if control.thaw().await.is_ok() {
                self.state.fetch_and(!FROZEN, Ordering::AcqRel);
            }
            return Err(why);
        }
        Ok(())
    }

    async fn turn(&self) -> Turn<'_> {
        let _ = self.turn.0.send(()).await; // its other end is in here too
        Turn(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::Exit;
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;

    /// Writes down what it is told; freezing fails when it is `stiff`.
    #[derive(Default)]
    struct Told {
        all: Mutex<Vec<&'static str>>,
        stiff: bool,
    }

    #[async_trait::async_trait]
    impl Control for Told {
        async fn ended(&self) -> Exit {
            std::future::pending().await
        }

        async fn stop(&self, _: Duration) -> Exit {
            Exit::Code(0)
        }

        fn last_words(&self) -> String {
            String::new()
        }

        async fn freeze(&self) -> Result<(), String> {
            self.all.lock().unwrap().push("freeze");
            if self.stiff { Err("not here".into()) } else { Ok(()) }
        }

        async fn thaw(&self) -> Result<(), String> {
            self.all.lock().unwrap().push("thaw");
            Ok(())
        }
    }

    impl Told {
        fn is(&self, words: &[&str]) {
            assert_eq!(*self.all.lock().unwrap(), words);
        }
    }

    #[test]
    fn the_first_call_wakes_it_and_a_busy_one_is_not_frozen() {
        let (freezer, told) = (Arc::new(Freezer::default()), Told::default());
        rt::block_on(async {
            freezer.freeze(&told).await.unwrap();
            assert!(freezer.is_frozen());
            let (one, two) = futures_lite::future::zip(freezer.enter(&told), freezer.enter(&told)).await;
            assert!(one.is_ok() && two.is_ok() && !freezer.is_frozen());
            told.is(&["freeze", "thaw"]);
            drop(one);
            freezer.freeze(&told).await.unwrap();
            assert!(!freezer.is_frozen(), "a call is under way");
            drop(two);
            freezer.freeze(&told).await.unwrap();
            freezer.freeze(&told).await.unwrap();
            told.is(&["freeze", "thaw", "freeze"]);
        });
    }

    #[test]
    fn what_cannot_be_frozen_is_awake() {
        let (freezer, told) = (Arc::new(Freezer::default()), Told { stiff: true, ..Told::default() });
        rt::block_on(async {
            assert_eq!(freezer.freeze(&told).await, Err("not here".into()));
            assert!(!freezer.is_frozen());
            assert!(freezer.enter(&told).await.is_ok());
            told.is(&["freeze", "thaw"]);
        });
    }
}
