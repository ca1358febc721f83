//! Which web pages may use the API. A loopback API without tokens must not be open to every page its user looks at: not
//! through a form or script of another site (Origin), nor through a name that was made to point here (Host), nor by what a
//! function answers: its pages are kept apart from the dashboard, whose address they have.

use super::problem::Problem;
use crate::body::Body;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::fmt;
use std::net::IpAddr;

/// Sites at most, and names: they are looked through.
const SITES_MAX: usize = 64;

/// What a function's answers carry. A browser then gives its pages an origin that is nobody else's: they neither act as the dashboard
/// nor see what it keeps. Not left out where no page is asked for: a browser may keep that answer and show it as a page.
const APART: HeaderValue = HeaderValue::from_static(
    "sandbox allow-downloads allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox allow-scripts",
);

/// Sites whose pages may use the API, beside those of localhost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Any may, and the API answers to any name.
    any: bool,
    /// `https://app.example:8443`, in small letters. The API answers to their hosts' names too.
    sites: Vec<String>,
    /// Names under which functions are called and nothing else is: what they answer there shares no origin with anything of ours.
    functions: Vec<String>,
}

/// A site that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOrigin {
    given: String,
    why: &'static str,
}

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.given.escape_debug(), self.why)
    }
}

impl Origins {
    /// From what `--allow-origin` was given.
    pub fn read(given: &[String]) -> Result<Origins, BadOrigin> {
        let mut origins = Origins::default();
        for given in given {
            let bad = |why| Err(BadOrigin { given: given.clone(), why });
            let site = given.trim().to_ascii_lowercase();
            let host = site.strip_prefix("https://").or_else(|| site.strip_prefix("http://"));
            let odd = |c: char| !(c.is_ascii_alphanumeric() || ".-_:[]".contains(c));
            match host {
                _ if site == "*" => origins.any = true,
                Some(host) if host.is_empty() || host.contains(odd) => {
                    return bad("must end with its host and port: no path, and no / at the end");
                }
                Some(_) if origins.sites.len() >= SITES_MAX => return bad("is one too many: 64 are the most"),
                Some(_) => origins.sites.push(site),
                None => return bad("is no site: it looks like https://app.example, or * for any"),
            }
        }
        Ok(origins)
    }

    /// With names for functions alone, as `--function-host` was given.
    pub fn with_functions(mut self, given: &[String]) -> Result<Origins, BadOrigin> {
        for given in given {
            let name = given.trim().to_ascii_lowercase();
            let odd = |c: char| !(c.is_ascii_alphanumeric() || ".-_".contains(c));
            let why = match name.as_str() {
                "" => "is empty: it looks like functions.example",
                _ if name.contains(odd) => "must be a host name alone: no scheme, no port, no path",
                "localhost" => "is where the dashboard is: take another name, such as functions.localhost",
                _ if name.parse::<IpAddr>().is_ok() => {
                    "is an address, and the dashboard is at all of them: take a name"
                }
                _ if self.functions.len() >= SITES_MAX => "is one too many: 64 are the most",
                _ => {
                    self.functions.push(name);
                    continue;
                }
            };
            return Err(BadOrigin { given: given.clone(), why });
        }
        Ok(self)
    }

    /// Whether a host, with a port or without, is for functions alone.
    fn is_of_functions(&self, host: &str) -> bool {
        self.functions.iter().any(|name| name.eq_ignore_ascii_case(without_port(host)))
    }

    fn has(&self, origin: &str) -> bool {
        self.sites.iter().any(|site| site.eq_ignore_ascii_case(origin))
    }

    /// Whether one of them is served under this name.
    fn has_host(&self, host: &str) -> bool {
        let name = |host| without_port(host);
        let hosts = self.sites.iter().filter_map(|site| site.split_once("://")).map(|(_, host)| host);
        self.any
            || self.is_of_functions(host)
            || hosts.into_iter().any(|site| name(site).eq_ignore_ascii_case(name(host)))
    }
}

/// What the caller's page is.
pub enum Caller {
    /// No page, or the same one.
    Direct,
    /// A page that may see answers.
    Page(HeaderValue),
    /// A page like any other: all may see answers.
    AnyPage,
}

/// Where and what a request asks.
pub struct Asked {
    /// The API answers to any name.
    pub open: bool,
    /// Who asks needs a token: to come from here gives nobody anything.
    pub closed: bool,
    /// It is for a function.
    pub calls: bool,
}

/// Who asks, or why they may not.
pub fn check(request: &Request<Incoming>, origins: &Origins, asked: &Asked) -> Result<Caller, Problem> {
    let Asked { open, closed, calls } = *asked;
    let headers = request.headers();
    let host = headers.get(header::HOST).map(|h| h.to_str().unwrap_or("?"));
    if !open && host.is_some_and(|host| !is_local(host) && !origins.has_host(host)) {
        let detail = "this address answers only to localhost and IP addresses; to allow another name start with \
            --allow-origin http://NAME, with a token, or with --open";
        return Err(Problem::new(403, "host_not_allowed", detail));
    }
    if !calls && host.is_some_and(|host| origins.is_of_functions(host)) {
        let detail = "this name is for functions alone (--function-host): the API and the dashboard are at the orchestrator's own";
        return Err(Problem::new(403, "host_not_allowed", detail));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(Caller::Direct) };
    let text = origin.to_str().unwrap_or("?");
    let from = text.split_once("://").map(|(_, host)| host);
    let of_function = match from {
        Some(from) => origins.is_of_functions(from),
        None => closed && text == "null", // a page that was kept apart, of whoever: it has nobody's token
    };
    if of_function && calls {
        return Ok(Caller::Page(origin.clone()));
    }
    if of_function && !origins.any {
        let detail = "a page that a function answered may call functions, not use the rest of this API: that is for the dashboard, \
            pages served from localhost and those of sites that --allow-origin names";
        return Err(Problem::new(403, "origin_not_allowed", detail));
    }
    if from.is_some_and(|from| host == Some(from) || is_localhost(from) || origins.has(text)) {
        return Ok(Caller::Page(origin.clone()));
    }
    if origins.any {
        return Ok(Caller::AnyPage);
    }
    let detail = match text {
        "null" => "a page without an origin may not use this API; if a function answered it, open it under a name of --function-host"
            .to_string(),
        _ => format!(
            "pages of {text} may not use this API: only pages served from localhost may, and those of sites that \
             --allow-origin names"
        ),
    };
    Err(Problem::new(403, "origin_not_allowed", detail))
}

/// Keeps what a function answered apart from the dashboard: where that has a token or the operator wants it, but not under a name
/// where no dashboard is. Where nobody needs a token a function could use the API without any page.
pub fn keep_apart(answer: &mut Response<Body>, host: Option<&HeaderValue>, origins: &Origins, closed: bool) {
    let named = |host: &HeaderValue| host.to_str().is_ok_and(|host| origins.is_of_functions(host));
    if (closed || !origins.functions.is_empty()) && !host.is_some_and(named) {
        answer.headers_mut().append(header::CONTENT_SECURITY_POLICY, APART); // beside its own: a browser keeps to both
    }
}

/// The answer to a browser that asks what it may do; `None` when the request is no such question.
pub fn preflight(request: &Request<Incoming>, caller: &Caller) -> Option<Response<Body>> {
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if matches!(caller, Caller::Direct) {
        return None;
    }
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
    let origin = match caller {
        Caller::Direct => return,
        Caller::Page(origin) => origin,
        Caller::AnyPage => HeaderValue::from_static("*"),
    };
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
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

#[cfg(any(test, feature = "fuzz"))]
/// What is this machine by name is so by address, with a port or without.
pub fn fuzz(host: &str) {
    assert!(!is_localhost(host) || is_local(host), "{host:?}");
    if is_local(host) && !host.contains(':') {
        assert!(is_local(&format!("{host}:80")), "{host:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(given: &[&str]) -> Result<Origins, String> {
        let given: Vec<String> = given.iter().map(ToString::to_string).collect();
        Origins::read(&given).map_err(|bad| bad.to_string())
    }

    #[test]
    fn sites_are_scheme_and_host_and_their_hosts_are_names_of_ours() {
        let some = origins(&["https://App.example", "http://10.0.0.1:3000"]).unwrap();
        assert!(
            some.has("https://app.example") && !some.has("http://app.example") && !some.has("https://app.example:1")
        );
        assert!(some.has_host("app.example:8080") && some.has_host("APP.example") && !some.has_host("evil.example"));
        assert!(!some.has("null") && !some.any);
        assert!(origins(&["*"]).unwrap().has_host("any.example"));
        for bad in ["", "app.example", "https://", "https://a/", "https://a b", "https://*.a", "ftp://a", "null"] {
            assert!(origins(&[bad]).unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn names_for_functions_are_names_alone_and_not_where_the_dashboard_is() {
        let names = |given: &str| Origins::default().with_functions(&[given.into()]).map_err(|bad| bad.to_string());
        let some = names(" Functions.Localhost ").unwrap();
        assert!(some.is_of_functions("functions.localhost:8080") && some.has_host("FUNCTIONS.localhost"));
        assert!(!some.is_of_functions("localhost:8080") && !some.is_of_functions("functions.localhost.evil.example"));
        for bad in ["", "http://a", "a:80", "a/b", "*", "localhost", "127.0.0.1", "[::1]", "::1"] {
            assert!(names(bad).unwrap_err().contains(bad), "{bad}");
        }
    }

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
