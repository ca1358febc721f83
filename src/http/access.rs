//! The access log: a line for each request, once its answer is over. Holds no query, no header and no body: they may be
//! secret.

use super::headers::X_CALL_ID;
use crate::body::{Body, BoxError};
use crate::{clock, logging};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::{HeaderMap, Method, Request, Response};
use log::kv::{ToValue, Value};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// Of a path, in a line.
const PATH_BYTES: usize = 1_024;

/// Where a call ran; goes with its answer to where that is told.
#[derive(Clone)]
pub struct Ran {
    pub function: String,
    /// A node's name.
    pub node: Option<String>,
}

/// A request whose line is to be written.
pub struct Access {
    from: IpAddr,
    method: Method,
    path: String,
    begun: Instant,
    /// The name of its token.
    pub token: Option<Arc<str>>,
    call: Option<String>,
    ran: Option<Ran>,
    trace: Option<String>,
    status: u16,
    bytes: u64,
    whole: bool,
}

impl Access {
    /// Takes down what it asks for.
    pub fn begin(request: &Request<Incoming>, peer: SocketAddr) -> Box<Self> {
        Box::new(Access {
            from: peer.ip().to_canonical(),
            method: request.method().clone(),
            path: request.uri().path().chars().take(PATH_BYTES).collect(),
            begun: clock::now(),
            token: None,
            call: None,
            ran: None,
            trace: super::trace::id(request.headers()).map(str::to_string),
            status: 0,
            bytes: 0,
            whole: false,
        })
    }

    /// Lets the answer pass; the line is written when the last of it is gone, or nobody takes it any more.
    pub fn follow(mut self: Box<Self>, answer: Response<Body>) -> Response<Body> {
        self.status = answer.status().as_u16();
        self.call = text(answer.headers(), X_CALL_ID.as_str());
        self.ran = answer.extensions().get::<Ran>().cloned();
        answer.map(|body| {
            self.whole = body.is_end_stream();
            Body::stream(Counted { body, access: self })
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_string)
}

impl Drop for Access {
    fn drop(&mut self) {
        let ms = self.begun.elapsed().as_micros() as f64 / 1e3;
        let (from, status) = (self.from.to_string(), self.status);
        let mut fields: Vec<(&str, Value<'_>)> = vec![
            ("from", from.to_value()),
            ("method", self.method.as_str().to_value()),
            ("path", self.path.as_str().to_value()),
            ("bytes", self.bytes.to_value()),
            ("duration_ms", ms.to_value()),
        ];
        let ran = self.ran.as_ref();
        let named = [
            ("call", self.call.as_deref()),
            ("function", ran.map(|ran| ran.function.as_str())),
            ("node", ran.and_then(|ran| ran.node.as_deref())),
            ("token", self.token.as_deref()),
            ("trace", self.trace.as_deref()),
        ];
        let named = named.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
        fields.extend(named.clone().map(|(name, value)| (name, Value::from(value))));
        if self.status > 0 {
            fields.push(("status", status.to_value()));
        }
        if !self.whole {
            fields.push(("whole", false.to_value()));
        }
        let rest: String = named.map(|(name, value)| format!(" {name}={value}")).collect();
        let broken = match (self.whole, self.status) {
            (true, _) => "",
            (false, 0) => " (left before the answer)",
            (false, _) => " (broke off)",
        };
        let (method, path, bytes) = (&self.method, self.path.escape_debug(), self.bytes);
        logging::access(&fields, format_args!("{from} {method} {path} {status} {bytes} B {ms:.1} ms{rest}{broken}"));
    }
}

/// A body that is counted on its way.
struct Counted {
    body: Body,
    access: Box<Access>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.access.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => return Poll::Ready(frame),
            None => self.access.whole = true,
        }
        self.access.whole |= self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
