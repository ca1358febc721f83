//! `/instances` of a worker: what runs on it, and what that uses.

use crate::http::problem::Problem;
use crate::http::route::Reply;
use crate::rt;
use crate::worker::Worker;

/// `GET /instances`
pub fn list(worker: &Worker) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &rt::block_on(worker.instances())))
}
