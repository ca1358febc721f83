//! How this machine reaches a container: by its own address on the engine's bridge, or where that leads nowhere (a
//! rootless engine, another network) by a port of this machine. Must never publish one beyond loopback.

use crate::clock;
use async_io::Async;
use futures_lite::io::AsyncReadExt;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const UNKNOWN: u8 = 0;
const BY_BRIDGE: u8 = 1;
const BY_PORT: u8 = 2;

/// For a packet to come back from the bridge: it is on this machine. A firewall that drops is found by this.
const KNOCK_LIMIT: Duration = Duration::from_secs(1);
/// What listens at a published port at once is the engine's proxy: it closes at once while the container does not listen.
const PROXY_CLOSES: Duration = Duration::from_millis(50);
const KNOCK_AGAIN: Duration = Duration::from_millis(20);

/// What was found out with the first container.
#[derive(Default)]
pub struct Reach(AtomicU8);

impl Reach {
    pub fn needs_publishing(&self) -> bool {
        self.0.load(Ordering::Relaxed) == BY_PORT
    }

    pub fn bridge_is_out_of_reach(&self) {
        if self.0.swap(BY_PORT, Ordering::Relaxed) != BY_PORT {
            log::warn!(
                "Containers cannot be reached by their own addresses: each gets a port on 127.0.0.1, which is slower"
            );
        }
    }

    /// Whether a container just started can be reached by its own address; asks only until it is known.
    pub async fn try_bridge(&self, at: SocketAddr) -> bool {
        if self.0.load(Ordering::Relaxed) != UNKNOWN {
            return true;
        }
        let reached = match clock::timeout(KNOCK_LIMIT, Async::<TcpStream>::connect(at)).await {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.kind() == ErrorKind::ConnectionRefused, // it is there, and does not listen yet
            None => false,
        };
        if reached {
            self.0.store(BY_BRIDGE, Ordering::Relaxed);
        }
        reached
    }
}

/// Whether something takes connections there.
pub async fn listens(at: SocketAddr, limit: Duration) -> bool {
    matches!(clock::timeout(limit, Async::<TcpStream>::connect(at)).await, Some(Ok(_)))
}

/// Waits until a container behind a published port listens, or `waiting` says it is of no use.
pub async fn until_it_listens(at: SocketAddr, waiting: impl Fn() -> bool) {
    while waiting() {
        if let Ok(mut socket) = Async::<TcpStream>::connect(at).await {
            // A server waits for a request; who has nothing behind it closes.
            if clock::timeout(PROXY_CLOSES, socket.read(&mut [0])).await.is_none() {
                return;
            }
        }
        clock::after(KNOCK_AGAIN).await;
    }
}
