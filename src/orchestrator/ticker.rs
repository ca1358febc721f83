//! Wakes the core when something in it becomes due. Sleeps otherwise.

use super::state::State;
use crate::clock;
use crate::rt::Receiver;
use futures_lite::future;
use std::sync::Arc;
use std::time::Duration;

/// Runs until `earlier` closes, which is told when the next deadline moved forward.
pub async fn run(state: Arc<State>, earlier: Receiver<()>) {
    loop {
        let due = state.tick();
        let sleep = async {
            match due {
                Some(at) => clock::after(Duration::from_millis(at.saturating_sub(clock::now_ms()).max(1))).await,
                None => future::pending().await,
            }
            true
        };
        if !future::or(sleep, async { earlier.recv().await.is_ok() }).await {
            return;
        }
    }
}
