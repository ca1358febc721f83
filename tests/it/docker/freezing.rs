//! Containers that are idle: frozen by their cgroup or the engine, woken by the next call, and never taken for one that
//! somebody paused by hand.

use super::{Docked, docker};
use crate::harness::wait_for;
use crate::load::Load;
use cares::types::{FunctionSpec, Scale};

fn freezing() -> FunctionSpec {
    FunctionSpec { freeze_s: Some(0.3), ..FunctionSpec::default() }
}

fn wait_frozen(docked: &Docked, name: &str) {
    wait_for("it is frozen", || docked.function(name).instances.iter().any(|i| i.status == "frozen"));
}

#[test]
fn an_idle_container_is_frozen_and_the_next_call_wakes_it() {
    let Some(docked) = Docked::start(1) else { return };
    docked.register_as("f", "echo", freezing());
    docked.call("f", "first");
    let container = docked.container(0);
    for _ in 0..3 {
        wait_frozen(&docked, "f");
        assert_eq!(docked.call("f", "again"), "POST / HTTP/1.1\nagain");
        assert_eq!(docked.container(0), container, "the same one");
    }
    wait_frozen(&docked, "f");
    let ended = |e: &cares::types::Event| e.kind == "instance.ended";
    let past = docked.client().past_events().expect("events");
    assert!(!past.map_while(Result::ok).any(|e| ended(&e)), "our own freezing is nobody's doing by hand");
    // what is frozen ends soon
    docked.client().delete_function("f").expect("deleted");
    docked.wait_none(0);
}

#[test]
fn a_frozen_container_that_somebody_ends_by_hand_is_replaced() {
    let Some(docked) = Docked::start(1) else { return };
    docked.register_as("f", "echo", freezing());
    for command in [&["rm", "--force"][..], &["stop"], &["kill"]] {
        docked.call("f", "first");
        let container = docked.container(0);
        wait_frozen(&docked, "f");
        docker(&[command, &[&container]].concat());
        wait_for("it is gone", || docked.function("f").instances.is_empty());
        assert_eq!(docked.call("f", "next"), "POST / HTTP/1.1\nnext");
        wait_for("only the new one is left", || docked.containers(0).len() == 1 && docked.container(0) != container);
    }
}

#[test]
fn a_frozen_container_is_taken_over_after_a_kill_of_the_worker() {
    let Some(mut docked) = Docked::start(1) else { return };
    docked.register_as("f", "echo", freezing());
    docked.call("f", "first");
    let container = docked.container(0);
    wait_frozen(&docked, "f");
    docked.cluster.workers[0].kill();
    docked.start_again(0);
    assert_eq!(docked.call("f", "after"), "POST / HTTP/1.1\nafter");
    assert_eq!(docked.container(0), container, "the same container");
    wait_frozen(&docked, "f");
    docked.leaves_none(0);
}

#[test]
fn a_new_image_takes_over_under_load_and_a_broken_one_does_not() {
    let Some(docked) = Docked::start(1) else { return };
    docked.register_as("f", "echo", FunctionSpec { timeout_s: Some(60.0), ..FunctionSpec::default() });
    docked.call("f", "first");
    let load = Load::start(&docked.cluster, "f", 4);
    let image = |name: &str| FunctionSpec { image: format!("cares-test/{name}:1"), ..FunctionSpec::default() };
    docked.client().replace("f", &image("other")).expect("a new revision");
    wait_for("the new one serves", || docked.function("f").serving == 2);
    docked.client().replace("f", &image("no-such-image")).expect("a new revision");
    wait_for("its failure is shown", || docked.function("f").last_error.is_some());
    let f = docked.function("f");
    assert_eq!((f.serving, f.revision), (2, 3));
    docked.client().rollback("f", Some(1)).expect("rolled back");
    wait_for("the first one serves again", || docked.function("f").serving == 4);
    assert_eq!(docked.function("f").last_error, None);
    docked.client().redeploy("f").expect("redeployed"); // from no registry: what is here is used
    wait_for("the same once more", || docked.function("f").serving == 5);
    load.end();
    docked.client().scale("f", &Scale { max: Some(1), ..Scale::default() }).expect("scaled");
    wait_for("the old ones are gone", || docked.containers(0).len() == 1);
    assert_eq!(docked.call("f", "x"), "POST / HTTP/1.1\nx");
}
