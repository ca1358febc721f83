//! Waits until an instance that was started can be reached. Must never take one for reached that is not.

use super::engine::{Control, Listening, Start, at_start, listens_elsewhere};
use crate::clock;
use crate::net::Socket;
use futures_lite::future;
use std::net::SocketAddr;
use std::time::Duration;

/// Between two tries whether an instance listens: short at first, as most are quick.
const KNOCK_FIRST: Duration = Duration::from_millis(1);
const KNOCK_LAST: Duration = Duration::from_millis(25);
/// For an instance to listen, from when it runs; the orchestrator gives up 15 s later and knows nothing of its words.
const LISTEN_LIMIT: Duration = Duration::from_secs(45);
/// The same where it says that it listens elsewhere, or only its own container reaches it: before a call's default
/// `timeout_s` is over.
const LISTEN_SOON: Duration = Duration::from_secs(20);

/// Returns once it listens there; `Err` says why it does not, with its last words.
pub async fn until_it_listens(address: SocketAddr, control: &dyn Control) -> Result<(), String> {
    let ended = async {
        let exit = control.ended().await;
        Err(at_start(Start::Ended(exit), address.port(), &control.last_words()))
    };
    let too_late = async {
        clock::after(LISTEN_SOON).await;
        let mut waited = LISTEN_SOON;
        // Who listens on another port, such as one for metrics, may still be loading what it serves.
        let shut_in = |seen: Vec<Listening>| seen.iter().any(|one| one.port == address.port() && one.loopback);
        if !listens_elsewhere(address.port(), &control.last_words()) && !shut_in(control.listening().await) {
            clock::after(LISTEN_LIMIT - LISTEN_SOON).await;
            waited = LISTEN_LIMIT;
        }
        let seen = control.listening().await;
        Err(at_start(Start::Silent(waited, seen), address.port(), &control.last_words()))
    };
    let listens = async {
        let mut wait = KNOCK_FIRST;
        while Socket::connect_to(address).await.is_err() {
            clock::after(wait).await;
            wait = (wait * 2).min(KNOCK_LAST);
        }
        Ok(())
    };
    future::or(future::or(ended, listens), too_late).await
}
