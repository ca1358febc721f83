//! The front door: the only part that takes connections from anyone. Bounds headers, bodies, time and connections, and
//! hands small requests to the REST handlers behind it.

use super::access::Access;
use super::headers::{self, X_CALL_ID};
use super::linger::linger;
use super::openapi;
use super::origin;
use super::parameters;
use super::problem::{self, CONTENT_TYPE, Problem};
use super::rest::Rest;
use super::route::{self, Face, Route, Streamed};
use super::tally::Why;
use super::upgrade::Tunnel;
use crate::auth::rate::{self, Buckets, Rate};
use crate::auth::{Caller, Denied, Needs, Who};
use crate::body::{self, Body, CollectError};
use crate::clock;
use crate::lanes;
use crate::limits::{Limit, Limits};
use crate::lock::lock;
use crate::logging;
use crate::net::{self, Socket, Timers};
use crate::rt::{self, Receiver, Sender};
use crate::tls;
use async_io::Async;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What the parser itself refuses, beside twice the limits: below that the answer can name the limit.
const HEAD_BYTES_HARD: usize = 256 * 1024;
const HEADERS_HARD: usize = 256;
/// Clients without a token, and clients with a wrong one, of which it is known how often they came.
const CLIENTS: usize = 10_000;
const REFUSED_CLIENTS: usize = 1_024;
/// Of what a refused client asked for, in an event.
const ASKED_BYTES: usize = 120;

/// For TLS to agree on its keys, and for the first byte that tells that it is TLS.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Said to who does not speak TLS where it is spoken, in plain bytes as they would have been understood.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 133\r\n\
    Connection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"code\":\"https_only\",\"detail\":\"HTTPS is spoken here: \
    ask again at https://\"}\n";

/// Who is connected.
#[derive(Default)]
struct Connected {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Connected {
    /// Counts one in; `Err`: the limit that it would break.
    fn enter(&mut self, address: IpAddr, limits: &Limits) -> Result<(), Limit> {
        let here = self.by_address.get(&address).copied().unwrap_or(0);
        if self.all >= limits.count(Limit::Connections) {
            return Err(Limit::Connections);
        }
        if here >= limits.count(Limit::ConnectionsPerClient) && !address.is_loopback() {
            return Err(Limit::ConnectionsPerClient);
        }
        self.all += 1;
        self.by_address.insert(address, here + 1);
        Ok(())
    }

    fn leave(&mut self, address: IpAddr) {
        self.all -= 1;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

struct Door<S> {
    face: Arc<S>,
    rest: Arc<Rest>,
    /// `None`: plain HTTP.
    pair: Option<Arc<tls::Pair>>,
    connected: Mutex<Connected>,
    /// Calls without a token.
    clients: Buckets<IpAddr>,
    /// Tokens that were refused, and are told of.
    refused: Buckets<IpAddr>,
}

/// How long a program that ends waits for last bytes to be taken.
pub const LAST_BYTES_LIMIT: Duration = Duration::from_millis(500);

/// Serves beside; what is given closes when `listen` has ended.
pub fn start<S: Face>(
    face: Arc<S>,
    rest: Arc<Rest>,
    listener: Async<TcpListener>,
    pair: Option<Arc<tls::Pair>>,
    stop: Receiver<()>,
) -> Receiver<()> {
    let (held, ended) = rt::bounded(1);
    rt::spawn(async move {
        listen(face, rest, listener, pair, stop).await;
        drop(held);
    });
    ended
}

/// Serves until `stop` closes; then finishes the requests under way, and returns when the last connection has ended.
/// With a certificate and its key it speaks HTTPS, and nothing else.
async fn listen<S: Face>(
    face: Arc<S>,
    rest: Arc<Rest>,
    listener: Async<TcpListener>,
    pair: Option<Arc<tls::Pair>>,
    stop: Receiver<()>,
) {
    let (clients, refused) = (Buckets::new(CLIENTS), Buckets::new(REFUSED_CLIENTS));
    let door = Arc::new(Door { face, rest, pair, connected: Mutex::default(), clients, refused });
    let (open, ended) = rt::bounded(1); // each connection holds a clone of the first, until it ends
    while let Some((stream, peer)) = net::accept(&listener, &stop).await {
        match door.enter(peer.ip(), &open) {
            Ok(pass) => lanes::seat(door.clone().serve(stream, peer, stop.clone(), pass)),
            Err(limit) => {
                let problem = too_many(limit, door.face.limits());
                door.face.tally().refused(Why::from(&problem));
                rt::spawn(turn_away(stream, plainly(&problem)));
            }
        }
    }
    drop(open);
    let _ = ended.recv().await; // closed when the last has ended
}

fn too_many(limit: Limit, limits: &Limits) -> Problem {
    let whose = if limit == Limit::Connections { "" } else { " from your address" };
    let detail = format!("{} connections{whose} are open, as many as may: close some first", limits.of(limit));
    Problem::new(503, "too_many_connections", detail).of_limit(limit)
}

/// As bytes: a connection too many is not worth a parser.
fn plainly(problem: &Problem) -> Vec<u8> {
    let body = problem.body();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: {CONTENT_TYPE}\r\nRetry-After: 1\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

async fn turn_away(stream: TcpStream, word: Vec<u8>) {
    if let Ok(mut socket) = Socket::over(stream) {
        let _ = clock::timeout(Duration::from_secs(1), socket.write_all(&word)).await; // it may not listen
    }
}

/// A connection that speaks TLS from here on, if the other end can.
async fn secured(mut socket: Socket, pair: &Arc<tls::Pair>, peer: SocketAddr) -> Option<Socket> {
    let shaken = async {
        match socket.peek_first().await.ok()?? {
            tls::FIRST_BYTE => {
                let connection = pair.connection().await.inspect_err(|error| log::error!("TLS: {error}")).ok()?;
                let shaken = socket.secure(connection).await;
                shaken.inspect_err(|error| log::debug!("TLS: connection of {peer}: {error}")).ok()
            }
            first if first.is_ascii_uppercase() => {
                let mut asked = [0; 1_024];
                std::future::poll_fn(|cx| socket.poll_into(cx, &mut asked)).await.ok()?; // unread, it would cut the answer
                socket.write_all(PLAIN).await.ok()?;
                None
            }
            _ => None,
        }
    };
    clock::timeout(HANDSHAKE_LIMIT, shaken).await.flatten()
}

/// Counts a connection out when dropped.
struct Pass<S: Face> {
    door: Arc<Door<S>>,
    address: IpAddr,
    _open: Sender<()>,
}

impl<S: Face> Drop for Pass<S> {
    fn drop(&mut self) {
        self.door.lock().leave(self.address);
        self.door.face.tally().leave();
    }
}

impl<S> Door<S> {
    fn lock(&self) -> MutexGuard<'_, Connected> {
        lock(&self.connected)
    }
}

impl<S: Face> Door<S> {
    fn enter(self: &Arc<Self>, address: IpAddr, open: &Sender<()>) -> Result<Pass<S>, Limit> {
        self.lock().enter(address, self.face.limits())?;
        self.face.tally().enter();
        Ok(Pass { door: self.clone(), address, _open: open.clone() })
    }

    /// What it awaits once or seldom is boxed: an idle connection has no room for it.
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, stop: Receiver<()>, _pass: Pass<S>) {
        let Ok(mut socket) = Socket::over(stream) else { return };
        if let Some(pair) = &self.pair {
            let Some(secured) = Box::pin(secured(socket, pair, peer)).await else { return };
            socket = secured;
        }
        let tunnel: Mutex<Option<Tunnel>> = Mutex::default();
        let sends = AtomicBool::new(false); // the last request has a body, which may not have been read to its end
        let service = service_fn(|request: Request<Incoming>| {
            let (door, tunnel) = (self.clone(), &tunnel);
            sends.store(!request.body().is_end_stream(), Ordering::Relaxed);
            async move {
                let mut answer = door.answer(request, peer).await;
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                    *lock(tunnel) = Tunnel::of(&mut answer);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let limits = self.face.limits();
        let mut connection = http1::Builder::new()
            .timer(Timers)
            .header_read_timeout(limits.time(Limit::HeaderS))
            .max_buf_size(HEAD_BYTES_HARD.max(2 * limits.count(Limit::HeaderBytes)))
            .max_headers(HEADERS_HARD.max(2 * limits.count(Limit::Headers)))
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
        let mut parts = connection.into_parts();
        let begun = lock(&tunnel).take();
        match begun {
            Some(tunnel) => Box::pin(tunnel.run(parts.io, parts.read_buf)).await,
            None if sends.load(Ordering::Relaxed) => Box::pin(linger(&mut parts.io)).await,
            None => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let mut access = logging::access_wanted().then(|| Access::begin(&request, peer));
        let answer = self.admit(request, peer, &mut access).await;
        self.face.tally().answered(answer.status());
        if let Some(why) = answer.extensions().get::<Why>() {
            self.face.tally().refused(*why);
        }
        match access {
            Some(access) => access.follow(answer),
            None => answer,
        }
    }

    async fn admit(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        access: &mut Option<Box<Access>>,
    ) -> Response<Body> {
        if self.pair.is_some() {
            headers::came_encrypted(request.headers_mut());
        }
        let closed = self.face.gate().closed();
        let found = route::find::<S>(request.method(), request.uri().path());
        let calls = found.as_ref().is_ok_and(|(route, _)| route.needs == Needs::Invoke);
        let asked = origin::Asked { open: self.face.open() || closed, closed, calls };
        let caller = match check_head(&request, self.face.limits())
            .and_then(|()| origin::check(&request, self.face.origins(), &asked))
        {
            Ok(caller) => caller,
            Err(problem) => return problem.into(),
        };
        if let Some(mut answer) = origin::preflight(&request, &caller) {
            origin::allow(&mut answer, caller);
            return answer;
        }
        let modules = problem::of_modules(request.uri().path());
        let answered = self.route(found, request, peer, access).await;
        let mut answer = answered.unwrap_or_else(|problem| problem.for_modules(modules).into());
        origin::allow(&mut answer, caller);
        answer
    }

    async fn route(
        &self,
        found: Result<(&'static Route<S>, Vec<String>), Problem>,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        access: &mut Option<Box<Access>>,
    ) -> Result<Response<Body>, Problem> {
        let (needs, named) = match &found {
            Ok((route, params)) => (route.needs, params.first().map_or("", String::as_str)),
            Err(_) => (Needs::Token, ""), // what is not there is not everybody's business either
        };
        let of_call = matches!(needs, Needs::Result | Needs::Cancel).then(|| self.face.function_of(named));
        let function = of_call.as_ref().map_or(named, |function| function.as_deref().unwrap_or_default());
        let public = || self.face.public(function);
        let admitted = self.face.gate().admit(request.headers_mut(), needs, function, Some(peer.ip()), public);
        let admitted = admitted.map_err(|denied| self.refuse(&request, peer.ip(), denied));
        if let (Some(access), Ok(Some(who))) = (access, &admitted) {
            access.token = Some(who.name.clone());
        }
        let by = match admitted.and_then(|who| self.pace(who.as_deref(), needs, peer.ip()).map(|()| who)) {
            Ok(who) => Caller {
                name: who.as_ref().map(|who| who.name.clone()),
                from: Some(peer.ip()),
                admin: who.as_ref().map_or(!self.face.gate().closed(), |who| who.administers()),
                who,
            },
            Err(problem) => {
                let modules = problem::of_modules(request.uri().path());
                let mut answer = Response::from(problem.for_modules(modules));
                if needs == Needs::Invoke {
                    answer.headers_mut().extend(self.face.refused_call().map(|id| (X_CALL_ID, id)));
                }
                return Ok(answer);
            }
        };
        let (route, params) = found?;
        let host = route.told_by_function().then(|| request.headers().get(header::HOST).cloned());
        let mut answer = self.ask(route, params, request, peer, by).await;
        if let (Some(host), Ok(answer)) = (host, &mut answer) {
            origin::keep_apart(answer, host.as_ref(), self.face.origins(), self.face.gate().closed());
        }
        openapi::hold(route, answer)
    }

    async fn ask(
        &self,
        route: &Route<S>,
        params: Vec<String>,
        request: Request<Incoming>,
        peer: SocketAddr,
        by: Caller,
    ) -> Result<Response<Body>, Problem> {
        let query = match route.path.ends_with('*') {
            true => Vec::new(), // passed on as it is
            false => route::query(request.uri().query())?,
        };
        parameters::check(route, &query)?;
        match route.handler.streamed(&query)? {
            Some(handler) => handler(self.face.clone(), Streamed { params, query, request, peer, by }).await,
            None => {
                let (head, incoming) = request.into_parts();
                let body = Box::pin(whole_body(incoming, self.face.limits())).await?; // as in `serve`
                let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
                let method = if head.method == Method::HEAD { Method::GET } else { head.method };
                self.rest.ask(method, path, body, &by).await
            }
        }
    }
}

impl<S: Face> Door<S> {
    /// Refuses whoever comes too often: who has a token by that, who calls without one by address. Where there is no
    /// limit it costs a comparison, and neither a lock nor a look at the clock.
    fn pace(&self, who: Option<&Who>, needs: Needs, from: IpAddr) -> Result<(), Problem> {
        let usual = self.face.limits().of(Limit::RequestsPerSToken);
        let of_its_own = who.and_then(|who| who.rate);
        let most = of_its_own.map_or(usual, u64::from);
        let Some(rate) = Rate::per_second(most).filter(|_| needs != Needs::Nothing) else { return Ok(()) };
        let taken = match who {
            Some(who) => who.used.take(rate, clock::now_ns()),
            None if needs == Needs::Invoke => self.clients.take(&rate::client(from), rate, clock::now_ns()),
            None => Ok(()),
        };
        taken.map_err(|wait| {
            let whose = who.map_or("an address without a token".into(), |who| format!("the token '{}'", who.name));
            let problem = Problem::rate_limited(format!("{whose} may make {most} requests a second"), wait);
            if of_its_own.is_some() { problem } else { problem.of_limit(Limit::RequestsPerSToken) }
        })
    }

    /// What whom the gate does not let in is told. That somebody tries wrong tokens is told of, once a minute each.
    fn refuse(&self, request: &Request<Incoming>, from: IpAddr, denied: Denied) -> Problem {
        let tried = !denied.known() && denied != Denied::Missing;
        if tried && self.refused.take(&rate::client(from), Rate::ONE_A_MINUTE, clock::now_ns()).is_ok() {
            let asked: String =
                format!("{} {}", request.method(), request.uri().path()).chars().take(ASKED_BYTES).collect();
            self.face.refused(from, &asked, &denied);
        }
        denied.into()
    }
}

/// Names the limit that a request's head breaks, and refuses what proxies and servers read differently.
fn check_head(request: &Request<Incoming>, limits: &Limits) -> Result<(), Problem> {
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(k, v)| k.as_str().len() + v.len() + 4).sum();
    let target = request.uri().path_and_query().map_or(0, |p| p.as_str().len());
    let most = limits.count(Limit::HeaderBytes);
    if bytes + target > most {
        let problem = Problem::new(431, "headers_too_large", format!("a request's head may have {most} bytes"));
        return Err(problem.of_limit(Limit::HeaderBytes));
    }
    let most = limits.count(Limit::Headers);
    if headers.len() > most {
        let problem = Problem::new(431, "too_many_headers", format!("a request may have {most} headers"));
        return Err(problem.of_limit(Limit::Headers));
    }
    if headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Problem::invalid("Content-Length and Transfer-Encoding exclude each other: send one of them"));
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
pub async fn whole_body(incoming: Incoming, limits: &Limits) -> Result<Bytes, Problem> {
    let body = body_of(incoming, limits, "the body", limits.count(Limit::BodyBytes)).await;
    body.map_err(|problem| match problem.code {
        "too_large" => problem.of_limit(Limit::BodyBytes),
        _ => problem,
    })
}

/// A body of at most so many bytes, in full; `what` it is called if it has more.
pub async fn body_of(incoming: Incoming, limits: &Limits, what: &str, most: usize) -> Result<Bytes, Problem> {
    let time = limits.time(Limit::BodyS);
    match clock::timeout(time, body::collect(incoming, most)).await {
        Some(Ok(body)) => Ok(body),
        Some(Err(CollectError::TooLarge(limit))) => Err(Problem::too_large(what, limit as u64)),
        Some(Err(CollectError::Broken(error))) => Err(Problem::broken_off("the body", error)),
        None => {
            let detail = format!("the body did not come within {} s", time.as_secs());
            Err(Problem::new(408, "body_timeout", detail).of_limit(Limit::BodyS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Of;

    #[test]
    fn raw_refusals_are_valid_messages() {
        let read = |raw: &[u8]| {
            let (head, body) = str::from_utf8(raw).expect("text").split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
            serde_json::from_str::<crate::types::Problem>(body).expect("a problem")
        };
        assert_eq!(read(PLAIN).code, "https_only");
        let problem = read(&plainly(&too_many(Limit::Connections, &Limits::default())));
        assert_eq!(problem.code, "too_many_connections");
        assert!(problem.detail.contains("4096") && problem.detail.contains("--limit connections=N"), "{problem:?}");
    }

    #[test]
    fn one_address_cannot_take_all_connections_but_loopback_may() {
        let mut limits = Limits::default();
        for given in ["connections=5", "connections-per-client=2"] {
            limits.set(Of::Both, given).unwrap();
        }
        let (mut connected, far, near) = (Connected::default(), [10, 0, 0, 1].into(), [127, 0, 0, 1].into());
        assert_eq!([(); 3].map(|()| connected.enter(far, &limits)), [Ok(()), Ok(()), Err(Limit::ConnectionsPerClient)]);
        assert_eq!([(); 4].map(|()| connected.enter(near, &limits))[2..], [Ok(()), Err(Limit::Connections)]);
        (0..2).for_each(|_| connected.leave(far));
        assert_eq!(connected.enter(far, &limits), Ok(()));
        connected.leave(far);
        (0..3).for_each(|_| connected.leave(near));
        assert!(connected.all == 0 && connected.by_address.is_empty());
    }
}
