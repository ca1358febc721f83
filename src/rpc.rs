//! gRPC over hyper's HTTP/2: a server for one connection and a channel for one client. No tokio runtime, no tonic transport.

use crate::auth::Secret;
use crate::clock;
use crate::net::{Socket, Spawn, Timers};
use hyper::body::Incoming;
use hyper::client::conn::http2 as client;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::uri::{Authority, Scheme, Uri};
use hyper::server::conn::http2 as server;
use hyper::{HeaderMap, Request, Response};
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::Service;

/// A peer that does not answer a ping within `KEEPALIVE_ANSWER` of `KEEPALIVE_EVERY` silence is gone: 5 s in all, well
/// inside the lease.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(2);

/// For a new connection to show that it is worth its file.
const WORTH_IT: Duration = Duration::from_secs(10);

/// Serves one connection until it ends; once `stop` resolves, until the calls under way have ended. Nothing
/// is taken of a call whose headers are not admitted. A connection that is not `worth_it` after a while is cut.
pub async fn serve<S>(
    socket: Socket,
    service: S,
    admit: impl Fn(&HeaderMap) -> Result<(), tonic::Status>,
    worth_it: impl Fn() -> bool,
    stop: impl Future<Output = ()>,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let limit = grpc_timeout(&request);
        let answer = admit(request.headers()).map(|()| service.clone().call(request));
        async move {
            match (answer, limit) {
                (Err(status), _) => Ok(status.into_http()),
                (Ok(answer), Some(limit)) => {
                    Ok(clock::timeout(limit, answer).await.unwrap_or_else(|| Ok(too_late()))?)
                }
                (Ok(answer), None) => answer.await,
            }
        }
    });
    let connection = server::Builder::new(Spawn)
        .timer(Timers)
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_ANSWER)
        .max_header_list_size(16 * 1024)
        .max_concurrent_streams(16) // one worker needs two, and more while it fetches bundles; each may hold a message
        .serve_connection(socket, service);
    let mut connection = pin!(connection);
    let mut stop = pin!(stop);
    let mut stopping = false;
    let mut first = Some(clock::after(WORTH_IT));
    std::future::poll_fn(move |cx| {
        if let Some(limit) = &mut first
            && Pin::new(limit).poll(cx).is_ready()
        {
            if !worth_it() {
                return Poll::Ready(Ok(()));
            }
            first = None;
        }
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await
}

fn too_late() -> Response<Body> {
    tonic::Status::deadline_exceeded("the time the caller gave (grpc-timeout) is over").into_http()
}

/// The deadline a caller set: at most 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn grpc_timeout<B>(request: &Request<B>) -> Option<Duration> {
    let text = request.headers().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// One client connection. Clones share it.
#[derive(Clone)]
pub struct Channel {
    requests: client::SendRequest<Body>,
    authority: Authority,
    /// Sent with every call.
    authorization: Option<HeaderValue>,
}

impl Channel {
    /// Speaks HTTP/2 over a connected socket. `authority`: what the peer is called.
    pub async fn over(socket: Socket, authority: &str) -> Result<Self, tonic::Status> {
        let authority = authority.parse().map_err(|_| tonic::Status::invalid_argument("not an address"))?;
        let (requests, connection) = client::Builder::new(Spawn)
            .timer(Timers)
            .keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_ANSWER)
            .keep_alive_while_idle(true)
            .handshake(socket)
            .await
            .map_err(unavailable)?;
        crate::rt::spawn(async move {
            if let Err(error) = connection.await {
                log::debug!("gRPC connection ended: {error}");
            }
        });
        Ok(Channel { requests, authority, authorization: None })
    }

    /// Sends a token with every call.
    pub fn with(mut self, token: Option<&Secret>) -> Self {
        self.authorization = token.and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        self
    }

    /// Whether it takes no more calls.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
}

fn unavailable(error: hyper::Error) -> tonic::Status {
    tonic::Status::unavailable(format!("connection: {error}"))
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = tonic::Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.requests.poll_ready(cx).map_err(unavailable)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        match Uri::from_parts(parts) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => return Box::pin(async { Err(tonic::Status::internal("no valid path")) }),
        }
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let answer = self.requests.send_request(request);
        Box::pin(async { answer.await.map_err(unavailable) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_and_nonsense_is_not() {
        let of = |text: &str| grpc_timeout(&Request::builder().header("grpc-timeout", text).body(()).expect("request"));
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("2S"), Some(Duration::from_secs(2)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for bad in ["", "m", "12", "1x", "123456789S", "-1S", "1é"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
