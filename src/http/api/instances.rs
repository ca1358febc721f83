//! `/instances` of a worker: what runs on it, and what that uses.

use crate::http::openapi::{Answer, Content, Operation};
use crate::http::problem::Problem;
use crate::http::route::Reply;
use crate::rt;
use crate::worker::Worker;

/// What the document says of this.
pub const LIST: Operation = Operation {
    id: "listInstances",
    tag: "program",
    summary: "What runs on this worker, with its memory and CPU",
    answers: &[Answer::of(200, "All of it.").with(&[Content::json::<Vec<crate::types::RunningInstance>>()])],
    ..Operation::NONE
};

/// `GET /instances`
pub fn list(worker: &Worker) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &rt::block_on(worker.instances())))
}
