//! What a node is told of tasks, on its links.

use super::link::{Links, Session, Unmet, control_request, why};
use crate::body::Body;
use crate::clock;
use crate::link::Unanswered;
use crate::wire::proto;
use hyper::{Method, StatusCode};
use prost::Message;
use std::time::Duration;

/// A node writes a start to its disk before it answers; one that takes longer is asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

impl Links {
    /// `Ok`: the node has it on disk and reports on it from now on.
    pub async fn start_task(&self, to: Session, task: &proto::Task) -> Result<(), Unmet> {
        let path = format!("/tasks/{}/start", task.id);
        self.order(to, &path, Body::full(task.encode_to_vec())).await
    }

    /// `Ok`: it is being stopped, or has ended.
    pub async fn stop_task(&self, to: Session, id: &str, attempt: u64) -> Result<(), Unmet> {
        self.order(to, &format!("/tasks/{id}/stop?attempt={attempt}"), Body::Empty).await
    }

    /// `Ok`: the node does not keep it any longer.
    pub async fn forget_task(&self, to: Session, id: &str, attempt: u64) -> Result<(), Unmet> {
        self.order(to, &format!("/tasks/{id}/forget?attempt={attempt}"), Body::Empty).await
    }

    async fn order(&self, to: Session, path: &str, body: Body) -> Result<(), Unmet> {
        self.in_session(to).map_err(Unmet::Unheard)?;
        let request = control_request(Method::POST, path, body).map_err(Unmet::Refused)?;
        let answer = match clock::timeout(ANSWER_LIMIT, self.send(to.node, request)).await {
            Some(Ok(answer)) => answer,
            Some(Err(Unanswered::NotSent(_, why) | Unanswered::Broken(why))) => return Err(Unmet::Unheard(why)),
            None => return Err(Unmet::Unheard(format!("no answer within {} s", ANSWER_LIMIT.as_secs()))),
        };
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(Unmet::Unknown(why(answer).await)),
            StatusCode::CONFLICT | StatusCode::BAD_REQUEST => Err(Unmet::Refused(why(answer).await)),
            _ => Err(Unmet::Unheard(why(answer).await)),
        }
    }
}
