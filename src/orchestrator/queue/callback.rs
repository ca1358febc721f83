//! Telling a call's end to who asked for it: its result is POSTed to the address given. Must never follow a redirect,
//! and never reach where `check_url`, `check_ip` and `check_own` do not let it.

use super::SOON;
use crate::body::Body;
use crate::clock;
use crate::cluster::backlog::{CallKey, Command};
use crate::net::Socket;
use crate::orchestrator::Orchestrator;
use crate::rt;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// From connecting to the answer's head.
const LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Of an address.
const URL_BYTES: usize = 2_048;
/// Where one cloud hands out credentials, beside 169.254.169.254.
const CLOUD_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
const X_CARES_STATUS: HeaderName = HeaderName::from_static("x-cares-status");
const X_CARES_RESULT_STATUS: HeaderName = HeaderName::from_static("x-cares-result-status");
const X_CARES_FUNCTION: HeaderName = HeaderName::from_static("x-cares-function");

/// Whether this may be an address to call back. `Err` says why not.
pub fn check_url(url: &str) -> Result<(), String> {
    if url.len() > URL_BYTES {
        return Err(format!("at most {URL_BYTES} bytes"));
    }
    let uri: Uri = url.parse().map_err(|_| "is no address such as http://HOST:PORT/PATH".to_string())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some(other) => return Err(format!("only http:// is called back, not {other}://")),
        None => return Err("must begin with http://".into()),
    }
    let authority = uri.authority().ok_or("names no host")?;
    match authority.host().is_empty() || authority.as_str().contains('@') {
        true => Err("must name a host, and no user".into()),
        false => match authority.host().trim_matches(['[', ']']).parse() {
            Ok(ip) => check_ip(ip),
            Err(_) => Ok(()), // a name: looked at when it is looked up
        },
    }
}

/// The one place to say which addresses are called back, whatever name they were given by: not those of many, and not
/// the link's own, where clouds hand out credentials. All others may be, also private ones: callers live there.
fn check_ip(ip: IpAddr) -> Result<(), String> {
    let ip = ip.to_canonical();
    let odd = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip == CLOUD_V6,
    };
    match odd || ip.is_multicast() || ip.is_unspecified() {
        true => Err(format!("{ip} is not called back: a link-local, multicast or unspecified address")),
        false => Ok(()),
    }
}

/// The orchestrator itself calls nothing of its own but functions: what comes from this machine may be trusted more than
/// who asked for the callback.
fn check_own(app: &Orchestrator, home: bool, port: u16, path: &str) -> Result<(), String> {
    let own = home && (port == app.http.port() || port == app.grpc.port());
    let calls = ["/invoke/", "/function/", "/async-function/"].iter().any(|start| path.starts_with(start));
    match own && (port == app.grpc.port() || !calls) {
        true => Err("the orchestrator's own address is called back below /invoke/ and its like only".into()),
        false => Ok(()),
    }
}

/// Tells it, once.
pub async fn run(app: Arc<Orchestrator>, key: CallKey) {
    while app.queue.call(key).is_some_and(|call| !call.status.is_final()) {
        clock::after(SOON).await; // its end is on its way to the disk, and what is told must last
    }
    let taken = match clock::timeout(LIMIT, tell(&app, key)).await {
        Some(taken) => taken,
        None => Err(format!("no answer within {} s", LIMIT.as_secs())),
    };
    app.queue.apply(&app, Command::CalledBack { call: key, taken }, None);
}

async fn tell(app: &Arc<Orchestrator>, key: CallKey) -> Result<(), String> {
    let call = app.queue.call(key).ok_or("it is no longer known")?;
    let url = call.callback.map(|c| c.url).ok_or("nobody asked for it")?;
    check_url(&url)?;
    let uri: Uri = url.parse().map_err(|_| "no address")?;
    let authority = uri.authority().ok_or("no host")?.clone();
    let result = app.queue.result(key).await?;
    let mut request = Request::new(Body::Empty);
    if let Some(result) = result {
        let (head, body) = result.into_parts();
        *request.body_mut() = body;
        let kind = head.headers.get(header::CONTENT_TYPE).cloned();
        request.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
        request.headers_mut().insert(X_CARES_RESULT_STATUS, HeaderValue::from(head.status.as_u16()));
    }
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|_| "no path")?;
    let headers = request.headers_mut();
    for (name, value) in [
        (header::HOST, authority.as_str()),
        (HeaderName::from_static("x-call-id"), &key.to_string()),
        (X_CARES_STATUS, call.status.word()),
        (X_CARES_FUNCTION, &call.function),
    ] {
        headers.insert(name, HeaderValue::from_str(value).map_err(|e| e.to_string())?);
    }
    let port = authority.port_u16().unwrap_or(80);
    let there = format!("{}:{port}", authority.host());
    let unreached = |why: &dyn std::fmt::Display| format!("cannot reach {authority}: {why}");
    let socket = Socket::connect_where(&there, CONNECT_LIMIT, check_ip).await.map_err(|e| unreached(&e))?;
    let own = socket.leads_home() && port == app.http.port();
    check_own(app, socket.leads_home(), port, path)?;
    let (mut requests, connection) = http1::handshake(socket).await.map_err(|e| unreached(&e))?;
    let _connection = rt::spawn_scoped(async move { drop(connection.await) });
    let answer = requests.send_request(request).await.map_err(|e| unreached(&e))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) if own => Err(format!(
            "{authority}, the orchestrator itself, answered with status {}: a callback carries no token, so of its own \
             functions only public ones take it (`cares register --public`)",
            status.as_u16()
        )),
        status => Err(format!("{authority} answered with status {}", status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_are_called_back() {
        for good in ["http://h/", "http://127.0.0.1:9/x?y=1", "http://[::1]:8080", "http://h.example"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        let long = format!("http://h/{}", "x".repeat(3_000));
        for bad in
            ["", "h", "/path", "https://h/", "ftp://h/", "http://", "http://u:p@h/", "http:///x", "file:///etc", &long]
        {
            assert!(check_url(bad).is_err(), "{bad}");
        }
        for hostile in [
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://0.0.0.0:8080/",
            "http://[::]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
        ] {
            assert!(check_url(hostile).is_err_and(|why| why.contains("not called back")), "{hostile}");
        }
    }
}
