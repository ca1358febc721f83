//! The calls of late that were answered at once, and those made for modules of pipelines; not the attempts of asynchronous
//! ones. What is kept of each function is bounded: these are its last 64.

use crate::clock;
use crate::cluster::{Ended, Function, NodeKey, Origin};
use crate::http::route::{Call, value};
use crate::orchestrator::Orchestrator;
use crate::types::CallRecord;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Those of `?function=` and of a node, newest first over all functions; `None` when there is no such function.
pub fn newest(
    app: &Orchestrator,
    call: &Call,
    limit: usize,
    status: Option<&str>,
    node: Option<NodeKey>,
) -> Option<Vec<CallRecord>> {
    let mut newest = Newest { limit, calls: BTreeMap::new() };
    let word = |ended: &Ended| if ended.success { "succeeded" } else { "failed" };
    let wanted = |ended: &Ended| {
        ended.origin != Origin::Later
            && node.is_none_or(|node| ended.node == Some(node))
            && status.is_none_or(|status| status == word(ended))
    };
    if let Some(name) = value(&call.query, "function") {
        app.state.read(|c| c.function(name).map(|f| newest.take(f, wanted)))?;
    } else {
        app.state.each_function(|f| newest.take(f, wanted));
    }
    let ids = app.state.read(|c| {
        let keys = newest.calls.values().filter_map(|(_, ended)| ended.node);
        keys.filter_map(|key| Some((key, c.node(key)?.spec.id.clone()))).collect::<BTreeMap<_, _>>()
    });
    let record = |(function, ended): &(Arc<str>, Ended)| {
        let ended_unix_us = clock::unix_ms_at(ended.at) * 1_000;
        CallRecord {
            id: ended.invocation.to_string(),
            function: function.to_string(),
            node: ended.node.and_then(|key| ids.get(&key).cloned()), // none: it was removed since
            status: word(ended).into(),
            started_at: clock::rfc3339(ended_unix_us.saturating_sub(ended.took_us) / 1_000),
            duration_ms: ended.took_us as f64 / 1e3,
            asynchronous: false,
            attempts: 1,
            last_error: None,
            module: match &ended.origin {
                Origin::Module(module) => Some(module.to_string()),
                Origin::Caller | Origin::Later => None,
            },
        }
    };
    Some(newest.calls.values().map(record).collect())
}

/// When a call ended, and its number: newest first.
type Place = Reverse<(u64, u64)>;

/// The newest calls of those it was shown.
struct Newest {
    limit: usize,
    calls: BTreeMap<Place, (Arc<str>, Ended)>,
}

impl Newest {
    fn take(&mut self, function: &Function, wanted: impl Fn(&Ended) -> bool) {
        for ended in function.recent.newest_first().filter(|ended| wanted(ended)) {
            let place = Reverse((ended.at, ended.invocation.0));
            if self.calls.len() >= self.limit {
                match self.calls.last_entry() {
                    Some(oldest) if *oldest.key() > place => drop(oldest.remove()),
                    _ => return, // the rest of this function's are older still
                }
            }
            self.calls.insert(place, (function.name.clone(), ended.clone()));
        }
    }
}
