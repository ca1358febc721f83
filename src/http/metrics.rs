//! `/metrics`: what a role is and has done, for Prometheus. Reads counters that others keep, and keeps none itself.

pub mod orchestrator;
mod process;
pub mod text;
pub mod worker;

use super::openapi::{Answer, Content, Operation};
use super::route::{Face, Reply};
use super::tally::Tally;
use crate::limits::Of;
use crate::version::{COMMIT, VERSION};
use text::{CONTENT_TYPE, Text};

/// What the document says of this.
pub const METRICS: Operation = Operation {
    id: "getMetrics",
    tag: "program",
    summary: "Counters and gauges, as Prometheus reads them",
    answers: &[Answer::of(200, "The text format, version 0.0.4.").with(&[Content::Bytes(CONTENT_TYPE)])],
    ..Operation::NONE
};

/// What both roles tell, and then what is a role's own.
fn reply<S: Face>(face: &S, of: Of, own: impl FnOnce(&mut Text)) -> Reply {
    let mut text = Text::default();
    text.gauge("cares_build_info", "Which CARES this is; always 1.")
        .is(&[("version", VERSION), ("commit", COMMIT), ("role", S::ROLE)], 1);
    own(&mut text);
    door(&mut text, face.tally(), of);
    process::write(&mut text);
    Reply { status: 200, body: text.into_bytes(), headers: vec![("Content-Type", CONTENT_TYPE.into())] }
}

/// What the front door counts.
fn door(text: &mut Text, tally: &Tally, of: Of) {
    let (taken, open) = tally.connections();
    text.counter("cares_http_connections_total", "HTTP connections that were taken.").is(&[], taken);
    text.gauge("cares_http_connections", "HTTP connections that are open.").is(&[], open);
    text.counter("cares_http_requests_total", "Requests by the first digit of their answer's status.")
        .each("code", tally.answers());
    text.counter(
        "cares_http_errors_total",
        "Answers that are errors of CARES' own, by their code; none before the first.",
    )
    .each("error", tally.problems());
    text.counter("cares_limit_refusals_total", "Requests and connections that a limit of --limit refused.")
        .each("limit", tally.limits(of));
}
