//! Types a block of the README on a machine, as a reader would, and looks at what comes of it.

use super::machine::{Machine, Said, may_be_made};
use super::{Row, Told, block};
use crate::docker::{engine_is_there, remove_containers_of};
use crate::harness::{PATIENCE, wait_for};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

/// Where the README's orchestrator is for other machines. Commands that name it are typed on such a one.
const FROM_ELSEWHERE: &str = "192.168.1.10";
/// Names in the README, for all machines.
const HOSTS: &str = "127.0.0.1 localhost cares.example\n";

/// The machines of a row.
struct Stage {
    // Dropped in this order: the machines before their folders.
    head: Machine,
    other: Option<Machine>,
    /// The nodes there were.
    nodes: Vec<String>,
    row: &'static Row,
    _dir: TempDir,
}

/// Runs a row's block, after what it takes for granted.
pub fn play(row: &'static Row) {
    if !may_be_made() || (row.engine && !engine_is_there()) || !(row.needs)() {
        return;
    }
    let block = swapped(row);
    let mut stage = Stage::set(row, block.contains(FROM_ELSEWHERE));
    commands(row.before).iter().for_each(|command| stage.type_in(command, None));
    let mut told: Vec<_> = row.told.iter().collect();
    for command in commands(&block) {
        let at = told.iter().position(|(begins, _)| command.starts_with(begins));
        stage.type_in(&command, at.map(|at| &told.remove(at).1));
    }
    assert!(told.is_empty(), "no command begins so: {:?}", told.iter().map(|(begins, _)| begins).collect::<Vec<_>>());
    commands(row.after).iter().for_each(|command| stage.type_in(command, None));
    stage.end_all();
}

/// The row's block with what is said to stand for what no machine of ours has.
fn swapped(row: &Row) -> String {
    row.swap.iter().fold(block("sh", row.block).to_string(), |text, (from, to)| {
        assert!(text.contains(from), "the block has no '{from}'");
        text.replace(from, to)
    })
}

/// Its commands; one may have several lines.
fn commands(block: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut command = String::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        command.push_str(if command.is_empty() { line.trim_start() } else { line });
        let parsed = Command::new("bash").args(["-n", "-c", &command]).output().expect("bash runs");
        if parsed.status.success() && !line.ends_with('\\') {
            all.push(std::mem::take(&mut command));
        } else {
            command.push('\n');
        }
    }
    assert!(command.is_empty(), "this never ends: {command}");
    all
}

/// A text where all nodes are the same.
fn without_ids(text: &str) -> String {
    text.lines().map(|line| line.split_once("node=").map_or(line, |(before, _)| before).to_string() + "\n").collect()
}

impl Stage {
    fn set(row: &'static Row, two: bool) -> Stage {
        let dir = tempfile::tempdir().expect("a folder");
        let mut head = Machine::start("head", dir.path());
        head.knows(HOSTS);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["README.md", "scripts"] {
            std::os::unix::fs::symlink(root.join(name), dir.path().join("here").join(name)).expect("a link");
        }
        let other = two.then(|| {
            let mut other = Machine::start("lab", dir.path());
            head.connect(FROM_ELSEWHERE, &mut other, "192.168.1.11");
            other
        });
        if row.engine {
            head.reach_containers();
        }
        Stage { head, other, nodes: Vec::new(), row, _dir: dir }
    }

    fn machine(&mut self, command: &str) -> &mut Machine {
        match &mut self.other {
            Some(other) if command.contains(FROM_ELSEWHERE) => other,
            _ => &mut self.head,
        }
    }

    fn type_in(&mut self, command: &str, told: Option<&Told>) {
        let role = ["cares up", "cares orchestrator", "cares worker"].iter().find(|role| command.starts_with(*role));
        if let Some(role) = role {
            return self.begin_role(role, command, told);
        }
        let answer = command.rsplit_once(" # ").map(|(_, answer)| answer).filter(|_| self.row.answers);
        match (told, answer) {
            (Some(Told::Says(text)), _) => self.until_it_says(command, text, false),
            (Some(Told::Comes(text)), _) => self.until_it_says(command, text, true),
            (Some(Told::Hears(stdin)), _) => drop(self.fine(command, stdin)),
            (Some(Told::Shows(_)), _) => panic!("{command}: only what a role shows is looked at so"),
            (Some(Told::GoesOn(text)), _) => drop(self.machine(command).begin(command, text)),
            (Some(Told::Joins(name)), _) => {
                self.machine(command).begin(command, "");
                self.wait_listed(&[name]);
            }
            (Some(Told::Alone), _) => {
                self.other.as_mut().expect("another machine").end_all();
                wait_for(command, || self.machine(command).run(command, "").code == 0);
            }
            (Some(Told::Fails(text)), _) => {
                let Said { code, out, err } = self.machine(command).run(command, "");
                assert!(code != 0 && err.contains(text), "{command}\nends with {code}: {out}{err}");
            }
            (Some(Told::Elsewhere(file, words)), _) => {
                let script = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
                let script = script.unwrap_or_else(|why| panic!("{file}: {why}"));
                assert!(script.contains(words), "{file} does not run '{words}', which stands for: {command}");
            }
            // What a curl asks for takes its time; what it changes is done once.
            (None, Some(text)) if !command.starts_with("worker=") => {
                let asks = command.starts_with("curl ") && ![" -d ", " -X "].iter().any(|c| command.contains(c));
                self.until_it_says(command, text, asks);
            }
            (None, _) => drop(self.fine(command, "")),
        }
    }

    /// Runs what must go well; all it said.
    fn fine(&mut self, command: &str, stdin: &str) -> String {
        let machine = self.machine(command);
        let Said { code, out, err } = machine.run(command, stdin);
        // A watched list is left by its reader.
        let left = code == 28 && command.starts_with("curl ") && command.contains("Nm 1");
        assert!(code == 0 || left, "{command}\nends with {code}: {out}{err}");
        out + &err
    }

    fn until_it_says(&mut self, command: &str, text: &str, again: bool) {
        let mut said = self.fine(command, "");
        let end = Instant::now() + PATIENCE;
        while again && !said.contains(text) && Instant::now() < end {
            said = self.fine(command, "");
        }
        assert!(said.contains(text), "{command}\nsays no '{text}' but: {said}");
    }

    /// An orchestrator takes the place of the one before, with its workers. A worker is there when it takes calls.
    fn begin_role(&mut self, role: &str, command: &str, told: Option<&Told>) {
        if role != "cares worker" {
            self.end_all();
        }
        let shown = match told {
            None if command.contains("--demo") => "echo answered: ",
            None => "ready ",
            Some(Told::GoesOn(text)) => text,
            Some(Told::Shows(begins)) => block("text", begins),
            Some(_) => panic!("{command}: a role goes on"),
        };
        let says = shown.lines().last().expect("a line");
        let said = self.machine(command).begin(command, says);
        if let Some(Told::Shows(_)) = told {
            assert!(without_ids(&said).starts_with(&without_ids(shown)), "{command}\nshows:\n{said}");
        }
        let node = said.split_whitespace().find_map(|word| word.strip_prefix("node=")).map(str::to_string);
        if let Some(node) = node {
            let engine = if self.row.engine { "docker" } else { "" };
            self.wait_listed(&[&node, "links", engine]);
            self.nodes.push(node);
        }
    }

    /// Waits until a node of which all this is shown is in the list.
    fn wait_listed(&mut self, parts: &[&str]) {
        wait_for(&format!("{parts:?} is a node"), || {
            let listed = self.head.run("cares node list -o wide", "").out;
            listed.lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    fn end_all(&mut self) {
        self.other.iter_mut().for_each(Machine::end_all);
        self.head.end_all();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.other.iter().for_each(|other| eprintln!("{}", other.told()));
        }
        if self.row.engine {
            drop(self.other.take());
            self.head.kill();
            self.nodes.iter().for_each(|node| remove_containers_of(node));
        }
    }
}
