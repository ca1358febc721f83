//! Where something new goes: filters first, then the lowest score. Reads the cluster, changes only its own index.

use super::{Cluster, Constraints, Function, Node, NodeKey, NodeSpec, NodeStatus, Reach, Revision, Words};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A node's place among those that take work. Ordered: best first; equal scores by how full, then whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Placement {
    /// In tenths of a point: finer differences are noise.
    score_deci: u32,
    full_permille: u32,
    last_given: u64,
    node: NodeKey,
}

impl Placement {
    fn of(node: &Node) -> Self {
        Placement {
            score_deci: (node.score() * 10.0).round() as u32,
            full_permille: (u64::from(node.running) * 1_000 / u64::from(node.spec.slots.max(1))) as u32,
            last_given: node.last_given,
            node: node.key,
        }
    }
}

/// Kinds of requirements that are indexed. Functions share them, as most ask for nothing but an engine; one that is not
/// among them is placed by looking through all nodes, best first.
const CLASSES: usize = 16;

/// What a revision asks of a node, but for what nearly every node has (memory and cores).
struct Class {
    engine: &'static str,
    job: bool,
    /// What the way to the node must have words for.
    words: Words,
    secrets: bool,
    constraints: Constraints,
    /// The nodes that have it all and take work, best first.
    nodes: BTreeSet<Placement>,
}

impl Class {
    fn of(revision: &Revision) -> Class {
        Class {
            engine: revision.engine(),
            job: revision.is_job(),
            words: revision.words(),
            secrets: !revision.secrets.is_empty(),
            constraints: revision.constraints.clone(),
            nodes: BTreeSet::new(),
        }
    }

    fn is_of(&self, revision: &Revision) -> bool {
        self.job == revision.is_job()
            && self.engine == revision.engine()
            && self.words == revision.words()
            && self.secrets != revision.secrets.is_empty()
            && self.constraints == revision.constraints
    }

    /// Whether a node belongs here when it takes work.
    fn has(&self, node: &Node) -> bool {
        node.spec.engines.contains(self.engine)
            && self.words <= node.reach.words()
            && (!self.secrets || node.spec.secrets)
            && meets(node, &self.constraints)
    }
}

/// The nodes that take work, best first, so that placing looks at one or two and not at all.
#[derive(Default)]
pub(super) struct Index {
    all: BTreeSet<Placement>,
    classes: Vec<Class>,
}

impl Index {
    pub(super) fn best_score(&self) -> Option<f64> {
        self.all.first().map(|p| f64::from(p.score_deci) / 10.0)
    }

    /// All that take work.
    pub(super) fn best_first(&self) -> impl Iterator<Item = NodeKey> {
        self.all.iter().map(|place| place.node)
    }

    fn those_for(&self, revision: &Revision) -> &BTreeSet<Placement> {
        self.classes.iter().find(|c| c.is_of(revision)).map_or(&self.all, |c| &c.nodes)
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn holds(&self, node: &Node) -> bool {
        let place = Placement::of(node);
        let room = node.running_jobs < node.spec.job_slots;
        let in_classes = |c: &Class| c.nodes.contains(&place) == (c.has(node) && (!c.job || room));
        self.all.contains(&place) && self.classes.iter().all(in_classes)
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn strays(&self) -> usize {
        self.classes.iter().map(|c| c.nodes.iter().filter(|p| !self.all.contains(p)).count()).sum()
    }
}

/// A node that could take a function, for people who ask why.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub node: NodeKey,
    pub name: String,
    pub score: f64,
}

impl Cluster {
    /// To be called after a node's load or status changed.
    pub(super) fn reindex(&mut self, key: NodeKey) {
        self.reindex_tasks(key);
        let Some(node) = self.nodes.get_mut(&key) else { return };
        let now = node.takes_work().then(|| Placement::of(node));
        let job_room = node.running_jobs < node.spec.job_slots;
        if node.placed == now && node.placed_for_jobs == job_room {
            return;
        }
        let before = std::mem::replace(&mut node.placed, now);
        node.placed_for_jobs = job_room;
        if let Some(before) = &before {
            self.index.all.remove(before);
        }
        self.index.all.extend(now);
        for (class, member) in self.index.classes.iter_mut().zip(&node.classes) {
            if *member {
                if let Some(before) = &before {
                    class.nodes.remove(before);
                }
                class.nodes.extend(now.filter(|_| !class.job || job_room));
            }
        }
    }

    /// To be called after a node became able to take other things than before.
    pub(super) fn reclassify(&mut self, key: NodeKey) {
        self.unindex(key);
        let Some(node) = self.nodes.get_mut(&key) else { return };
        node.classes = self.index.classes.iter().map(|class| class.has(node)).collect();
        self.reindex(key);
        self.tasks.freed.insert(key); // for tasks that it could not take before
    }

    /// To be called before a node is forgotten.
    pub(super) fn unindex(&mut self, key: NodeKey) {
        let Some(before) = self.nodes.get_mut(&key).and_then(|node| node.placed.take()) else { return };
        self.index.all.remove(&before);
        self.index.classes.iter_mut().for_each(|class| _ = class.nodes.remove(&before));
    }

    /// To be called when a revision may be placed from now on.
    pub(super) fn index_class(&mut self, revision: &Revision) {
        if self.index.classes.iter().any(|c| c.is_of(revision)) {
            return;
        }
        if self.index.classes.len() >= CLASSES {
            let revisions = self.functions.values().flat_map(|f| [f.current(), f.newest()]);
            let in_use: Vec<&Arc<Revision>> = revisions.collect();
            let Some(at) = self.index.classes.iter().position(|c| !in_use.iter().any(|r| c.is_of(r))) else { return };
            self.index.classes.remove(at);
            self.nodes.values_mut().for_each(|node| _ = node.classes.remove(at));
        }
        let mut class = Class::of(revision);
        for node in self.nodes.values_mut() {
            let member = class.has(node);
            node.classes.push(member);
            if member && (!class.job || node.placed_for_jobs) {
                class.nodes.extend(node.placed);
            }
        }
        self.index.classes.push(class);
    }

    /// The best node for something new of this revision.
    pub(super) fn place(&self, revision: &Revision, not_on: &[NodeKey]) -> Option<NodeKey> {
        self.place_call(revision, None, not_on)
    }

    /// The same for a call, which may ask for more than its function.
    pub(super) fn place_call(
        &self,
        revision: &Revision,
        wants: Option<&Constraints>,
        not_on: &[NodeKey],
    ) -> Option<NodeKey> {
        let job = revision.is_job();
        self.index.those_for(revision).iter().map(|p| p.node).find(|key| {
            self.nodes.get(key).is_some_and(|node| {
                (!job || node.running_jobs < node.spec.job_slots)
                    && satisfies(node, revision)
                    && wants.is_none_or(|wants| meets(node, wants))
                    && !not_on.contains(key)
            })
        })
    }

    /// Whether any node could take it once it has room.
    pub(super) fn placeable(&self, revision: &Revision, not_on: &[NodeKey]) -> bool {
        self.placeable_call(revision, None, not_on)
    }

    /// The same for a call.
    pub(super) fn placeable_call(&self, revision: &Revision, wants: Option<&Constraints>, not_on: &[NodeKey]) -> bool {
        let meets = |node: &Node| wants.is_none_or(|wants| meets(node, wants));
        self.nodes.values().any(|node| could_take(node, revision) && meets(node) && !not_on.contains(&node.key))
    }

    /// Of the nodes that could take it once they have room, one of each kind: the others can do the same.
    pub(super) fn kinds_for(&self, revision: &Revision) -> Vec<&Node> {
        let could = self.nodes.values().filter(|node| could_take(node, revision));
        let kinds: BTreeMap<_, &Node> = could.map(|node| (kind_of(node), node)).collect();
        kinds.into_values().collect()
    }

    /// How many calls of a function, asking for that much more, could run at once on all nodes.
    pub fn room(&self, function: &Function, wants: &Constraints) -> u32 {
        let revision = function.current();
        let nodes = self.nodes.values().filter(|node| could_take(node, revision) && meets(node, wants));
        let slots =
            |node: &Node| if revision.is_job() { node.spec.job_slots.min(node.spec.slots) } else { node.spec.slots };
        let slots = nodes.fold(0, |sum: u32, node| sum.saturating_add(slots(node)));
        if revision.is_job() { slots } else { slots.min(revision.max.saturating_mul(revision.concurrency)) }
    }

    /// The nodes that could take a function now, best first.
    pub fn candidates(&self, function: &Function) -> Vec<Candidate> {
        let fits = |p: &&Placement| self.nodes.get(&p.node).is_some_and(|n| satisfies(n, function.current()));
        let candidate = |p: &Placement| {
            let node = self.nodes.get(&p.node)?;
            Some(Candidate { node: p.node, name: node.spec.name.clone(), score: node.score() })
        };
        self.index.all.iter().filter(fits).filter_map(candidate).collect()
    }

    /// Why no node can take it, and what to do, for people.
    pub(super) fn why_not(&self, revision: &Revision, wants: Option<&Constraints>) -> String {
        if wants.is_some() && self.placeable(revision, &[]) {
            return "no active node that could run the function has what this call asks for (os, arch, tools, tags), and is \
                    of a version that takes a module's inputs: see `cares node list -o wide`"
                .into();
        }
        let there: Vec<&Node> = self.nodes.values().filter(|n| n.status == NodeStatus::Active).collect();
        if there.is_empty() {
            return match self.nodes.len() {
                0 => "no node has joined yet: start one with `cares worker ORCHESTRATOR`".into(),
                1 => "the one known node is not active: see `cares node list`".into(),
                known => format!("none of the {known} known nodes is active: see `cares node list`"),
            };
        }
        let engine = revision.engine();
        if !there.iter().any(|n| n.spec.engines.contains(engine)) {
            let trouble = |n: &&&Node| n.spec.engine_trouble.as_str() != "";
            return match (engine, there.iter().find(trouble)) {
                ("docker", Some(node)) => format!(
                    "no active node has a container engine that can be used, which image '{}' needs; node '{}' says: {}",
                    revision.image, node.spec.name, node.spec.engine_trouble
                ),
                ("docker", None) => format!(
                    "no active node has a container engine, which image '{}' needs: install one on a node, or deploy a \
                     folder with `cares deploy`",
                    revision.image
                ),
                (engine, _) => format!("no active node has the {engine} engine: start a worker that has it"),
            };
        }
        if !there.iter().any(|n| matches(n, revision)) {
            return "no active node satisfies the function's constraints (os, arch, tools, tags, and memory_mb and cpu \
                    that no task has reserved): see `cares describe` and `cares node list -o wide`"
                .into();
        }
        let has_engine = |n: &&&Node| n.spec.engines.contains(engine);
        if !revision.secrets.is_empty() && there.iter().filter(has_engine).all(|n| !n.spec.secrets) {
            return "the function uses secrets, which the active nodes that have its engine cannot give it, as they run an \
                    older version: see `cares node list -o wide`, and update them"
                .into();
        }
        if there.iter().all(|n| !n.spec.engines.contains(engine) || !carried(n, revision)) {
            return "the active nodes that have its engine are of the first CARES, or joined over HTTP alone: they run \
                    images as jobs and take no command and no http function, those of the first CARES no env either: \
                    start a worker of this version"
                .into();
        }
        "every node that could take it is cordoned, has no slots for it, or no connection for calls yet: see `cares node list`"
            .into()
    }
}

/// Could take it when it is empty.
pub(super) fn satisfies(node: &Node, revision: &Revision) -> bool {
    let slots = if revision.is_job() { node.spec.slots.min(node.spec.job_slots) } else { node.spec.slots };
    slots > 0 && node.spec.engines.contains(revision.engine()) && carried(node, revision) && matches(node, revision)
}

/// Whether the way to the node has words for all that the revision asks for; earlier workers know of no secrets.
fn carried(node: &Node, revision: &Revision) -> bool {
    revision.words() <= node.reach.words() && (node.spec.secrets || revision.secrets.is_empty())
}

fn could_take(node: &Node, revision: &Revision) -> bool {
    node.status == NodeStatus::Active && !node.cordoned && node.reach != Reach::None && satisfies(node, revision)
}

fn matches(node: &Node, revision: &Revision) -> bool {
    meets(node, &revision.constraints)
        && revision.memory_bytes <= node.unreserved_memory()
        && revision.cpu <= node.unreserved_cpus()
}

/// All of a node that `meets` looks at.
fn kind_of(node: &Node) -> impl Ord {
    let NodeSpec { os, arch, tools, tags, .. } = &node.spec;
    (os, arch, tools, tags, takes_inputs(node))
}

fn takes_inputs(node: &Node) -> bool {
    node.spec.secrets || node.spec.http // variables came with secrets
}

pub(super) fn meets(node: &Node, wanted: &Constraints) -> bool {
    wanted.os.as_ref().is_none_or(|os| *os == node.spec.os)
        && wanted.arch.as_ref().is_none_or(|arch| *arch == node.spec.arch)
        && wanted.tools.is_subset(&node.spec.tools)
        && wanted.tags.iter().all(|(k, v)| node.spec.tags.get(k) == Some(v))
        && (!wanted.takes_inputs || takes_inputs(node))
}
