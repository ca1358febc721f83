//! Functions that are called by themselves: looks when each is due, and makes an asynchronous call of it. A time is never
//! called for twice, and what was missed while nobody was there at most once.

use super::Orchestrator;
use super::queue::records_json;
use super::schedule::{self, Times};
use super::store::{LaterWrite, Store, Write};
use crate::clock;
use crate::cluster::backlog::CallKey;
use crate::cluster::{Revision, Schedule};
use crate::http::api::submit;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use crate::types;
use futures_lite::future;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A call made no later than this after its time is in time; later, it was missed.
const GRACE_MS: u64 = 60_000;
/// The wall clock may be set: it is looked at this often.
const LOOK: Duration = Duration::from_secs(15);
/// After a call could not be made it is tried again; each time after twice as long, up to the last.
const AGAIN_FIRST_MS: u64 = 2_000;
const AGAIN_LAST_MS: u64 = 60_000;
/// Missed times looked at, to find the last one.
const MISSED_MAX: usize = 10_000;

/// What is kept of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    expression: String,
    zone: String,
    /// Times up to this one have been seen to.
    until: u64,
    last_run: Option<u64>,
    last_call: Option<String>,
    skipped: Option<String>,
}

struct Entry {
    schedule: Schedule,
    times: Times,
    record: Record,
    next: Option<u64>,
    trouble: Option<Trouble>,
}

/// Why the call that is due could not be made.
struct Trouble {
    why: String,
    wait_ms: u64,
    /// By the clock that nobody sets.
    again: u64,
}

/// What is to be done for an entry now.
#[derive(Clone, Debug, PartialEq)]
enum Due {
    Nothing,
    /// A call, for this time.
    Run(u64),
    /// Nothing for this time, and why.
    Skip(u64, String),
}

impl Entry {
    fn new(revision: &Revision, schedule: &Schedule, known: Option<Record>) -> Option<Self> {
        let zone = schedule::zone(&schedule.zone).ok()?; // checked when it was put
        let times = Times::parse(&schedule.expression, zone).ok()?;
        let same = |r: &Record| r.expression == schedule.expression && r.zone == schedule.zone;
        let record = known.filter(same).unwrap_or_else(|| Record {
            expression: schedule.expression.clone(),
            zone: schedule.zone.clone(),
            until: revision.updated_unix_ms,
            ..Record::default()
        });
        let mut entry = Entry { schedule: schedule.clone(), times, record, next: None, trouble: None };
        entry.next = entry.times.next_after(entry.record.until);
        Some(entry)
    }

    /// `busy`: the call before has not ended.
    fn due(&mut self, now: u64, busy: bool) -> Due {
        if self.record.until > now {
            self.seen_to(now); // the clock was set back: what it shows again was seen to, and its calls' names tell
        }
        let Some(mut last) = self.next.filter(|at| *at <= now) else { return Due::Nothing };
        for _ in 0..MISSED_MAX {
            match self.times.next_after(last).filter(|at| *at <= now) {
                Some(at) => last = at,
                None => break,
            }
        }
        if now - last > GRACE_MS && !self.schedule.make_up {
            let why = self.trouble.as_ref().map_or("nobody was there when it was due", |trouble| &trouble.why);
            return Due::Skip(last, why.into());
        }
        match (busy, self.schedule.overlap, &self.record.last_call) {
            (true, false, Some(call)) => Due::Skip(last, format!("call {call} had not ended")),
            _ => Due::Run(last),
        }
    }

    fn seen_to(&mut self, until: u64) {
        self.record.until = until;
        self.next = self.times.next_after(until);
        self.trouble = None;
    }

    /// The call could not be made. Whether that is news.
    fn failed(&mut self, steady: u64, why: &str) -> bool {
        let before = self.trouble.take();
        let wait_ms = before.as_ref().map_or(AGAIN_FIRST_MS, |t| (t.wait_ms * 2).min(AGAIN_LAST_MS));
        let news = before.is_none_or(|t| t.why != why);
        self.trouble = Some(Trouble { why: why.into(), wait_ms, again: steady + wait_ms });
        news
    }

    /// Milliseconds until there is something to do.
    fn wait_ms(&self, now: u64, steady: u64) -> Option<u64> {
        let again = self.trouble.as_ref().map_or(0, |trouble| trouble.again.saturating_sub(steady));
        match self.record.until > now {
            true => Some(again), // the clock was set back
            false => self.next.map(|at| at.saturating_sub(now).max(again)),
        }
    }
}

/// All schedules, shared.
pub struct Schedules {
    entries: Mutex<BTreeMap<Arc<str>, Entry>>,
    store: Arc<Store>,
    wake: Sender<()>,
}

impl Schedules {
    /// Those of the functions there are, going on where they were.
    pub fn open<'a>(
        store: Arc<Store>,
        current: impl Iterator<Item = &'a Arc<Revision>>,
        kept: Vec<(String, Vec<u8>)>,
    ) -> (Self, Receiver<()>) {
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).ok();
        let mut kept: BTreeMap<String, Record> =
            kept.iter().filter_map(|(name, bytes)| Some((name.clone(), read(bytes)?))).collect();
        let entry = |revision: &Arc<Revision>, kept: &mut BTreeMap<String, Record>| {
            let record = kept.remove(&*revision.function);
            Some((revision.function.clone(), Entry::new(revision, revision.schedule.as_ref()?, record)?))
        };
        let entries = current.filter_map(|revision| entry(revision, &mut kept)).collect();
        let (wake, woken) = rt::bounded(1);
        (Schedules { entries: Mutex::new(entries), store, wake }, woken)
    }

    /// A function is there, or is another than before.
    pub fn put(&self, revision: &Revision) {
        let mut entries = self.lock();
        let known = entries.remove(&revision.function);
        let Some(schedule) = &revision.schedule else {
            drop(entries);
            return if known.is_some() {
                self.gone(&revision.function)
            };
        };
        if let Some(entry) = Entry::new(revision, schedule, known.map(|entry| entry.record)) {
            entries.insert(revision.function.clone(), entry);
        }
        drop(entries);
        let _ = self.wake.try_send(()); // full: it has been told already
    }

    /// A function is no longer there.
    pub fn remove(&self, function: &str) {
        if self.lock().remove(function).is_some() {
            self.gone(function);
        }
    }

    /// A function's schedule, as everybody sees it.
    pub fn view(&self, function: &str) -> Option<types::Schedule> {
        let entries = self.lock();
        let Entry { schedule, record, next, .. } = entries.get(function)?;
        Some(types::Schedule {
            expression: schedule.expression.clone(),
            zone: schedule.zone.clone(),
            missed: super::spec::missed(schedule).into(),
            overlap: super::spec::overlap(schedule).into(),
            last_run_at: record.last_run.map(clock::rfc3339),
            last_call: record.last_call.clone(),
            last_skipped: record.skipped.clone(),
            next_run_at: next.map(clock::rfc3339),
        })
    }

    fn gone(&self, function: &str) {
        let gone = LaterWrite::ScheduleGone(function.into());
        drop(self.store.write(Write::Later(gone), Vec::new())); // what is left of it fits no other
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        lock(&self.entries)
    }

    /// Functions that may be due, with the call before.
    fn ripe(&self, now: u64, steady: u64) -> Vec<(Arc<str>, Option<String>)> {
        let entries = self.lock();
        let ripe = entries.iter().filter(|(_, entry)| entry.wait_ms(now, steady) == Some(0));
        ripe.map(|(name, entry)| (name.clone(), entry.record.last_call.clone())).collect()
    }

    fn due(&self, function: &str, now: u64, busy: bool) -> Due {
        self.lock().get_mut(function).map_or(Due::Nothing, |entry| entry.due(now, busy))
    }

    /// A time was seen to; kept, so that it is not again after a restart.
    fn seen_to(&self, function: &str, at: u64, done: Result<CallKey, String>) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(function) else { return };
        entry.seen_to(at);
        match done {
            Ok(call) => {
                let call = Some(call.to_string());
                (entry.record.last_run, entry.record.last_call, entry.record.skipped) = (Some(at), call, None);
            }
            Err(why) => entry.record.skipped = Some(why),
        }
        let record = records_json(&entry.record);
        let write = Write::Later(LaterWrite::Schedule(function.into(), record));
        drop(self.store.write(write, Vec::new())); // lost: the call's own name tells
    }

    fn failed(&self, function: &str, why: &str) -> bool {
        self.lock().get_mut(function).is_some_and(|entry| entry.failed(clock::now_ms(), why))
    }

    fn sleep(&self, now: u64) -> Option<Duration> {
        let steady = clock::now_ms();
        let wait_ms = self.lock().values().filter_map(|entry| entry.wait_ms(now, steady)).min()?;
        Some(Duration::from_millis(wait_ms.max(1)).min(LOOK))
    }
}

/// Makes the calls that are due, for as long as the program runs.
pub async fn run(app: Arc<Orchestrator>, woken: Receiver<()>) {
    loop {
        let now = clock::unix_ms();
        for (function, before) in app.schedules.ripe(now, clock::now_ms()) {
            let before = before.and_then(|id| CallKey::parse(&id)).and_then(|key| app.queue.call(key));
            let busy = before.is_some_and(|call| !call.status.is_final());
            match app.schedules.due(&function, now, busy) {
                Due::Nothing => {}
                Due::Skip(at, why) => {
                    log::info!("Function '{function}' is not called for {}: {why}", clock::rfc3339(at));
                    app.schedules.seen_to(&function, at, Err(why));
                }
                Due::Run(at) => match submit::scheduled(&app, &function, at).await {
                    Ok(call) => {
                        log::info!("Function '{function}' is called as scheduled for {}: {call}", clock::rfc3339(at));
                        app.schedules.seen_to(&function, at, Ok(call));
                    }
                    Err(problem) => {
                        let why = problem.detail;
                        if app.schedules.failed(&function, &why) {
                            log::warn!(
                                "Function '{function}' cannot be called as scheduled, and is tried again: {why}"
                            );
                        }
                    }
                },
            }
        }
        let wait = app.schedules.sleep(clock::unix_ms());
        let sleep = async {
            match wait {
                Some(wait) => clock::after(wait).await,
                None => future::pending().await,
            }
            true
        };
        if !future::or(sleep, async { woken.recv().await.is_ok() }).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::spec;

    const MINUTE: u64 = 60_000;

    fn entry(change: impl FnOnce(&mut types::FunctionSpec), put_at: u64, known: Option<Record>) -> Entry {
        let mut settings = types::FunctionSpec {
            name: "f".into(),
            image: "x".into(),
            schedule: Some("*/10 * * * *".into()),
            ..Default::default()
        };
        change(&mut settings);
        let revision = spec::revision(settings, put_at).expect("valid");
        Entry::new(&revision, revision.schedule.as_ref().expect("a schedule"), known).expect("an entry")
    }

    #[test]
    fn each_time_is_due_once() {
        let mut e = entry(|_| {}, 5 * MINUTE, None);
        assert_eq!(e.due(10 * MINUTE - 1, false), Due::Nothing);
        assert_eq!(e.due(10 * MINUTE + 5, false), Due::Run(10 * MINUTE));
        assert_eq!(e.due(10 * MINUTE + 6, false), Due::Run(10 * MINUTE), "until it is seen to");
        e.seen_to(10 * MINUTE);
        assert_eq!((e.due(10 * MINUTE + 7, false), e.next), (Due::Nothing, Some(20 * MINUTE)));
    }

    #[test]
    fn what_was_missed_is_made_up_for_once_or_not_at_all() {
        let mut e = entry(|_| {}, 0, None);
        assert_eq!(e.due(55 * MINUTE, false), Due::Run(50 * MINUTE), "for five, and under the last one's name");
        e.seen_to(50 * MINUTE);
        assert_eq!(e.due(55 * MINUTE, false), Due::Nothing);
        let mut e = entry(|s| s.schedule_missed = Some("skip".into()), 0, None);
        assert!(matches!(e.due(55 * MINUTE, false), Due::Skip(at, _) if at == 50 * MINUTE));
        assert_eq!(e.due(50 * MINUTE + 900, false), Due::Run(50 * MINUTE), "the last one is in time");
    }

    #[test]
    fn calls_do_not_overlap_unless_they_may() {
        let record = |e: &Entry| Some(Record { last_call: Some("a1".into()), ..e.record.clone() });
        let plain = entry(|_| {}, 0, None);
        let mut e = entry(|_| {}, 0, record(&plain));
        assert!(matches!(e.due(10 * MINUTE, true), Due::Skip(_, why) if why.contains("a1")));
        assert_eq!(e.due(10 * MINUTE, false), Due::Run(10 * MINUTE));
        let mut e = entry(|s| s.schedule_overlap = Some("allow".into()), 0, record(&plain));
        assert_eq!(e.due(10 * MINUTE, true), Due::Run(10 * MINUTE));
    }

    #[test]
    fn a_restart_goes_on_where_it_was_and_another_schedule_begins_anew() {
        let mut first = entry(|_| {}, 0, None);
        first.seen_to(30 * MINUTE);
        let record = first.record.clone();
        let text = records_json(&record);
        assert_eq!(serde_json::from_slice::<Record>(&text).expect("a record"), record);
        let again = entry(|_| {}, 0, Some(record.clone()));
        assert_eq!(again.next, Some(40 * MINUTE));
        let other = entry(|s| s.schedule = Some("@hourly".into()), 90 * MINUTE, Some(record));
        assert_eq!(other.next, Some(120 * MINUTE));
    }

    #[test]
    fn what_cannot_be_called_is_tried_less_and_less_often_and_told_of_once_until_it_changes() {
        let mut e = entry(|_| {}, 0, None);
        let now = 10 * MINUTE;
        assert_eq!((e.wait_ms(now - 7, 0), e.wait_ms(now, 0)), (Some(7), Some(0)));
        assert!(e.failed(100, "full"));
        assert_eq!((e.wait_ms(now, 100), e.wait_ms(now, 100 + AGAIN_FIRST_MS)), (Some(AGAIN_FIRST_MS), Some(0)));
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                assert!(!e.failed(0, "full"), "it has been told");
                e.wait_ms(now, 0).expect("it is due")
            })
            .collect();
        assert_eq!(waits, [4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert!(e.failed(0, "no disk") && !e.failed(0, "no disk"));
        assert_eq!(e.due(now, false), Due::Run(now));
        e.seen_to(now);
        assert_eq!(e.wait_ms(now, 0), Some(10 * MINUTE), "the next time is as good as the first");
        assert!(e.failed(0, "no disk"));
        let mut e = entry(|s| s.schedule_missed = Some("skip".into()), 0, None);
        e.failed(0, "full");
        assert!(matches!(e.due(now + GRACE_MS + 1, false), Due::Skip(at, why) if at == now && why == "full"));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let mut e = entry(|_| {}, 0, None);
        e.seen_to(1_000_000 * MINUTE);
        assert_eq!(e.due(15 * MINUTE, false), Due::Nothing);
        assert_eq!(e.due(20 * MINUTE, false), Due::Run(20 * MINUTE));
    }
}
