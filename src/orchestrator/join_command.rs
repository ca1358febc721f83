//! What to type on another machine so that it joins.

use super::Orchestrator;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

impl Orchestrator {
    /// As of now: where everybody needs a token, with a file that holds one.
    pub fn join_command(&self) -> String {
        match self.tokens.gate().closed() {
            true => format!("cares worker {} --join-token-file FILE", typed(self.grpc)),
            false => format!("cares worker {}", typed(self.grpc)),
        }
    }
}

/// An address as another machine can be told it: for "all of this machine's" the one that the world is reached from, or
/// else the machine's name. Asked each time, as laptops move.
fn typed(listening: SocketAddr) -> String {
    if !listening.ip().is_unspecified() {
        return listening.to_string();
    }
    let port = listening.port();
    match outward(listening.is_ipv6()) {
        Some(ip) => SocketAddr::new(ip, port).to_string(),
        None => format!("{}:{port}", sysinfo::System::host_name().unwrap_or_else(|_| "localhost".into())),
    }
}

/// Nothing is sent: connecting a datagram socket only looks up the route.
fn outward(also_v6: bool) -> Option<IpAddr> {
    let route = |from: IpAddr, to: IpAddr| {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
    };
    // Addresses for documentation: they are nobody's.
    let v4 = || route(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 = || route(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
    v4().or_else(|| v6().filter(|_| also_v6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_names_one_machine() {
        assert_eq!(typed("127.0.0.1:50051".parse().expect("an address")), "127.0.0.1:50051");
        assert_eq!(typed("[::1]:7".parse().expect("an address")), "[::1]:7");
        for all in ["0.0.0.0:50051", "[::]:50051"] {
            let told = typed(all.parse().expect("an address"));
            let (host, port) = told.rsplit_once(':').expect("a port");
            assert!(port == "50051" && !host.is_empty() && host != "0.0.0.0" && host != "[::]", "{told}");
        }
    }
}
