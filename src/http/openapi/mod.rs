//! The OpenAPI document, made from the route tables and the types: `/openapi.json`. Nothing in it is said twice, so that
//! it cannot say otherwise than the program does.

mod document;
pub mod operation;
pub mod page;
#[cfg(test)]
mod tests;

pub use operation::{AFTER, Answer, Content, FOLLOW, FORMAT, Kind, LIMIT, Operation, Parameter, SINCE, TAIL_OF_A_LOG};

use super::problem::Problem;
use super::route::{Face, Reply, Route};
use crate::body::Body;
use hyper::Response;
use std::sync::OnceLock;

/// What the document says of this.
pub const OPENAPI: Operation = Operation {
    id: "getOpenApi",
    tag: "program",
    summary: "This document",
    answers: &[Answer::of(200, "OpenAPI 3.1.").with(&[Content::Bytes("application/json")])],
    ..Operation::NONE
};

/// `GET /openapi.json`: made when it is first asked for, and kept in `made`.
pub fn get<S: Face>(made: &OnceLock<Vec<u8>>) -> Result<Reply, Problem> {
    let make = || serde_json::to_vec(&document::of(S::ROLE, S::ROUTES)).unwrap_or_default();
    let headers = vec![("Content-Type", "application/json".to_string())];
    Ok(Reply { status: 200, body: made.get_or_init(make).clone(), headers })
}

/// What has a status: an answer on its way.
pub trait Answered {
    /// The status.
    fn status(&self) -> u16;
}

impl Answered for Reply {
    fn status(&self) -> u16 {
        self.status
    }
}

impl Answered for Response<Body> {
    fn status(&self) -> u16 {
        Response::status(self).as_u16()
    }
}

/// Lets through what the document says of a route. In builds for tests anything else becomes an error that says so: each
/// test holds the document true.
pub fn hold<S, A: Answered>(route: &Route<S>, answer: Result<A, Problem>) -> Result<A, Problem> {
    if !cfg!(debug_assertions) || route.operation.id.is_empty() {
        return answer;
    }
    let said = match &answer {
        Err(problem) => document::codes(route).contains(problem.code).then_some(()).ok_or(problem.code),
        Ok(answer) => {
            let known = |said: &Answer| [answer.status(), Answer::ANY].contains(&said.status) || answer.status() >= 400;
            route.operation.answers.iter().any(known).then_some(()).ok_or("a status")
        }
    };
    let undocumented = |what| format!("{} {}: {what} is not in the route's operation", route.method, route.path);
    said.map_err(|what| Problem::new(500, "internal", undocumented(what)))?;
    answer
}
