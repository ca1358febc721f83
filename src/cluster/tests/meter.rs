//! What is counted of calls and instances.

use super::*;

/// Ended, failed, refused, cold, starts, crashes.
fn counted(meter: &Meter) -> [u64; 6] {
    [meter.took.count(), meter.failures, meter.refused, meter.cold, meter.starts, meter.crashes]
}

#[test]
fn a_functions_calls_are_counted_and_go_with_it_while_the_sum_stays() {
    let mut rig = Rig::with(|limits| limits.queue_per_function = 1);
    let worker = rig.worker("a", 1);
    rig.put(http("f"));
    let of_f = |rig: &Rig| counted(&rig.cluster.function("f").unwrap().meter);
    let first = rig.invoke("f");
    assert_eq!(of_f(&rig), [0, 0, 0, 1, 1, 0], "it waits for a start");
    assert!(rig.try_invoke("f").is_err());
    assert_eq!(of_f(&rig), [0, 0, 1, 1, 1, 0], "its queue is full");
    let instance = *rig.cluster.instances.keys().next().unwrap();
    rig.apply(Command::InstanceReady { instance });
    assert_eq!(rig.at(first), Some(worker.node));
    rig.apply(Command::Finish { invocation: first, success: false, took_us: 700 });
    let second = rig.invoke("f");
    rig.apply(Command::Finish { invocation: second, success: true, took_us: 70_000 });
    assert_eq!(of_f(&rig), [2, 1, 1, 1, 1, 0], "the second found it warm");
    rig.apply(Command::InstanceEnded { instance, why: "exit code 1".into() });
    assert_eq!(of_f(&rig)[5], 1);
    assert_eq!(rig.cluster.function("f").unwrap().meter.took.sum_us(), 70_700);
    rig.apply(Command::DeleteFunction { name: "f".into() });
    assert_eq!(counted(rig.cluster.meter())[..4], [2, 1, 1, 1]);
    rig.put(http("f"));
    assert_eq!(of_f(&rig)[..4], [0; 4], "a namesake begins anew");
}
