//! The engine's socket, and the only file that names shiplift, its hyper and tokio: one thread runs them all. Must never
//! wait without a limit, nor know what the calls mean.

use crate::clock;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use futures_lite::StreamExt;
use futures_lite::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use hyper_014::body::Bytes;
use hyper_014::{Body, Client};
use shiplift::transport::Transport;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// Chunks of a streamed answer that wait for their reader; the engine waits beyond them.
const CHUNKS: usize = 4;

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Delete,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The socket could not be connected to.
    Connect(io::ErrorKind),
    /// The engine refused, with this status and message.
    Refused(u16, String),
    /// No answer within this time.
    Slow(Duration),
    /// The answer broke off, or was none.
    Broken(String),
}

/// A raw connection to a container's stdin, stdout and stderr.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}
pub type Attached = std::pin::Pin<Box<dyn Duplex>>;

/// The way to one engine. The thread ends with it.
pub struct Wire {
    /// Lives as long as the process: shiplift's raw streams borrow it, and there is one per engine.
    transport: &'static Transport,
    runtime: Handle,
    /// Such as `/v1.41`; empty until the engine has said what it speaks.
    version: Mutex<String>,
    _running: Sender<()>,
}

impl Wire {
    /// Starts the thread; nothing is connected to yet.
    pub fn new(socket: &Path) -> io::Result<Arc<Wire>> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let handle = runtime.handle().clone();
        let (running, ended): (Sender<()>, Receiver<()>) = rt::bounded(1);
        std::thread::Builder::new().name("docker".into()).spawn(move || {
            let _ = runtime.block_on(ended.recv()); // nothing is ever sent
        })?;
        // No connection is kept: one to an engine that has restarted would fail the next call.
        let client = Client::builder().pool_max_idle_per_host(0).build::<_, Body>(hyperlocal::UnixConnector);
        let path = socket.display().to_string();
        let transport = Box::leak(Box::new(Transport::Unix { client, path }));
        Ok(Arc::new(Wire { transport, runtime: handle, version: Mutex::default(), _running: running }))
    }

    /// From now on calls are made in this version of the API, such as `1.41`.
    pub fn speak(&self, version: &str) {
        *lock(&self.version) = format!("/v{version}");
    }

    fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", lock(&self.version))
    }

    /// One call and its whole answer; 304, "it is so already", is success. The path must be encoded.
    pub async fn call(
        &self,
        verb: Verb,
        path: &str,
        body: Option<String>,
        limit: Duration,
    ) -> Result<String, WireError> {
        self.call_at(verb, self.endpoint(path), body, limit).await
    }

    /// The same in the engine's own version, whichever that is.
    pub async fn call_unversioned(&self, path: &str, limit: Duration) -> Result<String, WireError> {
        self.call_at(Verb::Get, path.to_string(), None, limit).await
    }

    async fn call_at(
        &self,
        verb: Verb,
        endpoint: String,
        body: Option<String>,
        limit: Duration,
    ) -> Result<String, WireError> {
        let transport = self.transport;
        let body = body.map(|json| (json, mime::APPLICATION_JSON));
        let work = async move { transport.request(method(verb), endpoint, body, NO_HEADERS).await };
        match self.within(limit, work).await? {
            Ok(answer) => Ok(answer),
            Err(shiplift::Error::Fault { code, .. }) if code.as_u16() == 304 => Ok(String::new()),
            Err(error) => Err(explain(error)),
        }
    }

    /// A call whose answer comes piece by piece. Ends when dropped; `quiet` is the longest silence, `None` for any.
    pub fn stream(
        &self,
        verb: Verb,
        path: &str,
        header: Option<(&'static str, String)>,
        quiet: Option<Duration>,
    ) -> Chunks {
        self.stream_with(verb, path, header, None, quiet)
    }

    /// The same with a body, which is JSON.
    pub fn stream_with(
        &self,
        verb: Verb,
        path: &str,
        header: Option<(&'static str, String)>,
        body: Option<String>,
        quiet: Option<Duration>,
    ) -> Chunks {
        let (transport, endpoint) = (self.transport, self.endpoint(path));
        let (to, chunks) = rt::bounded(CHUNKS);
        let body = body.map(|json| (Body::from(json), mime::APPLICATION_JSON));
        let work = async move {
            let answer = transport.stream_chunks(method(verb), endpoint, body, Some(header));
            let mut answer = std::pin::pin!(answer);
            while let Some(chunk) = answer.next().await {
                if to.send(chunk.map_err(explain)).await.is_err() {
                    break;
                }
            }
        };
        Chunks { chunks, quiet, _task: Task(self.runtime.spawn(work)) }
    }

    /// A call whose body is sent piece by piece as it comes, and so its answer. An empty piece is the end; when the sender is
    /// dropped before, the engine is told that it broke off. Ends when dropped.
    pub fn upload(
        &self,
        path: &str,
        media_type: &'static str,
        header: Option<(&'static str, String)>,
        pieces: Receiver<Vec<u8>>,
    ) -> Chunks {
        let (transport, endpoint) = (self.transport, self.endpoint(path));
        let (to, chunks) = rt::bounded(CHUNKS);
        let (mut sender, body) = Body::channel();
        let sending = Task(self.runtime.spawn(async move {
            loop {
                match pieces.recv().await {
                    Ok(piece) if piece.is_empty() => return,
                    Ok(piece) => {
                        if sender.send_data(piece.into()).await.is_err() {
                            return; // the engine takes no more, and says why
                        }
                    }
                    Err(_) => return sender.abort(),
                }
            }
        }));
        let work = async move {
            let _sending = sending;
            let kind = media_type.parse().unwrap_or(mime::APPLICATION_OCTET_STREAM);
            let answer = transport.stream_chunks(method(Verb::Post), endpoint, Some((body, kind)), Some(header));
            let mut answer = std::pin::pin!(answer);
            while let Some(chunk) = answer.next().await {
                if to.send(chunk.map_err(explain)).await.is_err() {
                    break;
                }
            }
        };
        Chunks { chunks, quiet: None, _task: Task(self.runtime.spawn(work)) }
    }

    /// Takes a connection over for a container's own streams.
    pub async fn attach(
        &self,
        path: &str,
        limit: Duration,
    ) -> Result<(ReadHalf<Attached>, WriteHalf<Attached>), WireError> {
        let (transport, endpoint) = (self.transport, self.endpoint(path));
        let work = async move { transport.stream_upgrade(method(Verb::Post), endpoint, NO_BODY).await };
        let raw = self.within(limit, work).await?.map_err(explain)?;
        let raw: Attached = Box::pin(raw);
        Ok(futures_lite::io::split(raw))
    }

    /// Runs it on the thread.
    async fn within<F>(&self, limit: Duration, work: F) -> Result<F::Output, WireError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut task = Task(self.runtime.spawn(work));
        match clock::timeout(limit, &mut task.0).await {
            Some(Ok(output)) => Ok(output),
            // shiplift panics where it cannot make a request; nothing of ours is in the task.
            Some(Err(error)) => Err(WireError::Broken(format!("the call could not be made: {error}"))),
            None => Err(WireError::Slow(limit)),
        }
    }
}

const NO_HEADERS: Option<Option<(&'static str, String)>> = None;
const NO_BODY: Option<(Body, mime::Mime)> = None;

/// Ends its task when dropped.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The pieces of a streamed answer.
pub struct Chunks {
    chunks: Receiver<Result<Bytes, WireError>>,
    quiet: Option<Duration>,
    _task: Task<()>,
}

impl Chunks {
    /// `None` at its end.
    pub async fn next(&mut self) -> Option<Result<Bytes, WireError>> {
        let Some(quiet) = self.quiet else { return self.chunks.recv().await.ok() };
        match clock::timeout(quiet, self.chunks.recv()).await {
            Some(chunk) => chunk.ok(),
            None => Some(Err(WireError::Slow(quiet))),
        }
    }
}

fn method(verb: Verb) -> hyper_014::Method {
    match verb {
        Verb::Get => hyper_014::Method::GET,
        Verb::Post => hyper_014::Method::POST,
        Verb::Delete => hyper_014::Method::DELETE,
    }
}

fn explain(error: shiplift::Error) -> WireError {
    match error {
        shiplift::Error::Fault { code, message } => WireError::Refused(code.as_u16(), message),
        shiplift::Error::Hyper(error) => {
            let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
            match cause {
                Some(cause) if error.is_connect() => WireError::Connect(cause.kind()),
                _ => WireError::Broken(error.to_string()),
            }
        }
        shiplift::Error::ConnectionNotUpgraded => WireError::Broken("the engine gave no raw connection".into()),
        other => WireError::Broken(other.to_string()),
    }
}
