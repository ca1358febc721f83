//! A task as it comes in, at the manager and at a worker: read, checked, and asked whether who sends it may.

use crate::auth::Caller;
use crate::http::front::whole_body;
use crate::http::headers::{self, IDEMPOTENCY_KEY};
use crate::http::problem::Problem;
use crate::http::route;
use crate::limits::Limits;
use crate::tasks;
use crate::types::TaskRequest;
use hyper::Request;
use hyper::body::Incoming;

/// The body of `POST …/tasks`, with its header.
pub async fn task(request: Request<Incoming>, limits: &Limits, by: &Caller) -> Result<TaskRequest, Problem> {
    let (head, incoming) = request.into_parts();
    let body = whole_body(incoming, limits).await?;
    let mut request: TaskRequest = route::object(&body)?;
    if let Some(key) = headers::text(&head.headers, &IDEMPOTENCY_KEY)? {
        request.idempotency_key = Some(key.into());
    }
    tasks::check(&request)?;
    if let Some(field) = tasks::opens(&request) {
        may_open(field, by)?;
    }
    Ok(request)
}

/// Refuses who may not open what is shut by default, as `field` does.
pub fn may_open(field: &str, by: &Caller) -> Result<(), Problem> {
    by.must_administer().map_err(|denied| {
        let problem = Problem::from(denied);
        Problem { detail: format!("{field}: opens what is shut by default: {}", problem.detail), ..problem }
    })
}
