//! The routes: one table per role. What answers them stands in one file per face.

pub mod backups;
pub mod calls;
pub mod cluster;
pub mod events;
pub mod functions;
pub mod health;
pub mod instances;
pub mod log;
pub mod logs;
pub mod nodes;
pub mod recent;
pub mod revisions;
pub mod status;
pub mod submit;
pub mod tokens;

use super::invoke;
use super::problem::Problem;
use super::route::{Call, Face, Handler, Reply, Route, ToStream, value};
use super::watch::{Feed, Places};
use crate::auth::{Gate, Needs};
use crate::orchestrator::Orchestrator;
use crate::types;
use crate::worker::Worker;
use hyper::header::HeaderValue;
use std::sync::Arc;

impl Face for Orchestrator {
    const ROUTES: &'static [Route<Self>] = &[
        stream("*", "/invoke/{name}/*", Needs::Invoke, |app, asked| Box::pin(invoke::invoke(app, asked))),
        stream("*", "/function/{name}/*", Needs::Invoke, |app, asked| Box::pin(invoke::invoke(app, asked))),
        stream("*", "/async-function/{name}/*", Needs::Invoke, |app, asked| Box::pin(submit::submit(app, asked))),
        rest("GET", "/calls", Needs::Read, calls::list),
        rest("GET", "/calls/{id}", Needs::Result, calls::get),
        stream("DELETE", "/calls/{id}", Needs::Cancel, |app, asked| Box::pin(calls::cancel(app, asked))),
        stream("GET", "/calls/{id}/result", Needs::Result, |app, asked| Box::pin(calls::result(app, asked))),
        watched("/functions", Needs::Read, functions::list, |app, asked| Box::pin(functions::watch(app, asked))),
        rest("POST", "/functions", Needs::Deploy, functions::register),
        rest("GET", "/functions/{name}", Needs::Read, functions::get),
        rest("PUT", "/functions/{name}", Needs::Deploy, functions::replace),
        rest("DELETE", "/functions/{name}", Needs::Deploy, functions::delete),
        rest("POST", "/functions/{name}/scale", Needs::Deploy, revisions::scale),
        rest("POST", "/functions/{name}/redeploy", Needs::Deploy, revisions::redeploy),
        rest("POST", "/functions/{name}/rollback", Needs::Deploy, revisions::rollback),
        stream("PUT", "/functions/{name}/bundle", Needs::Deploy, |app, asked| Box::pin(functions::upload(app, asked))),
        watched("/nodes", Needs::Read, nodes::list, |app, asked| Box::pin(nodes::watch(app, asked))),
        rest("GET", "/nodes/{id}", Needs::Read, nodes::get),
        rest("DELETE", "/nodes/{id}", Needs::Admin, nodes::remove),
        rest("POST", "/nodes/{id}/cordon", Needs::Admin, nodes::cordon),
        rest("POST", "/nodes/{id}/uncordon", Needs::Admin, nodes::uncordon),
        rest("POST", "/nodes/{id}/drain", Needs::Admin, nodes::drain),
        rest("GET", "/cluster", Needs::Read, |app, _| cluster::get(app)),
        stream("GET", "/events", Needs::Read, |app, asked| Box::pin(events::follow(app, asked))),
        stream("GET", "/logs/{name}", Needs::Read, |app, asked| Box::pin(logs::of_function(app, asked))),
        stream("GET", "/backup", Needs::Admin, |app, asked| Box::pin(backups::make(app, asked))),
        stream("POST", "/restore", Needs::Admin, |app, asked| Box::pin(backups::restore(app, asked))),
        stream("GET", "/log", Needs::Read, |_, asked| Box::pin(log::own(asked))),
        rest("GET", "/tokens", Needs::Admin, tokens::list),
        rest("POST", "/tokens", Needs::Admin, tokens::create),
        rest("DELETE", "/tokens/{id}", Needs::Admin, tokens::revoke),
        rest("GET", "/healthz", Needs::Nothing, |_, _| health::alive()),
        rest("GET", "/readyz", Needs::Nothing, |app, _| health::orchestrator_ready(app)),
        rest("GET", "/version", Needs::Token, |app, _| health::orchestrator_version(app)),
    ];

    fn open(&self) -> bool {
        self.open
    }

    fn gate(&self) -> &Gate {
        self.tokens.gate()
    }

    fn public(&self, function: &str) -> bool {
        self.state.read(|c| c.function(function).is_some_and(|f| f.current().public))
    }

    fn function_of(&self, call: &str) -> Option<String> {
        calls::function_of(self, call)
    }

    fn refused_call(&self) -> Option<HeaderValue> {
        Some(invoke::header_of(&self.refused_id()))
    }
}

impl Face for Worker {
    const ROUTES: &'static [Route<Self>] = &[
        stream("GET", "/log", Needs::Read, |_, asked| Box::pin(log::own(asked))),
        rest("GET", "/healthz", Needs::Nothing, |_, _| health::alive()),
        rest("GET", "/readyz", Needs::Nothing, |worker, _| health::worker_ready(worker)),
        rest("GET", "/version", Needs::Token, |worker, _| health::worker_version(worker)),
        stream("GET", "/status", Needs::Read, |worker, asked| Box::pin(status::member(worker, asked))),
        rest("GET", "/instances", Needs::Read, |worker, _| instances::list(worker)),
    ];

    fn open(&self) -> bool {
        self.open
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }
}

const fn rest<S>(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    handler: fn(&S, &Call) -> Result<Reply, Problem>,
) -> Route<S> {
    Route { method, path, needs, handler: Handler::Rest(handler) }
}

const fn stream<S>(method: &'static str, path: &'static str, needs: Needs, handler: ToStream<S>) -> Route<S> {
    Route { method, path, needs, handler: Handler::Stream(handler) }
}

const fn watched<S>(
    path: &'static str,
    needs: Needs,
    list: fn(&S, &Call) -> Result<Reply, Problem>,
    watch: ToStream<S>,
) -> Route<S> {
    Route { method: "GET", path, needs, handler: Handler::Watched(list, watch) }
}

/// The lists that can be watched.
pub struct Watches {
    places: Places,
    nodes: Arc<Feed<types::Node>>,
    functions: Arc<Feed<types::Function>>,
}

impl Default for Watches {
    fn default() -> Self {
        let (places, nodes, functions) = (Places::default(), nodes::feed(), functions::feed());
        Watches { places, nodes, functions }
    }
}

/// Rows a list gives when not asked for a number, and at most.
const ROWS: usize = 100;
const ROWS_MAX: usize = 1_000;

/// The part of a list that was asked for: `?limit=`, `?after=`; and the link to what follows, if anything does.
fn page<T>(
    call: &Call,
    rows: impl Iterator<Item = T>,
    id: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = limit(call)?;
    let mut rows = rows.peekable();
    if let Some(after) = value(&call.query, "after") {
        while rows.next_if(|row| id(row).as_str() <= after).is_some() {}
    }
    let page: Vec<T> = rows.by_ref().take(limit).collect();
    let next = rows.peek().and_then(|_| page.last()).map(|last| next_link(call, &id(last)));
    Ok((page, next))
}

/// The link to what follows after a row.
fn next_link(call: &Call, last: &str) -> String {
    let others = call.query.iter().filter(|(k, _)| k != "after").map(|(k, v)| format!("{}={}&", encode(k), encode(v)));
    format!("<{}?{}after={}>; rel=\"next\"", call.path, others.collect::<String>(), encode(last))
}

fn limit(call: &Call) -> Result<usize, Problem> {
    match value(&call.query, "limit").map(str::parse) {
        None => Ok(ROWS),
        Some(Ok(n)) if (1..=ROWS_MAX).contains(&n) => Ok(n),
        Some(_) => Err(Problem::new(400, "invalid_field", format!("limit: must be 1 to {ROWS_MAX}"))),
    }
}

fn encode(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
