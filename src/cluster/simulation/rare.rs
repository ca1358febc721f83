//! What happens seldom, and must hold all the same: nodes that are revoked or say that they are another, an engine that
//! comes back with what it ran, workers of other kinds, machines set back to how they were.

use super::super::*;
use super::tasks::OwnTask;
use super::workers::{Order, Worker};
use super::world::{Happening, World};
use std::collections::BTreeMap;

/// What nobody knows who is not that node.
const THIEF: &str = "stolen";

impl World {
    pub fn rare(&mut self) -> Result<(), String> {
        match self.dice.between(0, 9) {
            0..2 => self.backup(),
            2 => self.revoke(),
            3 | 4 => self.steal(),
            5 | 6 => self.machine_set_back(),
            7 => {
                self.suspended = self.dice.one_of(&[1_000, 8_000, 60_000]); // its machine slept
                Ok(())
            }
            _ => {
                let worker = self.dice.between(0, self.workers.len() as u64 - 1) as usize;
                self.workers[worker].hides = true;
                Ok(())
            }
        }
    }

    fn revoke(&mut self) -> Result<(), String> {
        let nodes: Vec<NodeKey> = self.cluster.nodes().map(|n| n.key).collect();
        match nodes.is_empty() {
            true => Ok(()),
            false => {
                let node = self.dice.one_of(&nodes);
                self.core(None, Command::Revoke { node })
            }
        }
    }

    /// Somebody joins in a node's name.
    fn steal(&mut self) -> Result<(), String> {
        let known: Vec<NodeSpec> = self.cluster.nodes().map(|n| n.spec.clone()).collect();
        let known: Vec<NodeSpec> = known.into_iter().filter(|spec| !spec.digest.is_empty()).collect();
        if known.is_empty() {
            return Ok(());
        }
        let spec = NodeSpec { digest: THIEF.into(), ..self.dice.one_of(&known) };
        let instances = vec![self.lie()];
        self.core(None, Command::Join { spec, instances, tasks: Vec::new() })
    }

    pub fn is_thief(spec: &NodeSpec) -> bool {
        spec.digest == THIEF
    }

    /// A node is not let in again: its worker ends, and comes back as another that has nothing of the first.
    pub fn set_up_anew(&mut self, worker: usize) {
        self.seen.saw("not let in");
        self.kill_worker(worker);
        self.workers[worker].tasks.clear();
        let name = self.workers[worker].spec.name.clone();
        self.workers[worker].spec = self.spec(format!("other{}", self.step), name);
        self.start_worker(worker);
    }

    /// A worker's machine is what it was at another time, with the tasks that it had then.
    fn machine_set_back(&mut self) -> Result<(), String> {
        let worker = self.dice.between(0, self.workers.len() as u64 - 1) as usize;
        let w = &mut self.workers[worker];
        match w.snapshot.take() {
            Some((id, tasks)) if id == w.spec.id => {
                self.kill_worker(worker);
                self.seen.saw("set back");
                let w = &mut self.workers[worker];
                let turns: BTreeMap<Arc<str>, u64> = w.tasks.iter().map(|(id, own)| (id.clone(), own.turn)).collect();
                w.tasks = tasks;
                for (id, own) in &mut w.tasks {
                    own.turn = own.turn.max(turns.get(id).copied().unwrap_or(0)) + 1; // timers of before are void
                }
                self.start_worker(worker);
            }
            _ => w.snapshot = Some((w.spec.id.clone(), w.tasks.clone())),
        }
        Ok(())
    }

    /// An engine is back: its instances are found, which the join did not tell of.
    pub fn found(&mut self, worker: usize, session: u64) {
        let w = &mut self.workers[worker];
        let Some((node, _)) = w.session.filter(|(_, current)| *current == session) else { return };
        w.hides = false;
        let ready = w.instances.iter().filter(|(_, i)| i.ready);
        let instances: Vec<Reported> = ready.map(|(key, i)| i.reported(*key)).collect();
        if !instances.is_empty() {
            self.seen.saw("found later");
            let command = Command::Report { node, session, instances };
            self.at(0, Happening::Core { from: Some(worker), command });
        }
    }

    /// What a worker's instances are told of as it joins.
    pub fn told_at_join(&mut self, worker: usize) -> Vec<Reported> {
        let w = &mut self.workers[worker];
        w.instances.retain(|_, i| i.ready);
        if w.hides && !self.healed {
            return Vec::new();
        }
        w.hides = false;
        w.instances.iter().map(|(key, i)| i.reported(*key)).collect()
    }

    pub fn look_for_hidden(&mut self, worker: usize, session: u64) {
        if self.workers[worker].hides {
            let after = self.dice.between(0, 3_000);
            self.at(after, Happening::Worker(worker, Order::Found { session }));
        }
    }

    /// Some nodes joined over HTTP, or are of the first CARES, and run nothing but jobs.
    pub fn kind(&mut self, spec: NodeSpec) -> NodeSpec {
        let digest = if self.dice.percent(60) { format!("secret of {}", spec.id) } else { String::new() };
        let spec = NodeSpec { digest, version: "1".into(), secrets: self.dice.percent(70), ..spec };
        match self.dice.between(0, 11) {
            0 => NodeSpec { http: true, secrets: false, ..spec },
            1 => NodeSpec { version: String::new(), secrets: false, ..spec },
            _ => spec,
        }
    }
}

impl Worker {
    /// How calls reach it.
    pub fn reach(&self) -> Reach {
        match &self.spec {
            spec if spec.http => Reach::Http,
            spec if spec.first_generation() => Reach::FirstGeneration,
            _ => Reach::Links,
        }
    }
}

/// A machine's disk as it was: whose, and its tasks.
pub(super) type Snapshot = (String, BTreeMap<Arc<str>, OwnTask>);
