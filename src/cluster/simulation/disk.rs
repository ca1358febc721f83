//! The orchestrator's disk in these lives: it is behind what is in memory, at times it takes nothing, and an orchestrator
//! that ends at any moment starts again with what is there. As `orchestrator/store` and `orchestrator/state.rs` have it.

use super::super::*;
use super::world::{Happening, World};
use crate::cluster::invariants::ensure;
use std::collections::{BTreeMap, BTreeSet};

/// What a write is of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Function(Arc<str>),
    Node(String),
    Revoked(String),
    Task(Arc<str>),
}

/// A function as it was before a command; without a revision where there was none.
pub(super) type Before = (Arc<str>, Lasting);

/// What of a node outlives a restart.
#[derive(Clone)]
struct KeptNode {
    name: String,
    digest: String,
    cordoned: bool,
}

/// Changes what is there.
type Write = Box<dyn FnOnce(&mut Disk)>;

/// What is there, and what is not there yet.
#[derive(Default)]
pub(super) struct Disk {
    functions: BTreeMap<Arc<str>, Lasting>,
    nodes: BTreeMap<String, KeptNode>,
    revoked: BTreeSet<String>,
    tasks: BTreeMap<Arc<str>, LastingTask>,
    /// On their way, in order: what of it is to be as it was then.
    queue: Vec<Write>,
    /// What these are of, and those that were refused.
    changed: BTreeSet<Subject>,
    /// How functions were before the commands that are on their way, and before those that were refused.
    before: Vec<Before>,
    refused: Vec<Before>,
    /// Nothing can be written.
    pub full: bool,
}

impl Disk {
    /// All that is on its way is there.
    fn flush(&mut self) {
        std::mem::take(&mut self.queue).into_iter().for_each(|write| write(self));
        self.before.clear();
        self.changed.clear();
    }
}

impl World {
    /// How a command's function is now, to be that again if the command cannot be kept.
    pub fn before(&self, command: &Command) -> Option<Before> {
        let name = command.changes_function()?;
        Some((name.clone(), self.lasting(name)))
    }

    fn lasting(&self, name: &str) -> Lasting {
        self.cluster.function(name).map(Function::lasting).unwrap_or_default()
    }

    /// What of these facts must outlive a restart is on its way to the disk.
    pub fn keep(&mut self, events: &[Event], before: Vec<Before>) {
        let subjects: BTreeSet<Subject> = events.iter().filter_map(|event| self.subject_of(event)).collect();
        if subjects.is_empty() {
            return;
        }
        self.disk.changed.extend(subjects.iter().cloned());
        match self.disk.full {
            true => self.disk.refused.extend(before),
            false => {
                self.disk.before.extend(before);
                for subject in subjects {
                    let write = self.write_of(subject);
                    self.disk.queue.push(write);
                }
            }
        }
        if self.healed || self.dice.percent(60) {
            self.all_kept();
        } else if self.dice.percent(2) && self.dice.percent(self.troubled) {
            self.disk_fails();
        }
    }

    /// Waits until all is on disk; false where that cannot be.
    pub fn all_kept(&mut self) -> bool {
        if !self.disk.full {
            self.disk.flush();
        }
        !self.disk.full
    }

    fn subject_of(&self, event: &Event) -> Option<Subject> {
        let c = &self.cluster;
        let node = |key: &NodeKey| c.node(*key).map(|n| n.spec.id.clone());
        let task = |key: &TaskKey| c.task(*key).filter(|t| !t.local).map(|t| Subject::Task(t.id.clone()));
        match event {
            Event::FunctionPut { revision, .. }
            | Event::FunctionScaled { revision }
            | Event::FunctionStopped { revision, .. }
            | Event::RevisionServing { revision, .. }
            | Event::RevisionFailed { revision, .. }
            | Event::ModeResolved { revision } => Some(Subject::Function(revision.function.clone())),
            Event::FunctionDeleted { name } => Some(Subject::Function(name.clone())),
            Event::NodeJoined { node: key, .. }
            | Event::NodeCordoned { node: key }
            | Event::NodeUncordoned { node: key }
            | Event::NodeDraining { node: key } => node(key).map(Subject::Node),
            Event::NodeRemoved { id, .. } => Some(Subject::Node(id.clone())),
            Event::NodeRevoked { node: key } => node(key).map(Subject::Revoked),
            Event::TaskSubmitted { task: key, .. }
            | Event::TaskChanged { task: key, .. }
            | Event::TaskNoted { task: key }
            | Event::TaskPlace { task: key, .. } => task(key),
            Event::TaskGone { id, local: false } => Some(Subject::Task(id.clone())),
            _ => None,
        }
    }

    /// Makes the disk have it as it is now.
    fn write_of(&self, subject: Subject) -> Write {
        fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
            _ = match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        let c = &self.cluster;
        match subject {
            Subject::Function(name) => {
                let kept = c.function(&name).map(Function::lasting);
                Box::new(|disk| set(&mut disk.functions, name, kept))
            }
            Subject::Node(id) => {
                let of = |n: &Node| KeptNode {
                    name: n.spec.name.clone(),
                    digest: n.spec.digest.clone(),
                    cordoned: n.cordoned,
                };
                let kept = c.nodes().find(|n| n.spec.id == id).map(of);
                Box::new(|disk| set(&mut disk.nodes, id, kept))
            }
            Subject::Revoked(id) => Box::new(|disk| _ = disk.revoked.insert(id)),
            Subject::Task(id) => {
                let kept = c.find_task(&id).and_then(|t| c.lasting_task(t.key));
                Box::new(|disk| set(&mut disk.tasks, id, kept))
            }
        }
    }

    /// Nothing that is on its way gets there: it is undone before anybody is told, and no more is taken.
    fn disk_fails(&mut self) {
        self.seen.saw("disk full");
        self.note(|| "the disk is full".into());
        self.disk.full = true;
        self.disk.queue.clear();
        let refused = std::mem::take(&mut self.disk.before);
        self.disk.refused.extend(refused);
        let soon = self.dice.between(0, 3);
        self.at(soon, Happening::Disk);
    }

    /// What was refused is undone, and the disk is tried again.
    pub fn disk_tried(&mut self) -> Result<(), String> {
        if !self.disk.full {
            return Ok(());
        }
        let mut functions: BTreeMap<Arc<str>, Lasting> = BTreeMap::new();
        for (name, before) in std::mem::take(&mut self.disk.refused) {
            functions.entry(name).or_insert(before);
        }
        if !functions.is_empty() {
            self.seen.saw("undone");
            self.undo(functions)?;
        }
        if self.healed || self.dice.percent(30) {
            self.note(|| "the disk is written again".into());
            self.disk.full = false;
            for subject in std::mem::take(&mut self.disk.changed) {
                self.write_of(subject)(&mut self.disk);
            }
        } else {
            let later = self.dice.between(0, 500);
            self.at(later, Happening::Disk);
        }
        Ok(())
    }

    /// Functions become what they were; nothing is left of what was refused.
    fn undo(&mut self, functions: BTreeMap<Arc<str>, Lasting>) -> Result<(), String> {
        self.become_again(functions.clone(), Vec::new())?;
        for (name, before) in functions {
            let now = self.cluster.function(&name).map(|f| f.revisions.clone()).unwrap_or_default();
            let same = now.len() == before.revisions.len()
                && now.iter().zip(&before.revisions).all(|(now, before)| now.description == before.description);
            ensure!(same, "{name} was {:?}, its change was refused, and it is {now:?}", before.revisions);
        }
        Ok(())
    }

    /// A backup is made, or brought back: functions become what they were then.
    pub fn backup(&mut self) -> Result<(), String> {
        if self.disk.full {
            return Ok(());
        }
        if self.backup.is_empty() || self.dice.percent(30) {
            self.backup = self.cluster.functions().map(|f| (f.name.clone(), f.lasting())).collect();
            return Ok(());
        }
        self.seen.saw("backup restored");
        let mut functions: BTreeMap<Arc<str>, Lasting> =
            self.cluster.functions().map(|f| (f.name.clone(), Lasting::default())).collect();
        functions.extend(self.backup.clone());
        let before = functions.keys().map(|name| (name.clone(), self.lasting(name))).collect();
        self.become_again(functions, before)
    }

    fn become_again(&mut self, functions: BTreeMap<Arc<str>, Lasting>, before: Vec<Before>) -> Result<(), String> {
        let names: Vec<Arc<str>> = functions.keys().cloned().collect();
        names.iter().for_each(|name| self.serving.retain(|(function, _), _| function != name));
        self.undoing = true; // numbers go back
        let command = Command::SetFunctions { functions: functions.into_iter().collect() };
        let done = self.carry_out(None, command, before);
        self.undoing = false;
        for unproven in names.iter().filter_map(|name| self.cluster.function(name)).filter(|f| !f.proven) {
            let serving = unproven.current(); // that it answered once, at another time, nobody has kept
            self.answered.remove(&(serving.function.clone(), serving.number, serving.born));
            self.serving.retain(|(function, _), _| *function != unproven.name);
        }
        done
    }

    /// The orchestrator ends and starts again: only what was on disk is there.
    pub fn restart(&mut self) {
        self.seen.saw("restart");
        self.note(|| "restart".into());
        self.first_key += 1_000_000;
        let mut next = Cluster::new(self.limits.clone(), self.first_key);
        for (id, node) in &self.disk.nodes {
            let (id, name, digest) = (id.clone(), node.name.clone(), node.digest.clone());
            next.restore_node(NodeSpec { id, name, digest, ..NodeSpec::default() }, node.cordoned);
        }
        self.disk.revoked.iter().for_each(|id| next.restore_revoked(id));
        self.disk.functions.values().for_each(|function| next.restore_function(function.clone()));
        let tasks: Vec<LastingTask> = self.disk.tasks.values().cloned().collect();
        self.restore_tasks(&mut next, tasks);
        let behind = !self.disk.queue.is_empty() || self.disk.full;
        if behind {
            self.seen.saw("restart with less");
        }
        (self.disk.queue, self.disk.changed) = Default::default();
        (self.disk.before, self.disk.refused, self.disk.full) = Default::default();
        self.cluster = next;
        self.puts = self.cluster.functions().map(|f| (f.name.clone(), f.newest().number)).collect();
        let proven = self.cluster.functions().filter(|f| f.proven).map(Function::current);
        self.answered = proven.map(|r| (r.function.clone(), r.number, r.born)).collect(); // nobody knows of others
        self.calls.clear();
        self.by_node.clear();
        self.sessions.clear();
        self.serving.clear();
        self.status.clear();
        self.states.clear();
    }
}
