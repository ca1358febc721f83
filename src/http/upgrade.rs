//! Upgrades to another protocol, such as WebSocket: who may ask for one, how it is said on each way, and the tunnel that
//! follows. HTTP/2 has no 101, so on a link the answer is a 200 with a header of ours.

use crate::body::{Body, BoxError};
use crate::lock::lock;
use crate::net::Socket;
use crate::tunnel;
use crate::wire;
use bytes::Bytes;
use futures_channel::oneshot;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode, Version};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

/// The protocol a request asks to go on with. None for HTTP/2: it would be a way past what is checked of each request.
/// A body must have come to its end before bytes of another protocol can follow; so there must be none.
pub fn wanted(head: &Parts, body: &Body) -> Option<HeaderValue> {
    let protocol = head.headers.get(header::UPGRADE)?;
    let names = |header, token: &str| {
        let values = head.headers.get_all(header).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(token))
    };
    let asked = head.version == Version::HTTP_11
        && names(header::CONNECTION, "upgrade")
        && !names(header::UPGRADE, "h2c")
        && HttpBody::is_end_stream(body);
    asked.then(|| protocol.clone())
}

/// Asks for it on an HTTP/1.1 connection.
pub fn ask(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// The protocol an answer says that it switches to.
pub fn switched<B>(answer: &Response<B>) -> Option<HeaderValue> {
    answer.headers().get(header::UPGRADE).cloned()
}

/// Has a 101 pass over a link.
pub fn over_link<B>(answer: &mut Response<B>, protocol: HeaderValue) {
    *answer.status_mut() = StatusCode::OK;
    answer.headers_mut().remove(header::CONTENT_LENGTH); // a 101 has no body to count
    answer.headers_mut().insert(wire::HEADER_UPGRADE, protocol);
}

/// A request's body that begins when its connection has been upgraded, and is empty if it never is.
pub struct Later {
    body: Option<Body>,
    coming: oneshot::Receiver<Body>,
}

/// Begins such a body.
pub type Begin = oneshot::Sender<Body>;

impl Later {
    pub fn body() -> (Begin, Body) {
        let (begin, coming) = oneshot::channel();
        (begin, Body::stream(Later { body: None, coming }))
    }
}

impl HttpBody for Later {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let body = match &mut this.body {
            Some(body) => body,
            none => match ready!(Pin::new(&mut this.coming).poll(cx)) {
                Ok(body) => none.insert(body),
                Err(_) => return Poll::Ready(None),
            },
        };
        Pin::new(body).poll_frame(cx)
    }
}

/// Both directions of an upgraded connection, to be joined with its socket. Travels with the 101.
pub struct Tunnel {
    pub begin: Begin,
    pub from: Body,
    /// Told how it ended.
    pub ended: Box<dyn FnOnce(bool) + Send>,
}

/// A tunnel in an answer's extensions, which must be shareable.
#[derive(Clone)]
struct Carried(Arc<Mutex<Option<Tunnel>>>);

impl Tunnel {
    /// The answer that makes the connection this tunnel's.
    pub fn answer(self, headers: HeaderMap, protocol: HeaderValue) -> Response<Body> {
        let mut answer = Response::new(Body::Empty);
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = headers;
        ask(answer.headers_mut(), protocol);
        answer.extensions_mut().insert(Carried(Arc::new(Mutex::new(Some(self)))));
        answer
    }

    /// The one an answer brings, if it does.
    pub fn of(answer: &mut Response<Body>) -> Option<Tunnel> {
        let Carried(tunnel) = answer.extensions_mut().remove()?;
        lock(&tunnel).take()
    }

    /// Runs on the socket until both directions have ended; `first` came already.
    pub async fn run(self, socket: Socket, first: Bytes) {
        socket.probe();
        let begin = |body| drop(self.begin.send(body)); // its function has gone already
        let carried = tunnel::carry_caller(socket, first, begin, self.from).await;
        if let Err(error) = &carried {
            log::debug!("an upgraded connection broke off: {error}");
        }
        (self.ended)(carried.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = hyper::Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    #[test]
    fn an_upgrade_is_asked_for_by_both_headers_without_a_body_and_never_to_http_2() {
        let asks = |headers: &[(&'static str, &'static str)]| wanted(&head(headers), &Body::Empty);
        let both = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert_eq!(asks(&both), Some(HeaderValue::from_static("websocket")));
        assert!(asks(&[("connection", "keep-alive"), ("connection", "upgrade"), ("upgrade", "x")]).is_some());
        assert_eq!(asks(&[("upgrade", "websocket")]), None);
        assert_eq!(asks(&[("connection", "upgrade")]), None);
        assert_eq!(asks(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c")]), None);
        assert_eq!(wanted(&head(&both), &Body::full("x")), None);
        let mut old = head(&both);
        old.version = Version::HTTP_10;
        assert_eq!(wanted(&old, &Body::Empty), None);
    }
}
