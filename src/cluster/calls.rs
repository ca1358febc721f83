//! A call's way: a slot at once, or a place in its function's queue, and the slot given back at the end.

use super::*;
use std::collections::VecDeque;
use std::ops::Bound;

/// Why a call that asks for more than its function does is not taken, or not any more.
const SERVES_HTTP: &str =
    "it serves HTTP, and its instances are where its own constraints say: a call cannot ask for more";

/// Where a waiting call may still go.
enum Prospects {
    AsAnyOther,
    /// Not to every node: some refused it.
    Elsewhere,
    None,
}

impl Cluster {
    pub(super) fn invoke(
        &mut self,
        now: Millis,
        name: &str,
        origin: Origin,
        wants: Option<Arc<Constraints>>,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let key = *self.function_names.get(name).ok_or(Refusal::UnknownFunction)?;
        self.take_in(now, key, origin, wants, out).inspect_err(|_| self.note(key, |meter| meter.refused += 1))
    }

    fn take_in(
        &mut self,
        now: Millis,
        key: FunctionKey,
        origin: Origin,
        wants: Option<Arc<Constraints>>,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let runs = self.check_runs(key)?;
        self.check_at_once(key)?;
        let invocation = InvocationKey(self.fresh_key());
        if wants.is_some() && self.functions.get(&key).is_some_and(|f| !f.current().is_job()) {
            return Err(Refusal::NoNode { why: SERVES_HTTP.into() });
        }
        let elsewhere = runs == Runs::Elsewhere;
        let (held, refused_by) = (None, Vec::new());
        let call = Invocation { function: key, origin, wants, accepted: now, elsewhere, held, refused_by };
        self.invocations.insert(invocation, call);
        if let Some(function) = self.functions.get_mut(&key).filter(|_| elsewhere) {
            function.running += 1;
            out.push(Event::InvocationElsewhere { invocation, revision: function.current().clone() });
            return Ok(());
        }
        // Where calls of an http function wait already, there is no room for this one either.
        let waits = self.functions.get(&key).is_some_and(|f| !f.queue.is_empty() && !f.current().is_job());
        let taken = match !waits && self.assign(now, invocation, out) {
            true => Ok(()),
            false => self.enqueue(now, invocation, key, out),
        };
        if taken.is_err() {
            self.invocations.remove(&invocation);
        }
        taken
    }

    /// Where calls go, if they go anywhere.
    fn check_runs(&self, key: FunctionKey) -> Result<Runs, Refusal> {
        let function = self.functions.get(&key).ok_or(Refusal::UnknownFunction)?;
        match (function.stopped, function.current().runs()) {
            (true, _) => Err(Refusal::Stopped),
            (false, Runs::Nowhere) => Err(Refusal::NoImage),
            (false, runs) => Ok(runs),
        }
    }

    /// Whether one more call may be under way.
    fn check_at_once(&self, key: FunctionKey) -> Result<(), Refusal> {
        if self.invocations.len() >= self.limits.calls {
            return Err(Refusal::TooManyCalls { limit: self.limits.calls });
        }
        let Some(function) = self.functions.get(&key) else { return Err(Refusal::UnknownFunction) };
        let of_its_own = function.current().calls_at_once as usize;
        let limit = if of_its_own > 0 { of_its_own } else { self.limits.calls_per_function };
        match function.running as usize + function.queue.len() >= limit {
            true => Err(Refusal::TooManyCallsOfFunction { limit, of_its_own: of_its_own > 0 }),
            false => Ok(()),
        }
    }

    fn enqueue(
        &mut self,
        now: Millis,
        invocation: InvocationKey,
        key: FunctionKey,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let Some(function) = self.functions.get(&key) else { return Err(Refusal::UnknownFunction) };
        if function.queue.len() >= self.limits.queue_per_function {
            return Err(Refusal::QueueFull { limit: self.limits.queue_per_function });
        }
        if self.queued >= self.limits.queue_total {
            return Err(Refusal::QueueFull { limit: self.limits.queue_total });
        }
        let (revision, waiting) = (function.current().clone(), function.queue.len() + 1);
        self.forgive(key);
        let wants = self.invocations.get(&invocation).and_then(|call| call.wants.clone());
        let hopeful = match wants.as_deref() {
            Some(wants) => self.placeable_call(&revision, Some(wants), &[]),
            None => self.hopeful(now, key, &revision, waiting, out),
        };
        if !hopeful {
            return Err(Refusal::NoNode { why: self.why_not(&revision, wants.as_deref()) });
        }
        let limit = self.functions.get_mut(&key).and_then(|f| f.crowded(now));
        let waiting = self.functions.get(&key).map_or(0, |f| f.queue.len());
        if let Some(limit) = limit.filter(|limit| waiting == *limit) {
            return Err(Refusal::QueueFull { limit });
        }
        self.push_queue(key, invocation, false);
        if let Some(function) = self.functions.get_mut(&key) {
            function.note_wait();
            if !function.is_full() {
                self.note(key, |meter| meter.cold += 1);
            }
        }
        out.push(Event::InvocationQueued { invocation });
        if let Some(limit) = limit {
            self.send_away(now, key, limit, out);
        }
        Ok(())
    }

    pub(super) fn refuse(
        &mut self,
        now: Millis,
        invocation: InvocationKey,
        why: String,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let call = self.invocations.get_mut(&invocation).ok_or(Refusal::UnknownInvocation)?;
        let held = call.held.take().ok_or(Refusal::UnknownInvocation)?;
        call.refused_by.push(held.node);
        let (key, refused_by, wants) = (call.function, call.refused_by.clone(), call.wants.clone());
        let was_full = self.give_back(now, &held, key);
        let again = self.functions.get(&key).map(|f| {
            let revision = f.current();
            let somewhere = match revision.is_job() {
                true => self.placeable_call(revision, wants.as_deref(), &refused_by),
                false => wants.is_none(), // it was a job until now
            };
            refused_by.len() < self.limits.start_attempts && somewhere
        });
        let stopped = self.functions.get(&key).is_some_and(|f| f.stopped);
        if again.is_none() {
            self.fail(now, invocation, Failure::FunctionDeleted, out);
        } else if stopped {
            self.fail(now, invocation, Failure::Stopped, out);
        } else if again == Some(false) {
            self.fail(now, invocation, Failure::NotStarted { why }, out);
        } else if !self.assign(now, invocation, out) {
            self.push_queue(key, invocation, true); // it was here before those who wait
        }
        self.after_release(now, &held, was_full, key, out);
        self.pump(now, key, out); // it may wait now, and in vain
        Ok(())
    }

    pub(super) fn finish(
        &mut self,
        now: Millis,
        invocation: InvocationKey,
        success: bool,
        took_us: u64,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let call = self.invocations.get(&invocation).ok_or(Refusal::UnknownInvocation)?;
        let (key, held) = (call.function, call.held);
        let was_full = self.release(now, invocation, success, Some(took_us));
        if let Some(held) = held {
            self.after_release(now, &held, was_full, key, out);
        }
        Ok(())
    }

    /// Takes a call off the books, whether it waited or ran. Tells nobody. True when other functions may gain by it.
    pub(super) fn release(
        &mut self,
        now: Millis,
        invocation: InvocationKey,
        success: bool,
        took_us: Option<u64>,
    ) -> bool {
        let Some(call) = self.invocations.remove(&invocation) else { return false };
        let mut was_full = false;
        match call.held {
            Some(held) => {
                was_full = self.give_back(now, &held, call.function);
                if let Some(node) = self.nodes.get_mut(&held.node) {
                    node.succeeded += u64::from(success);
                    node.failed += u64::from(!success);
                }
            }
            None if call.elsewhere => {
                if let Some(function) = self.functions.get_mut(&call.function) {
                    function.running = function.running.saturating_sub(1);
                }
            }
            None => self.unqueue(call.function, invocation),
        }
        let took_us = took_us.unwrap_or(now.saturating_sub(call.accepted) * 1_000);
        self.meter.ended(success, took_us);
        if let Some(function) = self.functions.get_mut(&call.function) {
            let node = call.held.map(|held| held.node);
            function.ended(Ended { invocation, origin: call.origin, node, success, at: now, took_us });
        }
        was_full
    }

    /// Gives waiting calls of a function what room there is; fails them when there will be none.
    pub(super) fn pump(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        self.fail_asking(now, key, out);
        self.serve_waiting(now, key, out);
    }

    /// The same where there is only more room than before, which takes no node from anybody.
    fn serve_waiting(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        let mut at = 0;
        while let Some(call) = self.functions.get(&key).and_then(|f| f.queue.get(at).copied()) {
            if self.assign(now, call, out) {
                self.unqueue(key, call);
                continue;
            }
            // jobs that some node refused stand first; those behind them may go where they may not
            match self.prospects(key, call) {
                Prospects::AsAnyOther => break,
                Prospects::Elsewhere => at += 1,
                Prospects::None => {
                    let failure = self.why_in_vain(key, call);
                    self.fail(now, call, failure, out);
                }
            }
        }
        let Some(function) = self.functions.get(&key).filter(|f| !f.queue.is_empty()) else { return };
        let (revision, waiting) = (function.current().clone(), function.queue.len());
        if self.hopeful(now, key, &revision, waiting, out) {
            return;
        }
        let failed = self.functions.get_mut(&key).and_then(|f| {
            let tried = !std::mem::take(&mut f.failed_on).is_empty();
            f.last_error.clone().filter(|_| tried)
        });
        let failure = match failed {
            Some(why) => Failure::NotStarted { why },
            None => Failure::NoNode { why: self.why_not(&revision, None) },
        };
        self.fail_waiting(now, key, failure, out);
    }

    /// Fails waiting calls that ask for more than their function does, of a node that is there no more: wherever they
    /// stand, for those before them may wait for long.
    fn fail_asking(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get(&key).filter(|f| !f.asking.is_empty()) else { return };
        let revision = function.current();
        let kinds = self.kinds_for(revision);
        let (mut known, mut in_vain) = (BTreeMap::<&Constraints, bool>::new(), Vec::new());
        for call in &function.asking {
            let Some(wants) = self.invocations.get(call).and_then(|call| call.wants.as_deref()) else { continue };
            let hopeful = || revision.is_job() && kinds.iter().any(|node| meets(node, wants));
            in_vain.extend((!*known.entry(wants).or_insert_with(hopeful)).then_some(*call));
        }
        for call in in_vain {
            let failure = self.why_in_vain(key, call);
            self.fail(now, call, failure, out);
        }
    }

    /// Why a call that waited will not get room.
    fn why_in_vain(&self, key: FunctionKey, call: InvocationKey) -> Failure {
        let call = self.invocations.get(&call);
        match (self.functions.get(&key), call.filter(|call| call.refused_by.is_empty())) {
            (Some(function), _) if !function.current().is_job() => Failure::NoNode { why: SERVES_HTTP.into() },
            (Some(function), Some(call)) => {
                Failure::NoNode { why: self.why_not(function.current(), call.wants.as_deref()) }
            }
            _ => Failure::NotStarted { why: "every node left that could take it has refused it".into() },
        }
    }

    fn prospects(&self, key: FunctionKey, call: InvocationKey) -> Prospects {
        let Some(call) = self.invocations.get(&call) else { return Prospects::AsAnyOther };
        let Some(revision) = self.functions.get(&key).map(Function::current) else { return Prospects::None };
        match (revision.is_job(), call.refused_by.is_empty()) {
            (true, true) if call.wants.is_some() => Prospects::Elsewhere, // or it would not wait: see `fail_asking`
            (false, _) | (_, true) => Prospects::AsAnyOther,
            (true, false) if self.placeable_call(revision, call.wants.as_deref(), &call.refused_by) => {
                Prospects::Elsewhere
            }
            (true, false) => Prospects::None,
        }
    }

    /// Whether waiting calls will get room by and by; starts instances for them.
    fn hopeful(
        &mut self,
        now: Millis,
        key: FunctionKey,
        revision: &Revision,
        waiting: usize,
        out: &mut Vec<Event>,
    ) -> bool {
        if revision.is_job() {
            return self.placeable(revision, &[]);
        }
        self.scale_up(now, key, waiting, out);
        self.functions.get(&key).is_some_and(|f| {
            f.tally.live() > 0 || f.is_coming() || (revision.max > 0 && self.placeable(revision, &f.failed_on))
        })
    }

    pub(super) fn pump_all(&mut self, now: Millis, out: &mut Vec<Event>) {
        self.pump_oldest_first(now, None, out);
    }

    /// The call that waited longest comes first, or a busy function would keep its slots for itself. With `node`: until
    /// that one has no room left, as only there something became free.
    fn pump_oldest_first(&mut self, now: Millis, node: Option<NodeKey>, out: &mut Vec<Event>) {
        let mut next = self.waiting.first().copied();
        while let Some(at) = next {
            if node.and_then(|node| self.nodes.get(&node)).is_some_and(|n| n.running >= n.spec.slots) {
                return;
            }
            match node {
                Some(_) => self.serve_waiting(now, at.1, out),
                None => self.pump(now, at.1, out),
            }
            next = self.waiting.range((Bound::Excluded(at), Bound::Unbounded)).next().copied();
        }
    }

    pub(super) fn fail_waiting(&mut self, now: Millis, key: FunctionKey, failure: Failure, out: &mut Vec<Event>) {
        let queue: Vec<InvocationKey> =
            self.functions.get(&key).map(|f| f.queue.iter().copied().collect()).unwrap_or_default();
        for invocation in queue {
            self.fail(now, invocation, failure.clone(), out);
        }
    }

    pub(super) fn fail(&mut self, now: Millis, invocation: InvocationKey, failure: Failure, out: &mut Vec<Event>) {
        self.release(now, invocation, false, None);
        out.push(Event::InvocationFailed { invocation, failure });
    }

    /// Gives a call a slot if there is one for it.
    fn assign(&mut self, now: Millis, invocation: InvocationKey, out: &mut Vec<Event>) -> bool {
        let Some(call) = self.invocations.get(&invocation) else { return false };
        let key = call.function;
        let Some(function) = self.functions.get(&key) else { return false };
        let revision = function.current().clone();
        let (node, instance) = match revision.is_job() {
            true => (self.place_call(&revision, call.wants.as_deref(), &call.refused_by), None),
            false => self.pick(function, &call.refused_by).unzip(),
        };
        let Some(node) = node else { return false };
        let turn = self.fresh_turn();
        let Some(at) = self.nodes.get_mut(&node) else { return false };
        at.take_slot(instance.is_none(), turn);
        let held = Held { node, instance, at_beat: at.beats };
        if let Some(instance) = instance {
            self.occupy(instance);
        }
        if let Some(function) = self.functions.get_mut(&key) {
            function.running += 1;
            function.note_peak();
            function.picked = instance.unwrap_or(function.picked);
        }
        if let Some(call) = self.invocations.get_mut(&invocation) {
            call.held = Some(held);
        }
        self.reindex(node);
        out.push(Event::InvocationAssigned(Assigned { invocation, node, instance, revision }));
        if instance.is_some() {
            self.consider_takeover(now, key, node, out);
        }
        true
    }

    /// True when the node was full for other functions too.
    fn give_back(&mut self, now: Millis, held: &Held, key: FunctionKey) -> bool {
        let mut was_full = false;
        if let Some(node) = self.nodes.get_mut(&held.node) {
            was_full = node.running >= node.spec.slots || node.running_jobs >= node.spec.job_slots;
            node.give_slot_back(held.instance.is_none(), held.at_beat);
        }
        if let Some(function) = self.functions.get_mut(&key) {
            function.running = function.running.saturating_sub(1);
        }
        self.reindex(held.node);
        let here = |key: &InstanceKey| self.instances.get(key).is_some_and(|i| i.node == held.node);
        if let Some(instance) = held.instance.filter(here) {
            self.vacate(now, instance);
        }
        was_full
    }

    /// A slot is free: whoever waits for one gets it, and what was only waiting for its last call goes.
    fn after_release(&mut self, now: Millis, held: &Held, was_full: bool, key: FunctionKey, out: &mut Vec<Event>) {
        self.stop_emptied(held, out);
        match was_full {
            true => self.pump_oldest_first(now, Some(held.node), out),
            false => self.serve_waiting(now, key, out),
        }
    }

    fn push_queue(&mut self, key: FunctionKey, invocation: InvocationKey, first: bool) {
        let asks = self.invocations.get(&invocation).is_some_and(|call| call.wants.is_some());
        if let Some(function) = self.functions.get_mut(&key).filter(|_| asks) {
            function.asking.insert(invocation);
        }
        self.change_queue(key, |queue| match first {
            true => queue.push_front(invocation),
            false => queue.push_back(invocation),
        });
    }

    fn unqueue(&mut self, key: FunctionKey, invocation: InvocationKey) {
        if let Some(function) = self.functions.get_mut(&key) {
            function.asking.remove(&invocation);
        }
        self.change_queue(key, |queue| {
            if let Some(at) = queue.iter().position(|i| *i == invocation) {
                queue.remove(at);
            }
        });
    }

    /// The only way to change a queue: keeps the count and the order among functions.
    pub(super) fn change_queue(&mut self, key: FunctionKey, change: impl FnOnce(&mut VecDeque<InvocationKey>)) {
        let Some(function) = self.functions.get_mut(&key) else { return };
        let queue = &mut function.queue;
        let (first, before) = (queue.front().copied(), queue.len());
        change(queue);
        self.queued = self.queued + queue.len() - before;
        if queue.front().copied() != first {
            if let Some(first) = first {
                self.waiting.remove(&(first, key));
            }
            if let Some(first) = queue.front() {
                self.waiting.insert((*first, key));
            }
        }
    }
}
