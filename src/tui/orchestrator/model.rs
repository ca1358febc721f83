//! All that is known of a cluster, for the screens to draw. Pure data: must never ask for it, nor know the terminal.

use crate::tui::log::Log;
use crate::tui::panes::rows::Rows;
use crate::types::{Cluster, Function, Node, Pipeline, TaskSummary};

/// How the connection to the orchestrator stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Connection {
    #[default]
    Connecting,
    Live,
    /// Since when is not said; when it is tried again is, as `clock::now_ms`.
    Lost {
        why: String,
        again_at_ms: u64,
    },
}

/// What is followed, each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Cluster,
    Nodes,
    Functions,
    Tasks,
    Pipelines,
    /// Not part of the whole's state: rows are not stale because the log is.
    Log,
}

/// A row that is still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By name.
    Function(String),
    /// By id.
    Task(String),
    /// By id.
    Pipeline(String),
}

/// All that is known. Feeds write it, screens draw it.
#[derive(Default)]
pub struct Model {
    pub connection: Connection,
    sources: [Connection; 6],
    pub cluster: Option<Cluster>,
    /// By id.
    pub nodes: Rows<Node>,
    /// By name.
    pub functions: Rows<Function>,
    /// By id.
    pub tasks: Rows<TaskSummary>,
    /// By id; without their modules.
    pub pipelines: Rows<Pipeline>,
    /// The orchestrator's own log, and what this screen did.
    pub log: Log,
    /// What was just made here: to be selected once its row is there.
    pub wanted: Option<Wanted>,
    /// What is on its way, for the status line; the newest last.
    pub busy: Vec<String>,
}

impl Model {
    /// How one source stands.
    pub fn source(&self, source: Source) -> &Connection {
        &self.sources[source as usize]
    }

    /// Says how one source stands; the whole is as good as the worst of those that matter.
    pub fn set_source(&mut self, source: Source, connection: Connection) {
        self.sources[source as usize] = connection;
        let rank = |connection: &&Connection| match connection {
            Connection::Live => (2, 0),
            Connection::Connecting => (1, 0),
            Connection::Lost { again_at_ms, .. } => (0, *again_at_ms),
        };
        let whole = self.sources[..Source::Log as usize].iter().min_by_key(rank);
        self.connection = whole.cloned().unwrap_or_default();
    }

    /// Whether what is shown changes as time goes by, though nothing is heard.
    pub fn ages(&self) -> bool {
        self.stale() || self.pipelines.values().any(|pipeline| pipeline.status == "running")
    }

    /// Whether what is shown may no longer be so.
    pub fn stale(&self) -> bool {
        matches!(self.connection, Connection::Lost { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(again_at_ms: u64) -> Connection {
        Connection::Lost { why: "gone".into(), again_at_ms }
    }

    #[test]
    fn the_whole_is_as_good_as_its_worst_part_but_for_the_log() {
        let mut model = Model::default();
        for source in [Source::Cluster, Source::Nodes, Source::Tasks, Source::Pipelines] {
            model.set_source(source, Connection::Live);
        }
        assert_eq!(model.connection, Connection::Connecting);
        model.set_source(Source::Functions, Connection::Live);
        assert_eq!(model.connection, Connection::Live);
        model.set_source(Source::Log, lost(1));
        assert!(!model.stale());
        model.set_source(Source::Nodes, lost(500));
        model.set_source(Source::Functions, lost(400));
        assert_eq!(model.connection, lost(400), "the one that is tried first");
    }
}
