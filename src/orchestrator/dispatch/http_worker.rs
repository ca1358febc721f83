//! Workers that joined over HTTP alone, called at the endpoint they registered: each call is a module to execute, its
//! function's name the module's type. They may be anybody's programs: nothing they do costs more than bounded memory, and
//! nobody waits for them longer than for any function.

use super::{NoOutput, WHY_BYTES, cut};
use crate::body::{self, Body, CollectError};
use crate::clock;
use crate::cluster::{Assigned, NodeKey};
use crate::http::invoke::Extras;
use crate::lock::lock;
use crate::modules::{self, MESSAGE_BYTES, PAYLOAD_BYTES, payload, timespan};
use crate::orchestrator::endpoints::{Endpoint, Endpoints};
use crate::rt::{self, Receiver, Scoped, Sender};
use crate::types::{ModuleCancellation, ModuleExecution, ModuleResult, Problem};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// To connect, names looked up.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// To be told that an execution is of no use any more.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);
/// Cancellations under way at one node: beyond it the node's own time limits must do.
const CANCELS: usize = 64;
/// Connections kept for the next call, and how long: shorter than servers keep theirs.
const IDLE: usize = 8;
const IDLE_FOR: Duration = Duration::from_secs(10);
/// An answer's head, as of a function.
const HEAD_BYTES: usize = 128 * 1024;
/// Of a refusal that is looked at.
const SHOWN_BYTES: usize = 400;

/// Those that are members, and the connections to them.
pub struct HttpWorkers {
    endpoints: Arc<Endpoints>,
    kept: Mutex<HashMap<NodeKey, Arc<Kept>>>,
}

/// One session of one worker.
struct Kept {
    session: u64,
    endpoint: Endpoint,
    /// Where it registered from.
    peer: IpAddr,
    endpoints: Arc<Endpoints>,
    idle: Mutex<Vec<Idle>>,
    cancels: AtomicUsize,
    /// Modules it said that it runs, others' too. Only shown: it refuses what it has no room for.
    load: AtomicU32,
    /// Closed when the session is over.
    over: (Sender<()>, Receiver<()>),
}

struct Connection {
    requests: SendRequest<Body>,
    /// Dropped, it ends.
    _driven: Scoped,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl HttpWorkers {
    pub fn new(endpoints: Endpoints) -> Self {
        HttpWorkers { endpoints: Arc::new(endpoints), kept: Mutex::default() }
    }

    /// Where they may be.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// A worker that registered from `peer` is called at its endpoint from now on; calls of its sessions before end.
    pub fn open(&self, node: NodeKey, session: u64, endpoint: Endpoint, peer: IpAddr, load: u32) {
        let kept = Kept {
            session,
            endpoint,
            peer,
            endpoints: self.endpoints.clone(),
            idle: Mutex::default(),
            cancels: AtomicUsize::new(0),
            load: AtomicU32::new(load),
            over: rt::bounded(1),
        };
        let before = lock(&self.kept).insert(node, Arc::new(kept));
        before.into_iter().for_each(|kept| kept.end());
    }

    /// A worker says how many modules it runs now.
    pub fn says_load(&self, node: NodeKey, session: u64, load: u32) {
        if let Some(kept) = lock(&self.kept).get(&node).filter(|kept| kept.session == session) {
            kept.load.store(load, Ordering::Relaxed);
        }
    }

    /// What all of them said last.
    pub fn loads(&self) -> HashMap<NodeKey, u32> {
        lock(&self.kept).iter().map(|(node, kept)| (*node, kept.load.load(Ordering::Relaxed))).collect()
    }

    /// Ends a node's session, or one before it, and the calls in it.
    pub fn close(&self, node: NodeKey, session: u64) {
        self.close_before(node, session + 1);
    }

    /// Ends those before a node's session.
    pub fn close_before(&self, node: NodeKey, session: u64) {
        let mut all = lock(&self.kept);
        if all.get(&node).is_some_and(|kept| kept.session < session) {
            let kept = all.remove(&node);
            drop(all);
            kept.into_iter().for_each(|kept| kept.end());
        }
    }

    /// Runs a function as a module and waits for its output. `told`: what its environment says of the call. Dropped
    /// before its end, it has the worker cancel it.
    pub async fn run<'a>(
        &self,
        to: &Assigned,
        input: &[u8],
        told: impl IntoIterator<Item = (&'a str, String)>,
        extras: Option<&Extras>,
    ) -> Result<Vec<u8>, NoOutput> {
        let not_connected = || NoOutput::NotNow("its node is not connected".into());
        let kept = lock(&self.kept).get(&to.node).cloned().ok_or_else(not_connected)?;
        let id = to.invocation.to_string();
        let (serialized_module, encoding) = payload::encode(input);
        let mut environment_variables = to.revision.env.clone();
        let (dependency_results, of_module) = extras.map(Extras::given).unwrap_or_default();
        environment_variables.extend(of_module);
        let timeout_ms = extras.and_then(|extras| extras.timeout_ms).unwrap_or(to.revision.timeout_ms);
        environment_variables.extend(told.into_iter().map(|(name, value)| (name.to_string(), value)));
        let message = json(&ModuleExecution {
            execution_id: id.clone(),
            serialized_module,
            encoding,
            module_type_name: to.revision.function.to_string(),
            environment_variables,
            dependency_results,
            timeout: Some(timespan::write(Duration::from_secs(timeout_ms.div_ceil(1_000)))),
            timestamp: Some(clock::rfc3339(clock::unix_ms())),
            ..Default::default()
        });
        let over = kept.over.1.clone();
        // Off the caller's lane, for the connection outlives the call.
        let running = rt::spawn_scoped(async move { kept.execute(id, message).await });
        let gone = async {
            let _ = over.recv().await; // closed
            Err(NoOutput::Broken("its node is no longer a member of the cluster".into()))
        };
        futures_lite::future::or(running, gone).await
    }
}

impl Kept {
    fn end(&self) {
        self.over.0.close();
        drop(std::mem::take(&mut *lock(&self.idle)));
    }

    async fn execute(self: Arc<Self>, id: String, message: Vec<u8>) -> Result<Vec<u8>, NoOutput> {
        let mut message = self.request(modules::EXECUTE, message).map_err(NoOutput::NotSent)?;
        let mut cancel = Cancel { kept: self.clone(), id: None };
        let (connection, answer) = loop {
            let (mut connection, fresh) = match self.idle().await {
                Some(connection) => (connection, false),
                None => (self.connect().await.map_err(NoOutput::NotNow)?, true),
            };
            cancel.id = Some(id.clone());
            match connection.requests.try_send_request(message).await {
                Ok(answer) => break (connection, answer),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => message = unsent, // it was closed since its last use
                    Some(_) => {
                        cancel.id = None;
                        return Err(NoOutput::NotNow(format!("its connection broke: {}", error.error())));
                    }
                    None => return Err(NoOutput::Broken(format!("its connection broke: {}", error.error()))),
                },
            }
        };
        let status = answer.status();
        let body = match body::collect(answer.into_body(), MESSAGE_BYTES).await {
            Ok(body) => body,
            Err(CollectError::TooLarge(limit)) => {
                return Err(NoOutput::Failed(format!("its node answered with more than {limit} bytes")));
            }
            Err(CollectError::Broken(error)) => {
                return Err(NoOutput::Broken(format!("its connection broke within the answer: {error}")));
            }
        };
        cancel.id = None;
        self.keep(connection);
        read(&id, status, &body)
    }

    /// A connection that was used and still stands.
    async fn idle(&self) -> Option<Connection> {
        loop {
            let Idle { mut connection, since } = lock(&self.idle).pop()?;
            let ready = clock::timeout(CONNECT_LIMIT, connection.requests.ready());
            if since.elapsed() < IDLE_FOR && matches!(ready.await, Some(Ok(()))) {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE && !self.over.0.is_closed() && !connection.requests.is_closed() {
            idle.push(Idle { connection, since: clock::now() });
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let connecting = async {
            let socket = self.endpoints.connect(&self.endpoint, self.peer, CONNECT_LIMIT).await?;
            let mut client = http1::Builder::new();
            let handshake = client.max_buf_size(HEAD_BYTES).handshake(socket).await;
            let (requests, driven) = handshake.map_err(|e| e.to_string())?;
            Ok(Connection { requests, _driven: rt::spawn_scoped(async move { drop(driven.await) }) })
        };
        let made = clock::timeout(CONNECT_LIMIT, connecting).await;
        let made = made.unwrap_or_else(|| Err(format!("no connection within {} s", CONNECT_LIMIT.as_secs())));
        made.map_err(|why| format!("its node cannot be called at the endpoint it registered: {why}"))
    }

    fn request(&self, path: &'static str, message: Vec<u8>) -> Result<Request<Body>, String> {
        let mut request = Request::new(Body::full(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        let host = HeaderValue::from_str(&self.endpoint.authority()).map_err(|e| e.to_string())?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    async fn cancel(&self, id: String) -> Result<StatusCode, String> {
        let reason = "whoever called left, or the function's timeout_s is over".into();
        let timestamp = Some(clock::rfc3339(clock::unix_ms()));
        let message = json(&ModuleCancellation { execution_id: id, reason, timestamp });
        let request = self.request(modules::CANCEL, message)?;
        let mut connection = self.connect().await?;
        let answer = connection.requests.send_request(request).await.map_err(|e| e.to_string())?;
        Ok(answer.status())
    }
}

/// An execution that is cancelled when this is dropped, as long as it has an id.
struct Cancel {
    kept: Arc<Kept>,
    id: Option<String>,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        let Some(id) = self.id.take().filter(|_| !self.kept.over.0.is_closed()) else { return };
        if self.kept.cancels.fetch_add(1, Ordering::Relaxed) >= CANCELS {
            self.kept.cancels.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let kept = self.kept.clone();
        rt::spawn(async move {
            let told = clock::timeout(CANCEL_LIMIT, kept.cancel(id.clone())).await;
            kept.cancels.fetch_sub(1, Ordering::Relaxed);
            log::debug!("execution {id} was cancelled at {}: {told:?}", kept.endpoint.authority());
        });
    }
}

/// What an answer says.
fn read(id: &str, status: StatusCode, body: &[u8]) -> Result<Vec<u8>, NoOutput> {
    if status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE {
        let why = format!("its node would not execute it (status {}): {}", status.as_u16(), said(body));
        return Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => NoOutput::NotNow(why),
            _ => NoOutput::NotSent(why),
        });
    }
    let result: ModuleResult = serde_json::from_slice(body).map_err(|error| {
        let shown = cut(String::from_utf8_lossy(body).into_owned(), SHOWN_BYTES);
        let shown = shown.escape_debug();
        NoOutput::Failed(format!("its node gave no valid answer (status {}): {error}: {shown}", status.as_u16()))
    })?;
    if !result.execution_id.is_empty() && result.execution_id != id {
        return Err(NoOutput::Failed("its node answered for another execution".into()));
    }
    if !result.success || !status.is_success() {
        let why = result.error_message.filter(|why| !why.is_empty()).unwrap_or("its node gave no reason".into());
        let kind = result.exception_type.filter(|kind| !kind.is_empty()).map(|kind| format!("{kind}: "));
        let trace = result.stack_trace.filter(|trace| !trace.is_empty()).map(|trace| format!("\n{trace}"));
        let why = format!("{}{why}{}", kind.unwrap_or_default(), trace.unwrap_or_default());
        return Err(NoOutput::Failed(cut(why, WHY_BYTES)));
    }
    let output = payload::decode(result.serialized_result.unwrap_or_default(), result.encoding.as_deref());
    let output =
        output.map_err(|why| NoOutput::Failed(format!("its node gave no valid answer: serializedResult: {why}")))?;
    match output.len() > PAYLOAD_BYTES {
        true => Err(NoOutput::Failed(format!("its result has more than {PAYLOAD_BYTES} bytes"))),
        false => Ok(output),
    }
}

/// A refusal's words.
fn said(body: &[u8]) -> String {
    let named = serde_json::from_slice::<ModuleResult>(body).ok().and_then(|result| result.error_message);
    let named = named.or_else(|| serde_json::from_slice::<Problem>(body).ok().map(|problem| problem.detail));
    let text = named.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_string());
    match text.is_empty() {
        true => "it says no more".into(),
        false => cut(text, SHOWN_BYTES),
    }
}

fn json(message: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default() // maps with string keys only: cannot fail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> Result<Vec<u8>, NoOutput> {
        read("e1", StatusCode::from_u16(status).expect("a status"), body.as_bytes())
    }

    #[test]
    fn answers_are_taken_for_what_they_say() {
        let ok = told(200, r#"{"executionId":"e1","success":true,"serializedResult":"out","duration":null,"more":1}"#);
        assert_eq!(ok.expect("a result"), b"out");
        assert_eq!(told(200, r#"{"success":true,"serializedResult":null}"#).expect("a result"), b"");
        let bytes = told(200, r#"{"success":true,"serializedResult":"/w==","encoding":"base64"}"#);
        assert_eq!(bytes.expect("a result"), [0xff]);
        let failed = |status, body: &str| match told(status, body) {
            Err(NoOutput::Failed(why)) => why,
            other => panic!("{status} {body}: {other:?}"),
        };
        let why = r#"{"success":false,"errorMessage":"no","exceptionType":"E","stackTrace":"at x"}"#;
        assert_eq!((failed(500, why), failed(200, why)), ("E: no\nat x".into(), "E: no\nat x".into()));
        assert!(failed(500, r#"{"success":true}"#).contains("no reason"));
        assert!(failed(200, r#"{"executionId":"e2","success":true}"#).contains("another execution"));
        assert!(
            failed(200, r#"{"success":true,"serializedResult":"%","encoding":"base64"}"#).contains("serializedResult")
        );
        for garbage in ["", "nonsense", "[]", "{}", r#"{"success":"yes"}"#, "\0"] {
            assert!(failed(200, garbage).contains("no valid answer"), "{garbage}");
        }
        let full = r#"{"success":false,"errorMessage":"full"}"#;
        for status in [429, 503] {
            assert!(matches!(told(status, full), Err(NoOutput::NotNow(why)) if why.ends_with("full")), "{status}");
        }
        for status in [404, 401] {
            assert!(matches!(told(status, full), Err(NoOutput::NotSent(why)) if why.ends_with("full")), "{status}");
        }
    }
}
