//! All that is known of a cluster, for the screens to draw. Pure data: must never ask for it, nor know the terminal.

use crate::tui::log::Log;
use crate::types::{Cluster, Function, Node};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

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
    /// Not part of the whole's state: rows are not stale because the log is.
    Log,
}

/// Rows by id or name; whoever may change them is taken to have done so, which is what screens sort again for.
#[derive(Debug)]
pub struct Rows<T> {
    rows: BTreeMap<String, T>,
    revision: u64,
}

impl<T> Rows<T> {
    /// Another number after each change.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Rows { rows: BTreeMap::new(), revision: 0 }
    }
}

impl<T> Deref for Rows<T> {
    type Target = BTreeMap<String, T>;

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

impl<T> DerefMut for Rows<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.revision += 1;
        &mut self.rows
    }
}

/// All that is known. Feeds write it, screens draw it.
#[derive(Default)]
pub struct Model {
    pub connection: Connection,
    sources: [Connection; 4],
    pub cluster: Option<Cluster>,
    /// By id.
    pub nodes: Rows<Node>,
    /// By name.
    pub functions: Rows<Function>,
    /// The orchestrator's own log, and what this screen did.
    pub log: Log,
    /// A function that was just registered here: to be selected once its row is there.
    pub wanted: Option<String>,
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
        for source in [Source::Cluster, Source::Nodes] {
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

    #[test]
    fn looking_changes_no_revision_and_changing_does() {
        let mut rows: Rows<u8> = Rows::default();
        assert!(rows.get("a").is_none());
        assert_eq!(rows.revision(), 0);
        rows.insert("a".into(), 1);
        assert_eq!((rows.revision(), rows.len()), (1, 1));
    }
}
