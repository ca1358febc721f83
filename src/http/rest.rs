//! The REST handlers' entry: tiny_http on threads of its own, behind the front door and reachable only through it, so
//! that handlers are plain blocking code and hostile clients never meet its parser.

use super::handlers::{Asked, Handlers};
use super::openapi;
use super::problem::{self, CONTENT_TYPE, Problem};
use super::route::{self, Call, Face, Handler, Reply};
use super::unread::Unread;
use crate::auth::Caller;
use crate::body::Body;
use crate::clock;
use crate::limits::Limit;
use crate::rt;
use bytes::Bytes;
use futures_channel::oneshot;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Handlers at once for those who look, each of which may have a long list in its hands.
const LOOKS: usize = 4;
/// Handlers at once for those who change something: they wait for the disk, together, and nobody who looks for them.
const CHANGES: usize = 8;
/// A handler that takes longer is stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// The way in.
pub struct Rest {
    looks: Arc<Handlers>,
    changes: Arc<Handlers>,
    /// Proves that a request came through the front door: functions may run as this user, and find the socket.
    pass: String,
    inside: AtomicUsize,
    /// Requests inside or waiting; beyond it callers are told to come again.
    most: usize,
    unread: Unread,
}

const PASS: &str = "cares-pass";
const BY: &str = "cares-by";
const FROM: &str = "cares-from";
const ADMIN: &str = "cares-admin";

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
        let most = face.limits().count(Limit::ApiRequests);
        let pass = crate::ids::random_hex(16);
        let unread = Unread::new(face.limits().time(Limit::BodyS));
        let start = |name, threads| {
            let (face, pass) = (face.clone(), pass.clone());
            Handlers::start(dir, name, threads, move |asked| respond(&*face, asked, &pass))
        };
        let (looks, changes) = (start("looks", LOOKS)?, start("changes", CHANGES)?);
        Ok(Arc::new(Rest { looks, changes, pass, inside: AtomicUsize::new(0), most, unread }))
    }

    /// Asks a handler. What was asked runs to its end, and counts as long, also when nobody waits for it any more.
    pub async fn ask(
        self: &Arc<Self>,
        method: Method,
        path: &str,
        body: Bytes,
        by: &Caller,
    ) -> Result<Response<Body>, Problem> {
        let place = self.clone().enter().ok_or_else(|| {
            let detail = format!("{} requests to the API are waiting, as many as may", self.most);
            Problem::new(503, "api_busy", detail).of_limit(Limit::ApiRequests).retry_after(1)
        })?;
        let (tell, told) = oneshot::channel();
        let mut request =
            Request::builder().method(method).uri(path).header("host", "rest").header("connection", "close");
        request = request.header(PASS, &self.pass);
        if let Some(name) = &by.name {
            request = request.header(BY, &**name);
        }
        if let Some(from) = by.from {
            request = request.header(FROM, from.to_string());
        }
        if by.admin {
            request = request.header(ADMIN, "1");
        }
        let request = request.body(Body::full(body)).map_err(|e| Problem::invalid(e.to_string()))?;
        rt::spawn(async move {
            let answer = clock::timeout(LIMIT, place.0.exchange(request)).await;
            drop(place);
            let _ = tell.send(answer); // the caller may have left
        });
        match told.await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(Problem::new(504, "api_timeout", took_too_long())),
            Err(_) => Err(Problem::new(503, "stopping", "the program is stopping").retry_after(2)),
        }
    }

    fn enter(self: Arc<Self>) -> Option<Place> {
        let room = |inside: usize| (inside < self.most).then_some(inside + 1);
        self.inside.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Place(self))
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let handlers = if request.method() == Method::GET { &self.looks } else { &self.changes };
        let _turn = handlers.turn().await;
        let away = |error| Problem::new(500, "internal", format!("the API's handler is not there: {error}"));
        let (head, body) = send(handlers, request).await.map_err(away)?.into_parts();
        Ok(Response::from_parts(head, self.unread.take(body).await?))
    }

    /// Ends the threads.
    pub fn stop(&self) {
        self.looks.stop();
        self.changes.stop();
    }
}

fn took_too_long() -> String {
    let after = LIMIT.as_secs();
    format!(
        "the API gave no answer within {after} s. What was asked may be done all the same: look before asking again"
    )
}

async fn send(handlers: &Arc<Handlers>, request: Request<Body>) -> io::Result<Response<Incoming>> {
    let (mut requests, connection) = http1::handshake(handlers.connect().await?).await.map_err(io::Error::other)?;
    rt::spawn(connection);
    let mut answer = requests.send_request(request).await.map_err(io::Error::other)?;
    super::headers::strip(answer.headers_mut());
    answer.headers_mut().remove(hyper::header::SERVER);
    Ok(answer)
}

fn respond<S: Face>(face: &S, mut asked: Asked, pass: &str) {
    if asked.header(PASS).as_deref() != Some(pass) {
        return; // no word to whoever found another way in
    }
    let handled = catch_unwind(AssertUnwindSafe(|| handle(face, &mut asked)));
    let reply = match handled {
        Ok(Ok(reply)) => reply,
        Ok(Err(problem)) => refusal(face, problem.for_modules(problem::of_modules(asked.url()))),
        Err(_) => refusal(face, Problem::new(500, "internal", "the API's handler failed")),
    };
    asked.answer(reply);
}

fn refusal<S: Face>(face: &S, problem: Problem) -> Reply {
    face.tally().refused((&problem).into());
    let mut headers = problem.headers();
    headers.push(("Content-Type", CONTENT_TYPE.into()));
    Reply { status: problem.status, body: problem.body(), headers }
}

fn handle<S: Face>(face: &S, asked: &mut Asked) -> Result<Reply, Problem> {
    let body = asked.body().map_err(|e| Problem::broken_off("the body", e))?;
    let method = asked.method().map_err(|_| Problem::invalid("the request's method is none of HTTP's"))?;
    let url = asked.url().to_string();
    let (path, query) = url.split_once('?').map_or((url.as_str(), None), |(path, query)| (path, Some(query)));
    let (route, params) = route::find::<S>(&method, path)?;
    let query = route::query(query)?;
    match route.handler {
        Handler::Rest(handler) | Handler::Watched(handler, _) => {
            let by = Caller {
                name: asked.header(BY).map(Into::into),
                from: asked.header(FROM).and_then(|from| from.parse().ok()),
                admin: asked.header(ADMIN).is_some(),
                who: None,
            };
            let call = Call { params, query, body, path: path.into(), by };
            openapi::hold(route, handler(face, &call))
        }
        Handler::Stream(_) => Err(Problem::new(500, "internal", "a streamed route came to a REST handler")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;
    use futures_lite::future;

    /// Nobody answers but the test.
    fn rest(dir: &Path, most: usize) -> Arc<Rest> {
        let open = |name, threads| Arc::new(Handlers::open(dir, name, threads).unwrap());
        let (looks, changes, unread) = (open("looks", LOOKS), open("changes", CHANGES), Unread::new(LIMIT));
        Arc::new(Rest { looks, changes, pass: "p".into(), inside: AtomicUsize::new(0), most, unread })
    }

    fn answer_next(handlers: &Handlers) {
        handlers.next().unwrap().answer(Reply { status: 204, body: Vec::new(), headers: Vec::new() });
    }

    #[test]
    fn who_looks_does_not_wait_for_those_who_change_something() {
        let scratch = Scratch::new();
        let (rest, by) = (rest(&scratch.0, 100), Caller::default());
        let ask = |method| Box::pin(rest.ask(method, "/", Bytes::new(), &by));
        let mut changes: Vec<_> = (0..100 - LOOKS).map(|_| ask(Method::POST)).collect();
        changes.iter_mut().for_each(|one| assert!(rt::block_on(future::poll_once(one)).is_none()));
        for _ in 0..3 {
            let mut look = ask(Method::GET);
            assert!(rt::block_on(future::poll_once(&mut look)).is_none());
            answer_next(&rest.looks);
            assert_eq!(rt::block_on(look).ok().unwrap().status(), 204);
        }
        changes.iter().for_each(|_| answer_next(&rest.changes));
        changes.into_iter().for_each(|one| assert_eq!(rt::block_on(one).ok().unwrap().status(), 204));
        rest.stop();
    }

    #[test]
    fn so_many_are_inside_and_one_more_is_told_to_come_again() {
        let scratch = Scratch::new();
        let (rest, by) = (rest(&scratch.0, 2), Caller::default());
        let ask = || Box::pin(rest.ask(Method::GET, "/", Bytes::new(), &by));
        let mut held = [ask(), ask()];
        held.iter_mut().for_each(|one| assert!(rt::block_on(future::poll_once(one)).is_none()));
        let refused = rt::block_on(ask()).err().unwrap();
        assert_eq!((refused.status, refused.code), (503, "api_busy"));
        assert!(refused.detail.contains("--limit api-requests=N"), "{}", refused.detail);
        held.iter().for_each(|_| answer_next(&rest.looks));
        held.into_iter().for_each(|one| assert_eq!(rt::block_on(one).ok().unwrap().status(), 204));
        let mut again = ask();
        assert!(rt::block_on(future::poll_once(&mut again)).is_none(), "there is room again");
        answer_next(&rest.looks);
        assert!(rt::block_on(again).is_ok());
        rest.stop();
    }
}
