//! The REST handlers' entry: tiny_http on threads of its own, behind the front door and reachable only through it, so
//! that handlers are plain blocking code and hostile clients never meet its parser.

use super::problem::{CONTENT_TYPE, Problem};
use super::route::{self, Call, Face, Handler, Reply};
use crate::body::Body;
use crate::clock;
use crate::net::Socket;
use bytes::Bytes;
use futures_channel::oneshot;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use std::io;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Handlers at once: they wait for the disk, not for the processor.
const THREADS: usize = 4;
/// Requests inside or waiting; beyond it callers are told to come again.
const WAITING: usize = 256;
/// A handler that takes longer is stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// The way in.
pub struct Rest {
    server: Arc<tiny_http::Server>,
    path: PathBuf,
    /// Proves that a request came through the front door: functions may run as this user, and find the socket.
    pass: String,
    inside: AtomicUsize,
}

const PASS: &str = "cares-pass";
const BY: &str = "cares-by";

/// Counts a request out when dropped.
struct Place(Arc<Rest>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Rest {
    /// Starts the threads; they listen on a private socket in `dir`, which only this user may enter.
    pub fn start<S: Face>(face: Arc<S>, dir: &Path) -> io::Result<Arc<Self>> {
        let path = dir.join("rest.sock");
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(&path)?;
        let server = Arc::new(tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?);
        let pass = crate::ids::random_hex(16);
        for n in 0..THREADS {
            let (server, face, pass) = (server.clone(), face.clone(), pass.clone());
            thread::Builder::new().name(format!("rest-{n}")).spawn(move || {
                while let Ok(request) = server.recv() {
                    respond(&*face, request, &pass);
                }
            })?;
        }
        Ok(Arc::new(Rest { server, path, pass, inside: AtomicUsize::new(0) }))
    }

    /// Asks a handler. What was asked runs to its end, and counts as long, also when nobody waits for it any more.
    /// `by`: the name of the token it came with.
    pub async fn ask(
        self: &Arc<Self>,
        method: Method,
        path: &str,
        body: Bytes,
        by: Option<&str>,
    ) -> Result<Response<Body>, Problem> {
        let place = self.clone().enter().ok_or_else(|| {
            let detail = format!("{WAITING} requests to the API are waiting, as many as may");
            Problem::new(503, "api_busy", detail).retry_after(1)
        })?;
        let (tell, told) = oneshot::channel();
        let mut request =
            Request::builder().method(method).uri(path).header("host", "rest").header("connection", "close");
        request = request.header(PASS, &self.pass);
        if let Some(by) = by {
            request = request.header(BY, by);
        }
        let request = request.body(Body::full(body)).map_err(|e| Problem::invalid(e.to_string()))?;
        crate::rt::spawn(async move {
            let answer = clock::timeout(LIMIT, place.0.exchange(request)).await;
            drop(place);
            let _ = tell.send(answer); // the caller may have left
        });
        match told.await {
            Ok(Some(Ok(answer))) => Ok(answer),
            Ok(Some(Err(error))) => {
                Err(Problem::new(500, "internal", format!("the API's handler is not there: {error}")))
            }
            Ok(None) => Err(Problem::new(504, "api_timeout", format!("no answer within {} s", LIMIT.as_secs()))),
            Err(_) => Err(Problem::new(503, "stopping", "the program is stopping").retry_after(2)),
        }
    }

    fn enter(self: Arc<Self>) -> Option<Place> {
        let room = |inside: usize| (inside < WAITING).then_some(inside + 1);
        self.inside.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Place(self))
    }

    async fn exchange(&self, request: Request<Body>) -> io::Result<Response<Body>> {
        let socket = Socket::connect_unix(&self.path).await?;
        let (mut requests, connection) = http1::handshake(socket).await.map_err(io::Error::other)?;
        crate::rt::spawn(connection);
        let mut answer = requests.send_request(request).await.map_err(io::Error::other)?;
        super::headers::strip(answer.headers_mut());
        answer.headers_mut().remove(hyper::header::SERVER);
        Ok(answer.map(Body::Incoming))
    }

    /// Ends the threads.
    pub fn stop(&self) {
        for _ in 0..THREADS {
            self.server.unblock();
        }
        let _ = std::fs::remove_file(&self.path); // the next start removes it otherwise
    }
}

fn respond<S: Face>(face: &S, mut request: tiny_http::Request, pass: &str) {
    if header(&request, PASS).as_deref() != Some(pass) {
        return; // no word to whoever found another way in
    }
    let handled = catch_unwind(AssertUnwindSafe(|| handle(face, &mut request)));
    let reply = match handled {
        Ok(Ok(reply)) => reply,
        Ok(Err(problem)) => refusal(&problem),
        Err(_) => refusal(&Problem::new(500, "internal", "the handler failed; the log says more")),
    };
    let headers =
        reply.headers.iter().filter_map(|(k, v)| tiny_http::Header::from_bytes(k.as_bytes(), v.as_bytes()).ok());
    let length = reply.body.len();
    let status = tiny_http::StatusCode(reply.status);
    let response = tiny_http::Response::new(status, headers.collect(), io::Cursor::new(reply.body), Some(length), None);
    if let Err(error) = request.respond(response) {
        log::debug!("REST: an answer was not taken: {error}");
    }
}

fn header(request: &tiny_http::Request, name: &'static str) -> Option<String> {
    request.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.to_string())
}

fn refusal(problem: &Problem) -> Reply {
    let mut headers = problem.headers();
    headers.push(("Content-Type", CONTENT_TYPE.into()));
    Reply { status: problem.status, body: problem.body(), headers }
}

fn handle<S: Face>(face: &S, request: &mut tiny_http::Request) -> Result<Reply, Problem> {
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body).map_err(|e| Problem::invalid(format!("the body: {e}")))?;
    let method: Method = request.method().as_str().parse().map_err(|_| Problem::invalid("the method"))?;
    let url = request.url().to_string();
    let (path, query) = url.split_once('?').map_or((url.as_str(), None), |(path, query)| (path, Some(query)));
    let (route, params) = route::find::<S>(&method, path)?;
    let query = route::query(query)?;
    match route.handler {
        Handler::Rest(handler) | Handler::Watched(handler, _) => {
            handler(face, &Call { params, query, body, path: path.into(), by: header(request, BY) })
        }
        Handler::Stream(_) => Err(Problem::new(500, "internal", "a streamed route came to a REST handler")),
    }
}
