//! Where the orchestrator may call others: `--worker-endpoints`, where workers that join over HTTP may say they listen, and
//! `--callbacks`, where results may be sent. Must never look anything up.

use super::ConfigError;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What one flag allows; nothing given: what holds without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    flag: &'static str,
    rules: Vec<EndpointRule>,
}

impl Allowed {
    /// # Errors
    /// What is given is no rule.
    pub fn by(flag: &'static str, given: &[String]) -> Result<Allowed, ConfigError> {
        let rule =
            |value: &String| value.parse().map_err(|why| ConfigError::Endpoints { flag, value: value.clone(), why });
        Ok(Allowed { flag, rules: given.iter().map(rule).collect::<Result<_, _>>()? })
    }

    /// Nothing was given.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a host of that name may be called at this address, where something was given.
    ///
    /// # Errors
    /// No rule allows it.
    pub fn check(&self, name: &str, ip: IpAddr, port: u16) -> Result<(), String> {
        if self.rules.iter().any(|rule| rule.allows(name, ip, port)) {
            return Ok(());
        }
        let rules: Vec<String> = self.rules.iter().map(EndpointRule::to_string).collect();
        Err(format!("{ip} port {port} is not within {} {}", self.flag, rules.join(", ")))
    }
}

/// Where such others may be: addresses or one name, at any port or at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRule {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// All addresses that share so many leading bits.
    Net(IpAddr, u8),
    Name(String),
}

impl EndpointRule {
    /// Whether it lets a host of that name be called at this address.
    pub fn allows(&self, name: &str, ip: IpAddr, port: u16) -> bool {
        let host = match &self.host {
            Host::Net(net, bits) => within(ip.to_canonical(), *net, *bits),
            Host::Name(known) => known.eq_ignore_ascii_case(name),
        };
        host && self.port.is_none_or(|only| only == port)
    }
}

fn within(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    let same = |a: u128, b: u128, width: u8| bits == 0 || a >> (width - bits) == b >> (width - bits);
    match (ip, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

impl fmt::Display for EndpointRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Net(IpAddr::V6(net), bits) => write!(f, "[{net}]/{bits}")?,
            Host::Net(net, bits) => write!(f, "{net}/{bits}")?,
            Host::Name(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for EndpointRule {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or("its '[' has no ']'")?,
            None if text.matches(':').count() > 1 => match text.split_once('/') {
                Some((host, _)) => text.split_at(host.len()),
                None => (text, ""),
            },
            None => text.split_at(text.find(['/', ':']).unwrap_or(text.len())),
        };
        let (bits, port) = match rest.split_once(':') {
            Some((bits, port)) => (bits, Some(port)),
            None => (rest, None),
        };
        let port = port.map(|port| port.parse().ok().filter(|p| *p > 0).ok_or("its port must be 1 to 65535"));
        let bits = match bits.strip_prefix('/') {
            Some(bits) => Some(bits.parse::<u8>().map_err(|_| "behind the '/' stands a number of bits")?),
            None if bits.is_empty() => None,
            None => return Err("behind the ']' stands /BITS or :PORT, or nothing"),
        };
        let host = match (host.parse::<IpAddr>(), bits) {
            (Ok(ip), bits) => {
                let width = if ip.is_ipv4() { 32 } else { 128 };
                Host::Net(
                    ip,
                    bits.filter(|b| *b <= width).or(bits.is_none().then_some(width)).ok_or("it has too many bits")?,
                )
            }
            (Err(_), Some(_)) => return Err("before the '/' stands an address, such as 10.0.0.0/8"),
            (Err(_), None) if !is_name(host) => return Err("it is neither an address nor a host's name"),
            (Err(_), None) => Host::Name(host.to_ascii_lowercase()),
        };
        Ok(EndpointRule { host, port: port.transpose()? })
    }
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, name: &str, ip: &str, port: u16) -> bool {
        rule.parse::<EndpointRule>().unwrap_or_else(|e| panic!("{rule}: {e}")).allows(name, ip.parse().unwrap(), port)
    }

    #[test]
    fn a_rule_allows_what_it_says_and_no_more() {
        assert!(allows("10.0.0.0/8", "10.1.2.3", "10.1.2.3", 9000));
        assert!(allows("10.0.0.0/8", "any.name", "10.255.0.1", 1));
        assert!(!allows("10.0.0.0/8", "11.0.0.1", "11.0.0.1", 9000));
        assert!(allows("0.0.0.0/0", "x", "8.8.8.8", 1) && !allows("0.0.0.0/0", "x", "::1", 1));
        assert!(allows("192.168.1.7:9000", "x", "192.168.1.7", 9000));
        assert!(!allows("192.168.1.7:9000", "x", "192.168.1.7", 9001));
        assert!(!allows("192.168.1.7:9000", "x", "192.168.1.8", 9000));
        assert!(allows("192.168.0.0/16:9000", "x", "192.168.9.8", 9000));
        assert!(allows("10.0.0.0/8", "x", "::ffff:10.0.0.1", 1), "an IPv4 address however it is written");
        assert!(allows("fd00::/8", "x", "fd12::1", 1) && !allows("fd00::/8", "x", "fe12::1", 1));
        assert!(allows("[fd00::]/8:9000", "x", "fd12::1", 9000) && !allows("[fd00::]/8:9000", "x", "fd12::1", 1));
        assert!(allows("[::1]:80", "x", "::1", 80) && allows("::1", "x", "::1", 80));
        assert!(allows("Worker1.lab:9000", "worker1.LAB", "1.2.3.4", 9000));
        assert!(!allows("worker1", "worker2", "1.2.3.4", 9000));
    }

    #[test]
    fn what_is_no_rule_is_refused_and_what_is_comes_back() {
        for bad in [
            "",
            ":9000",
            "10.0.0.0/33",
            "10.0.0.0/x",
            "host/8",
            "host:0",
            "host:70000",
            "http://host",
            "a b",
            "[::1",
            "[::1]x",
            "fd00::/129",
            "10.0.0.0/",
            "*",
        ] {
            assert!(bad.parse::<EndpointRule>().is_err(), "{bad}");
        }
        for text in ["10.0.0.0/8", "192.168.1.7/32:9000", "[fd00::]/8", "[::1]/128:80", "worker1:9000", "worker1"] {
            assert_eq!(text.parse::<EndpointRule>().map(|r| r.to_string()).as_deref(), Ok(text));
        }
    }
}
