//! Which web pages may use the API. A loopback API without tokens must not be open to every page its user looks at: not
//! through a form or script of another site (Origin), nor through a name that was made to point here (Host).

use super::problem::Problem;
use crate::body::Body;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::net::IpAddr;

/// What the caller's page is.
pub enum Caller {
    /// No page, or the same one.
    Direct,
    /// A page that may see answers.
    Page(HeaderValue),
}

/// Who asks, or why they may not.
pub fn check(request: &Request<Incoming>, open: bool) -> Result<Caller, Problem> {
    let headers = request.headers();
    let host = headers.get(header::HOST).map(|h| h.to_str().unwrap_or("?"));
    if !open && host.is_some_and(|host| !is_local(host)) {
        let detail = "this address answers only to localhost and IP addresses; start with --open to allow other names";
        return Err(Problem::new(403, "host_not_allowed", detail));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(Caller::Direct) };
    let text = origin.to_str().unwrap_or("?");
    let from = text.split_once("://").map(|(_, host)| host);
    if from.is_some_and(|from| host == Some(from) || is_localhost(from)) {
        return Ok(Caller::Page(origin.clone()));
    }
    let detail = format!("pages of {text} may not use this API: only pages served from localhost may");
    Err(Problem::new(403, "origin_not_allowed", detail))
}

/// The answer to a browser that asks what it may do; `None` when the request is no such question.
pub fn preflight(request: &Request<Incoming>, caller: &Caller) -> Option<Response<Body>> {
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let Caller::Page(_) = caller else { return None };
    asks.then(|| {
        let mut answer = Response::new(Body::Empty);
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(asked) = asked {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        answer
    })
}

/// Lets the caller's page see the answer.
pub fn allow(answer: &mut Response<Body>, caller: Caller) {
    if let Caller::Page(origin) = caller {
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

fn is_local(host: &str) -> bool {
    let name = without_port(host);
    is_localhost(host) || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

fn is_localhost(host: &str) -> bool {
    let name = without_port(host);
    let loopback = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_hosts_are_told_from_others() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "app.localhost"] {
            assert!(is_localhost(host) && is_local(host), "{host}");
        }
        assert!(is_local("192.168.1.5:8080") && !is_localhost("192.168.1.5:8080"));
        for host in ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", ""] {
            assert!(!is_local(host) && !is_localhost(host), "{host}");
        }
    }
}
