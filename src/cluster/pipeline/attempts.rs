//! Attempts: which module is next, and how attempts end: with a result, tried again, given up.

use super::*;

impl Pipelines {
    /// Begins what is due and has room, a module of each pipeline and group in turn. `room`: how many attempts of a
    /// pipeline's group may be under way.
    pub fn start_due(&mut self, now: Millis, room: impl Fn(PipelineKey, u32) -> u32) -> Vec<Event> {
        let mut out = Vec::new();
        let mut rooms: BTreeMap<(PipelineKey, u32), u32> = BTreeMap::new();
        let mut of_pipeline: BTreeMap<PipelineKey, u32> = BTreeMap::new();
        for (key, _) in self.attempts.keys() {
            *of_pipeline.entry(*key).or_default() += 1;
        }
        loop {
            let before = out.len();
            for (key, group) in self.in_turn(now) {
                if self.attempts.len() >= self.limits.at_once_in_all as usize {
                    return out;
                }
                let under_way = of_pipeline.entry(key).or_default();
                let Some(pipeline) = self.pipelines.get_mut(&key) else { continue };
                let room = *rooms.entry((key, group)).or_insert_with(|| room(key, group).max(1));
                let of_group = pipeline.groups.get(&group).map_or(0, |group| group.under_way);
                if *under_way >= self.limits.at_once || of_group >= room {
                    continue;
                }
                let Some(module) = pipeline.take(now, group) else { continue };
                *under_way += 1;
                self.turn = Some((key, group));
                self.next_attempt += 1;
                self.attempts.insert((key, module), self.next_attempt);
                out.push(Event::Starting { pipeline: key, module, attempt: self.next_attempt });
            }
            if out.len() == before {
                return out;
            }
        }
    }

    /// Those with a module that is due, from behind whose turn it was last.
    fn in_turn(&self, now: Millis) -> Vec<(PipelineKey, u32)> {
        let mut all = Vec::new();
        for key in self.open.iter().filter(|key| !self.unkept.contains(*key)) {
            let groups = self.pipelines.get(key).map(|pipeline| pipeline.due_groups(now)).unwrap_or_default();
            all.extend(groups.into_iter().map(|group| (*key, group)));
        }
        let first = self.turn.map_or(0, |turn| all.partition_point(|at| *at <= turn));
        all.rotate_left(first);
        all
    }

    /// Whether modules that are due wait for room, of which the end of another tells, or a change of the cluster.
    pub fn waits_for_room(&self, now: Millis) -> bool {
        !self.in_turn(now).is_empty()
    }

    pub(super) fn placed(
        &mut self,
        key: PipelineKey,
        index: usize,
        attempt: u64,
        node: Arc<str>,
    ) -> Result<(), Refusal> {
        let module = self.current(key, index, attempt)?;
        module.node = Some(node);
        module.transition(ModuleState::Running); // or it is so already: it was refused elsewhere
        Ok(())
    }

    /// The module whose attempt under way this is.
    fn current(&mut self, key: PipelineKey, index: usize, attempt: u64) -> Result<&mut Module, Refusal> {
        let pipeline = self.pipelines.get_mut(&key).ok_or(Refusal::Unknown)?;
        match self.attempts.get(&(key, index)) {
            Some(current) if *current == attempt => pipeline.modules.get_mut(index).ok_or(Refusal::Unknown),
            _ => Err(Refusal::StaleAttempt),
        }
    }

    pub(super) fn attempted(
        &mut self,
        now: Millis,
        key: PipelineKey,
        index: usize,
        attempt: u64,
        end: AttemptEnd,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        self.current(key, index, attempt)?;
        self.attempts.remove(&(key, index));
        let limits = self.limits.clone();
        let Some(pipeline) = self.pipelines.get_mut(&key) else { return Err(Refusal::Unknown) };
        pipeline.back(now, index, matches!(end, AttemptEnd::NotStarted { .. }), &limits);
        let most = pipeline.graph.place(index).retries;
        let module = &mut pipeline.modules[index];
        let mut changed = BTreeSet::from([index]);
        match end {
            AttemptEnd::Answered { bytes } => {
                module.last_error = None;
                module.result_bytes = bytes;
                self.result_bytes += bytes;
                pipeline.end(now, index, ModuleState::Succeeded, &mut changed);
            }
            AttemptEnd::Failed { why, bytes, again } => {
                module.failures += 1;
                module.last_error = Some(why);
                let failures = module.failures;
                match again && failures <= most {
                    true => self.again(now, key, index, pause(&limits, failures)),
                    false => {
                        module.result_bytes = bytes;
                        self.result_bytes += bytes;
                        pipeline.end(now, index, ModuleState::Failed, &mut changed);
                    }
                }
            }
            AttemptEnd::Interrupted { why } => {
                module.transition(ModuleState::Ready); // or it is so already
                module.interruptions += 1;
                module.last_error = Some(why);
                pipeline.line_up(index);
                self.interrupted(now, key, index, &mut changed);
            }
            AttemptEnd::NotStarted { why } => {
                module.attempts = module.attempts.saturating_sub(1); // it never was one
                let waited = now.saturating_sub(module.next_try);
                if waited >= limits.max_age_ms {
                    module.last_error = Some(format!("given up after {} h; last: {why}", waited / 3_600_000));
                    pipeline.end(now, index, ModuleState::Failed, &mut changed);
                } else {
                    module.last_error = Some(why);
                    self.again(now, key, index, 0);
                }
            }
        }
        self.tell(key, changed, out);
        Ok(())
    }

    /// A ready module, in its line, whose last attempt was cut short.
    pub(super) fn interrupted(&mut self, now: Millis, key: PipelineKey, index: usize, changed: &mut BTreeSet<usize>) {
        let limits = self.limits.clone();
        let Some(pipeline) = self.pipelines.get_mut(&key) else { return };
        changed.insert(index);
        let count = pipeline.modules[index].interruptions;
        if count > limits.interruptions {
            return pipeline.end(now, index, ModuleState::Failed, changed);
        }
        // The first time at once: a lost node is no fault of the module's.
        let wait = if count == 1 { 0 } else { pause(&limits, count - 1) };
        self.again(now, key, index, wait);
    }

    fn again(&mut self, now: Millis, key: PipelineKey, index: usize, wait: Millis) {
        let Some(pipeline) = self.pipelines.get_mut(&key) else { return };
        pipeline.modules[index].transition(ModuleState::Ready); // or it is so already
        pipeline.leave_line(index);
        if wait > 0 {
            pipeline.modules[index].next_try = now + wait; // else it keeps its place in the line
        }
        pipeline.line_up(index);
    }
}

fn pause(limits: &Limits, times: u32) -> Millis {
    limits.retry_first_ms.saturating_mul(1 << times.saturating_sub(1).min(20)).min(limits.retry_last_ms)
}
