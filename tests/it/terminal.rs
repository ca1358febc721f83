//! The screens as a person meets them: real processes in tmux, typed at and looked at.

use crate::harness::{free_address, wait_for, wait_for_some};
use crate::tmux::{Terminal, tmux_is_there};
use cares::client::Orchestrator;
use cares::types::Node;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A dashboard started from the start screen, and a client of its orchestrator.
struct Head {
    terminal: Terminal,
    client: Orchestrator,
    grpc: String,
    dir: TempDir,
}

impl Head {
    /// From the start screen, on a terminal of this size; `None` without tmux.
    fn start(columns: u32, rows: u32) -> Option<Head> {
        if !tmux_is_there() {
            return None;
        }
        let dir = TempDir::new().expect("a folder");
        let (http, grpc) = (free_address().to_string(), free_address().to_string());
        let env = [("CARES_HTTP_ADDR", http.as_str()), ("CARES_GRPC_ADDR", grpc.as_str())];
        let terminal = Terminal::open(columns, rows, dir.path(), &[], &env);
        terminal.shows("[1] Create a new cluster (Orchestrator)");
        terminal.shows("[2] Join an existing cluster (Worker)");
        terminal.types("1");
        terminal.shows("Registered Functions");
        let client = Orchestrator::new(&format!("http://{http}")).expect("an address");
        Some(Head { terminal, client, grpc, dir })
    }

    /// Another `cares`, made a worker by typing.
    fn join(&self, name: &str) -> Terminal {
        let terminal = Terminal::open(80, 24, &self.folder(name), &[], &[]);
        terminal.shows("[2] Join an existing cluster (Worker)");
        terminal.types("2");
        terminal.shows("127.0.0.1:50051");
        type_over(&terminal, "127.0.0.1:50051", &self.grpc);
        terminal.press("Enter");
        terminal.shows("CPU Usage:");
        terminal.shows("Memory Usage:");
        terminal
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn nodes(&self) -> Vec<Node> {
        self.client.nodes().expect("nodes")
    }

    fn wait_nodes(&self, count: usize) -> Vec<Node> {
        let active = |nodes: &Vec<Node>| nodes.iter().filter(|n| n.status == "active" && n.reach == "links").count();
        wait_for_some(&format!("{count} nodes"), || Some(self.nodes()).filter(|nodes| active(nodes) == count))
    }

    fn deploy_greeter(&self) {
        self.deploy("greeter", "", "echo \"good morning $(cat)\"\n");
    }

    /// A job that is this script; `more` settings begin with a comma.
    fn deploy(&self, name: &str, more: &str, script: &str) {
        let folder = self.folder(name);
        let settings = format!(r#"{{"mode":"job","command":["./run.sh"]{more}}}"#);
        std::fs::write(folder.join("function.json"), settings).expect("a file");
        write_program(&folder.join("run.sh"), &format!("#!/bin/sh\n{script}"));
        let mut deploy = crate::harness::cares();
        deploy.args(["deploy", folder.to_str().expect("UTF-8"), "--url", self.client.url()]);
        let (status, out, err) = crate::harness::run(&mut deploy);
        assert!(status.success(), "{out}{err}");
    }
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// Replaces what stands in a field.
fn type_over(terminal: &Terminal, old: &str, new: &str) {
    terminal.press("End");
    for _ in old.chars() {
        terminal.press("BSpace");
    }
    terminal.types(new);
}

fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(killed.success());
}

#[test]
fn a_cluster_is_made_and_used_by_typing_alone() {
    let Some(head) = Head::start(120, 40) else { return };
    let workers: Vec<Terminal> = ["a", "b", "c"].map(|name| head.join(name)).into();
    let nodes = head.wait_nodes(3);
    for node in &nodes {
        head.terminal.shows(&node.name);
    }
    // Rows follow what the nodes say.
    let figures =
        |screen: &str| screen.lines().filter(|l| l.contains("active")).map(str::to_string).collect::<Vec<_>>();
    let before = figures(&head.terminal.shows_where("three rows", |screen| figures(screen).len() == 3));
    head.terminal.shows_where("rows that move", |screen| {
        let now = figures(screen);
        now.len() == 3 && now != before
    });

    // A form, and 201 over HTTP.
    head.terminal.types("a");
    head.terminal.shows("Function Name");
    head.terminal.shows("Docker Image URL");
    head.terminal.types("my-test-func");
    head.terminal.press("Tab");
    head.terminal.types("alpine:3.20\n");
    head.terminal.shows("Successfully registered 'my-test-func'");
    assert_eq!(head.client.function("my-test-func").expect("it is there").image, "alpine:3.20");
    head.terminal.shows_where("the function's row", |screen| {
        screen.lines().any(|line| line.contains("my-test-func") && line.contains("alpine:3.20"))
    });

    // A call, and both logs' stories.
    head.deploy_greeter();
    head.terminal.shows("greeter");
    let (answer, text) = crate::harness::invoke(&head.client, "greeter", "world");
    assert_eq!((answer.status, text.as_str()), (200, "good morning world\n"));
    let id = answer.call_id.expect("a call id");
    for part in ["received", "3 candidates", "chosen", "finished with status 200"] {
        head.terminal.shows_where(&format!("call {id}: {part}"), |screen| {
            let text = screen.replace('\n', " ");
            text.contains(&id) && text.contains(part)
        });
    }
    wait_for("a worker's log tells of the call", || {
        workers.iter().any(|worker| {
            let screen = worker.screen();
            screen.contains(&id) && screen.contains("received") && screen.contains("finished")
        })
    });

    // Kill -9, and the same row comes back.
    let victim = &workers[0];
    let name =
        nodes.iter().map(|n| n.name.clone()).find(|name| victim.screen().contains(name.as_str())).expect("its name");
    kill(victim.pid());
    head.terminal.shows_where("a row that is disconnected", |screen| {
        screen.lines().any(|line| line.contains(&name) && line.to_lowercase().contains("disconnected"))
    });
    let again = head.join("a");
    let back = head.wait_nodes(3);
    let ids = |nodes: &[Node]| nodes.iter().map(|n| n.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&back), ids(&nodes), "the same rows");
    again.shows(&name);
}

#[test]
fn a_wrong_address_is_an_error_in_place_and_the_text_stays() {
    if !tmux_is_there() {
        return;
    }
    let dir = TempDir::new().expect("a folder");
    let terminal = Terminal::open(80, 24, dir.path(), &[], &[]);
    terminal.shows("[2] Join an existing cluster (Worker)");
    terminal.press("Down");
    terminal.press("Enter");
    terminal.shows("127.0.0.1:50051");
    let dead = free_address().to_string();
    type_over(&terminal, "127.0.0.1:50051", &dead);
    terminal.press("Enter");
    terminal.shows("cannot reach");
    terminal.shows(&dead);
    type_over(&terminal, &dead, "not an address q");
    terminal.press("Enter");
    terminal.shows("not an address q");
    assert!(terminal.is_open(), "q was text");
    terminal.press("Escape");
    terminal.shows("[1] Create a new cluster");
    terminal.types("q");
    wait_for("the program has ended", || !terminal.is_open());
}

#[test]
fn a_taken_name_a_long_paste_and_a_dead_orchestrator_harm_no_form() {
    let Some(head) = Head::start(80, 24) else { return };
    let remote = Terminal::open(80, 24, head.dir.path(), &["tui", "--url", head.client.url()], &[]);
    remote.shows("Registered Functions");
    let fill = |name: &str| {
        remote.types("a");
        remote.shows("Function Name");
        remote.types(name);
        remote.press("Tab");
        remote.types("x:1\n");
    };
    fill("taken");
    remote.shows("Successfully registered 'taken'");
    fill("taken");
    remote.shows("already");
    assert!(remote.screen().contains("x:1"), "the text stays:\n{}", remote.screen());
    remote.press("Escape");
    remote.shows_where("the dashboard", |screen| !screen.contains("Docker Image URL"));

    // What was typed is still there: a paste goes behind it.
    remote.types("a");
    remote.shows("taken");
    remote.pastes(&"q\n?:".repeat(1_250));
    remote.types("\n");
    remote.shows("Function Name");
    remote.press("Escape");
    remote.shows_where("the dashboard", |screen| !screen.contains("Docker Image URL"));
    assert_eq!(head.client.functions().expect("functions").len(), 1, "nothing was registered by a paste");

    remote.types("a");
    remote.shows("Function Name");
    remote.press("C-u");
    remote.types("late");
    kill(head.terminal.pid());
    remote.press("Enter");
    remote.shows_where("an error with the text kept", |screen| {
        screen.contains("late") && screen.contains("cannot reach")
    });
    remote.press("Escape"); // with a key right behind it, it would be another
    remote.shows_where("the dashboard", |screen| screen.contains("lost") && !screen.contains("Docker Image URL"));
    remote.types("q");
    wait_for("it has left", || !remote.is_open());
}

#[test]
fn every_size_is_drawn_and_thirty_keys_a_second_are_taken() {
    let Some(head) = Head::start(80, 24) else { return };
    head.deploy_greeter();
    head.terminal.shows("greeter");
    for (columns, rows) in [(60, 20), (40, 10), (20, 5), (200, 60), (80, 24)] {
        head.terminal.resize(columns, rows);
        head.terminal.shows_where(&format!("{columns}x{rows}"), |screen| {
            let fits = screen.lines().all(|line| line.chars().count() <= columns as usize);
            let drawn = if columns < 40 || rows < 10 { screen.contains("40") } else { screen.contains("Functions") };
            fits && drawn
        });
    }
    for _ in 0..30 {
        head.terminal.types("jk\tG");
        head.terminal.press("BTab");
    }
    head.terminal.types("?");
    head.terminal.shows("register a function");
    head.terminal.press("Escape");
    head.terminal.shows_where("the dashboard", |screen| !screen.contains("register a function"));
}

#[test]
fn the_terminal_is_given_back_whatever_ends_the_screen() {
    let Some(head) = Head::start(80, 24) else { return };
    let url = head.client.url().to_string();
    let dir = head.folder("shell");
    let shell = Terminal::shell(80, 24, &dir, &[]);
    let program = crate::harness::cares().get_program().to_str().expect("UTF-8").to_string();
    let ends: [&dyn Fn(); 2] = [&|| shell.types("q"), &|| {
        let found = Command::new("pkill").args(["-TERM", "-P", &shell.pid().to_string()]).status().expect("pkill runs");
        assert!(found.success());
    }];
    for end in ends {
        shell.types(&format!("cd {}; stty -a > before; clear; {program} tui --url {url}\n", dir.display()));
        shell.shows("Registered Functions");
        end();
        shell.shows_where("the shell again", |screen| !screen.contains("Registered Functions"));
        shell.types("stty -a > after; cmp before after && echo same-as-before\n");
        shell.shows_where("a terminal as before", |screen| {
            screen.lines().any(|line| line.ends_with("same-as-before") && !line.contains("echo"))
        });
    }
}

#[test]
fn a_task_is_run_looked_at_stopped_and_forgotten_by_keys() {
    let Some(head) = Head::start(80, 24) else { return };
    let _worker = head.join("a");
    head.wait_nodes(1);
    // A bundle runs without a container engine.
    head.deploy("ticker", "", "echo the task says hello\nexec sleep 600\n");
    let image = head.client.function("ticker").expect("it is there").image;

    let terminal = &head.terminal;
    terminal.press("Tab");
    terminal.press("Tab");
    terminal.shows("No tasks yet.");
    terminal.types("a");
    terminal.shows("Run a task");
    terminal.types(&image);
    terminal.press("Tab");
    terminal.types("ticks");
    terminal.press("Tab");
    terminal.types("./run.sh\n");
    terminal.shows_where("its row", |screen| {
        screen.lines().any(|line| line.starts_with("ticks") && line.contains("Running"))
    });
    terminal.press("Enter");
    terminal.shows("Task ticks");
    terminal.shows("the task says hello");
    terminal.types("l");
    terminal.shows("Log of ticks");
    terminal.press("Escape");
    terminal.shows("Task ticks");
    terminal.types("s");
    terminal.shows("Stop the task 'ticks'");
    terminal.types("s\n");
    terminal.shows("– Stopped");
    terminal.press("Escape");
    terminal.shows("Tasks (1)");
    terminal.types("d");
    terminal.shows("Forget the task 'ticks'");
    terminal.types("f\n");
    terminal.shows("No tasks yet.");
    assert!(head.client.tasks(&Default::default()).expect("tasks").is_empty());
}

#[test]
fn a_pipeline_is_run_looked_at_cancelled_and_retried_by_keys() {
    let Some(head) = Head::start(80, 24) else { return };
    let _worker = head.join("a");
    head.wait_nodes(1);
    head.deploy_greeter();
    // Ends once it is let.
    let gate = head.dir.path().join("gate");
    let wait = format!(
        "echo it waits for the gate >&2\nwhile [ ! -e {} ]; do sleep 0.05; done\necho let through\n",
        gate.display()
    );
    head.deploy("waiter", r#","isolation":{"files":"open"}"#, &wait);
    let file = head.dir.path().join("release.json");
    let modules = r#"{"name":"greet","function":"greeter","inputs":"all"},
        {"name":"wait","function":"waiter","dependsOn":["greet"]},
        {"name":"last","function":"greeter","dependsOn":["wait"]}"#;
    std::fs::write(&file, format!(r#"{{"name":"release","modules":[{modules}]}}"#)).expect("a file");

    let terminal = &head.terminal;
    terminal.types("P");
    terminal.shows("No pipelines yet.");
    terminal.types("a");
    terminal.shows("Run a pipeline");
    terminal.types(&format!("{}\n", file.display()));
    terminal.shows_where("its row", |screen| {
        screen.lines().any(|line| line.starts_with("release") && line.contains("1/3"))
    });
    terminal.press("Enter");
    terminal.shows("Pipeline release");
    terminal.shows_where("its tree", |screen| screen.contains("└ wait") && screen.contains("  └ last"));
    terminal.press("Enter");
    terminal.shows("good morning all");
    terminal.press("Escape");
    terminal.shows_where("its tree", |screen| !screen.contains("good morning all"));
    terminal.types("jl");
    terminal.shows("Log of wait");
    terminal.shows("it waits for the gate");
    terminal.shows("● following");
    terminal.press("Escape");
    terminal.shows("Module wait");
    terminal.types("c");
    terminal.shows("Cancel the pipeline 'release'");
    terminal.types("y\n");
    terminal.shows("– cancelled");
    terminal.types("r");
    terminal.shows("◐ running");
    terminal.shows("run 2");
    std::fs::write(&gate, "").expect("a file");
    terminal.shows("3/3 modules");
    terminal.shows_where("all of its tree", |screen| {
        ["greet", "└ wait", "  └ last"]
            .iter()
            .all(|name| screen.lines().any(|line| line.starts_with(name) && line.contains("✓ succeeded")))
    });
    terminal.types("G");
    terminal.shows("Module last");
    terminal.press("Escape");
    terminal.shows_where("its row", |screen| {
        screen.lines().any(|line| line.starts_with("release") && line.contains("3/3"))
    });
}
