//! Ports for http functions, each lent to one launch at a time. Must never hand out one that another worker of this
//! machine has lent, as long as that worker runs.

use super::super::EngineError;
use crate::lock::lock;
use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

/// Below what Linux hands out for outgoing connections (from 32,768), so none of these takes one away.
const RANGE: RangeInclusive<u16> = 20_000..=32_767;

/// The ports this engine has lent.
#[derive(Default)]
pub struct Ports {
    lent: Mutex<HashSet<u16>>,
}

/// A port that is lent until this is dropped.
pub struct Lease {
    port: u16,
    ports: Arc<Ports>,
    /// Tells other workers: between the test and the function's own bind nothing else would.
    _claim: Claim,
}

impl Lease {
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.ports.lent).remove(&self.port);
    }
}

impl Ports {
    /// A port nobody listens on, from a random point on so that workers seldom meet.
    pub fn lease(self: &Arc<Self>) -> Result<Lease, EngineError> {
        let count = u32::from(RANGE.end() - RANGE.start()) + 1;
        let first = getrandom::u32().unwrap_or(std::process::id()) % count;
        let mut lent = lock(&self.lent);
        for n in 0..count {
            let port = RANGE.start() + ((first + n) % count) as u16;
            if lent.contains(&port) {
                continue;
            }
            let Some(claim) = claim(port) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
                continue;
            }
            lent.insert(port);
            return Ok(Lease { port, ports: self.clone(), _claim: claim });
        }
        Err(EngineError::Resources("every port from 20000 to 32767 is taken on this node; stop something".into()))
    }
}

/// A socket whose name in the kernel's own namespace says the port is lent; it goes when its process does.
#[cfg(target_os = "linux")]
type Claim = Option<std::os::unix::net::UnixDatagram>;
#[cfg(not(target_os = "linux"))]
type Claim = ();

/// `None` when another worker has it.
#[cfg(target_os = "linux")]
fn claim(port: u16) -> Option<Claim> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let name = SocketAddr::from_abstract_name(format!("cares-port-{port}"));
    match name.and_then(|name| UnixDatagram::bind_addr(&name)) {
        Ok(socket) => Some(Some(socket)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => None,
        // No such sockets here: the test bind must do.
        Err(_) => Some(None),
    }
}

#[cfg(not(target_os = "linux"))]
fn claim(_port: u16) -> Option<Claim> {
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_lent_twice_and_none_that_is_taken() {
        // As two workers of one machine would.
        let (one, two) = (Arc::new(Ports::default()), Arc::new(Ports::default()));
        let leases: Vec<Lease> = (0..300).map(|n| [&one, &two][n % 2].lease().unwrap()).collect();
        let ports: HashSet<u16> = leases.iter().map(Lease::port).collect();
        assert_eq!(ports.len(), leases.len());
        assert!(ports.iter().all(|port| RANGE.contains(port)));
        assert_eq!(one.lent.lock().unwrap().len(), 150);
        drop(leases);
        assert!(one.lent.lock().unwrap().is_empty());
    }
}
