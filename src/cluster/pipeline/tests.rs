//! What pipelines promise, one test a promise.

use super::*;

struct Rig {
    pipelines: Pipelines,
    now: Millis,
    key: PipelineKey,
    /// Attempts under way, by module's name.
    running: BTreeMap<String, (usize, u64)>,
    /// Names, in the order they began.
    begun: Vec<String>,
}

/// `name`, what it depends on, its condition.
type Given<'a> = (&'a str, &'a [&'a str], Condition);

fn graph(modules: &[Given]) -> Arc<Graph> {
    let planned = modules.iter().map(|(name, after, condition)| Planned {
        name: (*name).into(),
        after: after.iter().map(|name| (*name).into()).collect(),
        condition: *condition,
        retries: 0,
        group: 0,
    });
    Arc::new(Graph::new(planned.collect()).unwrap())
}

impl Rig {
    fn new(modules: &[Given], stop: bool) -> Rig {
        Rig::with(modules, stop, Limits::default())
    }

    fn with(modules: &[Given], stop: bool, limits: Limits) -> Rig {
        let mut rig = Rig {
            pipelines: Pipelines::new(limits, 0),
            now: 1_000,
            key: PipelineKey(0),
            running: BTreeMap::new(),
            begun: Vec::new(),
        };
        let asked = Submission { graph: graph(modules), stop, bytes: 1, idempotency: None };
        let events = rig.pipelines.apply(rig.now, Command::Submit(asked)).unwrap();
        let [Event::Accepted { pipeline }] = events[..] else { panic!("{events:?}") };
        rig.key = pipeline;
        assert!(rig.pipelines.start_due(rig.now, |_, _| 100).is_empty(), "it is not on disk");
        rig.apply(Command::Kept { pipeline });
        rig
    }

    fn apply(&mut self, command: Command) -> Vec<Event> {
        let events = self.pipelines.apply(self.now, command).unwrap();
        self.start(100);
        events
    }

    fn start(&mut self, room: u32) {
        for event in self.pipelines.start_due(self.now, |_, _| room) {
            let Event::Starting { module, attempt, .. } = event else { panic!("{event:?}") };
            let name = self.pipeline().graph.place(module).name.to_string();
            self.begun.push(name.clone());
            assert!(self.running.insert(name, (module, attempt)).is_none());
        }
    }

    fn pipeline(&self) -> &Pipeline {
        self.pipelines.pipeline(self.key).unwrap()
    }

    fn end(&mut self, name: &str, end: AttemptEnd) {
        let (module, attempt) = self.running.remove(name).unwrap_or_else(|| panic!("{name} does not run"));
        self.apply(Command::Attempted { pipeline: self.key, module, attempt, end });
    }

    fn succeed(&mut self, name: &str) {
        self.end(name, AttemptEnd::Answered { bytes: 10 });
    }

    fn fail(&mut self, name: &str) {
        self.end(name, AttemptEnd::Failed { why: "why".into(), bytes: 5, again: true });
    }

    fn states(&self) -> String {
        let pipeline = self.pipeline();
        let state =
            |index: usize| format!("{}:{}", pipeline.graph.place(index).name, pipeline.modules[index].state.word());
        (0..pipeline.modules.len()).map(state).collect::<Vec<_>>().join(" ")
    }
}

use Condition::{Always, Failure, Success};

const DIAMOND: &[Given] = &[
    ("top", &[], Success),
    ("left", &["top"], Success),
    ("right", &["top"], Success),
    ("end", &["left", "right"], Success),
];

#[test]
fn modules_start_as_soon_as_what_they_depend_on_has_ended() {
    let mut rig = Rig::new(DIAMOND, true);
    assert_eq!(rig.begun, ["top"]);
    rig.succeed("top");
    assert_eq!(rig.begun, ["top", "left", "right"]);
    rig.succeed("right");
    assert_eq!(rig.begun.len(), 3);
    rig.succeed("left");
    rig.succeed("end");
    assert_eq!((rig.pipeline().status, rig.pipeline().ended), (PipelineStatus::Succeeded, Some(1_000)));
    assert_eq!(rig.pipeline().result_bytes(), 40);
}

#[test]
fn conditions_decide_and_the_policy_stops() {
    let modules: &[Given] = &[
        ("a", &[], Success),
        ("other", &[], Success),
        ("after", &["other"], Success),
        ("b", &["a"], Success),
        ("c", &["b"], Success),
        ("mend", &["c"], Failure),
        ("never", &["other"], Failure),
        ("report", &["c", "mend", "after"], Always),
    ];
    let mut rig = Rig::new(modules, true);
    rig.fail("a");
    assert!(
        rig.states().starts_with("a:failed other:ready after:skipped b:skipped c:skipped mend:ready"),
        "{}",
        rig.states()
    );
    rig.succeed("other");
    rig.succeed("mend");
    assert!(rig.states().ends_with("never:skipped report:ready"), "{}", rig.states());
    rig.succeed("report");
    assert_eq!(rig.pipeline().status, PipelineStatus::Failed);
    let mut rig = Rig::new(modules, false);
    rig.fail("a");
    rig.succeed("other");
    rig.succeed("after"); // it does not depend on what failed
    rig.succeed("mend");
    rig.succeed("report");
    assert_eq!(rig.pipeline().status, PipelineStatus::Failed);
}

#[test]
fn a_module_is_tried_again_and_what_did_not_start_costs_nothing() {
    let mut rig = Rig::new(&[("a", &[], Success)], true);
    rig.end("a", AttemptEnd::NotStarted { why: "no room".into() });
    assert_eq!((rig.pipeline().modules[0].attempts, rig.running.len()), (0, 0));
    assert_eq!(rig.pipelines.next_deadline(rig.now), Some(1_100));
    rig.now = 1_100;
    rig.start(100);
    rig.end("a", AttemptEnd::Interrupted { why: "its node went away".into() });
    assert!(rig.running.contains_key("a"), "at once the first time");
    let module = &rig.pipeline().modules[0];
    assert_eq!((module.attempts, module.interruptions, module.failures), (2, 1, 0));
    rig.fail("a");
    assert_eq!(rig.states(), "a:failed");
    let planned = Planned { name: "a".into(), retries: 2, ..Planned::default() };
    let asked = |graph| Submission { graph, stop: true, bytes: 0, idempotency: None };
    let events = rig.apply(Command::Submit(asked(Arc::new(Graph::new(vec![planned]).unwrap()))));
    let [Event::Accepted { pipeline }] = events[..] else { panic!("{events:?}") };
    rig.key = pipeline;
    rig.apply(Command::Kept { pipeline });
    for wait in [1_000, 2_000] {
        rig.fail("a");
        assert_eq!(rig.pipelines.next_deadline(rig.now), Some(rig.now + wait));
        rig.now += wait;
        rig.start(100);
    }
    rig.fail("a");
    assert_eq!((rig.states().as_str(), rig.pipeline().modules[0].attempts), ("a:failed", 3));
}

#[test]
fn nothing_starts_after_a_cancel_and_a_retry_begins_where_it_failed() {
    let mut rig = Rig::new(DIAMOND, true);
    rig.succeed("top");
    let events = rig.apply(Command::Cancel { pipeline: rig.key });
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Stopping { .. })).count(), 2);
    assert_eq!(rig.states(), "top:succeeded left:cancelled right:cancelled end:cancelled");
    let (module, attempt) = rig.running["left"];
    let late = Command::Attempted { pipeline: rig.key, module, attempt, end: AttemptEnd::Answered { bytes: 1 } };
    assert_eq!(rig.pipelines.apply(rig.now, late), Err(Refusal::StaleAttempt));
    assert_eq!(rig.apply(Command::Cancel { pipeline: rig.key }), []);
    rig.running.clear();
    rig.apply(Command::Retry { pipeline: rig.key });
    assert_eq!(rig.states(), "top:succeeded left:ready right:ready end:pending");
    rig.succeed("left");
    rig.fail("right");
    assert_eq!((rig.pipeline().status, rig.pipeline().runs), (PipelineStatus::Failed, 2));
    rig.apply(Command::Retry { pipeline: rig.key });
    rig.succeed("right");
    rig.succeed("end");
    assert_eq!(rig.pipeline().status, PipelineStatus::Succeeded);
    assert_eq!(rig.begun.iter().filter(|name| *name == "top").count(), 1);
    let refused = rig.pipelines.apply(rig.now, Command::Retry { pipeline: rig.key });
    assert_eq!(refused, Err(Refusal::Wrong { status: PipelineStatus::Succeeded }));
}

#[test]
fn a_report_on_a_failure_is_made_anew_by_a_retry() {
    let mut rig = Rig::new(&[("check", &[], Success), ("report", &["check"], Always)], true);
    rig.fail("check");
    rig.succeed("report");
    rig.apply(Command::Retry { pipeline: rig.key });
    assert_eq!(rig.states(), "check:ready report:pending");
}

#[test]
fn what_has_the_most_behind_it_goes_first() {
    use Condition::Success as S;
    let limits = Limits { at_once: 1, ..Limits::default() };
    let chain: [Given; 6] = [
        ("short", &[], S),
        ("end", &["middle", "side"], S),
        ("side", &[], S),
        ("middle", &["long"], S),
        ("alone", &[], S),
        ("long", &[], S),
    ];
    let mut rig = Rig::with(&chain, true, limits);
    while let Some(name) = rig.running.keys().next().cloned() {
        rig.succeed(&name);
    }
    assert_eq!(rig.begun, ["long", "side", "middle", "short", "end", "alone"]);
}

#[test]
fn room_and_turns_bound_what_runs() {
    let wide: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
    let modules: Vec<Given> = wide.iter().map(|name| (name.as_str(), &[][..], Success)).collect();
    let limits = Limits { at_once: 7, at_once_in_all: 9, ..Limits::default() };
    let mut rig = Rig::with(&modules, true, limits);
    assert_eq!(rig.running.len(), 7);
    rig.running.clear();
    let asked = Submission { graph: graph(&modules), stop: true, bytes: 0, idempotency: None };
    let events = rig.apply(Command::Submit(asked));
    let [Event::Accepted { pipeline }] = events[..] else { panic!("{events:?}") };
    rig.key = pipeline;
    rig.apply(Command::Kept { pipeline });
    assert_eq!(rig.running.len(), 2, "what all together may");
    assert!(rig.pipelines.waits_for_room(rig.now));
}

#[test]
fn limits_hold_and_the_oldest_ended_go_first() {
    let limits = Limits { open: 2, open_modules: 3, ended_kept: 2, bytes: 10, ..Limits::default() };
    let mut rig = Rig::with(&[("a", &[], Success)], true, limits);
    let asked = |modules: &[Given], bytes| {
        Command::Submit(Submission { graph: graph(modules), stop: true, bytes, idempotency: None })
    };
    let refused = rig.pipelines.apply(rig.now, asked(DIAMOND, 0));
    assert_eq!(refused, Err(Refusal::TooManyModules { limit: 3 }));
    assert_eq!(rig.pipelines.apply(rig.now, asked(&[("a", &[], Success)], 10)), Err(Refusal::NoSpace { limit: 10 }));
    let second = rig.apply(asked(&[("a", &[], Success)], 1));
    let [Event::Accepted { pipeline: second }] = second[..] else { panic!("{second:?}") };
    assert_eq!(rig.pipelines.apply(rig.now, asked(&[("a", &[], Success)], 1)), Err(Refusal::TooMany { limit: 2 }));
    rig.apply(Command::Forget { pipeline: second });
    let mut keys = vec![rig.key];
    rig.succeed("a");
    for _ in 0..2 {
        let events = rig.apply(asked(&[("a", &[], Success)], 1));
        let [Event::Accepted { pipeline }] = events[..] else { panic!("{events:?}") };
        rig.apply(Command::Kept { pipeline });
        keys.push(pipeline);
        rig.key = pipeline;
        rig.succeed("a");
    }
    assert!(rig.pipelines.pipeline(keys[0]).is_none(), "the oldest has gone");
    assert_eq!(rig.pipelines.newest(None).map(|p| p.key).collect::<Vec<_>>(), [keys[2], keys[1]]);
    rig.now += 8 * 24 * 3_600_000;
    assert_eq!(rig.pipelines.tick(rig.now).len(), 2);
}

#[test]
fn ended_ones_go_beyond_their_modules_and_results_and_the_last_stays() {
    for limits in [
        Limits { modules_kept: 5, ..Limits::default() },
        Limits { result_bytes: 50, ..Limits::default() }, // of 10 each
    ] {
        let mut rig = Rig::with(DIAMOND, true, limits);
        let first = rig.key;
        DIAMOND.iter().for_each(|(name, ..)| rig.succeed(name));
        for times in 1..=2 {
            let asked = Submission { graph: graph(DIAMOND), stop: true, bytes: 1, idempotency: None };
            let events = rig.apply(Command::Submit(asked));
            let [Event::Accepted { pipeline }] = events[..] else { panic!("{events:?}") };
            rig.key = pipeline;
            rig.apply(Command::Kept { pipeline });
            DIAMOND.iter().for_each(|(name, ..)| rig.succeed(name));
            assert!(rig.pipelines.pipeline(first).is_none(), "{times}");
            assert_eq!(rig.pipelines.newest(None).map(|p| p.key).collect::<Vec<_>>(), [pipeline]);
        }
    }
}

#[test]
fn one_that_is_over_as_soon_as_it_is_taken_back_is_told_and_counted_so() {
    let given: &[Given] = &[("a", &[], Success), ("b", &[], Success)];
    let limits = Limits { ended_kept: 1, ..Limits::default() };
    let mut rig = Rig::with(given, true, limits.clone());
    rig.fail("a");
    let (_, attempt) = rig.running.remove("b").expect("it runs on");
    let (pipeline, end) = (rig.key, AttemptEnd::NotStarted { why: "no room".into() });
    rig.pipelines.apply(rig.now, Command::Attempted { pipeline, module: 1, attempt, end }).unwrap();
    assert_eq!(rig.states(), "a:failed b:ready");
    let kept = rig.pipeline().clone();
    let mut next = Pipelines::new(limits, 1 << 20);
    let mut over = kept.clone();
    (over.key, over.status, over.ended) = (PipelineKey(0), PipelineStatus::Failed, Some(1));
    assert!(next.restore(rig.now, over).is_empty());
    let told = next.restore(rig.now, kept);
    assert_eq!(next.pipeline(pipeline).unwrap().status, PipelineStatus::Failed, "b needs what has failed");
    assert!(told.contains(&Event::Pipeline { pipeline }) && told.contains(&Event::Module { pipeline, module: 1 }));
    assert!(told.contains(&Event::Dropped { pipeline: PipelineKey(0), modules: 2 }), "{told:?}");
}
