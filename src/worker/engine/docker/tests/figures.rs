//! Figures, for people: `cargo test --release --lib -- --ignored --nocapture figures`.

use super::*;

#[test]
#[ignore = "prints figures"]
fn figures() {
    let Some(bench) = Bench::new() else { return };
    let median = |mut all: Vec<Duration>| {
        all.sort();
        all[all.len() / 2].as_millis()
    };
    let time = |f: &dyn Fn()| {
        let begun = Instant::now();
        f();
        begun.elapsed()
    };
    let rounds = 15;
    let own = |n: u32| format!("{}-raw-{n}", bench.node);
    let ours = (0..rounds).map(|_| {
        let begun = Instant::now();
        let running = bench.start("echo", Kind::Http);
        let started = begun.elapsed();
        ready(&running);
        let ready = begun.elapsed();
        block_on(running.control.stop(Duration::from_secs(5)));
        (started, ready)
    });
    let (started, ready): (Vec<_>, Vec<_>) = ours.unzip();
    println!("http: start {} ms, ready {} ms", median(started), median(ready));
    let label = format!("io.cares.node={}", bench.node);
    let create = |n| drop(docker(&["create", "--name", &own(n), "--label", &label, "cares-test/echo:1"]));
    println!("docker create (CLI): {} ms", median((0..rounds).map(|n| time(&|| create(n))).collect()));
    let start = (0..rounds).map(|n| time(&|| drop(docker(&["start", &own(n)]))));
    println!("docker start (CLI): {} ms", median(start.collect()));
    let job = (0..rounds).map(|_| time(&|| drop(finish(bench.start("upper", Kind::Job), b"hello"))));
    println!("job round trip: {} ms", median(job.collect()));
    let run = (0..rounds).map(|_| time(&|| drop(docker(&["run", "--rm", "--label", &label, "cares-test/upper:1"]))));
    println!("docker run --rm: {} ms", median(run.collect()));
}
