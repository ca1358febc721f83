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
    let refused = rig.try_apply(Command::Invoke { function: function.clone(), attempt: false });
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
