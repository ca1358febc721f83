//! Telling a call's end to who asked for it: its result is POSTed to the address given. Must never follow a redirect,
//! and never reach where `check_url`, `check_ip` and `check_own` do not let it.

use crate::body::Body;
use crate::clock;
use crate::cluster::backlog::{CallKey, Callback, Command};
use crate::config::Allowed;
use crate::net::Socket;
use crate::orchestrator::{Orchestrator, addresses};
use crate::{rt, tls};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Uri};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// From connecting to the answer's head.
const LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Of an address.
const URL_BYTES: usize = 2_048;
const X_CARES_STATUS: HeaderName = HeaderName::from_static("x-cares-status");
const X_CARES_RESULT_STATUS: HeaderName = HeaderName::from_static("x-cares-result-status");
const X_CARES_FUNCTION: HeaderName = HeaderName::from_static("x-cares-function");

/// Whether this may be an address to call back. `Err` says why not.
pub fn check_url(url: &str, allowed: &Allowed) -> Result<(), String> {
    if url.len() > URL_BYTES {
        return Err(format!("at most {URL_BYTES} bytes"));
    }
    let uri: Uri = url.parse().map_err(|_| "is no address such as http://HOST:PORT/PATH".to_string())?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(other) => return Err(format!("only http:// and https:// are called back, not {other}://")),
        None => return Err("must begin with http:// or https://".into()),
    }
    let authority = uri.authority().ok_or("names no host")?;
    match authority.host().is_empty() || authority.as_str().contains('@') {
        true => Err("must name a host, and no user".into()),
        false => match host(authority).parse() {
            Ok(ip) => check_ip(allowed, authority, port(&uri), ip),
            Err(_) => Ok(()), // a name: looked at when it is looked up
        },
    }
}

fn host(authority: &Authority) -> &str {
    authority.host().trim_matches(['[', ']'])
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

/// Which addresses are called back, whatever name they were given by: those that the operator allows, and where nothing
/// is said also private ones, for callers live there.
fn check_ip(allowed: &Allowed, authority: &Authority, port: u16, ip: IpAddr) -> Result<(), String> {
    match addresses::is_odd(ip) {
        true => Err(format!("{} is not called back: {}", ip.to_canonical(), addresses::ODD)),
        false if allowed.is_empty() => Ok(()),
        false => allowed.check(host(authority), ip.to_canonical(), port),
    }
}

/// What comes from this machine may be trusted more than who asked for the callback: the orchestrator itself is called
/// back for functions alone, and what else listens here only for who is here too, and could call it themselves.
fn check_own([http, grpc]: [u16; 2], to: SocketAddr, path: &str, from: Option<&str>) -> Result<(), String> {
    let calls = ["/invoke/", "/function/", "/async-function/"].iter().any(|start| path.starts_with(start));
    let is_here = |from: IpAddr| from == to.ip() || from.is_loopback();
    let is_from_here = |from: &str| from.parse().is_ok_and(|from: IpAddr| is_here(from.to_canonical()));
    match to.port() {
        port if port == http && calls => Ok(()),
        port if port == http || port == grpc => {
            Err("the orchestrator's own address is called back below /invoke/ and its like only".into())
        }
        _ if from.is_none_or(is_from_here) => Ok(()),
        _ => Err("the orchestrator's machine is called back for who asks from there only".into()),
    }
}

/// Tells it, once.
pub async fn run(app: Arc<Orchestrator>, key: CallKey) {
    app.queue.ended(key).await; // what is told must last
    let taken = match clock::timeout(LIMIT, tell(&app, key)).await {
        Some(taken) => taken,
        None => Err(format!("no answer within {} s", LIMIT.as_secs())),
    };
    app.queue.apply(&app, Command::CalledBack { call: key, taken }, None);
}

async fn tell(app: &Arc<Orchestrator>, key: CallKey) -> Result<(), String> {
    let call = app.queue.call(key).ok_or("it is no longer known")?;
    let Callback { url, from, .. } = call.callback.ok_or("nobody asked for it")?;
    check_url(&url, &app.callbacks)?;
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
    let https = uri.scheme_str() == Some("https");
    let port = port(&uri);
    let there = format!("{}:{port}", authority.host());
    let unreached = |why: &dyn std::fmt::Display| format!("cannot reach {authority}: {why}");
    let may = |ip| check_ip(&app.callbacks, &authority, port, ip);
    let socket = Socket::connect_where(&there, CONNECT_LIMIT, may).await.map_err(|e| unreached(&e))?;
    let own = socket.leads_home() && port == app.http.port();
    if let Some(ip) = socket.peer_ip().filter(|_| socket.leads_home()) {
        check_own([app.http.port(), app.grpc.port()], SocketAddr::new(ip.to_canonical(), port), path, from.as_deref())?;
    }
    let socket = match https {
        true => tls::over(&app.trusted, socket, authority.host()).await.map_err(|why| unreached(&why))?,
        false => socket,
    };
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
        for good in ["http://h/", "http://127.0.0.1:9/x?y=1", "http://[::1]:8080", "http://h.example", "https://h/"] {
            assert_eq!(check_url(good, &Allowed::default()), Ok(()), "{good}");
        }
        let long = format!("http://h/{}", "x".repeat(3_000));
        for bad in
            ["", "h", "/path", "https:///x", "ftp://h/", "http://", "http://u:p@h/", "http:///x", "file:///etc", &long]
        {
            assert!(check_url(bad, &Allowed::default()).is_err(), "{bad}");
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
            assert!(
                check_url(hostile, &Allowed::default()).is_err_and(|why| why.contains("not called back")),
                "{hostile}"
            );
            let listed = allowed(&["0.0.0.0/0", "::/0", "169.254.169.254"]);
            assert!(check_url(hostile, &listed).is_err_and(|why| why.contains("not called back")), "{hostile}");
        }
    }

    fn allowed(rules: &[&str]) -> Allowed {
        let rules: Vec<String> = rules.iter().map(|rule| rule.to_string()).collect();
        Allowed::by("--callbacks", &rules).expect("rules")
    }

    #[test]
    fn only_what_the_operator_lists_is_called_back_where_anything_is() {
        let listed = allowed(&["10.0.0.0/8", "[fd00::]/8:9", "hooks.lan:443"]);
        for good in ["http://10.1.2.3/", "http://[fd00::1]:9/x", "http://any.name/"] {
            assert_eq!(check_url(good, &listed), Ok(()), "{good}");
        }
        for bad in ["http://11.0.0.1/", "http://127.0.0.1:8080/", "https://[fd00::1]/"] {
            let why = check_url(bad, &listed).expect_err(bad);
            assert!(why.ends_with("is not within --callbacks 10.0.0.0/8, [fd00::]/8:9, hooks.lan:443"), "{why}");
        }
        // A name, once it is looked up.
        let at = |url: &str, ip: &str| {
            let uri: Uri = url.parse().unwrap();
            check_ip(&listed, uri.authority().unwrap(), port(&uri), ip.parse().unwrap()).is_ok()
        };
        assert!(at("https://hooks.lan/", "8.8.8.8") && at("http://any.name/", "10.9.9.9"));
        assert!(!at("http://hooks.lan/", "8.8.8.8") && !at("http://any.name/", "192.168.1.1"));
        assert!(!at("https://hooks.lan/", "169.254.169.254"), "whatever is listed");
    }

    #[test]
    fn what_listens_here_is_called_back_for_who_is_here_too() {
        let check = |to: &str, path: &str, from: &str| {
            let from = Some(from).filter(|from| !from.is_empty()); // empty: an earlier release kept it
            check_own([8080, 50051], to.parse().unwrap(), path, from).map_err(|why| {
                assert!(why.contains("the orchestrator's"), "{why}");
            })
        };
        for from in ["127.0.0.1", "10.0.0.9", "::1"] {
            assert_eq!(check("127.0.0.1:8080", "/invoke/f", from), Ok(()), "{from}");
            assert_eq!(check("127.0.0.1:8080", "/functions", from), Err(()), "{from}");
            assert_eq!(check("127.0.0.1:50051", "/invoke/f", from), Err(()), "{from}");
        }
        for (to, from) in [
            ("127.0.0.1:9000", "127.0.0.1"),
            ("127.0.0.1:9000", "::ffff:127.0.0.1"),
            ("127.0.0.1:9000", "::1"),
            ("10.0.0.1:9000", "127.0.0.1"),
            ("10.0.0.1:9000", "10.0.0.1"),
            ("127.0.0.1:9000", ""),
        ] {
            assert_eq!(check(to, "/told", from), Ok(()), "{to} {from}");
        }
        for (to, from) in [("127.0.0.1:9000", "10.0.0.9"), ("10.0.0.1:9000", "10.0.0.9"), ("[::1]:9000", "10.0.0.9")] {
            assert_eq!(check(to, "/told", from), Err(()), "{to} {from}");
        }
    }
}
