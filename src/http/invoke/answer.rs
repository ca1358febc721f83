//! An answer on its way to the caller, and what ends a call whatever becomes of it.

use super::story::Story;
use crate::body::{Body, BoxError};
use crate::clock::{self, Deadline};
use crate::cluster::InvocationKey;
use crate::orchestrator::Orchestrator;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Ends a call when dropped, however that comes about.
pub struct Guard {
    pub app: Arc<Orchestrator>,
    pub invocation: InvocationKey,
    /// Whether it went well, once that is known; a call given up on its way has failed.
    pub success: Option<bool>,
    pub story: Option<Story>,
    pub accepted: Instant,
}

impl Guard {
    pub fn end(mut self, success: bool) {
        self.success = Some(success);
    }

    /// Its caller is told so, in place of an answer.
    pub fn failed(&mut self, status: u16) {
        self.success = Some(false);
        if let Some(story) = &mut self.story {
            story.status = status;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let took = self.accepted.elapsed();
        self.app.state.finish(self.invocation, self.success.unwrap_or(false), took);
        if let Some(story) = &self.story {
            story.end(self.success, took);
        }
    }
}

/// An answer's body on its way to the caller. Ends the call at its end, or when the caller leaves.
pub struct Answer {
    body: Body,
    guard: Option<Guard>,
    success: bool,
    idle: Duration,
    deadline: Option<Deadline>,
}

impl Answer {
    pub fn new(status: StatusCode, body: Body, mut guard: Guard, idle: Duration) -> Self {
        let success = status.as_u16() < 500;
        if let Some(story) = &mut guard.story {
            story.status = status.as_u16();
        }
        let mut this = Answer { body, guard: Some(guard), success, idle, deadline: None };
        this.settle();
        this
    }

    /// Gives the slot back as soon as nothing more will come: the caller may be slow in taking what is here.
    fn settle(&mut self) {
        if self.body.is_end_stream()
            && let Some(guard) = self.guard.take()
        {
            guard.end(self.success);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.deadline = None;
                match &frame {
                    Some(Ok(_)) => this.settle(),
                    Some(Err(_)) => drop(this.guard.take()),
                    None => {
                        if let Some(guard) = this.guard.take() {
                            guard.end(this.success);
                        }
                    }
                }
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let idle = this.idle;
                let deadline = this.deadline.get_or_insert_with(|| clock::after(idle));
                ready!(Pin::new(deadline).poll(cx));
                drop(this.guard.take());
                Poll::Ready(Some(Err("the function stopped sending for longer than its timeout_s".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
