//! Tests of the feeds against a small server whose streams stay open, break and start again.

use super::samples::{cluster, function, node};
use crate::tui::orchestrator;
use crate::tui::orchestrator::feed;
use crate::tui::orchestrator::model::Connection;
use crate::tui::puppet::Puppet;
use crate::tui::session::{Session, Ui};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server answers now.
#[derive(Default)]
struct State {
    nodes: Vec<&'static str>,
    functions: Vec<&'static str>,
    /// Id, second and text of log lines.
    log: Vec<(u64, u64, String)>,
    /// Streams of another run are closed.
    run: u64,
    /// Connections are closed without an answer.
    dead: bool,
}

type Shared = Arc<Mutex<State>>;

fn serve(state: &Shared) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let state = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            std::thread::spawn(move || answer(stream, &state));
        }
    });
    url
}

fn answer(mut stream: std::net::TcpStream, state: &Shared) {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|n| n > 0) {}
    let (run, body, ends) = {
        let state = state.lock().unwrap();
        if state.dead {
            return;
        }
        let put = |json: String| format!("event: put\ndata: {json}\n\n");
        let synced = "event: synced\ndata: {}\n\n";
        let body = match head.split(' ').nth(1).unwrap_or_default() {
            path if path.starts_with("/nodes") => {
                state.nodes.iter().map(|n| put(serde_json::to_string(&node(n)).unwrap())).collect::<String>() + synced
            }
            path if path.starts_with("/functions") => {
                let json = |n: &&str| put(serde_json::to_string(&function(n)).unwrap());
                state.functions.iter().map(json).collect::<String>() + synced
            }
            path if path.starts_with("/api/v1/manager/tasks") || path.starts_with("/api/pipelines") => {
                synced.to_string()
            }
            path if path.starts_with("/log") => {
                let line = |(id, second, text): &(u64, u64, String)| {
                    let time = format!("2026-01-01T00:00:{second:02}.000Z");
                    format!("{}\n", serde_json::json!({"id": id, "time": time, "level": "info", "message": text}))
                };
                state.log.iter().map(line).collect()
            }
            _ => serde_json::to_string(&cluster()).unwrap(),
        };
        (state.run, body, head.starts_with("GET /cluster"))
    };
    let head = match ends {
        true => format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len()),
        false => "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_string(),
    };
    let _ = stream.write_all((head + &body).as_bytes());
    while !ends && state.lock().unwrap().run == run {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_screen_follows_through_a_restart() {
    let line = |id: u64, second: u64, text: &str| (id, second, text.to_string());
    let state = Shared::default();
    *state.lock().unwrap() = State {
        nodes: vec!["alpha", "beta"],
        functions: vec!["hello"],
        log: vec![line(1, 1, "first words"), line(2, 2, "second words")],
        ..State::default()
    };
    let mut puppet = Puppet::new(120, 30);
    let session = puppet.session(&serve(&state));
    orchestrator::open(&mut puppet.runner, &session, None);
    for part in ["● live", "alpha", "beta", "● hello", "first words", "second words", "cluster c-7f3a91"] {
        puppet.shows(part);
    }

    let end = |dead| {
        let mut state = state.lock().unwrap();
        state.dead = dead;
        state.run += 1;
    };
    end(true);
    puppet.shows("✗ lost, ");
    puppet.shows("rows are old");
    puppet.shows("alpha");
    puppet.shows("[WARN] no connection to http://127.0.0.1");

    // A new run: beta is gone, gamma is there, ids start again; one line is from before.
    {
        let mut state = state.lock().unwrap();
        state.nodes = vec!["alpha", "gamma"];
        state.functions = vec!["hello", "greet"];
        state.log = vec![line(1, 9, "third words"), line(2, 9, "fourth words")];
    }
    end(false);
    for part in ["● live", "gamma", "greet", "third words", "fourth words", "[INFO] connected to http"] {
        puppet.shows(part);
    }
    puppet.lacks("beta");

    // The same run, heard again after the connection broke: each line once.
    state.lock().unwrap().log.push(line(3, 10, "fifth words"));
    end(false);
    puppet.shows("fifth words");
    puppet.shows("● live");
    let text = puppet.text();
    for words in ["first words", "second words", "third words", "fourth words", "fifth words"] {
        assert_eq!(text.matches(words).count(), 1, "{words} in:\n{text}");
    }
}

#[test]
fn nobody_there_is_said_and_tried_again_ever_more_slowly() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // closed again at once
    let mut puppet = Puppet::new(100, 30);
    let session = puppet.session(&format!("http://{free}"));
    orchestrator::open(&mut puppet.runner, &session, None);
    puppet.shows("✗ lost, again in 1 s (connection refused)");
    puppet.shows(&format!("No answer from http://{free} so far."));
    puppet.shows("again in 2 s (connection refused)"); // after 250, 500 and 1,000 ms
}

#[test]
fn feeds_end_with_their_screen() {
    let state = Shared::default();
    let puppet = Puppet::new(40, 10);
    let session = puppet.session(&serve(&state));
    let feeds = feed::start(&session);
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while session.model().connection != Connection::Live {
        assert!(std::time::Instant::now() < until, "never live: {:?}", session.model().connection);
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(feeds);
    state.lock().unwrap().run += 1; // the streams say their last, and nobody asks again
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(session.model().connection, Connection::Live, "nothing is written any more");
}

/// Prints what 200 nodes that beat once a second, told twice a second, cost this process; the server's writes included.
/// `cargo test --release --lib beats -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn two_hundred_beats_a_second_cost_little() {
    const SECONDS: u64 = 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let beats = |half: usize| -> String {
        let beat = |n: usize| {
            let cpu = Some(((n * 7 + half * 13) % 100) as f64);
            let node = crate::types::Node { cpu_percent: cpu, ..node(&format!("rack-{n}")) };
            format!("event: put\ndata: {}\n\n", serde_json::to_string(&node).unwrap())
        };
        (0..200).filter(|n| n % 2 == half % 2).map(beat).collect()
    };
    let batches: Vec<String> = (0..100).map(beats).collect();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let batches = batches.clone();
            std::thread::spawn(move || {
                let mut first = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut first).unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
                if first.starts_with("GET /cluster") {
                    let _ = stream.write_all(serde_json::to_string(&cluster()).unwrap().as_bytes());
                    return;
                }
                let _ = stream.write_all(b"event: synced\ndata: {}\n\n");
                while first.starts_with("GET /nodes") {
                    for batch in &batches {
                        if stream.write_all(batch.as_bytes()).is_err() {
                            return;
                        }
                        std::thread::sleep(Duration::from_millis(500));
                    }
                }
                std::thread::sleep(Duration::from_secs(2 * SECONDS));
            });
        }
    });
    let mut puppet = Puppet::new(160, 50);
    let (wake, woken) = std::sync::mpsc::sync_channel(1);
    let ui = Ui::new(puppet.runner.cb_sink().clone(), wake);
    let session = Session::new(crate::client::Orchestrator::new(&url).unwrap(), ui);
    orchestrator::open(&mut puppet.runner, &session, None);
    puppet.types("3"); // by CPU: the order changes with every beat
    puppet.shows("rack-199");
    let (start, before, mut frames) = (std::time::Instant::now(), cpu_ms(), 0);
    while start.elapsed() < Duration::from_secs(SECONDS) {
        if woken.recv_timeout(Duration::from_millis(100)).is_ok() {
            puppet.runner.refresh();
            frames += 1;
        }
    }
    let spent = cpu_ms() - before;
    println!("{}", puppet.text());
    println!("{spent} ms in {SECONDS} s: {:.2} % of a core, {frames} frames", spent as f64 / SECONDS as f64 / 10.0);
}

/// Processor time of this process.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10 // of 100 ticks a second
}
