//! Addresses that nobody may have the orchestrator call: the one place to say which. Knows nothing of who asks.

use std::net::{IpAddr, Ipv6Addr};

/// What those are, for people.
pub const ODD: &str = "a link-local, multicast or unspecified address";

/// Where one cloud hands out credentials, beside 169.254.169.254.
const CLOUD_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Not one machine's, or the link's own, where clouds hand out credentials.
pub fn is_odd(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let odd = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip == CLOUD_V6,
    };
    odd || ip.is_multicast() || ip.is_unspecified()
}
