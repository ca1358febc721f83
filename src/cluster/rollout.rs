//! How a new revision takes over: one of its instances must answer first, and until then the one before it serves. One
//! that cannot be started leaves it so.

use super::function::Rollout;
use super::*;

impl Function {
    /// An instance of the newest revision starts, or how to run it is being asked: calls may wait for that.
    pub(super) fn is_coming(&self) -> bool {
        self.rollout.as_ref().is_some_and(|r| r.tally.live() > 0 || r.asked.is_some())
    }
}

impl Cluster {
    /// A revision is the newest now: it serves at once where nothing proven would be given up for it.
    pub(super) fn begin_rollout(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get_mut(&key) else { return };
        let newest = function.newest().clone();
        let image = !newest.image.starts_with("bundle:");
        let starts = match newest.mode {
            _ if newest.runs() != Runs::OnNodes => false,
            Mode::Http => true,
            Mode::Auto => image && function.serving.mode == Mode::Http,
            Mode::Job => false,
        };
        function.failed = None;
        if starts && function.is_proven() && newest.max > 0 {
            function.rollout = Some(Rollout::default());
        } else {
            function.serve(newest, false);
        }
        self.retire_others(key, out);
        self.care(now, key, out);
        self.pump(now, key, out);
    }

    /// Has one instance of the newest revision started, where that is still to be done.
    pub(super) fn advance_rollout(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get(&key) else { return };
        let Some(rollout) = function.rollout.as_ref().filter(|_| !function.stopped) else { return };
        let (newest, mut not_on) = (function.newest().clone(), rollout.failed_on.clone());
        if !not_on.is_empty() && !self.placeable(&newest, &not_on) {
            not_on.clear(); // the others it was to be tried on have gone
            if let Some(rollout) = self.functions.get_mut(&key).and_then(|f| f.rollout.as_mut()) {
                rollout.failed_on.clear();
            }
        }
        let Some(rollout) = self.functions.get(&key).and_then(|f| f.rollout.as_ref()) else { return };
        if newest.mode == Mode::Job {
            self.take_over(now, key, newest, out);
        } else if newest.mode == Mode::Auto {
            let linked = |node: NodeKey| self.nodes.get(&node).is_some_and(|n| n.reach == Reach::Links);
            let asked_is_there = rollout.asked.is_some_and(linked);
            let node = if asked_is_there { None } else { self.place(&newest, &not_on) };
            match node {
                Some(node) if !linked(node) => self.take_over(now, key, newest, out), // it runs any image as a job
                Some(node) => {
                    if let Some(rollout) = self.functions.get_mut(&key).and_then(|f| f.rollout.as_mut()) {
                        rollout.asked = Some(node);
                    }
                    out.push(Event::ModeWanted { node, revision: newest });
                }
                None => {}
            }
        } else if rollout.tally.live() == 0 {
            self.start_instance(now, key, &newest, &not_on, out);
        } else {
            self.take_over_if_started(now, key, out); // those it waited for may have gone with their node
        }
    }

    /// To be called when an instance answers: its revision has shown that it runs, and may take over.
    pub(super) fn proved(&mut self, now: Millis, key: InstanceKey, out: &mut Vec<Event>) {
        let Some((id, number)) = self.instances.get(&key).map(|i| (i.function, i.revision.number)) else { return };
        let Some(function) = self.functions.get_mut(&id) else { return };
        if number == function.serving.number {
            if !function.proven {
                function.proven = true;
                out.push(Event::RevisionServing { revision: function.serving.clone(), before: None });
            }
            return;
        }
        let Some(rollout) = function.rollout.as_ref().filter(|_| function.newest().number == number) else { return };
        let (newest, load) = (function.newest().clone(), function.running + function.queue.len() as u64);
        let wanted = load.div_ceil(u64::from(newest.concurrency.max(1))).max(newest.min.into());
        let (live, not_on) = (u64::from(rollout.tally.live()), rollout.failed_on.clone());
        // As many as the calls under way need, so that none of them waits for a start.
        for _ in live..wanted.min(newest.max.into()) {
            if !self.start_instance(now, id, &newest, &not_on, out) {
                break;
            }
        }
        self.take_over_if_started(now, id, out);
    }

    /// Once all that were started for it answer or have failed, the newest revision takes over.
    fn take_over_if_started(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get(&key) else { return };
        if function.rollout.as_ref().is_some_and(|r| r.tally.up() > 0 && r.tally.starting == 0) {
            let newest = function.newest().clone();
            self.take_over(now, key, newest, out);
        }
    }

    fn take_over(&mut self, now: Millis, key: FunctionKey, revision: Arc<Revision>, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get_mut(&key) else { return };
        let proven = !revision.is_job();
        let before = Some(function.serving.number);
        function.serve(revision.clone(), proven);
        out.push(Event::RevisionServing { revision, before });
        self.retire_others(key, out);
        self.look_at_all_of(now, key);
        self.care(now, key, out);
        self.pump(now, key, out);
    }

    /// An instance of the newest revision did not start or ended, before it served.
    pub(super) fn setback(
        &mut self,
        now: Millis,
        key: FunctionKey,
        number: u64,
        node: NodeKey,
        why: String,
        out: &mut Vec<Event>,
    ) {
        let attempts = self.limits.start_attempts;
        let Some(function) = self.functions.get_mut(&key) else { return };
        let newest = function.newest().clone();
        let Some(rollout) = function.rollout.as_mut().filter(|_| newest.number == number) else { return };
        if rollout.asked == Some(node) {
            rollout.asked = None;
        }
        if !rollout.failed_on.contains(&node) {
            rollout.failed_on.push(node);
        }
        let (failed_on, live) = (rollout.failed_on.clone(), rollout.tally.live());
        function.last_error = Some(why.clone());
        let elsewhere = failed_on.len() < attempts && self.placeable(&newest, &failed_on);
        if live == 0 && !elsewhere {
            self.give_up(key, newest, why, out);
        }
        self.care(now, key, out);
        self.pump(now, key, out); // those that waited for it are the old one's again
    }

    fn give_up(&mut self, key: FunctionKey, revision: Arc<Revision>, why: String, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get_mut(&key) else { return };
        function.rollout = None;
        function.failed = Some(why.clone());
        let serving = function.serving.number;
        out.push(Event::RevisionFailed { revision, serving, why });
        self.retire_others(key, out);
    }

    /// A node could not get ready for it.
    pub(super) fn revision_failed(
        &mut self,
        now: Millis,
        name: &str,
        number: u64,
        node: NodeKey,
        why: String,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let key = *self.function_names.get(name).ok_or(Refusal::UnknownFunction)?;
        let asked =
            |f: &Function| f.newest().number == number && f.rollout.as_ref().is_some_and(|r| r.asked == Some(node));
        if self.functions.get(&key).is_some_and(asked) {
            self.setback(now, key, number, node, why, out);
        }
        Ok(())
    }

    /// Only instances of the serving revision and of the one that rolls out stay.
    pub(super) fn retire_others(&mut self, key: FunctionKey, out: &mut Vec<Event>) {
        self.recount(key);
        let Some(function) = self.functions.get(&key) else { return };
        let rolling = function.rollout.as_ref().map(|_| function.newest().number);
        let stays = |number: u64| number == function.serving.number || Some(number) == rolling;
        let others: Vec<InstanceKey> = function
            .instances
            .iter()
            .copied()
            .filter(|i| self.instances.get(i).is_some_and(|i| !stays(i.revision.number)))
            .collect();
        for instance in others {
            self.retire(instance, out);
        }
    }
}
