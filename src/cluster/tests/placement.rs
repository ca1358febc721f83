//! Where work goes.

use super::*;

#[test]
fn the_lowest_score_wins() {
    let mut rig = Rig::new();
    let (busy, idle, middling) = (rig.worker("busy", 4), rig.worker("idle", 4), rig.worker("middling", 4));
    rig.load(busy, 90.0);
    rig.load(idle, 5.0);
    rig.load(middling, 50.0);
    rig.put(job("j"));
    let call = rig.invoke("j");
    assert_eq!(rig.at(call), Some(idle.node));
    let candidates = rig.cluster.candidates(rig.cluster.function("j").unwrap());
    let names: Vec<&str> = candidates.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["idle", "middling", "busy"]);
}

#[test]
fn an_image_waits_for_nobody_without_an_engine_and_goes_where_one_appears() {
    let mut rig = Rig::new();
    let node = rig.worker("a", 4);
    rig.put(Revision { image: "hello-world".into(), mode: Mode::Auto, ..job("j") });
    let function: Arc<str> = "j".into();
    let refused = rig.try_apply(Command::Invoke { function: function.clone(), origin: Origin::Caller, wants: None });
    assert!(matches!(refused, Err(Refusal::NoNode { why }) if why.contains("container engine")));
    let engines = ["process", "docker"].map(String::from).into();
    let Joined { node, session } = node;
    rig.apply(Command::SetEngines { node, session, engines, trouble: String::new() });
    let call = rig.invoke("j");
    assert_eq!(rig.at(call), Some(node));
}

#[test]
fn a_call_goes_on_as_http_once_its_image_says_so() {
    let mut rig = Rig::new();
    let node = rig.worker("a", 4);
    rig.put(Revision { mode: Mode::Auto, ..http("f") });
    let call = rig.invoke("f");
    assert_eq!(rig.at(call), Some(node.node));
    rig.apply(Command::ResolveMode { function: "f".into(), revision: 1, mode: Mode::Http });
    rig.apply(Command::Refuse { invocation: call, why: "it is an http function".into() });
    assert!(rig.events.iter().any(|e| matches!(e, Event::InstanceStarting { .. })), "{:?}", rig.events);
    let revision = rig.cluster.function("f").expect("f").current().clone();
    assert_eq!((revision.mode, revision.number), (Mode::Http, 1));
    rig.apply(Command::ResolveMode { function: "f".into(), revision: 1, mode: Mode::Job }); // said once
    assert_eq!(rig.cluster.function("f").expect("f").current().mode, Mode::Http);
}

#[test]
fn a_burst_between_two_beats_spreads_over_equal_nodes() {
    let mut rig = Rig::new();
    let nodes = ["a", "b", "c"].map(|name| rig.worker(name, 8));
    rig.put(job("j"));
    let calls: Vec<_> = (0..12).map(|_| rig.invoke("j")).collect();
    for node in nodes {
        assert_eq!(calls.iter().filter(|c| rig.at(**c) == Some(node.node)).count(), 4);
    }
}

#[test]
fn jobs_leave_a_node_under_stress_at_once() {
    let mut rig = Rig::new();
    let (a, b) = (rig.worker("a", 8), rig.worker("b", 8));
    rig.put(job("j"));
    for (stressed, other) in [(a, b), (b, a)] {
        rig.settle_load(stressed, 95.0);
        rig.settle_load(other, 5.0);
        let call = rig.invoke("j");
        assert_eq!(rig.at(call), Some(other.node));
        rig.finish(call);
    }
}

#[test]
fn short_jobs_do_not_weigh_once_they_are_over() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 8);
    rig.put(job("j"));
    let before = rig.cluster.node(a.node).unwrap().score();
    for _ in 0..100 {
        let call = rig.invoke("j");
        rig.finish(call);
    }
    assert_eq!(rig.cluster.node(a.node).unwrap().score(), before);
}

#[test]
fn absurd_metrics_are_unknown_or_cut() {
    let mut rig = Rig::new();
    let (odd, good) = (rig.worker("odd", 8), rig.worker("good", 8));
    rig.put(job("j"));
    for absurd in [f64::NAN, -3.0, f64::INFINITY, 1e300] {
        rig.load(odd, absurd);
        let score = rig.cluster.node(odd.node).unwrap().score();
        assert!((0.0..=100.0).contains(&score), "{absurd} gives {score}");
        let call = rig.invoke("j");
        assert_eq!(rig.at(call), Some(good.node), "{absurd}");
        rig.finish(call);
    }
}

#[test]
fn work_goes_only_where_its_constraints_hold() {
    let mut rig = Rig::new();
    rig.worker("plain", 8);
    let mut fit = spec("fit", 8);
    fit.arch = "aarch64".into();
    fit.tools.insert("ffmpeg".into());
    fit.tags.insert("zone".into(), "b".into());
    fit.memory_bytes = 64 << 30;
    fit.cpus = 32;
    fit.engines.insert("docker".into());
    let fit = rig.join(fit, Vec::new()).unwrap();
    rig.reach(fit, Reach::Links);
    rig.settle_load(fit, 99.0);
    type Want = fn(&mut Revision);
    let wanted: [(&str, Want); 6] = [
        ("arch", |r| r.constraints.arch = Some("aarch64".into())),
        ("tools", |r| _ = r.constraints.tools.insert("ffmpeg".into())),
        ("tags", |r| _ = r.constraints.tags.insert("zone".into(), "b".into())),
        ("memory", |r| r.memory_bytes = 32 << 30),
        ("cpu", |r| r.cpu = 16.0),
        ("engine", |r| r.image = "registry/image:1".into()),
    ];
    for (what, change) in wanted {
        let mut revision = job(what);
        change(&mut revision);
        rig.put(revision);
        let call = rig.invoke(what);
        assert_eq!(rig.at(call), Some(fit.node), "{what}");
        rig.finish(call);
    }
    let mut nowhere = job("nowhere");
    nowhere.constraints.os = Some("plan9".into());
    rig.put(nowhere);
    let Err(Refusal::NoNode { why }) = rig.try_invoke("nowhere") else { panic!("taken") };
    assert!(why.contains("constraints"), "{why}");
}

#[test]
fn the_reason_for_no_node_says_what_to_do() {
    let mut rig = Rig::new();
    rig.put(Revision { image: "registry/image:1".into(), ..job("j") });
    let why = |rig: &mut Rig| match rig.try_invoke("j") {
        Err(Refusal::NoNode { why }) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(&mut rig).contains("cares worker"));
    let a = rig.worker("a", 1);
    assert!(why(&mut rig).contains("container engine"));
    let broken = NodeSpec { engine_trouble: "it is stopped; start it".into(), ..spec("b", 1) };
    let b = rig.join(broken, Vec::new()).unwrap();
    assert!(why(&mut rig).contains("node 'b' says: it is stopped; start it"));
    rig.apply(disconnect(b));
    rig.apply(disconnect(a));
    assert!(why(&mut rig).contains("active"));
}

#[test]
fn a_node_out_of_reach_gets_nothing() {
    let mut rig = Rig::new();
    let a = rig.worker("a", 4);
    rig.put(job("j"));
    rig.reach(a, Reach::None);
    assert!(matches!(rig.try_invoke("j"), Err(Refusal::NoNode { .. })));
    rig.reach(a, Reach::Links);
    let call = rig.invoke("j");
    assert_eq!(rig.at(call), Some(a.node));
}

#[test]
fn a_node_without_slots_for_it_is_no_hope() {
    let mut rig = Rig::new();
    let joined = rig.join(NodeSpec { job_slots: 0, ..spec("a", 4) }, Vec::new()).unwrap();
    rig.reach(joined, Reach::Links);
    rig.put(job("j"));
    rig.put(http("h"));
    assert!(matches!(rig.try_invoke("j"), Err(Refusal::NoNode { .. })), "would wait for ever");
    rig.warm("h");
}

#[test]
fn a_worker_of_the_first_cares_gets_images_that_run_by_their_name_alone() {
    let mut rig = Rig::new();
    let engines = BTreeSet::from(["docker".to_string()]);
    let old = NodeSpec { engines, cpus: 0, memory_bytes: 0, version: String::new(), ..spec("old", 4) };
    let joined = rig.join(old, Vec::new()).unwrap();
    rig.reach(joined, Reach::FirstGeneration);
    let image = |name: &str, mode| Revision { image: "hello-world".into(), mode, ..job(name) };
    for (name, mode) in [("auto", Mode::Auto), ("job", Mode::Job)] {
        rig.put(Revision { command: Vec::new(), ..image(name, mode) });
        let call = rig.invoke(name);
        assert_eq!(rig.at(call), Some(joined.node), "{name}");
    }
    let more = [
        image("http", Mode::Http),
        Revision { command: vec!["true".into()], ..image("command", Mode::Job) },
        Revision { env: [("A".to_string(), "1".to_string())].into(), ..image("env", Mode::Job) },
        Revision { memory_bytes: 1, ..image("memory", Mode::Job) },
        Revision { cpu: 0.1, ..image("cpu", Mode::Job) },
        job("bundle"),
    ];
    for revision in more {
        let name = revision.function.to_string();
        rig.put(revision);
        assert!(matches!(rig.try_invoke(&name), Err(Refusal::NoNode { .. })), "{name}");
    }
    let new = rig.join(NodeSpec { engines: ["docker".to_string()].into(), ..spec("new", 4) }, Vec::new()).unwrap();
    rig.reach(new, Reach::Links);
    let call = rig.invoke("env");
    assert_eq!(rig.at(call), Some(new.node));
}

#[test]
fn a_worker_that_joined_over_http_gets_images_that_run_as_jobs_with_an_environment() {
    let mut rig = Rig::new();
    let engines = BTreeSet::from(["docker".to_string()]);
    let joined =
        rig.join(NodeSpec { engines, http: true, version: String::new(), ..spec("py", 2) }, Vec::new()).unwrap();
    rig.reach(joined, Reach::Http);
    let image = |name: &str| Revision { image: "some/module".into(), command: Vec::new(), ..job(name) };
    rig.put(image("plain"));
    rig.put(Revision { env: [("A".to_string(), "1".to_string())].into(), ..image("env") });
    let calls = [rig.invoke("plain"), rig.invoke("env")];
    assert!(calls.iter().all(|call| rig.at(*call) == Some(joined.node)));
    let third = rig.invoke("plain");
    assert_eq!(rig.at(third), None, "it runs no more at once than it said it can");
    for (name, revision) in [
        ("http", Revision { mode: Mode::Http, ..image("http") }),
        ("command", Revision { command: vec!["true".into()], ..image("command") }),
        ("bundle", job("bundle")),
    ] {
        rig.put(revision);
        assert!(matches!(rig.try_invoke(name), Err(Refusal::NoNode { .. })), "{name}");
    }
    let is_lost = |events: &[Event]| events.iter().any(|e| matches!(e, Event::NodeLost { .. }));
    assert!(!is_lost(&rig.pass(13_000)), "it beats every 5 s: two may be lost");
    assert!(is_lost(&rig.pass(1_500)), "and no more");
}

#[test]
fn a_call_with_inputs_of_its_own_goes_only_where_they_are_given() {
    let mut rig = Rig::new();
    let old = rig.worker("old", 4);
    rig.put(job("j"));
    let wants = Some(Arc::new(Constraints { takes_inputs: true, ..Default::default() }));
    let module = Command::Invoke { function: "j".into(), origin: Origin::Later, wants };
    let refused = rig.try_apply(module.clone());
    assert!(matches!(refused, Err(Refusal::NoNode { why }) if why.contains("a module's inputs")));
    let spec = rig.cluster.node(old.node).expect("it").spec.clone();
    let new = NodeSpec { id: "n-new".into(), name: "new".into(), secrets: true, ..spec };
    let new = rig.join(new, Vec::new()).unwrap();
    rig.reach(new, Reach::Links);
    let before = rig.cluster.node(new.node).expect("it").running;
    (0..4).for_each(|_| rig.apply(module.clone()));
    assert_eq!(rig.cluster.node(new.node).expect("it").running, before + 4);
    assert_eq!(rig.cluster.node(old.node).expect("it").running, 0);
}

#[test]
fn a_function_with_secrets_goes_only_where_they_are_given() {
    let mut rig = Rig::new();
    let old = rig.worker("old", 4);
    let env = [("PASS".to_string(), "db-pass".to_string())].into();
    rig.put(Revision { secrets: Secrets { env, ..Default::default() }, ..job("j") });
    rig.put(job("plain"));
    let refused = rig.try_apply(Command::Invoke { function: "j".into(), origin: Origin::Caller, wants: None });
    assert!(
        matches!(refused, Err(Refusal::NoNode { why }) if why.contains("secrets") && why.contains("older version"))
    );
    let spec = rig.cluster.node(old.node).expect("it").spec.clone();
    let new = rig
        .join(NodeSpec { id: "n-new".into(), name: "new".into(), secrets: true, ..spec.clone() }, Vec::new())
        .unwrap();
    rig.reach(new, Reach::Links);
    for _ in 0..4 {
        let call = rig.invoke("j");
        assert_eq!(rig.at(call), Some(new.node));
    }
    let plain = rig.invoke("plain");
    assert_eq!(rig.at(plain), Some(old.node), "the other is as good for all else");
    // The same node comes back with another program.
    rig.join(NodeSpec { id: "n-new".into(), name: "new".into(), secrets: false, ..spec }, Vec::new()).unwrap();
    assert!(rig.try_apply(Command::Invoke { function: "j".into(), origin: Origin::Caller, wants: None }).is_err());
}

#[test]
fn a_waiting_call_that_asks_for_more_is_told_once_it_waits_in_vain_wherever_it_stands() {
    let wants = || Some(Arc::new(Constraints { tags: [("zone".into(), "b".into())].into(), ..Default::default() }));
    let asking = || Command::Invoke { function: "j".into(), origin: Origin::Later, wants: wants() };
    let full = || {
        let mut rig = Rig::new();
        let spec = NodeSpec { tags: [("zone".into(), "b".into())].into(), job_slots: 1, ..super::spec("b", 2) };
        let b = rig.join(spec, Vec::new()).unwrap();
        rig.reach(b, Reach::Links);
        rig.put(job("j"));
        let (running, plain) = (rig.invoke("j"), rig.invoke("j"));
        rig.apply(asking());
        let asks = rig.cluster.invocations.keys().next_back().copied().unwrap();
        assert_eq!((rig.at(plain), rig.at(asks)), (None, None));
        (rig, b, running, plain, asks)
    };
    let (mut rig, b, _, plain, asks) = full();
    let a = rig.worker("a", 1); // the plain one runs there
    assert_eq!(rig.at(plain), Some(a.node));
    let second = rig.invoke("j");
    rig.apply(cordon(b));
    assert!(matches!(rig.failures()[..], [Failure::NoNode { .. }]) && rig.over(asks) && !rig.over(second));
    // Another revision serves HTTP: its instances are where they are.
    let serve_http = |rig: &mut Rig| {
        rig.put(http("j"));
        let first = rig.starting("j")[0];
        rig.ready(first);
    };
    let (mut rig, _, running, plain, asks) = full();
    serve_http(&mut rig);
    assert!(rig.over(asks) && !rig.over(plain) && !rig.over(running));
    // The same of one that runs, and that its node refuses after all.
    let (mut rig, _, running, plain, asks) = full();
    rig.finish(running);
    rig.finish(plain);
    assert!(rig.at(asks).is_some());
    serve_http(&mut rig);
    rig.refuse(asks);
    assert!(rig.over(asks));
}
