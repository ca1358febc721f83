//! How attempts and calls end: tried again, given up, cancelled, told, and dropped in the end.

use super::*;

impl Backlog {
    pub(super) fn attempted(
        &mut self,
        now: Millis,
        key: CallKey,
        attempt: u64,
        end: AttemptEnd,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let call = self.calls.get_mut(&key).ok_or(Refusal::UnknownCall)?;
        if self.attempts.get(&key).is_none_or(|current| current.number != attempt) {
            return Err(Refusal::StaleAttempt);
        }
        self.attempts.remove(&key);
        self.lines.stopped(&call.function, !matches!(end, AttemptEnd::NotStarted { .. }));
        match end {
            AttemptEnd::Answered { bytes } => {
                call.last_error = None;
                self.set_result(key, bytes);
                self.end(now, key, CallStatus::Succeeded, out);
            }
            AttemptEnd::Failed { why, bytes, again } => {
                call.failures += 1;
                call.last_error = Some(why);
                let (failures, most) = (call.failures, call.max_attempts);
                match again && failures < most {
                    true => {
                        let pause = self.pause(self.limits.retry_first_ms, failures);
                        self.again(now, key, pause, out);
                    }
                    false => {
                        self.set_result(key, bytes);
                        self.end(now, key, CallStatus::Failed, out);
                    }
                }
            }
            AttemptEnd::Interrupted { why } => {
                call.transition(CallStatus::Queued);
                self.lines.push(&call.function, call.next_try, key);
                self.interrupted(now, key, why, out);
            }
            AttemptEnd::NotStarted { why } => {
                call.attempts = call.attempts.saturating_sub(1); // it never was one
                call.started = call.started.filter(|_| call.attempts > 0);
                call.last_error = Some(why);
                let (first, last) = (self.limits.retry_first_ms.min(500), self.limits.room_last_ms);
                let function = call.function.clone();
                self.lines.pause(&function, now, first, last);
                self.again(now, key, 0, out);
            }
        }
        Ok(())
    }

    /// A queued call whose last attempt was cut short.
    pub(super) fn interrupted(&mut self, now: Millis, key: CallKey, why: String, out: &mut Vec<Event>) {
        let most = self.limits.interruptions;
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.interruptions += 1;
        call.last_error = Some(why);
        let count = call.interruptions;
        self.lines.leave(&call.function, call.next_try, key);
        if count > most {
            return self.end(now, key, CallStatus::Failed, out);
        }
        // The first time at once: a lost node is no fault of the call's.
        let pause = if count == 1 { 0 } else { self.pause(self.limits.retry_first_ms, count - 1) };
        self.again(now, key, pause, out);
    }

    fn pause(&self, first: Millis, times: u32) -> Millis {
        first.saturating_mul(1 << times.saturating_sub(1).min(20)).min(self.limits.retry_last_ms)
    }

    fn again(&mut self, now: Millis, key: CallKey, pause: Millis, out: &mut Vec<Event>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.transition(CallStatus::Queued); // or it is so already
        if pause > 0 {
            call.next_try = now + pause; // else it keeps its place in the line
        }
        self.lines.push(&call.function, call.next_try, key);
        out.push(Event::Changed { call: key });
        self.give_up_old(now, out);
    }

    /// The only way a call ends.
    fn end(&mut self, now: Millis, key: CallKey, status: CallStatus, out: &mut Vec<Event>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        self.lines.leave(&call.function, call.next_try, key);
        if !call.transition(status) {
            return;
        }
        match status {
            CallStatus::Succeeded => self.over[0] += 1,
            CallStatus::Failed => self.over[1] += 1,
            CallStatus::Cancelled => self.over[2] += 1,
            CallStatus::Queued | CallStatus::Running => {}
        }
        call.ended = Some(now);
        self.bytes -= call.request_bytes;
        self.open_bytes -= call.request_bytes;
        call.request_bytes = 0;
        self.open.remove(&(call.submitted, key));
        self.ended.insert((now, key));
        self.lines.closed(&call.function);
        if let Some(callback) = &mut call.callback
            && callback.transition(CallbackStatus::Pending)
        {
            callback.next_try = now;
            self.callbacks.insert((now, key));
        }
        out.push(Event::Ended { call: key });
        self.drop_beyond(out);
    }

    pub(super) fn cancel(&mut self, now: Millis, key: CallKey, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let call = self.calls.get(&key).ok_or(Refusal::UnknownCall)?;
        if call.status == CallStatus::Cancelled {
            return Ok(()); // told twice
        }
        if call.status.is_final() {
            return Err(Refusal::Ended { status: call.status });
        }
        if let Some(attempt) = self.attempts.remove(&key) {
            self.lines.stopped(&call.function, true);
            out.push(Event::Stopping { call: key, attempt: attempt.number });
        }
        self.end(now, key, CallStatus::Cancelled, out);
        Ok(())
    }

    /// What could not be tried to its end for too long is given up; what runs may finish.
    pub(super) fn give_up_old(&mut self, now: Millis, out: &mut Vec<Event>) {
        let age = self.limits.max_age_ms;
        let old = self.open.iter().take_while(|(at, _)| at.saturating_add(age) <= now);
        let old: Vec<CallKey> = old.map(|(_, key)| *key).filter(|key| !self.attempts.contains_key(key)).collect();
        for key in old {
            if let Some(call) = self.calls.get_mut(&key) {
                let last = call.last_error.take().unwrap_or_else(|| "it never had its turn".into());
                call.last_error = Some(format!("given up after {} h; last: {last}", age / 3_600_000));
            }
            self.end(now, key, CallStatus::Failed, out);
        }
    }

    /// Only of a call that ends now: an open one has none.
    fn set_result(&mut self, key: CallKey, bytes: u64) {
        if let Some(call) = self.calls.get_mut(&key) {
            self.bytes += bytes;
            call.result_bytes = bytes;
        }
    }

    pub(super) fn start_callbacks(&mut self, now: Millis, out: &mut Vec<Event>) {
        while self.sending < self.limits.callbacks_at_once {
            let Some((at, key)) = self.callbacks.first().copied().filter(|(at, _)| *at <= now) else { return };
            self.callbacks.remove(&(at, key));
            let callback = self.calls.get_mut(&key).and_then(|call| call.callback.as_mut());
            if let Some(callback) = callback
                && callback.transition(CallbackStatus::Sending)
            {
                callback.attempts += 1;
                self.sending += 1;
                out.push(Event::CallBack { call: key });
            }
        }
    }

    pub(super) fn called_back(
        &mut self,
        now: Millis,
        key: CallKey,
        taken: Result<(), String>,
        out: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let (first, most) = (self.limits.retry_first_ms, self.limits.callback_attempts);
        let times = self.calls.get(&key).and_then(|call| call.callback.as_ref()).map_or(0, |c| c.attempts);
        let pause = self.pause(first, times);
        let callback = self.calls.get_mut(&key).and_then(|call| call.callback.as_mut());
        let callback = callback.filter(|c| c.status == CallbackStatus::Sending).ok_or(Refusal::UnknownCall)?;
        self.sending -= 1;
        match taken {
            Ok(()) => {
                callback.last_error = None;
                callback.transition(CallbackStatus::Delivered);
            }
            Err(why) => {
                callback.last_error = Some(why);
                if callback.attempts >= most {
                    callback.transition(CallbackStatus::Failed);
                } else {
                    callback.transition(CallbackStatus::Pending);
                    callback.next_try = now + pause;
                    self.callbacks.insert((callback.next_try, key));
                }
            }
        }
        out.push(Event::Changed { call: key });
        Ok(())
    }

    pub(super) fn drop_expired(&mut self, now: Millis, out: &mut Vec<Event>) {
        let retention = self.limits.retention_ms;
        while let Some((at, key)) = self.ended.first().copied()
            && at.saturating_add(retention) <= now
        {
            self.remove(key);
            out.push(Event::Dropped { call: key });
        }
    }

    /// Beyond the limits of number and size the oldest ended go first; the one that ended last stays.
    pub(super) fn drop_beyond(&mut self, out: &mut Vec<Event>) {
        while self.ended.len() > self.limits.ended_kept || (self.bytes > self.limits.bytes && self.ended.len() > 1) {
            let Some((_, key)) = self.ended.first().copied() else { return };
            self.remove(key);
            out.push(Event::Dropped { call: key });
        }
    }

    /// Takes a call out of all books.
    pub(super) fn remove(&mut self, key: CallKey) {
        let Some(call) = self.calls.remove(&key) else { return };
        self.bytes -= call.bytes();
        self.unkept.remove(&key);
        if let Some(i) = &call.idempotency {
            self.names.remove(&(call.function.clone(), i.key.clone()));
        }
        match call.ended {
            Some(at) => drop(self.ended.remove(&(at, key))),
            None => {
                self.open_bytes -= call.bytes();
                self.open.remove(&(call.submitted, key));
                self.lines.leave(&call.function, call.next_try, key);
                self.lines.closed(&call.function);
            }
        }
        if let Some(callback) = &call.callback {
            self.callbacks.remove(&(callback.next_try, key));
            self.sending -= usize::from(callback.status == CallbackStatus::Sending);
        }
    }
}
