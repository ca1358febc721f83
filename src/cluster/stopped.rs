//! A function that somebody stopped: nothing of it runs and it takes no calls, whatever its bounds and its schedule say,
//! until somebody starts it. What runs when it is stopped goes on to its end.

use super::*;

impl Cluster {
    pub(super) fn set_stopped(
        &mut self,
        now: Millis,
        name: &str,
        stopped: bool,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let key = *self.function_names.get(name).ok_or(Refusal::UnknownFunction)?;
        let function = self.functions.get_mut(&key).ok_or(Refusal::UnknownFunction)?;
        if function.stopped != stopped {
            function.stopped = stopped;
            out.push(Event::FunctionStopped { revision: function.newest().clone(), stopped });
        }
        self.touched.insert(key);
        self.halt_if_stopped(now, key, out);
        self.care(now, key, out);
        self.start_first(now, key, out);
        self.pump(now, key, out); // what was forgiven may help calls that wait
        Ok(())
    }

    /// Sends away what waits, and has what runs end.
    pub(super) fn halt_if_stopped(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        let Some(function) = self.functions.get(&key).filter(|f| f.stopped) else { return };
        let instances = function.instances.clone();
        self.fail_waiting(now, key, Failure::Stopped, out);
        for instance in instances {
            self.retire(instance, out);
        }
    }

    /// Who starts a function wants to see it up, and not only with its first call.
    fn start_first(&mut self, now: Millis, key: FunctionKey, out: &mut Vec<Event>) {
        self.forgive(key);
        let Some(function) = self.functions.get(&key).filter(|f| !f.stopped) else { return };
        let revision = function.current().clone();
        let up = function.tally.live() > 0 || function.is_coming();
        if revision.mode == Mode::Http && revision.runs() == Runs::OnNodes && revision.max > 0 && !up {
            let not_on = function.failed_on.clone();
            self.start_instance(now, key, &revision, &not_on, out); // in vain without a node: then with the first call
        }
    }
}
