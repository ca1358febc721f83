//! The backlog by example: one rule a test.

use super::*;

const ROOM: Room = Room { pool: Pool::Jobs, pool_at_once: 100, at_once: 100 };

fn backlog(change: impl FnOnce(&mut Limits)) -> Backlog {
    let mut limits = Limits::default();
    change(&mut limits);
    Backlog::new(limits, 0)
}

fn asked(function: &str) -> Submission {
    Submission { function: function.into(), bytes: 10, max_attempts: 3, ..Submission::default() }
}

fn accept(backlog: &mut Backlog, now: Millis, asked: Submission) -> CallKey {
    let events = backlog.apply(now, Command::Submit(asked)).expect("taken");
    let Some(Event::Accepted { call }) = events.first() else { panic!("{events:?}") };
    backlog.apply(now, Command::Kept { call: *call }).expect("kept");
    *call
}

fn start(backlog: &mut Backlog, now: Millis) -> Vec<(CallKey, u64)> {
    let started = backlog.start_due(now, |_| ROOM).into_iter().filter_map(|event| match event {
        Event::Starting { call, attempt } => Some((call, attempt)),
        _ => None,
    });
    started.collect()
}

fn end(backlog: &mut Backlog, now: Millis, (call, attempt): (CallKey, u64), end: AttemptEnd) -> Vec<Event> {
    backlog.apply(now, Command::Attempted { call, attempt, end }).expect("current")
}

fn failed(again: bool) -> AttemptEnd {
    AttemptEnd::Failed { why: "boom".into(), bytes: 5, again }
}

fn status(backlog: &Backlog, call: CallKey) -> CallStatus {
    backlog.call(call).expect("known").status
}

#[test]
fn final_is_final() {
    for from in CallStatus::ALL {
        let onward = CallStatus::ALL.into_iter().any(|to| from.may_become(to));
        assert_eq!(onward, !from.is_final(), "{from:?}");
        assert!(!from.may_become(from));
        assert_eq!(CallStatus::of(from.word()), Some(from));
    }
    for from in CallbackStatus::ALL {
        assert_eq!(CallbackStatus::of(from.word()), Some(from));
    }
    let key = CallKey(0x1_0000_00af);
    assert_eq!(CallKey::parse(&key.to_string()), Some(key));
    for bad in ["", "a", "c1", "a01", "aAF", "a-1", "a+1", "ag", "a11111111111111111"] {
        assert_eq!(CallKey::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_call_is_tried_only_once_it_is_on_disk() {
    let mut b = backlog(|_| {});
    let events = b.apply(0, Command::Submit(asked("f"))).expect("taken");
    let Some(Event::Accepted { call }) = events.first().cloned() else { panic!("{events:?}") };
    assert!(start(&mut b, 0).is_empty());
    b.apply(0, Command::Kept { call }).expect("kept");
    assert_eq!(start(&mut b, 0), [(call, 1)]);
    assert_eq!(b.apply(0, Command::Forget { call }), Err(Refusal::UnknownCall), "it is kept");
    let events = b.apply(0, Command::Submit(asked("f"))).expect("taken");
    let Some(Event::Accepted { call }) = events.first().cloned() else { panic!("{events:?}") };
    b.apply(0, Command::Forget { call }).expect("forgotten");
    assert!(b.call(call).is_none() && b.open("f") == 1);
}

#[test]
fn failures_are_tried_again_later_and_later_until_the_limit() {
    let mut b = backlog(|_| {});
    let call = accept(&mut b, 0, asked("f"));
    let mut now = 0;
    for (attempt, pause) in [(1, 1_000), (2, 2_000)] {
        assert_eq!(start(&mut b, now), [(call, attempt)]);
        end(&mut b, now, (call, attempt), failed(true));
        assert_eq!(status(&b, call), CallStatus::Queued);
        assert_eq!(b.next_deadline(now), Some(now + pause));
        assert!(start(&mut b, now + pause - 1).is_empty());
        now += pause;
    }
    let third = start(&mut b, now);
    let events = end(&mut b, now, third[0], failed(true));
    assert_eq!(events, [Event::Ended { call }]);
    let dead = b.call(call).expect("a dead letter");
    assert_eq!((dead.status, dead.attempts, dead.failures), (CallStatus::Failed, 3, 3));
    assert_eq!(dead.last_error.as_deref(), Some("boom"));
}

#[test]
fn a_failure_that_no_retry_mends_ends_the_call() {
    let mut b = backlog(|_| {});
    let call = accept(&mut b, 0, asked("f"));
    let first = start(&mut b, 0)[0];
    end(&mut b, 0, first, failed(false));
    assert_eq!((status(&b, call), b.call(call).expect("known").attempts), (CallStatus::Failed, 1));
}

#[test]
fn a_lost_node_costs_no_failure_but_has_a_limit() {
    let mut b = backlog(|l| l.interruptions = 2);
    let call = accept(&mut b, 0, asked("f"));
    let lost = || AttemptEnd::Interrupted { why: "gone".into() };
    let first = start(&mut b, 0)[0];
    end(&mut b, 0, first, lost());
    let second = start(&mut b, 0)[0]; // at once
    assert_eq!(b.apply(0, Command::Attempted { call, attempt: first.1, end: lost() }), Err(Refusal::StaleAttempt));
    end(&mut b, 0, second, lost());
    assert!(start(&mut b, 0).is_empty());
    let third = start(&mut b, 1_000)[0];
    end(&mut b, 1_000, third, lost());
    let dead = b.call(call).expect("known");
    assert_eq!((dead.status, dead.attempts, dead.failures), (CallStatus::Failed, 3, 0));
}

#[test]
fn without_room_one_call_of_a_function_asks_for_all() {
    let mut b = backlog(|_| {});
    for _ in 0..3 {
        accept(&mut b, 0, asked("f"));
    }
    let one = Room { at_once: 1, ..ROOM };
    let starting = |b: &mut Backlog, now| match b.start_due(now, |_| one)[..] {
        [Event::Starting { call, attempt }] => Some((call, attempt)),
        _ => None,
    };
    let mut now = 0;
    for pause in [500, 1_000, 2_000, 4_000, 5_000, 5_000] {
        let first = starting(&mut b, now).expect("one asks");
        end(&mut b, now, first, AttemptEnd::NotStarted { why: "no node".into() });
        assert_eq!(b.call(first.0).expect("known").attempts, 0, "it may not have run");
        assert_eq!(starting(&mut b, now + pause - 1), None);
        assert_eq!(b.next_deadline(now), Some(now + pause));
        now += pause;
    }
    let first = starting(&mut b, now).expect("one asks");
    end(&mut b, now, first, AttemptEnd::Answered { bytes: 1 });
    assert!(starting(&mut b, now).is_some(), "there is room again");
}

#[test]
fn room_bounds_functions_and_pools_and_functions_take_turns() {
    let mut b = backlog(|_| {});
    for _ in 0..5 {
        accept(&mut b, 0, asked("a"));
    }
    let other = accept(&mut b, 0, asked("b"));
    let room = |_: &str| Room { pool: Pool::Jobs, pool_at_once: 3, at_once: 2 };
    let started = b.start_due(0, room);
    assert_eq!(started.len(), 3);
    assert_eq!(status(&b, other), CallStatus::Running, "two of a, one of b");
    assert!(b.waits_for_room(0));
    assert!(b.start_due(0, room).is_empty());
}

#[test]
fn cancelling_works_at_any_time_before_the_end() {
    let mut b = backlog(|_| {});
    let queued = accept(&mut b, 0, asked("f"));
    assert_eq!(b.apply(0, Command::Cancel { call: queued }), Ok(vec![Event::Ended { call: queued }]));
    assert_eq!(b.apply(0, Command::Cancel { call: queued }), Ok(vec![]), "told twice");
    let running = accept(&mut b, 0, asked("f"));
    let first = start(&mut b, 0)[0];
    let events = b.apply(0, Command::Cancel { call: running }).expect("cancelled");
    assert_eq!(events, [Event::Stopping { call: running, attempt: first.1 }, Event::Ended { call: running }]);
    let late = Command::Attempted { call: running, attempt: first.1, end: AttemptEnd::Answered { bytes: 0 } };
    assert_eq!(b.apply(0, late), Err(Refusal::StaleAttempt));
    let done = accept(&mut b, 0, asked("f"));
    let first = start(&mut b, 0)[0];
    end(&mut b, 0, first, AttemptEnd::Answered { bytes: 0 });
    let refusal = Refusal::Ended { status: CallStatus::Succeeded };
    assert_eq!(b.apply(0, Command::Cancel { call: done }), Err(refusal));
    assert_eq!(b.apply(0, Command::Cancel { call: CallKey(99) }), Err(Refusal::UnknownCall));
}

#[test]
fn the_same_name_is_the_same_call_until_it_is_dropped() {
    let named = |digest: &str| {
        let idempotency = Some(Idempotency { key: "k".into(), digest: digest.into() });
        Submission { idempotency, ..asked("f") }
    };
    let mut b = backlog(|_| {});
    let call = accept(&mut b, 0, named("1"));
    assert_eq!(b.apply(0, Command::Submit(named("1"))), Ok(vec![Event::Known { call }]));
    assert_eq!(b.apply(0, Command::Submit(named("2"))), Err(Refusal::KeyReused { call }));
    let other = Submission { function: "g".into(), ..named("2") };
    assert_ne!(accept(&mut b, 0, other), call, "names are each function's own");
    let first = start(&mut b, 0).into_iter().find(|(key, _)| *key == call).expect("it starts");
    end(&mut b, 0, first, AttemptEnd::Answered { bytes: 1 });
    assert_eq!(b.apply(1, Command::Submit(named("1"))), Ok(vec![Event::Known { call }]));
    let restored = b.call(call).expect("known").clone();
    let mut again = backlog(|_| {});
    again.restore(5, restored);
    assert_eq!(again.apply(5, Command::Submit(named("1"))), Ok(vec![Event::Known { call }]));
    let retention = Limits::default().retention_ms;
    assert_eq!(b.tick(retention), [Event::Dropped { call }]);
    assert_ne!(accept(&mut b, retention, named("2")), call);
}

#[test]
fn queues_and_space_are_bounded() {
    let mut b = backlog(|l| (l.open_per_function, l.open_total, l.bytes) = (2, 3, 100));
    accept(&mut b, 0, asked("f"));
    accept(&mut b, 0, asked("f"));
    let full = |limit| Err(Refusal::QueueFull { limit });
    assert_eq!(b.apply(0, Command::Submit(asked("f"))), full(2));
    assert_eq!(b.admits("f"), Err(Refusal::QueueFull { limit: 2 }));
    accept(&mut b, 0, asked("g"));
    assert_eq!(b.apply(0, Command::Submit(asked("h"))), full(3));
    let started = start(&mut b, 0);
    for attempt in &started {
        end(&mut b, 0, *attempt, AttemptEnd::Answered { bytes: 40 });
    }
    assert!(b.call(started[0].0).is_none(), "three results of 40 are more than 100: the oldest is dropped");
    assert!(b.call(started[2].0).is_some());
    let large = Submission { bytes: 101, ..asked("f") };
    assert_eq!(b.apply(0, Command::Submit(large)), Err(Refusal::NoSpace { limit: 100 }));
    accept(&mut b, 0, Submission { bytes: 100, ..asked("f") });
    assert_eq!(b.newest(None).filter(|c| c.status.is_final()).count(), 1, "results make room for what is asked for");
}

#[test]
fn old_calls_are_given_up_and_ended_ones_dropped() {
    let mut b = backlog(|l| (l.max_age_ms, l.retention_ms, l.ended_kept) = (3_600_000, 1_000, 2));
    let call = accept(&mut b, 0, asked("f"));
    assert_eq!(b.next_deadline(0), Some(3_600_000));
    assert_eq!(b.tick(3_600_000), [Event::Ended { call }]);
    assert!(b.call(call).expect("known").last_error.as_deref().is_some_and(|e| e.contains("1 h")));
    assert_eq!(b.next_deadline(3_600_000), Some(3_601_000));
    assert_eq!(b.tick(3_601_000), [Event::Dropped { call }]);
    for _ in 0..3 {
        let call = accept(&mut b, 4_000_000, asked("f"));
        b.apply(4_000_000, Command::Cancel { call }).expect("cancelled");
    }
    assert_eq!(b.newest(None).count(), 2);
}

#[test]
fn callbacks_are_tried_until_taken_or_given_up() {
    let mut b = backlog(|l| (l.callback_attempts, l.callbacks_at_once) = (2, 1));
    let told = || Submission { callback: Some("http://there/".into()), ..asked("f") };
    let calls = [accept(&mut b, 0, told()), accept(&mut b, 0, told())];
    for attempt in start(&mut b, 0) {
        end(&mut b, 0, attempt, AttemptEnd::Answered { bytes: 0 });
    }
    let sent = |b: &mut Backlog, now| b.start_due(now, |_| ROOM);
    let back = |b: &mut Backlog, now, call, taken: Result<(), &str>| {
        b.apply(now, Command::CalledBack { call, taken: taken.map_err(str::to_string) }).expect("was sent")
    };
    assert_eq!(sent(&mut b, 0), [Event::CallBack { call: calls[0] }], "one at once");
    back(&mut b, 0, calls[0], Err("refused"));
    assert_eq!(sent(&mut b, 0), [Event::CallBack { call: calls[1] }]);
    back(&mut b, 0, calls[1], Ok(()));
    assert_eq!((sent(&mut b, 999), b.next_deadline(0)), (vec![], Some(1_000)));
    assert_eq!(sent(&mut b, 1_000), [Event::CallBack { call: calls[0] }]);
    back(&mut b, 1_000, calls[0], Err("refused"));
    let states = calls.map(|key| b.call(key).and_then(|c| c.callback.clone()).expect("a callback"));
    assert_eq!((states[0].status, states[0].attempts), (CallbackStatus::Failed, 2));
    assert_eq!((states[1].status, states[1].attempts), (CallbackStatus::Delivered, 1));
    let twice = Command::CalledBack { call: calls[1], taken: Ok(()) };
    assert_eq!(b.apply(9, twice), Err(Refusal::UnknownCall));
}

#[test]
fn what_ran_at_a_restart_is_tried_again_and_counted() {
    let mut b = backlog(|_| {});
    let call = accept(&mut b, 50, asked("f"));
    start(&mut b, 50);
    let record = b.call(call).expect("known").clone();
    let mut again = Backlog::new(Limits::default(), 1 << 40);
    assert_eq!(again.restore(20, record), [Event::Changed { call }], "also when the clock went back");
    assert_eq!(start(&mut again, 20).len(), 1);
    let known = again.call(call).expect("known");
    assert_eq!((known.attempts, known.interruptions, known.status), (2, 1, CallStatus::Running));
}

#[test]
fn a_call_knows_where_its_last_attempt_went() {
    let mut b = Backlog::new(Limits::default(), 0);
    let call = accept(&mut b, 0, asked("f"));
    let placed = |node: &str| Command::Placed { call, node: node.into() };
    assert_eq!(b.apply(0, placed("n-0")), Err(Refusal::StaleAttempt), "nothing runs yet");
    let attempt = start(&mut b, 0)[0];
    b.apply(0, placed("n-1")).expect("runs");
    b.apply(0, placed("n-2")).expect("the first would not start it");
    end(&mut b, 0, attempt, AttemptEnd::NotStarted { why: "no room".into() });
    let known = b.call(call).expect("known");
    assert_eq!((known.node.as_deref(), known.attempts, known.started), (Some("n-2"), 0, None));
    assert_eq!(b.apply(0, placed("n-3")), Err(Refusal::StaleAttempt), "late");
    assert_eq!(b.apply(0, Command::Placed { call: CallKey(99), node: "n".into() }), Err(Refusal::UnknownCall));
}
