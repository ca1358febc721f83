//! How functions are made, replaced and deleted.

use super::*;

impl Cluster {
    pub(super) fn put_function(
        &mut self,
        now: Millis,
        mut revision: Revision,
        put: Put,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        revision.concurrency = revision.concurrency.max(1);
        revision.min = revision.min.min(revision.max);
        revision.ready = revision.ready.min(revision.max);
        revision.born = self.next_key;
        let name = revision.function.clone();
        let known = self.function_names.get(&name).copied();
        match (put, known) {
            (Put::Create, Some(_)) => return Err(Refusal::FunctionNameTaken),
            (Put::Replace, None) => return Err(Refusal::UnknownFunction),
            (_, None) if self.functions.len() >= self.limits.max_functions => {
                return Err(Refusal::TooManyFunctions { limit: self.limits.max_functions });
            }
            _ => {}
        }
        let keep = self.limits.revisions_kept;
        match known.and_then(|key| self.functions.get_mut(&key)) {
            Some(function) => {
                revision.number = function.newest().number + 1;
                revision.created_unix_ms = function.newest().created_unix_ms;
                let (key, revision) = (function.key, Arc::new(revision));
                function.add_revision(revision.clone(), keep);
                self.index_class(&revision);
                out.push(Event::FunctionPut { revision, first: false });
                self.begin_rollout(now, key, out);
            }
            None => {
                revision.number = 1;
                let revision = Arc::new(revision);
                let key = FunctionKey(self.fresh_key());
                self.function_names.insert(name, key);
                self.functions.insert(key, Function::new(key, [revision.clone()].into(), revision.clone()));
                self.index_class(&revision);
                out.push(Event::FunctionPut { revision, first: true });
                self.care(now, key, out);
            }
        }
        Ok(())
    }

    /// A kept revision once more, as the newest. The bounds stay what they are now: they are the function's, and going
    /// back under load must not take its instances away.
    pub(super) fn put_again(
        &mut self,
        now: Millis,
        name: &str,
        which: Kept,
        (unix_ms, by): (u64, String),
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let function = self.function(name).ok_or(Refusal::UnknownFunction)?;
        let newest = function.newest().clone();
        let Some(found) = function.kept(which) else {
            return Err(Refusal::UnknownRevision { kept: function.revisions.iter().map(|r| r.number).collect() });
        };
        let revision = Revision {
            min: newest.min,
            ready: newest.ready,
            max: newest.max,
            fresh: which == Kept::Newest || (which == Kept::AsItIs && found.fresh),
            updated_unix_ms: unix_ms,
            by,
            ..(**found).clone()
        };
        self.put_function(now, revision, Put::Replace, out)
    }

    pub(super) fn scale(
        &mut self,
        now: Millis,
        name: &str,
        (min, max, ready): (Option<u32>, Option<u32>, Option<u32>),
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let key = *self.function_names.get(name).ok_or(Refusal::UnknownFunction)?;
        let function = self.functions.get_mut(&key).ok_or(Refusal::UnknownFunction)?;
        let newest = function.newest().clone();
        let max = max.unwrap_or(newest.max);
        let (min, ready) = (min.unwrap_or(newest.min), ready.unwrap_or(newest.ready));
        if max == 0 {
            return Err(Refusal::BadScale { field: "max", max: 0 }); // that is what deleting is for
        }
        for (field, value) in [("min", min), ("ready", ready)] {
            if value > max {
                return Err(Refusal::BadScale { field, max });
            }
        }
        for revision in function.revisions.clone() {
            function.amend(Arc::new(Revision { min, max, ready, ..(*revision).clone() }));
        }
        out.push(Event::FunctionScaled { revision: function.newest().clone() });
        self.trim(key, out);
        self.look_at_all_of(now, key);
        self.touched.insert(key);
        self.care(now, key, out);
        self.pump(now, key, out);
        Ok(())
    }

    pub(super) fn resolve_mode(
        &mut self,
        now: Millis,
        name: &str,
        number: u64,
        mode: Mode,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let key = *self.function_names.get(name).ok_or(Refusal::UnknownFunction)?;
        let Some(function) = self.functions.get_mut(&key) else { return Err(Refusal::UnknownFunction) };
        let unresolved = |r: &&Arc<Revision>| r.number == number && r.mode == Mode::Auto;
        let Some(revision) = function.revisions.iter().find(unresolved) else { return Ok(()) }; // told twice
        let revision = Arc::new(Revision { mode, ..(**revision).clone() });
        function.amend(revision.clone());
        self.index_class(&revision);
        out.push(Event::ModeResolved { revision });
        self.care(now, key, out);
        self.pump(now, key, out);
        Ok(())
    }

    pub(super) fn delete_function(&mut self, name: &Arc<str>, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let key = self.function_names.remove(name).ok_or(Refusal::UnknownFunction)?;
        out.push(Event::FunctionDeleted { name: name.clone() });
        let mut queue = Default::default();
        self.change_queue(key, |waiting| queue = std::mem::take(waiting));
        let Some(function) = self.functions.remove(&key) else { return Ok(()) };
        for invocation in queue {
            self.invocations.remove(&invocation);
            out.push(Event::InvocationFailed { invocation, failure: Failure::FunctionDeleted });
        }
        self.cared.remove(&key);
        for instance in function.instances {
            self.retire(instance, out); // calls that run are answered first
        }
        Ok(())
    }

    pub(super) fn set_functions(&mut self, now: Millis, functions: Vec<(Arc<str>, Lasting)>, out: &mut Vec<Event>) {
        let mut changed = Vec::new();
        for (name, mut kept) in functions {
            let born = self.fresh_key();
            let known = self.function_names.get(&name).copied();
            let earlier =
                known.and_then(|key| self.functions.get(&key)).map(|f| f.revisions.clone()).unwrap_or_default();
            for revision in &mut kept.revisions {
                // a number may come again with another content: nothing older is adopted
                let same = earlier.iter().find(|r| r.runs_as(revision)).map_or(born, |r| r.born);
                *revision = Arc::new(Revision { born: same, ..(**revision).clone() });
            }
            let Some(newest) = kept.revisions.last().cloned() else {
                let _ = self.delete_function(&name, out); // it was not there: so be it
                continue;
            };
            let Some(function) = known.and_then(|key| self.functions.get_mut(&key)) else {
                let key = FunctionKey(born);
                self.add_function(key, kept);
                out.push(Event::FunctionPut { revision: newest, first: true });
                changed.push(key);
                continue;
            };
            if function.lasting() == kept {
                continue;
            }
            let (key, shown) = (function.key, function.proven.then(|| function.serving.clone()));
            kept.revisions.iter().for_each(|r| self.index_class(r));
            let Some(function) = self.functions.get_mut(&key) else { continue };
            function.set(kept);
            function.proven |=
                shown.is_some_and(|r| r.number == function.serving.number && r.born == function.serving.born);
            let stays = |r: &Arc<Revision>| function.revisions.iter().any(|kept| kept.runs_as(r));
            let foreign: Vec<u64> = earlier.iter().filter(|r| !stays(r)).map(|r| r.number).collect();
            out.push(Event::FunctionPut { revision: newest, first: false });
            let of = |i: &&InstanceKey| self.instances.get(i).is_some_and(|i| foreign.contains(&i.revision.number));
            let instances: Vec<InstanceKey> = function.instances.iter().filter(of).copied().collect();
            for instance in instances {
                self.retire(instance, out);
            }
            self.retire_others(key, out);
            self.trim(key, out); // its maximum may be lower now
            self.look_at_all_of(now, key);
            changed.push(key);
        }
        for key in changed {
            self.halt_if_stopped(now, key, out);
            self.care(now, key, out);
            self.pump(now, key, out);
        }
        self.keep_minimum(now, out);
    }

    /// A function that was kept, under a key of its own. Ignored when it has no revision.
    pub(super) fn add_function(&mut self, key: FunctionKey, kept: Lasting) {
        let Some(newest) = kept.revisions.last().cloned() else { return };
        kept.revisions.iter().for_each(|r| self.index_class(r));
        let mut function = Function::new(key, Default::default(), newest);
        function.set(kept);
        if function.wants_care() {
            self.cared.insert(key);
        }
        self.function_names.insert(function.name.clone(), key);
        self.functions.insert(key, function);
    }
}
