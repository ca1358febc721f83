//! `/`: the dashboard, for browsers. It asks nobody but this API for anything, and its policy holds it to that.

use crate::body::Body;
use crate::http::openapi::{Answer, Content, Kind, Operation, Parameter};
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::web;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};

/// Its own files and this API; nothing written into the page counts, and no frame shows it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Of all of it: whoever opens it shares nothing with it, and nobody guesses what it is.
const GUARDS: [(&str, &str); 4] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Asked for again each time: it names the files of its version.
const FRESH: &str = "no-cache";
/// The address of a file changes with it.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

const TAG: Parameter = Parameter::header("If-None-Match", Kind::Text, "The `ETag` that was answered before.");

/// What the document says of this.
pub const PAGE: Operation = Operation {
    id: "getDashboard",
    tag: "program",
    summary: "The dashboard",
    parameters: &[TAG],
    answers: &[
        Answer::of(200, "The page.").with(&[Content::Bytes("text/html")]).headers(&["Content-Security-Policy", "ETag"]),
        Answer::of(304, "It has not changed.").headers(&["ETag"]),
    ],
    ..Operation::NONE
};

/// What the document says of this.
pub const FILE: Operation = Operation {
    id: "getDashboardFile",
    tag: "program",
    summary: "A file of the dashboard, in the folder of its version",
    parameters: &[TAG],
    answers: &[
        Answer::of(200, "The file.")
            .with(&[Content::Bytes("text/javascript"), Content::Bytes("text/css"), Content::Bytes("image/svg+xml")])
            .headers(&["Content-Security-Policy", "ETag"]),
        Answer::of(304, "It has not changed.").headers(&["ETag"]),
    ],
    errors: &["route_not_found"],
    ..Operation::NONE
};

/// `GET /`
pub fn page(asked: &Streamed) -> Result<Response<Body>, Problem> {
    Ok(answer(asked, "text/html; charset=utf-8", web::page(), FRESH))
}

/// `GET /web/VERSION/NAME`
pub fn file(asked: &Streamed) -> Result<Response<Body>, Problem> {
    let [version, name] = [0, 1].map(|at| asked.params.get(at).map_or("", String::as_str));
    let Some(asset) = web::find(name) else {
        let detail = format!("the dashboard has no file '{}': load the page anew", name.escape_debug());
        return Err(Problem::new(404, "route_not_found", detail));
    };
    // A page of another version, left open over an upgrade, is given what there is.
    let keep = if version == web::version() { FOR_GOOD } else { FRESH };
    Ok(answer(asked, asset.kind, asset.text, keep))
}

fn answer(asked: &Streamed, kind: &'static str, text: &'static str, keep: &'static str) -> Response<Body> {
    let tag = format!("\"{}\"", web::version());
    let known = has(asked.request.headers(), &tag);
    let mut response = Response::new(if known { Body::Empty } else { Body::full(text) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    for (name, value) in GUARDS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (ETAG, tag)));
    response
}

/// Whether the caller has it already.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*")
}
