//! A call's story, as the log tells it. Decides nothing.

use crate::cluster::{Assigned, Candidate, InvocationKey};
use crate::orchestrator::Orchestrator;
use hyper::http::request::Parts;
use std::time::Duration;

/// Candidates a call's story names.
const NAMED: usize = 5;

/// Tells the log what becomes of a call.
pub struct Story {
    name: String,
    /// For programs: its call, its function, and its node once it has one.
    call: String,
    function: String,
    node: String,
    /// Best first.
    candidates: Vec<Candidate>,
    pub status: u16,
}

/// The nodes that could take a call now.
pub fn candidates(app: &Orchestrator, function: &str) -> Vec<Candidate> {
    app.state.read(|c| c.function(function).map(|f| c.candidates(f)).unwrap_or_default())
}

impl Story {
    pub fn begin(candidates: Vec<Candidate>, invocation: InvocationKey, function: &str, head: &Parts) -> Self {
        let (call, name) = (invocation.to_string(), format!("Call {invocation} of '{function}'"));
        let plural = if candidates.len() == 1 { "" } else { "s" };
        log::info!(call = call, function = function; "{name}: received {} {}, {} candidate{plural}", head.method,
            head.uri.path(), candidates.len());
        Story { name, call, function: function.into(), node: String::new(), candidates, status: 0 }
    }

    pub fn assigned(&mut self, app: &Orchestrator, to: &Assigned) {
        let name = |c: &crate::cluster::Cluster| c.node(to.node).map(|n| (n.spec.name.clone(), n.score()));
        let (node, now) = app.state.read(name).unwrap_or_default();
        let score = self.candidates.iter().find(|c| c.node == to.node).map_or(now, |c| c.score);
        let why = match to.instance {
            Some(instance) => format!("its instance {instance} is warm"),
            None => {
                let named = self.candidates.iter().take(NAMED).map(|c| format!("{} {:.1}", c.name, c.score));
                format!("lowest score of: {}", named.collect::<Vec<_>>().join(", "))
            }
        };
        log::info!(call = self.call, function = self.function, node = node; "{}: node '{node}' chosen (score {score:.1}; {why}), dispatched", self.name);
        self.node = node;
    }

    pub fn end(&self, success: Option<bool>, took: Duration) {
        let outcome = match success {
            Some(true) => "finished",
            Some(false) => "failed",
            None => "ended without an answer",
        };
        let status = if self.status == 0 { String::new() } else { format!(" with status {}", self.status) };
        log::info!(call = self.call, function = self.function, node = self.node, success = success.unwrap_or(false),
            status = self.status; "{}: {outcome}{status} after {:.1} ms", self.name, took.as_secs_f64() * 1e3);
    }
}
