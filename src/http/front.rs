//! The front door: the only part that takes connections from anyone. Bounds headers, bodies, time and connections, and
//! hands small requests to the REST handlers behind it.

use super::headers::X_CALL_ID;
use super::origin;
use super::problem::Problem;
use super::rest::Rest;
use super::route::{self, Face, Streamed};
use super::upgrade::Tunnel;
use crate::auth::Needs;
use crate::body::{self, Body, CollectError};
use crate::clock;
use crate::lanes;
use crate::net::{self, Socket, Timers};
use crate::rt::{self, Receiver};
use async_io::Async;
use hyper::body::Incoming;
use hyper::header;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connections at once: each costs a file and some 20 KiB.
const CONNECTIONS: usize = 4_096;
/// And from one address, loopback aside, so that one client cannot take them all.
const CONNECTIONS_PER_ADDRESS: usize = 512;
/// A request's head in all, and its headers; more than any browser or proxy sends.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 100;
/// What the parser itself refuses; between it and ours the answer can name the limit.
const HEAD_BYTES_HARD: usize = 256 * 1024;
const HEADERS_HARD: usize = 256;
/// For a request's head to come in full; also how long an idle connection is kept.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// A control request's body.
const BODY_BYTES: usize = 1 << 20;
/// For a control request's body to come in full.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// Said in plain bytes: a connection too many is not worth a parser.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n\
    Content-Length: 146\r\nConnection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"too_many_connections\",\"detail\":\"too many connections: close some first\"}\n";

/// Who is connected.
#[derive(Default)]
struct Connected {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

struct Door<S> {
    face: Arc<S>,
    rest: Arc<Rest>,
    connected: Mutex<Connected>,
}

/// How long a program that ends waits for last bytes to be taken.
pub const LAST_BYTES_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks whether the last connection has ended, at the program's end.
const ENDED_EVERY: Duration = Duration::from_millis(10);

/// Serves until `stop` closes; then finishes the requests under way, and returns when the last connection has ended.
pub async fn listen<S: Face>(face: Arc<S>, rest: Arc<Rest>, listener: Async<TcpListener>, stop: Receiver<()>) {
    let door = Arc::new(Door { face, rest, connected: Mutex::default() });
    while let Some((stream, peer)) = net::accept(&listener, &stop).await {
        match door.enter(peer.ip()) {
            Some(pass) => lanes::seat(door.clone().serve(stream, peer, stop.clone(), pass)),
            None => rt::spawn(turn_away(stream)),
        }
    }
    while door.lock().all > 0 {
        clock::after(ENDED_EVERY).await;
    }
}

async fn turn_away(stream: TcpStream) {
    if let Ok(mut socket) = Socket::over(stream) {
        let _ = clock::timeout(Duration::from_secs(1), socket.write_all(TOO_MANY)).await; // it may not listen
    }
}

/// Counts a connection out when dropped.
struct Pass<S> {
    door: Arc<Door<S>>,
    address: IpAddr,
}

impl<S> Drop for Pass<S> {
    fn drop(&mut self) {
        let mut connected = self.door.lock();
        connected.all -= 1;
        if let Some(count) = connected.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connected.by_address.remove(&self.address);
            }
        }
    }
}

impl<S> Door<S> {
    fn lock(&self) -> MutexGuard<'_, Connected> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Pass<S>> {
        let mut connected = self.lock();
        let here = connected.by_address.get(&address).copied().unwrap_or(0);
        if connected.all >= CONNECTIONS || (here >= CONNECTIONS_PER_ADDRESS && !address.is_loopback()) {
            return None;
        }
        connected.all += 1;
        connected.by_address.insert(address, here + 1);
        drop(connected);
        Some(Pass { door: self.clone(), address })
    }
}

impl<S: Face> Door<S> {
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, stop: Receiver<()>, _pass: Pass<S>) {
        let Ok(socket) = Socket::over(stream) else { return };
        let tunnel: Mutex<Option<Tunnel>> = Mutex::default();
        let service = service_fn(|request| {
            let (door, tunnel) = (self.clone(), &tunnel);
            async move {
                let mut answer = door.answer(request, peer).await;
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                    *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Tunnel::of(&mut answer);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection = http1::Builder::new()
            .timer(Timers)
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_BYTES_HARD)
            .max_headers(HEADERS_HARD)
            .serve_connection(socket, service);
        let mut stopped = pin!(stop.recv());
        let mut stopping = false;
        let ended = std::future::poll_fn(|cx| {
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            Pin::new(&mut connection).poll(cx)
        });
        if let Err(error) = ended.await {
            return log::debug!("HTTP: connection of {peer}: {error}");
        }
        let parts = connection.into_parts();
        let begun = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tunnel) = begun {
            tunnel.run(parts.io, parts.read_buf).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let caller = match check_head(&request)
            .and_then(|()| origin::check(&request, self.face.open() || self.face.gate().closed()))
        {
            Ok(caller) => caller,
            Err(problem) => return problem.into(),
        };
        if let Some(mut answer) = origin::preflight(&request, &caller) {
            origin::allow(&mut answer, caller);
            return answer;
        }
        let mut answer = self.route(request, peer).await.unwrap_or_else(Response::from);
        origin::allow(&mut answer, caller);
        answer
    }

    async fn route(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Result<Response<Body>, Problem> {
        let found = route::find::<S>(request.method(), request.uri().path());
        let (needs, function) = match &found {
            Ok((route, params)) => (route.needs, params.first().cloned().unwrap_or_default()),
            Err(_) => (Needs::Token, String::new()), // what is not there is not everybody's business either
        };
        let function = match needs {
            Needs::Result | Needs::Cancel => self.face.function_of(&function).unwrap_or_default(),
            _ => function,
        };
        let public = || self.face.public(&function);
        let by = match self.face.gate().admit(request.headers_mut(), needs, &function, public) {
            Ok(who) => who.map(|who| who.name.clone()),
            Err(denied) => {
                let mut answer = Response::from(Problem::from(denied));
                if needs == Needs::Invoke {
                    answer.headers_mut().extend(self.face.refused_call().map(|id| (X_CALL_ID, id)));
                }
                return Ok(answer);
            }
        };
        let (route, params) = found?;
        match route.handler.streamed(request.uri().query())? {
            Some(handler) => {
                let query = match route.path.ends_with('*') {
                    true => Vec::new(), // passed on as it is
                    false => route::query(request.uri().query())?,
                };
                handler(self.face.clone(), Streamed { params, query, request, peer, by }).await
            }
            None => {
                let (head, incoming) = request.into_parts();
                let body = whole_body(incoming).await?;
                let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
                let method = if head.method == Method::HEAD { Method::GET } else { head.method };
                self.rest.ask(method, path, body, by.as_deref()).await
            }
        }
    }
}

/// Names the limit that a request's head breaks, and refuses what proxies and servers read differently.
fn check_head(request: &Request<Incoming>) -> Result<(), Problem> {
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(k, v)| k.as_str().len() + v.len() + 4).sum();
    let target = request.uri().path_and_query().map_or(0, |p| p.as_str().len());
    if bytes + target > HEAD_BYTES {
        return Err(Problem::new(431, "headers_too_large", format!("a request's head may have {HEAD_BYTES} bytes")));
    }
    if headers.len() > HEADERS {
        return Err(Problem::new(431, "too_many_headers", format!("a request may have {HEADERS} headers")));
    }
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Problem::invalid("Content-Length and Transfer-Encoding exclude each other"));
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Problem::invalid("a request may have one Host"));
    }
    if request.uri().authority().is_some() || !request.uri().path().starts_with('/') {
        return Err(Problem::invalid("the request's target must be a path: this is no forward proxy"));
    }
    Ok(())
}

/// A control request's body, in full.
async fn whole_body(incoming: Incoming) -> Result<bytes::Bytes, Problem> {
    match clock::timeout(BODY_LIMIT, body::collect(incoming, BODY_BYTES)).await {
        Some(Ok(body)) => Ok(body),
        Some(Err(CollectError::TooLarge(limit))) => Err(Problem::too_large("the body", limit as u64)),
        Some(Err(CollectError::Broken(error))) => Err(Problem::invalid(format!("the body broke off: {error}"))),
        None => {
            let detail = format!("the body did not come within {} s", BODY_LIMIT.as_secs());
            Err(Problem::new(408, "body_timeout", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_refusal_is_a_valid_message() {
        let text = str::from_utf8(TOO_MANY).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
        assert_eq!(
            serde_json::from_str::<crate::types::Problem>(body).expect("a problem").code,
            "too_many_connections"
        );
    }
}
