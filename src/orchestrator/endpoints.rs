//! Where workers that joined over HTTP are called, and which of these places the operator allows. Asked when one
//! registers and again at each connection, for a name may mean another address by then.

use super::addresses;
use crate::config::Allowed;
use crate::net::Socket;
use crate::{rt, tls};
use hyper::Uri;
use rustls::ClientConfig;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Of an endpoint.
const URL_BYTES: usize = 512;

/// Who a function that is a server elsewhere counts as registered from, once it is.
const FUNCTIONS_PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// `http://HOST:PORT` or `https://HOST:PORT`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    https: bool,
    host: String,
    port: u16,
}

impl Endpoint {
    /// # Errors
    /// Why it is none.
    pub fn read(text: &str) -> Result<Endpoint, String> {
        if text.len() > URL_BYTES {
            return Err(format!("at most {URL_BYTES} bytes"));
        }
        let uri: Uri = text.parse().map_err(|_| "must look like http://HOST:PORT")?;
        let (https, authority) = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme @ ("http" | "https")), Some(authority)) => (scheme == "https", authority),
            (Some(other), Some(_)) => return Err(format!("must begin with http:// or https://, not {other}://")),
            _ => return Err("must look like http://HOST:PORT".into()),
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err("must name a host, and no user".into());
        }
        if !matches!(uri.path_and_query().map(|p| p.as_str()), None | Some("" | "/")) {
            return Err("names a host and a port, and no path".into());
        }
        let host = authority.host();
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_some_and(|host| host.parse::<Ipv6Addr>().is_err()) {
            return Err("has no IPv6 address between its brackets".into());
        }
        let host = bracketed.unwrap_or(host).to_string();
        if bracketed.is_none() && host.contains(['[', ']', ':']) {
            return Err("its host has brackets or colons in it, as an IPv6 address alone may: http://[::1]:9000".into());
        }
        let rest = authority.as_str().strip_prefix(authority.host());
        match (rest, authority.port_u16()) {
            (Some(""), None) => Ok(Endpoint { https, host, port: if https { 443 } else { 80 } }),
            (Some(rest), Some(port)) if port > 0 && rest.starts_with(':') => Ok(Endpoint { https, host, port }),
            _ => Err("its port must be 1 to 65535".into()),
        }
    }

    /// `HOST:PORT`.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority())
    }
}

/// What the operator allows.
pub struct Endpoints {
    allowed: Allowed,
    /// The orchestrator's own ports.
    own: [u16; 2],
    /// Whom HTTPS is believed.
    trusted: Arc<ClientConfig>,
}

impl Endpoints {
    pub fn new(allowed: Allowed, own: [u16; 2], trusted: Arc<ClientConfig>) -> Self {
        Endpoints { allowed, own, trusted }
    }

    /// Whether a worker that registered from `peer` may be called there. `Err` says why not.
    pub fn check(&self, endpoint: &Endpoint, ip: IpAddr, peer: IpAddr) -> Result<(), String> {
        let (ip, peer) = (ip.to_canonical(), peer.to_canonical());
        if addresses::is_odd(ip) {
            return Err(format!("{ip} is never called: {}", addresses::ODD));
        }
        if !self.allowed.is_empty() {
            return self.allowed.check(&endpoint.host, ip, endpoint.port);
        }
        match ip == peer || (ip.is_loopback() && peer.is_loopback()) {
            true => Ok(()),
            false => Err(format!(
                "{ip} is not the address it registers from, {peer}; the orchestrator's operator allows others with \
                 --worker-endpoints"
            )),
        }
    }

    /// Whether one of its addresses may be called, for whoever registers.
    pub async fn look_up(&self, endpoint: &Endpoint, peer: IpAddr) -> Result<(), String> {
        let authority = endpoint.authority();
        let found = rt::unblock(move || authority.to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>)).await;
        let found = found.map_err(|e| format!("its host '{}' cannot be found: {e}", endpoint.host))?;
        let mut last = Err(format!("its host '{}' has no address", endpoint.host));
        for address in found {
            last = self.check(endpoint, address.ip(), peer);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Whether a function's calls may go there, when somebody at `peer` says so. Where nobody was told otherwise only this
    /// machine may name itself.
    pub async fn look_up_function(&self, endpoint: &Endpoint, peer: Option<IpAddr>) -> Result<(), String> {
        if self.allowed.is_empty() && peer.is_some_and(|peer| !peer.to_canonical().is_loopback()) {
            return Err("the orchestrator's operator has allowed no address with --worker-endpoints".into());
        }
        self.look_up(endpoint, FUNCTIONS_PEER).await
    }

    /// Connects to a function's server where that is allowed.
    pub async fn connect_function(&self, endpoint: &Endpoint, limit: Duration) -> Result<Socket, String> {
        self.connect(endpoint, FUNCTIONS_PEER, limit).await
    }

    /// Connects to it where that is allowed.
    pub async fn connect(&self, endpoint: &Endpoint, peer: IpAddr, limit: Duration) -> Result<Socket, String> {
        let may = |ip| self.check(endpoint, ip, peer);
        let authority = endpoint.authority();
        let socket = Socket::connect_where(&authority, limit, may).await;
        let socket = socket.map_err(|e| format!("cannot reach {authority}: {e}"))?;
        if socket.leads_home() && self.own.contains(&endpoint.port) {
            return Err(format!("{authority} is the orchestrator itself"));
        }
        if !endpoint.https {
            return Ok(socket);
        }
        let secured = tls::over(&self.trusted, socket, &endpoint.host).await;
        secured.map_err(|why| format!("no safe connection to {endpoint}: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        let read = |text: &str| Endpoint::read(text).map(|e| e.authority());
        assert_eq!(read("http://worker1:9000").as_deref(), Ok("worker1:9000"));
        assert_eq!(read("http://[::1]:9000/").as_deref(), Ok("[::1]:9000"));
        assert_eq!(read("http://10.0.0.1").as_deref(), Ok("10.0.0.1:80"));
        assert_eq!(read("https://w").as_deref(), Ok("w:443"));
        for url in ["https://w:443", "http://[::1]:9000"] {
            assert_eq!(Endpoint::read(url).expect(url).to_string(), url);
        }
        let long = format!("http://{}", "h".repeat(600));
        for bad in [
            "",
            "worker1:9000",
            "/x",
            "https:///w",
            "ftp://w",
            "http://",
            "http://[]:9000",
            "http://d[;:1]:9000/",
            "http://[::1]x:9000",
            "http://u:p@w",
            "http://w/p",
            "http://w?q",
            "http://w:0",
            "http://w:99999",
            "file:///etc",
            &long,
        ] {
            assert!(Endpoint::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_allowed_addresses_are_called() {
        let check = |rules: &[&str], url: &str, ip: &str, peer: &str| {
            let rules: Vec<String> = rules.iter().map(|rule| rule.to_string()).collect();
            let allowed = Allowed::by("--worker-endpoints", &rules).expect("rules");
            let endpoint = Endpoint::read(url).expect("an endpoint");
            let trusted = tls::client(Vec::new()).expect("the web's authorities");
            Endpoints::new(allowed, [1, 2], trusted).check(&endpoint, ip.parse().unwrap(), peer.parse().unwrap())
        };
        assert_eq!(check(&[], "http://w:9", "10.0.0.5", "10.0.0.5"), Ok(()));
        assert_eq!(check(&[], "http://w:9", "127.0.0.9", "127.0.0.1"), Ok(()));
        assert_eq!(check(&[], "http://w:9", "::1", "127.0.0.1"), Ok(()));
        assert_eq!(check(&[], "http://w:9", "127.0.0.1", "::ffff:127.0.0.1"), Ok(()));
        for (ip, peer) in [("127.0.0.1", "10.0.0.5"), ("10.0.0.6", "10.0.0.5"), ("10.0.0.5", "127.0.0.1")] {
            assert!(check(&[], "http://w:9", ip, peer).is_err_and(|why| why.contains("--worker-endpoints")), "{ip}");
        }
        let lan = ["10.0.0.0/8:9", "named"];
        assert_eq!(check(&lan, "http://w:9", "10.0.0.6", "1.2.3.4"), Ok(()));
        assert_eq!(check(&lan, "http://named:1", "8.8.8.8", "1.2.3.4"), Ok(()));
        assert!(
            check(&lan, "http://w:8", "10.0.0.6", "10.0.0.6").is_err_and(|why| why.contains("10.0.0.0/8:9, named"))
        );
        let all = ["0.0.0.0/0", "::/0", "named"];
        for never in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "0.0.0.0", "224.0.0.1"] {
            let why = check(&all, "http://named:80", never, never).expect_err(never);
            assert!(why.contains("never called"), "{why}");
        }
    }
}
