//! Workers as they are: they join, beat, start and stop instances, and at times do none of it.

use super::super::*;
use super::rare::Snapshot;
use super::tasks::OwnTask;
use super::world::{Happening, World};
use std::collections::{BTreeMap, BTreeSet};

/// What a worker is told.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Joined {
        node: NodeKey,
        session: u64,
    },
    /// Its session is not known: join again.
    Rejoin {
        session: u64,
    },
    Start {
        session: u64,
        instance: InstanceKey,
        revision: Arc<Revision>,
    },
    Stop {
        session: u64,
        instance: InstanceKey,
    },
    /// Unless the core has woken it meanwhile: the shell looks again.
    Freeze {
        session: u64,
        instance: InstanceKey,
    },
    Thaw {
        session: u64,
        instance: InstanceKey,
    },
    /// Its engine is back.
    Found {
        session: u64,
    },
    /// Look at the image.
    Prepare {
        revision: Arc<Revision>,
    },
    /// Nothing is left on it; it may go.
    Drained,
}

pub(super) struct Running {
    pub revision: Arc<Revision>,
    pub ready: bool,
    pub frozen: bool,
}

impl Running {
    /// As its worker tells of it.
    pub fn reported(&self, instance: InstanceKey) -> Reported {
        let (function, revision) = (self.revision.function.to_string(), self.revision.number);
        Reported { instance, function, revision, frozen: self.frozen }
    }
}

pub(super) struct Worker {
    pub spec: NodeSpec,
    pub up: bool,
    /// Does nothing for a while.
    pub hung: bool,
    /// Nothing gets through to it or from it.
    pub cut: bool,
    pub leaving: bool,
    /// Counts its process's starts.
    pub life: u64,
    pub session: Option<(NodeKey, u64)>,
    pub instances: BTreeMap<InstanceKey, Running>,
    /// On its disk.
    pub tasks: BTreeMap<Arc<str>, OwnTask>,
    /// Of these, such as have changed since they were told.
    pub untold: BTreeSet<Arc<str>>,
    /// When the last of what was told arrives.
    pub told_at: Millis,
    /// Its engine does not say what it runs.
    pub hides: bool,
    pub snapshot: Option<Snapshot>,
}

impl World {
    pub fn populate(&mut self) {
        for number in 0..self.dice.between(1, 5) {
            let spec = self.spec(format!("id{number}"), format!("w{number}"));
            self.workers.push(Worker {
                spec,
                up: false,
                hung: false,
                cut: false,
                leaving: false,
                life: 0,
                session: None,
                instances: BTreeMap::new(),
                tasks: BTreeMap::new(),
                untold: BTreeSet::new(),
                told_at: 0,
                hides: false,
                snapshot: None,
            });
            self.start_worker(number as usize);
        }
        let left = self.dice.between(50, 400) as u32;
        self.at(100, Happening::Chaos { left });
    }

    pub fn spec(&mut self, id: String, name: String) -> NodeSpec {
        let engines: &[&str] = self.dice.one_of(&[&["process", "docker"][..], &["process", "docker"], &["process"]]);
        let slots = self.dice.one_of(&[0, 1, 1, 2, 2, 3, 5, 8]);
        let spec = NodeSpec {
            id,
            name,
            os: "linux".into(),
            arch: self.dice.one_of(&["x86_64", "x86_64", "aarch64"]).into(),
            tools: BTreeSet::new(),
            tags: [("zone".to_string(), self.dice.one_of(&["a", "a", "b"]).to_string())].into(),
            engines: engines.iter().map(|e| e.to_string()).collect(),
            slots,
            job_slots: self.dice.between(0, u64::from(slots)) as u32,
            cpus: self.dice.one_of(&[0, 1, 2, 4, 8]),
            memory_bytes: 8 << 30,
            ..NodeSpec::default()
        };
        self.kind(spec)
    }

    pub fn start_worker(&mut self, worker: usize) {
        let w = &mut self.workers[worker];
        (w.up, w.hung, w.leaving, w.session) = (true, false, false, None);
        w.life += 1;
        let life = w.life;
        self.at(1, Happening::Join { worker, life });
        self.at(500, Happening::Beat { worker, life });
        self.resume_tasks(worker);
    }

    pub fn kill_worker(&mut self, worker: usize) {
        let w = &mut self.workers[worker];
        (w.up, w.session) = (false, None);
        w.life += 1;
        w.instances.clear();
        self.kill_tasks(worker);
    }

    fn delay(&mut self) -> Millis {
        let most = if self.healed { 5 } else { self.dice.one_of(&[0, 5, 50, 50, 3_000]) };
        self.dice.between(0, most)
    }

    /// Sends to the core: perhaps late, twice or in vain.
    pub fn tell_core(&mut self, from: usize, command: Command) {
        let w = &self.workers[from];
        if !self.healed && (w.cut || w.hung || self.dice.percent(4)) {
            return;
        }
        while !self.healed && self.dice.percent(5) {
            let delay = self.delay();
            self.at(delay, Happening::Core { from: Some(from), command: command.clone() });
        }
        let delay = self.delay();
        self.at(delay, Happening::Core { from: Some(from), command });
    }

    pub fn tell_worker(&mut self, worker: usize, order: Order) {
        let w = &self.workers[worker];
        if !self.healed && (w.cut || self.dice.percent(4)) {
            return;
        }
        while !self.healed && self.dice.percent(5) {
            let delay = self.delay();
            self.at(delay, Happening::Worker(worker, order.clone()));
        }
        let delay = if self.healed { 2 } else { self.delay() }; // in order, when all is well
        self.at(delay, Happening::Worker(worker, order));
    }

    pub fn join(&mut self, worker: usize, life: u64) -> Result<(), String> {
        let w = &mut self.workers[worker];
        if w.life != life || !w.up || w.session.is_some() {
            return Ok(());
        }
        self.at(2_000, Happening::Join { worker, life }); // in case there is no answer
        let (mut instances, spec) = (self.told_at_join(worker), self.workers[worker].spec.clone());
        while !self.healed && self.workers[worker].reach() == Reach::Links && self.dice.percent(15) {
            instances.push(self.lie()); // stale, or never true
        }
        let tasks = self.tasks_of(worker);
        self.tell_core(worker, Command::Join { spec, instances, tasks });
        Ok(())
    }

    pub fn lie(&mut self) -> Reported {
        let instance = InstanceKey(self.first_key + self.dice.between(0, self.cluster.next_key + 5 - self.first_key));
        let really = self.workers.iter().find_map(|w| w.instances.get(&instance)).map(|i| i.revision.clone());
        match really {
            Some(r) => Reported { instance, function: r.function.to_string(), revision: r.number, frozen: false },
            None => {
                self.lied_of.insert(instance);
                let (function, revision) = (self.function_name(), self.dice.between(0, 3));
                Reported { instance, function, revision, frozen: self.dice.percent(30) }
            }
        }
    }

    pub fn beat(&mut self, worker: usize, life: u64) -> Result<(), String> {
        let w = &self.workers[worker];
        if w.life != life || !w.up {
            return Ok(());
        }
        self.at(1_000, Happening::Beat { worker, life });
        let Some((node, session)) = self.workers[worker].session else { return Ok(()) };
        self.tell_tasks(worker);
        let (cpu_percent, memory_percent) = (self.metric(), self.metric());
        self.tell_core(worker, Command::Beat { node, session, cpu_percent, memory_percent });
        if self.healed || self.dice.percent(30) {
            let reach = self.workers[worker].reach();
            self.tell_core(worker, Command::SetReach { node, session, reach });
        }
        Ok(())
    }

    fn metric(&mut self) -> Option<f64> {
        let sane = self.dice.between(0, 100) as f64;
        self.dice.one_of(&[
            Some(sane),
            Some(sane),
            Some(sane),
            Some(100.0),
            None,
            Some(f64::NAN),
            Some(-5.0),
            Some(1e300),
            Some(f64::INFINITY),
        ])
    }

    pub fn obey(&mut self, worker: usize, order: Order) -> Result<(), String> {
        self.note(|| format!("    w{worker} told {order:?}"));
        let w = &mut self.workers[worker];
        if !w.up || w.hung {
            return Ok(());
        }
        match order {
            Order::Joined { node, session } => {
                if w.session.is_none_or(|(_, known)| known < session) {
                    w.session = Some((node, session));
                    let reach = w.reach();
                    self.tell_core(worker, Command::SetReach { node, session, reach });
                    self.look_for_hidden(worker, session);
                }
            }
            Order::Rejoin { session } => {
                if w.session.is_some_and(|(_, known)| known == session) {
                    w.session = None;
                    let life = w.life;
                    self.at(50, Happening::Join { worker, life });
                }
            }
            Order::Start { session, instance, revision } => {
                let mine = w.session.is_some_and(|(_, known)| known == session);
                if mine && !w.instances.contains_key(&instance) {
                    w.instances.insert(instance, Running { revision, ready: false, frozen: false });
                    let (takes, luck) = (self.dice.between(0, 2_500), self.dice.between(0, 99));
                    match luck {
                        _ if self.healed => self.at(takes / 10, Happening::Started { worker, instance, well: true }),
                        0..75 => self.at(takes, Happening::Started { worker, instance, well: true }),
                        75..92 => self.at(takes, Happening::Started { worker, instance, well: false }),
                        _ => {} // never answers
                    }
                }
            }
            Order::Stop { session, instance } => {
                // one of an earlier session is void: the join since then reported the instance, and may have kept it
                if w.session.is_some_and(|(_, known)| known == session) {
                    w.instances.remove(&instance);
                }
            }
            Order::Freeze { session, instance } if w.session.is_some_and(|(_, known)| known == session) => {
                let wanted = self.cluster.instance(instance).is_some_and(|i| i.state == InstanceState::Frozen);
                let running = w.instances.get_mut(&instance).filter(|i| i.ready && wanted);
                let can = self.healed || self.dice.percent(90);
                match running {
                    Some(running) if can => running.frozen = true,
                    Some(_) => self.tell_core(worker, Command::InstanceAwake { instance }),
                    None => {}
                }
            }
            Order::Thaw { session, instance } => {
                let running = w.instances.get_mut(&instance);
                if let Some(running) = running.filter(|_| w.session.is_some_and(|(_, known)| known == session)) {
                    running.frozen = false;
                }
            }
            Order::Freeze { .. } => {}
            Order::Prepare { revision } => {
                let Some((node, _)) = w.session else { return Ok(()) };
                let (function, number) = (revision.function.clone(), revision.number);
                let command = match self.dice.between(0, 3) {
                    0 => Command::RevisionFailed { function, revision: number, node, why: "no such image".into() },
                    1 => Command::ResolveMode { function, revision: number, mode: Mode::Job },
                    _ => Command::ResolveMode { function, revision: number, mode: Mode::Http },
                };
                self.tell_core(worker, command);
            }
            Order::Found { session } => self.found(worker, session),
            Order::Drained if w.leaving => {
                if let Some((node, session)) = w.session {
                    self.kill_worker(worker);
                    self.at(
                        5,
                        Happening::Core {
                            from: None,
                            command: Command::Disconnect { node, session, why: "left".into() },
                        },
                    );
                }
            }
            Order::Drained => {}
        }
        Ok(())
    }

    pub fn started(&mut self, worker: usize, instance: InstanceKey, well: bool) -> Result<(), String> {
        let Some(running) = self.workers[worker].instances.get_mut(&instance).filter(|r| !r.ready) else {
            return Ok(());
        };
        if well {
            running.ready = true;
            self.tell_core(worker, Command::InstanceReady { instance });
        } else {
            self.workers[worker].instances.remove(&instance);
            self.tell_core(worker, Command::InstanceEnded { instance, why: "exit code 1".into() });
        }
        Ok(())
    }
}
