//! Pipelines: submitting them, looking what became of them, results, cancel and retry.

use super::http::{Ask, Limit, Sent};
use super::invoke::Answer;
use super::{Logs, Orchestrator, Watch, url};
use crate::errors::Error;
use crate::types::{Pipeline, PipelineAccepted};
use serde::Serialize;
use std::time::Duration;

impl Orchestrator {
    /// `POST /api/pipelines`: accepted when this returns, and kept from then on. `spec`: a
    /// [`PipelineSpec`](crate::types::PipelineSpec), or anything whose JSON is one. The same key is the same pipeline.
    ///
    /// # Errors
    /// `Api` when it was not accepted: `invalid_field`, `function_not_found`, `too_many_pipelines`, …
    pub fn submit_pipeline<S: Serialize>(&self, spec: &S, key: Option<&str>) -> Result<PipelineAccepted, Error> {
        let json = serde_json::to_vec(spec);
        let json = json.map_err(|error| Error::BadRequest(format!("the pipeline cannot be sent: {error}")))?;
        let mut ask = self.ask("POST", self.at("/api/pipelines"));
        ask.body = Sent::Bytes(&json);
        ask.headers.push(("content-type".to_string(), "application/json".to_string()));
        ask.headers.extend(key.map(|key| ("idempotency-key".to_string(), key.to_string())));
        let (_, bytes) = self.http.bytes(ask)?;
        self.http.json(&bytes)
    }

    /// `GET /api/pipelines`, the newest first, of one status if so; without their modules.
    pub fn pipelines(&self, status: Option<&str>) -> Result<Vec<Pipeline>, Error> {
        let status = status.map(|status| format!("&status={}", url::encode(status))).unwrap_or_default();
        self.get(&format!("/api/pipelines?limit=1000{status}"))
    }

    /// `GET /api/pipelines/ID`, with its modules.
    pub fn pipeline(&self, id: &str) -> Result<Pipeline, Error> {
        self.get(&format!("/api/pipelines/{}", url::encode(id)))
    }

    /// `GET /api/pipelines?watch=true`: all of them, and then what changes.
    pub fn watch_pipelines(&self) -> Result<Watch<Pipeline>, Error> {
        self.watch("/api/pipelines?watch=true")
    }

    /// `GET /api/pipelines/ID?watch=true`: it with its modules, and again as it changes.
    pub fn watch_pipeline(&self, id: &str) -> Result<Watch<Pipeline>, Error> {
        self.watch(&format!("/api/pipelines/{}?watch=true", url::encode(id)))
    }

    /// The same, until nothing has changed for so long.
    pub fn watch_pipeline_until_quiet(&self, id: &str, quiet: Duration) -> Result<Watch<Pipeline>, Error> {
        self.watch_within(&format!("/api/pipelines/{}?watch=true", url::encode(id)), Limit::Quiet(quiet))
    }

    /// `POST /api/pipelines/ID/cancel`. `Api` with code `pipeline_ended` when it has ended otherwise.
    pub fn cancel_pipeline(&self, id: &str) -> Result<Pipeline, Error> {
        self.change::<(), _>("POST", &format!("/api/pipelines/{}/cancel", url::encode(id)), None)
    }

    /// `POST /api/pipelines/ID/retry`: runs again what did not succeed. `Api` with code `pipeline_not_failed` when there
    /// is nothing.
    pub fn retry_pipeline(&self, id: &str) -> Result<Pipeline, Error> {
        self.change::<(), _>("POST", &format!("/api/pipelines/{}/retry", url::encode(id)), None)
    }

    /// `GET /api/pipelines/ID/modules/NAME/result`: what its function answered, of whatever status.
    pub fn module_result(&self, id: &str, module: &str) -> Result<Answer, Error> {
        let (id, module) = (url::encode(id), url::encode(module));
        let url = self.at(&format!("/api/pipelines/{id}/modules/{module}/result"));
        let limit = Limit::Whole(Duration::ZERO); // it may be large, and the line slow
        self.answer(Ask { method: "GET", url, headers: Vec::new(), body: Sent::Nothing, limit })
    }

    /// `GET /api/pipelines/ID/modules/NAME/logs`: the last `tail` lines (`None`: as many as the orchestrator gives) that
    /// it printed, then with `follow` new ones until it ends.
    pub fn module_logs(&self, id: &str, module: &str, tail: Option<u64>, follow: bool) -> Result<Logs, Error> {
        self.log_lines(&log_of(id, module, tail, follow))
    }

    /// The same, followed; ends when no line came for `quiet` too.
    pub fn module_logs_until_quiet(&self, id: &str, module: &str, tail: u64, quiet: Duration) -> Result<Logs, Error> {
        self.lines_until_quiet(&log_of(id, module, Some(tail), true), quiet)
    }
}

fn log_of(id: &str, module: &str, tail: Option<u64>, follow: bool) -> String {
    let (id, module) = (url::encode(id), url::encode(module));
    let tail = tail.map(|tail| format!("&tail={tail}")).unwrap_or_default();
    format!("/api/pipelines/{id}/modules/{module}/logs?format=json&follow={follow}{tail}")
}
