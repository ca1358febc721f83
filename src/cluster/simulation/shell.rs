//! The shell around the core, as the real one must be, and what it finds wrong with what the core tells it.

use super::super::*;
use super::workers::Order;
use super::world::{Call, Happening, World};
use crate::cluster::invariants::ensure;

const START_TIMEOUT_MS: Millis = 4_000;

impl World {
    pub fn accepted(&mut self, from: Option<usize>, command: &Command, events: &[Event]) -> Result<(), String> {
        if let Command::Beat { node, session, .. }
        | Command::ReportTasks { node, session, .. }
        | Command::SetReach { node, session, .. }
        | Command::Leave { node, session }
        | Command::Disconnect { node, session, .. } = command
        {
            let current = self.sessions.get(node);
            ensure!(current == Some(session), "{node:?} is in session {current:?} and {session} was heard");
        }
        match command {
            Command::Join { spec, .. } => {
                ensure!(!World::is_thief(spec), "{} was let in without its secret", spec.id);
                for event in events {
                    let Event::NodeJoined { node, session, again } = event else { continue };
                    self.seen.saw(if *again { "joined again" } else { "joined" });
                    self.heard(*node);
                    self.sessions.insert(*node, *session);
                    if let Some(worker) = from {
                        self.by_node.insert(*node, worker);
                        self.tell_worker(worker, Order::Joined { node: *node, session: *session });
                    }
                }
            }
            Command::Beat { node, .. } => self.heard(*node),
            Command::Disconnect { .. } => self.seen.saw("disconnected"),
            Command::Invoke { wants, .. } => {
                let accepted = events.iter().find_map(|event| match event {
                    Event::InvocationAssigned(assigned) => Some(assigned.invocation),
                    Event::InvocationQueued { invocation } => Some(*invocation),
                    Event::InvocationElsewhere { invocation, .. } => Some(*invocation),
                    _ => None,
                });
                let Some(invocation) = accepted else { return Err("a call was taken and nobody told".into()) };
                ensure!(!self.calls.contains_key(&invocation), "{invocation} is given to two calls");
                let wants = wants.clone();
                self.calls.insert(invocation, Call { attempt: 0, at: None, refused_by: Vec::new(), wants });
                let elsewhere = events.iter().any(|e| matches!(e, Event::InvocationElsewhere { .. }));
                if elsewhere || self.dice.percent(25) {
                    let after = self.dice.between(0, 4_000);
                    self.at(after, Happening::GivesUp { invocation });
                }
            }
            Command::PutAgain { .. } => self.seen.saw("put again"),
            Command::Finish { invocation, .. } => {
                ensure!(self.calls.remove(invocation).is_some(), "{invocation} ended twice");
            }
            Command::Refuse { invocation, .. } => {
                let call = self.calls.get_mut(invocation);
                let Some(call) = call else { return Err(format!("{invocation} was refused after its end")) };
                call.refused_by.extend(call.at.take().map(|at| at.node));
                self.seen.saw("refused");
                let failed = |e: &Event| matches!(e, Event::InvocationFailed { invocation: i, .. } if i == invocation);
                if events.iter().any(failed) {
                    self.seen.saw("refused for good");
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub fn events(&mut self, from: Option<usize>, events: Vec<Event>) -> Result<(), String> {
        // What served until a later event: a call before it was rightly given that.
        let mut until = Vec::new();
        for (at, event) in events.iter().enumerate() {
            if let Event::RevisionServing { revision, before: Some(before) } = event {
                until.push((at, revision.function.clone(), *before));
            }
        }
        for (at, event) in events.into_iter().enumerate() {
            self.note(|| format!("    {event:?}"));
            match event {
                Event::NodeJoined { .. } | Event::NodeCordoned { .. } | Event::NodeUncordoned { .. } => {}
                Event::NodeDraining { .. } | Event::NodeLost { .. } => {}
                Event::NodeEngines { .. } => self.seen.saw("engines"),
                Event::ModeResolved { revision } => {
                    ensure!(revision.mode != Mode::Auto, "{} resolved to auto", revision.function);
                    self.seen.saw("resolved");
                }
                Event::NodeLeft { .. } => self.seen.saw("left"),
                Event::NodeRevoked { .. } => self.seen.saw("revoked"),
                Event::NodeDrained { node } => {
                    self.seen.saw("drained");
                    self.order(node, Order::Drained);
                }
                Event::NodeRemoved { node, .. } => {
                    self.seen.saw("removed");
                    self.by_node.remove(&node);
                }
                Event::FunctionPut { revision, first } => {
                    let known = self.puts.insert(revision.function.clone(), revision.number);
                    ensure!(first == known.is_none(), "{} put as first: {first}", revision.function);
                    let next = revision.number == known.unwrap_or(0) + 1;
                    ensure!(next || self.undoing, "{known:?} is followed by {}", revision.number);
                    if !first {
                        self.seen.saw("replaced");
                    }
                }
                Event::FunctionDeleted { name } => {
                    ensure!(self.puts.remove(&name).is_some(), "{name} deleted twice");
                }
                Event::InstanceStarting { instance, node, revision } => {
                    self.may_get(node, &revision, true)?;
                    let session = self.session(node);
                    if self.cluster.function(&revision.function).is_some_and(|f| f.moved_at == Some(self.now)) {
                        self.seen.saw("take-over");
                    }
                    self.order(node, Order::Start { session, instance, revision });
                    self.at(START_TIMEOUT_MS, Happening::StartTimeout { instance });
                }
                Event::FunctionScaled { revision: r } => {
                    ensure!(r.min <= r.max && r.ready <= r.max, "{} is scaled to nonsense", r.function);
                    self.seen.saw("scaled");
                }
                Event::RevisionServing { revision, before } => {
                    let may = revision.mode != Mode::Http || self.has_answered(&revision);
                    ensure!(may, "{revision:?} serves and has never answered");
                    if before.is_some() {
                        self.seen.saw("successor serves");
                    }
                }
                Event::RevisionFailed { .. } => self.seen.saw("revision failed"),
                Event::ModeWanted { node, revision } => {
                    self.seen.saw("mode asked");
                    self.may_get(node, &revision, true)?;
                    self.order(node, Order::Prepare { revision: revision.clone() });
                    self.at(START_TIMEOUT_MS, Happening::PrepareTimeout { node, revision });
                }
                Event::InstanceFrozen { instance, node, .. } => {
                    self.seen.saw("frozen");
                    self.order(node, Order::Freeze { session: self.session(node), instance });
                }
                Event::InstanceThawing { instance, node } => {
                    self.seen.saw("woken for the minimum");
                    self.order(node, Order::Thaw { session: self.session(node), instance });
                }
                Event::InstanceEvicted { revision, .. } => {
                    self.seen.saw("evicted");
                    let left = self.cluster.function(&revision.function).map(|f| (f.tally.live(), f.floor()));
                    ensure!(left.is_none_or(|(live, floor)| live >= floor), "evicted below the floor: {left:?}");
                }
                Event::InstanceWarm { ref revision, .. } => {
                    self.answered.insert((revision.function.clone(), revision.number, revision.born));
                    if self.cluster.nodes().any(|n| n.last_seen == self.now && n.reach == Reach::None) {
                        self.seen.saw("adopted");
                    }
                }
                Event::InstanceStopping { instance, node } => {
                    self.order(node, Order::Stop { session: self.session(node), instance });
                }
                Event::InstancesUnwanted { node, instances } => {
                    if from.is_some() && self.by_node.get(&node) == from.as_ref() {
                        self.seen.saw("not adopted");
                    }
                    for instance in instances {
                        self.order(node, Order::Stop { session: self.session(node), instance });
                    }
                }
                Event::InstanceEnded { instance, node, started, .. } => {
                    self.seen.saw(if started { "instance crashed" } else { "start failed" });
                    self.order(node, Order::Stop { session: self.session(node), instance });
                }
                Event::InvocationAssigned(assigned) => {
                    let of = |name: &str| self.cluster.function(name).map(|f| f.current().number);
                    let name = &assigned.revision.function;
                    let then = until.iter().find(|(serves, function, _)| *serves > at && function == name);
                    let current = then.map(|(_, _, before)| *before).or_else(|| of(name));
                    self.assigned(assigned, current)?;
                }
                Event::InvocationQueued { .. } => self.seen.saw("queued"),
                Event::FunctionStopped { stopped, .. } => {
                    self.seen.saw(if stopped { "function stopped" } else { "function started" })
                }
                Event::InvocationElsewhere { revision, .. } => {
                    ensure!(revision.runs() == Runs::Elsewhere, "{} runs on nodes", revision.function);
                    self.seen.saw("elsewhere");
                }
                Event::TaskSubmitted { .. }
                | Event::TaskChanged { .. }
                | Event::TaskNoted { .. }
                | Event::TaskPlace { .. }
                | Event::TaskStop { .. }
                | Event::TaskForget { .. }
                | Event::TaskGone { .. } => self.task_event(event)?,
                Event::InvocationFailed { invocation, failure } => {
                    self.seen.saw(match failure {
                        Failure::NodeLost { .. } => "node lost",
                        Failure::NoNode { .. } => "no node",
                        Failure::NotStarted { .. } => "not started",
                        Failure::Crowded { .. } => "crowded",
                        Failure::Stopped => "stopped while waiting",
                        Failure::FunctionDeleted => "deleted while waiting",
                    });
                    ensure!(self.calls.remove(&invocation).is_some(), "{invocation} ended twice");
                }
            }
        }
        Ok(())
    }

    /// The shell waits no longer for a node to say how an image is run.
    pub fn prepare_timeout(&mut self, node: NodeKey, revision: &Revision) -> Result<(), String> {
        let (function, revision, why) = (revision.function.clone(), revision.number, "no answer".into());
        self.core(None, Command::RevisionFailed { function, revision, node, why })
    }

    fn session(&self, node: NodeKey) -> u64 {
        self.cluster.node(node).map_or(0, |n| n.session)
    }

    fn order(&mut self, node: NodeKey, order: Order) {
        if let Some(worker) = self.by_node.get(&node).copied() {
            self.tell_worker(worker, order);
        }
    }

    /// Whether the node is one that may be given work of this revision; `new`: more than a call to a warm instance.
    fn may_get(&self, node: NodeKey, revision: &Revision, new: bool) -> Result<(), String> {
        let Some(node) = self.cluster.node(node) else { return Err(format!("work for {node:?}, not known")) };
        let there = node.status == NodeStatus::Active && revision.words() <= node.reach.words();
        let there = there && node.reach != Reach::None;
        ensure!(there, "{:?} gets work and is {:?}, {:?}", node.key, node.status, node.reach);
        ensure!(!new || !node.cordoned, "{:?} gets new work and is cordoned", node.key);
        let (wanted, spec) = (&revision.constraints, &node.spec);
        let fits = has(spec, wanted) && (!new || spec.engines.contains(revision.engine())); // a warm instance may outlast its engine
        ensure!(fits, "{:?} gets work that it does not fit: {wanted:?}", node.key);
        Ok(())
    }

    /// `current`: the revision that served then.
    fn assigned(&mut self, assigned: Assigned, current: Option<u64>) -> Result<(), String> {
        let (invocation, revision) = (assigned.invocation, &assigned.revision);
        self.may_get(assigned.node, revision, assigned.instance.is_none())?;
        ensure!(current == Some(revision.number), "{invocation} got revision {} of {current:?}", revision.number);
        ensure!(assigned.instance.is_none() == revision.is_job(), "{invocation} got {:?}", assigned.instance);
        self.seen.saw(if revision.is_job() { "job" } else { "http" });
        let worker = self.by_node.get(&assigned.node).copied();
        let at = worker.and_then(|w| self.workers[w].instances.get_mut(&assigned.instance?));
        if at.is_some_and(|running| std::mem::take(&mut running.frozen)) {
            self.seen.saw("woken by a call"); // by the worker, in the path of the call
        }
        let Some(call) = self.calls.get_mut(&invocation) else {
            return Err(format!("{invocation} was assigned after its end"));
        };
        ensure!(call.at.is_none(), "{invocation} was assigned twice");
        if let (Some(wants), Some(node)) = (&call.wants, self.cluster.node(assigned.node)) {
            ensure!(has(&node.spec, wants), "{invocation} wants {wants:?}, and went to {:?}", node.spec);
            self.seen.saw("wants more");
        }
        match self.cluster.node(assigned.node).map(|n| n.reach) {
            Some(Reach::Http) => self.seen.saw("job over http"),
            Some(Reach::FirstGeneration) => self.seen.saw("job of the first"),
            _ => {}
        }
        let (refusals, most) = (call.refused_by.len(), self.limits.start_attempts);
        ensure!(refusals < most, "{invocation} was refused {refusals} times and sent again");
        let back = revision.is_job() && call.refused_by.contains(&assigned.node);
        ensure!(!back, "{invocation} went back to {:?}, which refused it", assigned.node);
        call.at = Some(assigned);
        call.attempt += 1;
        let attempt = call.attempt;
        let most = self.dice.one_of(&[20, 200, 1_000, 6_000]);
        let takes = self.dice.between(0, most);
        self.at(takes, Happening::CallEnds { invocation, attempt });
        Ok(())
    }

    /// The shell has sent the call; this is how that ended.
    pub fn call_ends(&mut self, invocation: InvocationKey, attempt: u32) -> Result<(), String> {
        let Some(call) = self.calls.get(&invocation).filter(|c| c.attempt == attempt) else { return Ok(()) };
        let Some(at) = &call.at else { return Ok(()) };
        let worker = self.by_node.get(&at.node).map(|w| &self.workers[*w]).filter(|w| w.up && !w.cut && !w.hung);
        let there = match (at.instance, worker) {
            (None, worker) => worker.is_some(),
            (Some(_), None) => false,
            (Some(instance), Some(worker)) => match worker.instances.get(&instance) {
                Some(running) => {
                    let same =
                        running.revision.description == at.revision.description || self.lied_of.contains(&instance); // it gets what it said
                    ensure!(same, "{invocation} reached code of another revision: {}", running.revision.description);
                    running.ready
                }
                None => false,
            },
        };
        if !there {
            self.seen.saw("call after crash");
        }
        if self.dice.percent(if there { 8 } else { 50 }) && !self.healed {
            return self.core(None, Command::Refuse { invocation, why: "no such instance".into() });
        }
        let success = there && self.dice.percent(90);
        if self.dice.percent(10) {
            let later = self.dice.between(0, 500);
            let command = Command::Finish { invocation, success, took_us: 0 }; // told twice
            self.at(later, Happening::Core { from: None, command });
        }
        self.core(None, Command::Finish { invocation, success, took_us: 0 })
    }

    pub fn gives_up(&mut self, invocation: InvocationKey) -> Result<(), String> {
        if !self.calls.contains_key(&invocation) {
            return Ok(());
        }
        self.seen.saw("gave up");
        self.core(None, Command::Finish { invocation, success: false, took_us: 0 })
    }

    pub fn start_timeout(&mut self, instance: InstanceKey) -> Result<(), String> {
        if self.cluster.instance(instance).is_none_or(|i| i.state != InstanceState::Starting) {
            return Ok(());
        }
        self.seen.saw("start timeout");
        self.core(None, Command::InstanceEnded { instance, why: "did not answer in time".into() })
    }

    /// A refusal must be deserved, and a worker is told.
    pub fn refused(&mut self, from: Option<usize>, command: &Command, refusal: Refusal) -> Result<(), String> {
        match (command, refusal) {
            (
                Command::Beat { session, .. }
                | Command::ReportTasks { session, .. }
                | Command::SetReach { session, .. }
                | Command::Leave { session, .. },
                Refusal::StaleSession | Refusal::UnknownNode,
            ) => {
                self.seen.saw("stale session");
                if let Some(worker) = from {
                    self.tell_worker(worker, Order::Rejoin { session: *session });
                }
            }
            (Command::Join { .. }, Refusal::NodeNameTaken { .. }) => self.seen.saw("name taken"),
            (Command::Join { .. }, Refusal::NotThatNode) => self.seen.saw("not that node"),
            (Command::Join { spec, .. }, Refusal::NodeRevoked) => {
                let of = |worker: &usize| self.workers[*worker].up && self.workers[*worker].spec.id == spec.id;
                if let Some(worker) = from.filter(of) {
                    self.set_up_anew(worker);
                }
            }
            (Command::InstanceReady { instance }, Refusal::UnknownInstance) => {
                if let Some(worker) = from {
                    let session = self.workers[worker].session.map_or(0, |(_, session)| session);
                    self.tell_worker(worker, Order::Stop { session, instance: *instance });
                }
            }
            (Command::PutAgain { .. }, Refusal::UnknownRevision { .. }) => self.seen.saw("no such revision"),
            (Command::Invoke { function, wants, .. }, refusal) => {
                self.call_refused(function, wants.as_deref(), refusal)?
            }
            (Command::Finish { invocation, .. }, _) => {
                ensure!(!self.calls.contains_key(invocation), "the end of {invocation} was not taken");
            }
            (Command::Refuse { invocation, .. }, _) => {
                let runs = self.calls.get(invocation).is_some_and(|c| c.at.is_some());
                ensure!(!runs, "the refusal of {invocation} was not taken");
            }
            (_, _) => {}
        }
        Ok(())
    }

    fn call_refused(&mut self, function: &str, wants: Option<&Constraints>, refusal: Refusal) -> Result<(), String> {
        let known = self.cluster.function(function);
        match (refusal, known) {
            (Refusal::UnknownFunction, None) => {}
            (Refusal::Stopped, Some(f)) => ensure!(f.stopped, "{function} refused a call as if it were stopped"),
            (Refusal::QueueFull { .. }, Some(f)) => {
                let full =
                    f.queue.len() >= self.limits.queue_per_function || self.cluster.queued >= self.limits.queue_total;
                let crowded = f.crowd.is_some() && f.queue.len() >= f.crowd_limit();
                ensure!(full || crowded, "{function} refused a call with room for {} more", f.queue.len());
                self.seen.saw("queue full");
            }
            (Refusal::NoNode { .. }, Some(f)) => {
                let revision = f.current();
                let job = revision.is_job();
                let more = wants.is_none() || job; // an http function's calls may not ask for more
                let possible = more && self.cluster.placeable_call(revision, wants, &[]) && (job || revision.max > 0);
                ensure!(!possible, "{function} refused a call that some node can take");
            }
            (Refusal::NoImage, Some(f)) => {
                ensure!(f.current().runs() == Runs::Nowhere, "{function} has an image");
                self.seen.saw("no image");
            }
            (Refusal::TooManyCalls { limit }, Some(_)) => {
                ensure!(self.calls.len() >= limit, "a call was refused beside {}", self.calls.len());
                self.seen.saw("too many calls");
            }
            (Refusal::TooManyCallsOfFunction { limit, .. }, Some(f)) => {
                let open = f.running as usize + f.queue.len();
                ensure!(open >= limit, "{function} refused a call beside {open}");
                self.seen.saw("too many of one");
            }
            (refusal, known) => return Err(format!("a call was refused with {refusal:?}, known: {}", known.is_some())),
        }
        Ok(())
    }
}

/// Whether a node has what is asked for.
fn has(spec: &NodeSpec, wanted: &Constraints) -> bool {
    wanted.arch.as_ref().is_none_or(|arch| *arch == spec.arch)
        && wanted.tags.iter().all(|(k, v)| spec.tags.get(k) == Some(v))
        && (!wanted.takes_inputs || spec.secrets || spec.http)
}
