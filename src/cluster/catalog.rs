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
                revision.number = function.current().number + 1;
                revision.created_unix_ms = function.current().created_unix_ms;
                let revision = Arc::new(revision);
                function.add_revision(revision.clone(), keep);
                let (key, older) = (function.key, function.instances.clone());
                out.push(Event::FunctionPut { revision, first: false });
                for instance in older {
                    self.retire(instance, out);
                }
                self.pump(now, key, out);
            }
            None => {
                revision.number = 1;
                let revision = Arc::new(revision);
                let key = FunctionKey(self.fresh_key());
                self.function_names.insert(name.clone(), key);
                let mut function = Function::new(key, name, [revision.clone()].into());
                function.born = key.0;
                self.functions.insert(key, function);
                out.push(Event::FunctionPut { revision, first: true });
            }
        }
        self.keep_minimum(now, out);
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
        let unresolved = |r: &&mut Arc<Revision>| r.number == number && r.mode == Mode::Auto;
        let Some(revision) = function.revisions.iter_mut().find(unresolved) else { return Ok(()) }; // told twice
        *revision = Arc::new(Revision { mode, ..(**revision).clone() });
        out.push(Event::ModeResolved { revision: revision.clone() });
        self.pump(now, key, out);
        self.keep_minimum(now, out);
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
        for instance in function.instances {
            self.retire(instance, out); // calls that run are answered first
        }
        Ok(())
    }

    pub(super) fn set_functions(
        &mut self,
        now: Millis,
        functions: Vec<(Arc<str>, Vec<Arc<Revision>>)>,
        out: &mut Vec<Event>,
    ) {
        let mut changed = Vec::new();
        for (name, revisions) in functions {
            let known = self.function_names.get(&name).copied();
            let Some(current) = revisions.last().cloned() else {
                let _ = self.delete_function(&name, out); // it was not there: so be it
                continue;
            };
            let born = self.fresh_key();
            let Some(key) = known else {
                let key = FunctionKey(born);
                self.function_names.insert(name.clone(), key);
                let mut function = Function::new(key, name, revisions.into());
                function.born = born;
                self.functions.insert(key, function);
                out.push(Event::FunctionPut { revision: current, first: true });
                changed.push(key);
                continue;
            };
            let Some(function) = self.functions.get_mut(&key) else { continue };
            let same = **function.current() == *current;
            function.set_revisions(revisions);
            if same {
                continue;
            }
            function.born = born; // a number may come again with another content: nothing older is adopted
            let older = function.instances.clone();
            out.push(Event::FunctionPut { revision: current, first: false });
            for instance in older {
                self.retire(instance, out);
            }
            changed.push(key);
        }
        for key in changed {
            self.pump(now, key, out);
        }
        self.keep_minimum(now, out);
    }
}
