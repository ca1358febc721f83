//! The client library: every endpoint of an orchestrator as a blocking method. Must never print or end the program.
//!
//! [`Builder`] makes a client: of an [`Orchestrator`], of its manager's API alone ([`ManagerClient`]), or of one worker at
//! its own address ([`WorkerClient`]). Errors carry the answer's status, its stable code and what to do ([`crate::errors::Error`]); what does not end by itself
//! (events, followed logs, watched lists) is an iterator.

mod backup;
mod builder;
mod builds;
mod calls;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod http;
mod invoke;
mod manager_api;
mod pipelines;
mod retry;
mod stream;
mod tasks;
mod tree;
mod url;
mod worker;

#[cfg(test)]
pub(crate) mod canned;
#[cfg(test)]
mod tests;

pub use backup::BackupTaken;
pub use builder::Builder;
pub use builds::BuildSpec;
pub use calls::{Calls, Later};
pub use invoke::{Answer, Body, Invoke, guess_type, problem_in};
pub use manager_api::{About, ManagerClient};
pub use stream::{BuildLog, Events, Logs, OwnLog, Watch};
pub use tasks::Tasks;
pub use tree::{Branch, tree};
pub use worker::WorkerClient;

use crate::errors::Error;
use crate::types::{
    BundleStored, CallRecord, Cluster, Function, FunctionSpec, Health, JoinTokenSpec, Member, Node, PlatformFunction,
    Registered, Registration, Restored, Rollback, Scale, Secret, Token, TokenMade, TokenSpec, Version,
};
use http::{Ask, Http, Key, Limit, Sent};
use serde::de::DeserializeOwned;
use std::io::Read;
use std::time::Duration;

/// Where an orchestrator listens when nothing else is said.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// How long a request may take when nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// For a backup to be looked through, which may be gigabytes.
const RESTORE_LIMIT: Duration = Duration::from_secs(600);
/// How long a watched list or a followed log may say nothing: three times the server's keep-alive. Where a machine or a
/// router in between went away without a word, nothing else would ever tell.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// The most a list gives at once.
const PAGE: u32 = 1000;
/// Pages after which a list is taken to run in a circle; a million entries.
const MAX_PAGES: u32 = 1000;

/// A client of one orchestrator. Clones share connections; it may be used from several threads at once.
#[derive(Clone)]
pub struct Orchestrator {
    http: Http,
    timeout: Duration,
}

impl std::fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orchestrator").field("url", &self.url()).finish_non_exhaustive() // never the token
    }
}

impl Orchestrator {
    /// A client of the orchestrator at `http://HOST[:PORT]` or `https://…`, with a builder's defaults. Nothing is sent yet.
    ///
    /// # Errors
    /// `BadUrl` when the address cannot be one.
    pub fn new(url: &str) -> Result<Orchestrator, Error> {
        Builder::new(url).orchestrator()
    }

    /// How long a request may take, to the answer's last byte; zero for no limit. Default 30 s. For uploads and streams
    /// it bounds each step instead; calls of functions have a limit of their own.
    pub fn timeout(mut self, timeout: Duration) -> Orchestrator {
        self.timeout = timeout;
        self
    }

    /// Trusts the certificates in a PEM text to sign the orchestrator's, and no others. Default: those of the web.
    ///
    /// # Errors
    /// `BadRequest` when there is no certificate in it.
    pub fn ca(mut self, pem: &[u8]) -> Result<Orchestrator, Error> {
        let certificates = crate::tls::pem_certificates(pem).map_err(Error::BadRequest)?;
        self.http = self.http.trusting(http::Trust::These(certificates));
        Ok(self)
    }

    /// What listens at this address is this very program: who else could answer there?
    pub(crate) fn in_this_process(mut self) -> Orchestrator {
        self.http = self.http.trusting(http::Trust::Own);
        self
    }

    /// Sent with every request, as `Authorization: Bearer TOKEN`.
    pub fn token(mut self, token: impl Into<String>) -> Orchestrator {
        (self.http.key, self.http.token) = (Key::Bearer, Some(token.into()));
        self
    }

    /// The address, as it is used.
    pub fn url(&self) -> &str {
        self.http.base.as_str()
    }

    /// `POST /functions`: a new function. `Api` with code `name_taken` when there is one of that name.
    pub fn register(&self, spec: &FunctionSpec) -> Result<Registered, Error> {
        self.change("POST", "/functions", Some(spec))
    }

    /// `GET /functions`, all pages.
    pub fn functions(&self) -> Result<Vec<Function>, Error> {
        self.all("/functions")
    }

    /// `GET /functions?label=…`, all pages: those with all these labels, each `KEY=VALUE` or `KEY`.
    pub fn functions_with(&self, labels: &[String]) -> Result<Vec<Function>, Error> {
        let query: Vec<String> = labels.iter().map(|label| format!("label={}", url::encode(label))).collect();
        self.all(&format!("/functions?{}", query.join("&")))
    }

    /// `GET /functions/NAME`.
    pub fn function(&self, name: &str) -> Result<Function, Error> {
        self.get(&format!("/functions/{}", url::encode(name)))
    }

    /// `PUT /functions/NAME`: a new revision; makes the function where there is none.
    pub fn replace(&self, name: &str, spec: &FunctionSpec) -> Result<Function, Error> {
        self.change("PUT", &format!("/functions/{}", url::encode(name)), Some(spec))
    }

    /// `POST /functions/NAME/scale`: other bounds, without a new revision. `Api` with code `invalid_field` when `min` or
    /// `ready` would be above `max`.
    pub fn scale(&self, name: &str, scale: &Scale) -> Result<Function, Error> {
        self.change("POST", &format!("/functions/{}/scale", url::encode(name)), Some(scale))
    }

    /// `POST /register`: makes a function, or a new revision of it with what is said, of which only the name must be.
    pub fn register_or_update(&self, registration: &Registration) -> Result<PlatformFunction, Error> {
        self.change("POST", "/register", Some(registration))
    }

    /// `POST /start/NAME`: it takes calls again, and an http function has an instance.
    pub fn start(&self, name: &str) -> Result<PlatformFunction, Error> {
        self.change::<(), _>("POST", &format!("/start/{}", url::encode(name)), None)
    }

    /// `POST /stop/NAME`: nothing of it runs, and calls are refused, until it is started.
    pub fn stop(&self, name: &str) -> Result<PlatformFunction, Error> {
        self.change::<(), _>("POST", &format!("/stop/{}", url::encode(name)), None)
    }

    /// `POST /functions/NAME/redeploy`: the same image once more as a new revision, for a tag that has moved.
    pub fn redeploy(&self, name: &str) -> Result<Function, Error> {
        self.change::<(), _>("POST", &format!("/functions/{}/redeploy", url::encode(name)), None)
    }

    /// `POST /functions/NAME/redeploy` with what is to be otherwise: another image, other settings; the rest stays.
    pub fn redeploy_as(&self, name: &str, changes: &FunctionSpec) -> Result<Function, Error> {
        self.change("POST", &format!("/functions/{}/redeploy", url::encode(name)), Some(changes))
    }

    /// `POST /functions/NAME/rollback`: an earlier revision once more as a new one; without a number what served before.
    /// `Api` with code `revision_not_found` when it is not kept.
    pub fn rollback(&self, name: &str, revision: Option<u64>) -> Result<Function, Error> {
        self.change("POST", &format!("/functions/{}/rollback", url::encode(name)), Some(&Rollback { revision }))
    }

    /// `DELETE /functions/NAME`.
    pub fn delete_function(&self, name: &str) -> Result<(), Error> {
        self.delete(&format!("/functions/{}", url::encode(name)))
    }

    /// `PUT /functions/NAME/bundle`: streams `len` bytes of a zip, which becomes a revision.
    pub fn upload_bundle(&self, name: &str, zip: &mut dyn Read, len: u64) -> Result<BundleStored, Error> {
        let (_, bytes) = self.http.bytes(Ask {
            method: "PUT",
            url: self.at(&format!("/functions/{}/bundle", url::encode(name))),
            headers: vec![("content-type".to_string(), "application/zip".to_string())],
            body: Sent::Stream(zip, Some(len)),
            limit: Limit::Steps(self.timeout), // a big bundle over a slow line may take its time, but must move
        })?;
        self.http.json(&bytes)
    }

    /// `GET /backup`: writes all that the cluster keeps to `into`. It is whole, and checked, when this returns.
    pub fn backup(&self, into: &mut dyn std::io::Write) -> Result<BackupTaken, Error> {
        let limit = Limit::Steps(self.timeout);
        let ask = Ask { limit, ..self.ask("GET", self.at("/backup")) };
        backup::take(&self.http, self.http.accepted(ask)?.into_body(), limit, into)
    }

    /// `POST /restore`: makes the functions those of a backup. Nothing changes unless all of it can be used.
    pub fn restore(&self, backup: &mut dyn Read, len: Option<u64>) -> Result<Restored, Error> {
        let (_, bytes) = self.http.bytes(Ask {
            headers: vec![("content-type".to_string(), "application/x-tar".to_string())],
            body: Sent::Stream(backup, len),
            limit: Limit::Steps(self.timeout.max(RESTORE_LIMIT)),
            ..self.ask("POST", self.at("/restore"))
        })?;
        self.http.json(&bytes)
    }

    /// `GET /nodes`, all pages.
    pub fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.all("/nodes")
    }

    /// `GET /nodes/ID`, by id or name.
    pub fn node(&self, node: &str) -> Result<Node, Error> {
        self.get(&format!("/nodes/{}", url::encode(node)))
    }

    /// `POST /nodes/ID/cordon`: gets nothing new.
    pub fn cordon(&self, node: &str) -> Result<Node, Error> {
        self.change::<(), _>("POST", &format!("/nodes/{}/cordon", url::encode(node)), None)
    }

    /// `POST /nodes/ID/uncordon`.
    pub fn uncordon(&self, node: &str) -> Result<Node, Error> {
        self.change::<(), _>("POST", &format!("/nodes/{}/uncordon", url::encode(node)), None)
    }

    /// `POST /nodes/ID/drain`: gets nothing new and finishes what it has.
    pub fn drain(&self, node: &str) -> Result<Node, Error> {
        self.change::<(), _>("POST", &format!("/nodes/{}/drain", url::encode(node)), None)
    }

    /// `POST /nodes/ID/revoke`: its connections end, and it is not let in again.
    pub fn revoke_node(&self, node: &str) -> Result<Node, Error> {
        self.change::<(), _>("POST", &format!("/nodes/{}/revoke", url::encode(node)), None)
    }

    /// `DELETE /nodes/ID`.
    pub fn remove_node(&self, node: &str) -> Result<(), Error> {
        self.delete(&format!("/nodes/{}", url::encode(node)))
    }

    /// `POST /tokens`: a new token. What it consists of is in the answer and nowhere else.
    pub fn create_token(&self, spec: &TokenSpec) -> Result<TokenMade, Error> {
        self.change("POST", "/tokens", Some(spec))
    }

    /// `POST /tokens/join`: a token for workers of other machines, which also says how they know this cluster.
    pub fn create_join_token(&self, spec: &JoinTokenSpec) -> Result<TokenMade, Error> {
        self.change("POST", "/tokens/join", Some(spec))
    }

    /// `GET /tokens`, all pages.
    pub fn tokens(&self) -> Result<Vec<Token>, Error> {
        self.all("/tokens")
    }

    /// `DELETE /tokens/ID`, by id or name: it is worthless from then on.
    pub fn revoke_token(&self, token: &str) -> Result<(), Error> {
        self.delete(&format!("/tokens/{}", url::encode(token)))
    }

    /// `PUT /secrets/NAME`: sets a secret, and returns when http functions that use it have a new revision.
    pub fn set_secret(&self, name: &str, value: &[u8]) -> Result<Secret, Error> {
        let mut ask = self.ask("PUT", self.at(&format!("/secrets/{}", url::encode(name))));
        ask.body = Sent::Bytes(value);
        ask.headers.push(("content-type".to_string(), "application/octet-stream".to_string()));
        let (_, bytes) = self.http.bytes(ask)?;
        self.http.json(&bytes)
    }

    /// `GET /secrets`, all pages: nothing shows a value.
    pub fn secrets(&self) -> Result<Vec<Secret>, Error> {
        self.all("/secrets")
    }

    /// `DELETE /secrets/NAME`. `Api` with code `secret_in_use` while a function uses it.
    pub fn delete_secret(&self, name: &str) -> Result<(), Error> {
        self.delete(&format!("/secrets/{}", url::encode(name)))
    }

    /// `GET /events`: from now on, or after the event `last_id`. No time limit; ends when the orchestrator ends.
    pub fn events(&self, last_id: Option<u64>) -> Result<Events, Error> {
        self.event_stream("/events", last_id, Limit::Steps(self.timeout))
    }

    /// `GET /events?follow=false`: those the orchestrator still has, to the last. Silence beyond the time limit is an error,
    /// never the end.
    pub fn past_events(&self) -> Result<Events, Error> {
        self.event_stream("/events?follow=false", Some(0), Limit::Alive(self.timeout))
    }

    /// `GET /logs/NAME`: the last `tail` lines (`None`: as many as the orchestrator gives), then new ones if `follow`.
    pub fn logs(&self, name: &str, tail: Option<u64>, follow: bool) -> Result<Logs, Error> {
        let mut path = format!("/logs/{}?format=json&follow={follow}", url::encode(name));
        if let Some(tail) = tail {
            path.push_str(&format!("&tail={tail}"));
        }
        self.log_lines(&path)
    }

    pub(super) fn log_lines(&self, path: &str) -> Result<Logs, Error> {
        let limit = Limit::Steps(self.timeout);
        let ask = Ask { limit, ..self.ask("GET", self.at(path)) };
        Ok(Logs::new(&self.http, self.http.accepted(ask)?.into_body(), limit))
    }

    /// `GET /logs/NAME` with new lines, like `logs`; ends when none came for `quiet`, so that whoever reads can look round.
    pub fn logs_until_quiet(&self, name: &str, tail: u64, quiet: Duration) -> Result<Logs, Error> {
        self.lines_until_quiet(&format!("/logs/{}?format=json&follow=true&tail={tail}", url::encode(name)), quiet)
    }

    fn lines_until_quiet(&self, path: &str, quiet: Duration) -> Result<Logs, Error> {
        let limit = Limit::Quiet(quiet);
        let ask = Ask { method: "GET", url: self.at(path), headers: Vec::new(), body: Sent::Nothing, limit };
        Ok(Logs::new(&self.http, self.http.accepted(ask)?.into_body(), limit))
    }

    /// `GET /cluster`.
    pub fn cluster(&self) -> Result<Cluster, Error> {
        self.get("/cluster")
    }

    /// `GET /calls`: those of late, newest first, at most `limit`; of one function or node if named.
    pub fn calls(&self, function: Option<&str>, node: Option<&str>, limit: u32) -> Result<Vec<CallRecord>, Error> {
        let mut path = format!("/calls?limit={limit}");
        for (key, value) in [("function", function), ("node", node)] {
            path.extend(value.map(|value| format!("&{key}={}", url::encode(value))));
        }
        self.get(&path)
    }

    /// `GET /status` of a worker, when this is the address of one.
    pub fn member(&self) -> Result<Member, Error> {
        self.get("/status")
    }

    /// `GET /nodes?watch=true`: all nodes, and then what changes. Ends when the orchestrator ends.
    pub fn watch_nodes(&self) -> Result<Watch<Node>, Error> {
        self.watch("/nodes?watch=true")
    }

    /// `GET /functions?watch=true`: all functions, and then what changes. Ends when the orchestrator ends.
    pub fn watch_functions(&self) -> Result<Watch<Function>, Error> {
        self.watch("/functions?watch=true")
    }

    /// `GET /status?watch=true` of a worker: once a second, and when it joins or loses its orchestrator.
    pub fn watch_member(&self) -> Result<Watch<Member>, Error> {
        self.watch("/status?watch=true")
    }

    /// `GET /log`: the program's own last `tail` lines, then new ones if `follow`.
    pub fn own_log(&self, tail: u64, follow: bool) -> Result<OwnLog, Error> {
        let path = format!("/log?format=json&tail={tail}&follow={follow}");
        let limit = Limit::Alive(SILENCE_LIMIT);
        let ask = Ask { method: "GET", url: self.at(&path), headers: Vec::new(), body: Sent::Nothing, limit };
        Ok(OwnLog::new(&self.http, self.http.accepted(ask)?.into_body(), limit))
    }

    /// `GET /healthz`; a status other than `ok` says what is wrong.
    pub fn healthz(&self) -> Result<Health, Error> {
        self.health("/healthz")
    }

    /// `GET /readyz`; a status other than `ok` says what is missing.
    pub fn readyz(&self) -> Result<Health, Error> {
        self.health("/readyz")
    }

    /// What its clock shows, to the second, in milliseconds since 1970; `None`: it does not say.
    pub fn clock_unix_ms(&self) -> Result<Option<u64>, Error> {
        let answer = self.http.call(self.ask("GET", self.at("/healthz")))?;
        let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        Ok(date.and_then(|date| u64::try_from(date.timestamp().as_millisecond()).ok()))
    }

    /// `GET /version`.
    pub fn version(&self) -> Result<Version, Error> {
        self.get("/version")
    }

    fn event_stream(&self, path: &str, last_id: Option<u64>, limit: Limit) -> Result<Events, Error> {
        let mut headers = vec![("accept".to_string(), "text/event-stream".to_string())];
        headers.extend(last_id.map(|id| ("last-event-id".to_string(), id.to_string())));
        let ask = Ask { method: "GET", url: self.at(path), headers, body: Sent::Nothing, limit };
        Ok(Events::new(&self.http, self.http.accepted(ask)?.into_body(), limit))
    }

    fn watched_events(&self, path: &str) -> Result<Events, Error> {
        self.event_stream(path, None, Limit::Steps(self.timeout))
    }

    fn watch<T: DeserializeOwned>(&self, path: &str) -> Result<Watch<T>, Error> {
        self.watch_within(path, Limit::Alive(SILENCE_LIMIT))
    }

    fn watch_within<T: DeserializeOwned>(&self, path: &str, limit: Limit) -> Result<Watch<T>, Error> {
        let headers = vec![("accept".to_string(), "text/event-stream".to_string())];
        let ask = Ask { method: "GET", url: self.at(path), headers, body: Sent::Nothing, limit };
        Ok(Watch::new(&self.http, self.http.accepted(ask)?.into_body(), limit))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url())
    }

    fn ask<'a>(&self, method: &'a str, url: String) -> Ask<'a> {
        Ask { method, url, headers: Vec::new(), body: Sent::Nothing, limit: Limit::Whole(self.timeout) }
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let (_, bytes) = self.http.bytes(self.ask("GET", self.at(path)))?;
        self.http.json(&bytes)
    }

    fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut page = Some(self.at(&format!("{path}{joint}limit={PAGE}")));
        let mut pages = 0;
        while let Some(url) = page {
            pages += 1;
            if pages > MAX_PAGES {
                return Err(self.http.not_understood(format!("the list {path} has no end")));
            }
            let (head, bytes) = self.http.bytes(self.ask("GET", url))?;
            found.append(&mut self.http.json(&bytes)?);
            let links = head.headers().get_all("link");
            page = links.iter().find_map(|link| url::next_page(link.to_str().ok()?, &self.http.base));
        }
        Ok(found)
    }

    fn change<B: serde::Serialize, T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, Error> {
        let json = body.map(serde_json::to_vec).transpose();
        let json = json.map_err(|error| Error::BadRequest(format!("the settings cannot be sent: {error}")))?;
        let mut ask = self.ask(method, self.at(path));
        ask.body = Sent::Bytes(json.as_deref().unwrap_or_default());
        if body.is_some() {
            ask.headers.push(("content-type".to_string(), "application/json".to_string()));
        }
        let (_, bytes) = self.http.bytes(ask)?;
        self.http.json(&bytes)
    }

    fn delete(&self, path: &str) -> Result<(), Error> {
        self.http.bytes(self.ask("DELETE", self.at(path))).map(drop)
    }

    /// An unhealthy answer has a status of 503 and still says why in its own words.
    fn health(&self, path: &str) -> Result<Health, Error> {
        let limit = Limit::Whole(self.timeout);
        let answer = self.http.send_once_only(self.ask("GET", self.at(path)))?; // not ready is what was asked for
        let status = answer.status().as_u16();
        let bytes = self.http.read(answer.into_body(), limit)?;
        match serde_json::from_slice(&bytes) {
            Ok(health) => Ok(health),
            Err(_) if status >= 400 => Err(Error::Api(self.http.problem(status, &bytes))),
            Err(error) => Err(self.http.not_understood(error.to_string())),
        }
    }
}
