//! The routes: one table per role. What answers them stands in one file per face.

pub mod backups;
pub mod builds;
pub mod calls;
pub mod cluster;
pub mod dashboard;
pub mod events;
pub mod execution;
pub mod functions;
pub mod health;
pub mod instances;
pub mod log;
pub mod logs;
pub mod manager;
pub mod modules;
pub mod nodes;
pub mod page;
pub mod pipelines;
pub mod platform;
pub mod recent;
pub mod revisions;
pub mod secrets;
pub mod status;
pub mod submit;
pub mod taken;
pub mod tokens;
pub mod worker;

use super::invoke;
use super::metrics;
use super::openapi::{self, Operation};
use super::origin::Origins;
use super::places::Places;
use super::problem::Problem;
use super::route::{Call, Face, Handler, Reply, Route, ToStream};
use super::tally::Tally;
use super::watch::Feed;
use crate::auth::{Denied, Gate, Needs};
use crate::limits::Limits;
use crate::orchestrator::Orchestrator;
use crate::types;
use crate::worker::Worker;
use hyper::header::HeaderValue;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// Each role's document, from when it is first asked for.
static OF_ORCHESTRATOR: OnceLock<Vec<u8>> = OnceLock::new();
static OF_WORKER: OnceLock<Vec<u8>> = OnceLock::new();

impl Face for Orchestrator {
    const ROLE: &'static str = "orchestrator";

    const ROUTES: &'static [Route<Self>] = &[
        stream("*", "/invoke/{name}/*", Needs::Invoke, |app, asked| Box::pin(invoke::invoke(app, asked)))
            .says(invoke::INVOKE),
        stream("*", "/function/{name}/*", Needs::Invoke, |app, asked| Box::pin(invoke::invoke(app, asked)))
            .says(Operation { id: "invokeFunction", ..invoke::INVOKE }),
        stream("*", "/async-function/{name}/*", Needs::Invoke, |app, asked| Box::pin(submit::submit(app, asked)))
            .says(submit::SUBMIT),
        rest("GET", "/calls", Needs::Read, calls::list).says(calls::LIST),
        rest("GET", "/calls/{id}", Needs::Result, calls::get).says(calls::GET),
        stream("DELETE", "/calls/{id}", Needs::Cancel, |app, asked| Box::pin(calls::cancel(app, asked)))
            .says(calls::CANCEL),
        stream("GET", "/calls/{id}/result", Needs::Result, |app, asked| Box::pin(calls::result(app, asked)))
            .says(calls::RESULT),
        watched("/functions", Needs::Read, functions::list, |app, asked| Box::pin(functions::watch(app, asked)))
            .says(functions::LIST),
        rest("POST", "/functions", Needs::Deploy, functions::register).says(functions::REGISTER),
        rest("GET", "/functions/{name}", Needs::Read, functions::get).says(functions::GET),
        rest("PUT", "/functions/{name}", Needs::Deploy, functions::replace).says(functions::REPLACE),
        rest("DELETE", "/functions/{name}", Needs::Deploy, functions::delete).says(functions::DELETE),
        rest("POST", "/functions/{name}/scale", Needs::Deploy, revisions::scale).says(revisions::SCALE),
        rest("POST", "/functions/{name}/redeploy", Needs::Deploy, revisions::redeploy).says(revisions::REDEPLOY),
        rest("POST", "/functions/{name}/rollback", Needs::Deploy, revisions::rollback).says(revisions::ROLLBACK),
        stream("PUT", "/functions/{name}/bundle", Needs::Deploy, |app, asked| Box::pin(functions::upload(app, asked)))
            .says(functions::UPLOAD),
        rest("POST", "/register", Needs::Deploy, platform::register).says(platform::REGISTER),
        rest("GET", "/list", Needs::Read, platform::list).says(platform::LIST),
        rest("POST", "/start/{name}", Needs::Deploy, platform::start).says(platform::START),
        rest("POST", "/stop/{name}", Needs::Deploy, platform::stop).says(platform::STOP),
        rest("DELETE", "/delete/{name}", Needs::Deploy, platform::delete).says(platform::DELETE),
        watched("/nodes", Needs::Read, nodes::list, |app, asked| Box::pin(nodes::watch(app, asked))).says(nodes::LIST),
        rest("GET", "/nodes/{id}", Needs::Read, nodes::get).says(nodes::GET),
        rest("DELETE", "/nodes/{id}", Needs::Admin, nodes::remove).says(nodes::REMOVE),
        rest("POST", "/nodes/{id}/cordon", Needs::Admin, nodes::cordon).says(nodes::CORDON),
        rest("POST", "/nodes/{id}/uncordon", Needs::Admin, nodes::uncordon).says(nodes::UNCORDON),
        rest("POST", "/nodes/{id}/drain", Needs::Admin, nodes::drain).says(nodes::DRAIN),
        rest("POST", "/nodes/{id}/revoke", Needs::Admin, nodes::revoke).says(nodes::REVOKE),
        stream("POST", "/api/workers/register", Needs::Worker, |app, asked| Box::pin(modules::register(app, asked)))
            .says(modules::REGISTER),
        rest("POST", "/api/workers/heartbeat", Needs::Worker, modules::heartbeat).says(modules::HEARTBEAT),
        rest("GET", "/api/workers", Needs::Read, modules::list).says(modules::LIST),
        rest("DELETE", "/api/workers/{id}", Needs::Worker, modules::unregister).says(modules::UNREGISTER),
        rest("GET", "/api/health", Needs::Nothing, |app, _| modules::health(app)).says(modules::HEALTH),
        stream("POST", "/api/pipelines", Needs::Submit, |app, asked| Box::pin(pipelines::submit(app, asked)))
            .says(pipelines::SUBMIT),
        watched("/api/pipelines", Needs::Read, pipelines::list, |app, asked| {
            Box::pin(pipelines::watch::watch(app, asked))
        })
        .says(pipelines::LIST),
        watched("/api/pipelines/{id}", Needs::Read, pipelines::get, |app, asked| {
            Box::pin(pipelines::watch::watch(app, asked))
        })
        .says(pipelines::GET),
        stream("POST", "/api/pipelines/{id}/cancel", Needs::Submit, |app, asked| {
            Box::pin(pipelines::cancel(app, asked))
        })
        .says(pipelines::CANCEL),
        stream("POST", "/api/pipelines/{id}/retry", Needs::Submit, |app, asked| Box::pin(pipelines::retry(app, asked)))
            .says(pipelines::RETRY),
        stream("GET", "/api/pipelines/{id}/modules/{name}/result", Needs::Read, |app, asked| {
            Box::pin(pipelines::result(app, asked))
        })
        .says(pipelines::RESULT),
        stream("GET", "/api/pipelines/{id}/modules/{name}/logs", Needs::Read, |app, asked| {
            Box::pin(pipelines::logs::of_module(app, asked))
        })
        .says(pipelines::logs::LOGS),
        rest("GET", "/cluster", Needs::Read, |app, _| cluster::get(app)).says(cluster::GET),
        stream("POST", "/build", Needs::Deploy, |app, asked| Box::pin(builds::build(app, asked))).says(builds::BUILD),
        rest("GET", "/builds", Needs::Read, builds::list).says(builds::LIST),
        rest("GET", "/builds/{id}", Needs::Built, builds::get).says(builds::GET),
        rest("DELETE", "/builds/{id}", Needs::Deploy, builds::cancel).says(builds::CANCEL),
        stream("GET", "/builds/{id}/log", Needs::Built, |app, asked| Box::pin(builds::log(app, asked)))
            .says(builds::LOG),
        stream("GET", "/events", Needs::Read, |app, asked| Box::pin(events::follow(app, asked))).says(events::FOLLOW),
        stream("GET", "/logs/{name}", Needs::Read, |app, asked| Box::pin(logs::of_function(app, asked)))
            .says(logs::OF_FUNCTION),
        stream("GET", "/backup", Needs::Admin, |app, asked| Box::pin(backups::make(app, asked))).says(backups::MAKE),
        stream("POST", "/restore", Needs::Admin, |app, asked| Box::pin(backups::restore(app, asked)))
            .says(backups::RESTORE),
        stream("GET", "/log", Needs::Read, |_, asked| Box::pin(log::own(asked))).says(log::OWN),
        watched("/api/v1/manager/workers", Needs::Read, manager::workers::list, |app, asked| {
            Box::pin(manager::workers::watch(app, asked))
        })
        .says(manager::workers::LIST),
        stream("POST", "/api/v1/manager/workers", Needs::Worker, |app, asked| Box::pin(modules::register(app, asked)))
            .says(manager::workers::REGISTER),
        rest("GET", "/api/v1/manager/workers/{id}", Needs::Read, manager::workers::get).says(manager::workers::GET),
        rest("DELETE", "/api/v1/manager/workers/{id}", Needs::Admin, nodes::remove).says(manager::workers::REMOVE),
        watched("/api/v1/manager/tasks", Needs::Read, manager::tasks::list, |app, asked| {
            Box::pin(manager::tasks::watch(app, asked))
        })
        .says(manager::tasks::LIST),
        stream("POST", "/api/v1/manager/tasks", Needs::Deploy, |app, asked| {
            Box::pin(manager::tasks::submit(app, asked))
        })
        .says(manager::tasks::SUBMIT),
        watched("/api/v1/manager/tasks/{id}", Needs::Read, manager::tasks::get, |app, asked| {
            Box::pin(manager::one_task::watch(app, asked))
        })
        .says(manager::tasks::GET),
        rest("DELETE", "/api/v1/manager/tasks/{id}", Needs::Deploy, manager::tasks::delete)
            .says(manager::tasks::DELETE),
        rest("POST", "/api/v1/manager/tasks/{id}/start", Needs::Deploy, manager::tasks::start)
            .says(manager::tasks::START),
        rest("POST", "/api/v1/manager/tasks/{id}/stop", Needs::Deploy, manager::tasks::stop).says(manager::tasks::STOP),
        stream("GET", "/api/v1/manager/tasks/{id}/logs", Needs::Read, |app, asked| {
            Box::pin(manager::logs::of_task(app, asked))
        })
        .says(manager::logs::LOGS),
        rest("GET", "/api/v1/manager/cluster", Needs::Read, |app, _| manager::workers::cluster(app))
            .says(manager::workers::CLUSTER),
        rest("GET", "/api/v1/manager/metrics", Needs::Read, |app, _| manager::workers::metrics(app))
            .says(manager::workers::METRICS),
        watched("/api/v1/manager/events", Needs::Read, manager::events::list, |app, asked| {
            Box::pin(manager::events::watch(app, asked))
        })
        .says(manager::events::LIST),
        rest("GET", "/tokens", Needs::Admin, tokens::list).says(tokens::LIST),
        rest("POST", "/tokens", Needs::Admin, tokens::create).says(tokens::CREATE),
        rest("POST", "/tokens/join", Needs::Admin, tokens::join).says(tokens::JOIN),
        rest("DELETE", "/tokens/{id}", Needs::Admin, tokens::revoke).says(tokens::REVOKE),
        rest("GET", "/secrets", Needs::Read, secrets::list).says(secrets::LIST),
        rest("PUT", "/secrets/{name}", Needs::Deploy, secrets::set).says(secrets::SET),
        rest("DELETE", "/secrets/{name}", Needs::Deploy, secrets::delete).says(secrets::DELETE),
        rest("GET", "/openapi.json", Needs::Nothing, |_, _| openapi::get::<Self>(&OF_ORCHESTRATOR))
            .says(openapi::OPENAPI),
        rest("GET", "/docs", Needs::Nothing, |_, _| openapi::page::get()).says(openapi::page::DOCS),
        stream("GET", "/", Needs::Nothing, |_, asked| Box::pin(async move { dashboard::page(&asked) }))
            .says(dashboard::PAGE),
        stream("GET", "/web/{id}/{name}", Needs::Nothing, |_, asked| Box::pin(async move { dashboard::file(&asked) }))
            .says(dashboard::FILE),
        rest("GET", "/healthz", Needs::Nothing, |_, _| health::alive()).says(health::ALIVE),
        rest("GET", "/health", Needs::Nothing, |_, _| health::alive()).says(Operation {
            id: "getPlatformHealth",
            tag: "platform",
            ..health::ALIVE
        }),
        rest("GET", "/readyz", Needs::Nothing, |app, _| health::orchestrator_ready(app)).says(health::READY),
        rest("GET", "/version", Needs::Token, |app, _| health::orchestrator_version(app)).says(health::VERSION_OF),
        rest("GET", "/metrics", Needs::Read, |app, _| metrics::orchestrator::get(app)).says(metrics::METRICS),
    ];

    fn open(&self) -> bool {
        self.open
    }

    fn gate(&self) -> &Gate {
        self.tokens.gate()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn origins(&self) -> &Origins {
        &self.origins
    }

    fn refused(&self, from: IpAddr, asked: &str, why: &Denied) {
        self.tell_refused(from, asked, why);
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
    const ROLE: &'static str = "worker";

    const ROUTES: &'static [Route<Self>] = &[
        stream("GET", "/log", Needs::Read, |_, asked| Box::pin(log::own(asked))).says(log::OWN),
        rest("GET", "/openapi.json", Needs::Nothing, |_, _| openapi::get::<Self>(&OF_WORKER)).says(openapi::OPENAPI),
        rest("GET", "/docs", Needs::Nothing, |_, _| openapi::page::get()).says(openapi::page::DOCS),
        rest("GET", "/healthz", Needs::Nothing, |_, _| health::alive()).says(health::ALIVE),
        rest("GET", "/readyz", Needs::Nothing, |worker, _| health::worker_ready(worker)).says(health::READY),
        rest("GET", "/version", Needs::Token, |worker, _| health::worker_version(worker)).says(health::VERSION_OF),
        rest("GET", "/metrics", Needs::Read, |worker, _| metrics::worker::get(worker)).says(metrics::METRICS),
        stream("GET", "/status", Needs::Read, |worker, asked| Box::pin(status::member(worker, asked)))
            .says(status::MEMBER),
        stream("POST", "/api/execution/execute", Needs::Admin, |worker, asked| Box::pin(execution::run(worker, asked)))
            .says(execution::EXECUTE),
        rest("POST", "/api/execution/cancel", Needs::Admin, execution::cancel).says(execution::CANCEL),
        rest("GET", "/api/health", Needs::Nothing, |worker, _| execution::health(worker)).says(execution::HEALTH),
        rest("GET", "/instances", Needs::Read, |worker, _| instances::list(worker)).says(instances::LIST),
        watched("/api/v1/worker/tasks", Needs::Read, worker::list, |worker, asked| {
            Box::pin(worker::watch::watch(worker, asked))
        })
        .says(worker::LIST),
        stream("POST", "/api/v1/worker/tasks", Needs::Deploy, |worker, asked| Box::pin(worker::submit(worker, asked)))
            .says(worker::SUBMIT),
        rest("GET", "/api/v1/worker/tasks/{id}", Needs::Read, worker::get).says(worker::GET),
        rest("DELETE", "/api/v1/worker/tasks/{id}", Needs::Deploy, worker::delete).says(worker::DELETE),
        rest("POST", "/api/v1/worker/tasks/{id}/start", Needs::Deploy, worker::start).says(worker::START),
        rest("POST", "/api/v1/worker/tasks/{id}/stop", Needs::Deploy, worker::stop).says(worker::STOP),
        stream("GET", "/api/v1/worker/tasks/{id}/logs", Needs::Read, |worker, asked| {
            Box::pin(worker::logs(worker, asked))
        })
        .says(worker::LOGS),
        rest("GET", "/api/v1/worker/metrics", Needs::Read, |worker, _| worker::metrics(worker)).says(worker::METRICS),
        rest("GET", "/api/v1/worker/status", Needs::Read, |worker, _| worker::status(worker)).says(worker::STATUS),
        rest("GET", "/api/v1/worker/info", Needs::Read, |worker, _| worker::info(worker)).says(worker::INFO),
    ];

    fn open(&self) -> bool {
        self.open
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn origins(&self) -> &Origins {
        &self.origins
    }
}

const fn rest<S>(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    handler: fn(&S, &Call) -> Result<Reply, Problem>,
) -> Route<S> {
    Route { method, path, needs, handler: Handler::Rest(handler), operation: Operation::NONE }
}

const fn stream<S>(method: &'static str, path: &'static str, needs: Needs, handler: ToStream<S>) -> Route<S> {
    Route { method, path, needs, handler: Handler::Stream(handler), operation: Operation::NONE }
}

const fn watched<S>(
    path: &'static str,
    needs: Needs,
    list: fn(&S, &Call) -> Result<Reply, Problem>,
    watch: ToStream<S>,
) -> Route<S> {
    Route { method: "GET", path, needs, handler: Handler::Watched(list, watch), operation: Operation::NONE }
}

/// The lists that can be watched.
pub struct Watches {
    pub places: Places,
    nodes: Arc<Feed<types::Node>>,
    functions: Arc<Feed<types::Function>>,
    tasks: Arc<Feed<types::TaskSummary>>,
    workers: Arc<Feed<types::WorkerStatus>>,
}

impl Default for Watches {
    fn default() -> Self {
        Watches {
            places: Places::default(),
            nodes: nodes::feed(),
            functions: functions::feed(),
            tasks: manager::tasks::feed(),
            workers: manager::workers::feed(),
        }
    }
}

fn encode(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
