//! A pipeline's modules as text: a tree by what they depend on, drawn anew on a terminal, and a line for each change
//! elsewhere.

use crate::cli::ClientOptions;
use crate::client;
use crate::output;
use crate::types::{Pipeline, PipelineModule};
use std::collections::HashMap;
use std::io::{self, Write};

/// Drawn live: what is over goes first when there are more.
const LINES: usize = 30;

/// How many modules have ended.
pub fn ended(pipeline: &Pipeline) -> usize {
    let count = |state: &str| pipeline.counts.get(state).copied().unwrap_or(0);
    ["succeeded", "failed", "skipped", "cancelled"].into_iter().map(count).sum()
}

/// One line: how it is as a whole.
pub fn summary(pipeline: &Pipeline) -> String {
    let counts: Vec<String> = pipeline.counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    format!("pipeline {} {}: {}", pipeline.id, output::paint_if(&pipeline.status), counts.join(", "))
}

/// All of it.
pub fn whole(pipeline: &Pipeline) -> String {
    let mut fields = vec![("ID", pipeline.id.clone()), ("Status", pipeline.status.clone())];
    fields.extend(pipeline.name.as_ref().map(|name| ("Name", name.clone())));
    fields.push(("Runs", pipeline.runs.to_string()));
    fields.push(("Submitted", pipeline.submitted_at.clone()));
    fields.push(("Ended", pipeline.ended_at.clone().unwrap_or_default()));
    let lines: String = tree(pipeline).into_iter().map(|(_, line)| line + "\n").collect();
    output::fields(&fields) + "Modules:\n" + &lines
}

/// A line for each module, below what it waits for.
fn tree(pipeline: &Pipeline) -> Vec<(&PipelineModule, String)> {
    let branches = client::tree(&pipeline.modules).into_iter();
    let lines = branches.map(|branch| {
        let module = &pipeline.modules[branch.index];
        (module, format!("  {}{}", branch.lines, line(module)))
    });
    lines.collect()
}

fn line(module: &PipelineModule) -> String {
    let glyph = match module.state.as_str() {
        "succeeded" => "✔",
        "failed" => "✘",
        "running" => "▶",
        "skipped" | "cancelled" => "–",
        _ => "·",
    };
    let after = match module.depends_on.is_empty() {
        true => String::new(),
        false => format!("  after {}", module.depends_on.join(", ")),
    };
    let tries = if module.attempts > 1 { format!("  {} attempts", module.attempts) } else { String::new() };
    let node = module
        .node_name
        .as_ref()
        .or(module.node.as_ref())
        .filter(|_| module.state == "running")
        .map(|node| format!("  on {node}"));
    let wrong = !matches!(module.state.as_str(), "succeeded" | "running" | "pending");
    let error = module.error.as_ref().filter(|_| wrong).map(|error| format!("  {}", output::one_line(error)));
    let state = output::paint_if(&module.state);
    let (node, error) = (node.unwrap_or_default(), error.unwrap_or_default());
    format!("{glyph} {}  {state}{tries}{node}{after}{error}", module.name)
}

/// What was shown, to be replaced or added to.
pub struct Live {
    quiet: bool,
    terminal: bool,
    drawn: usize,
    states: HashMap<String, String>,
}

impl Live {
    pub fn new(options: &ClientOptions) -> Live {
        Live { quiet: options.quiet, terminal: output::redraws(), drawn: 0, states: HashMap::new() }
    }

    /// Draws the tree anew, or tells what changed.
    pub fn show(&mut self, pipeline: &Pipeline) {
        if self.quiet {
            return;
        }
        let text = if self.terminal { self.draw(pipeline) } else { self.changes(pipeline) };
        let _ = io::stderr().lock().write_all(text.as_bytes()); // that nobody reads it is no reason to fail
    }

    fn draw(&mut self, pipeline: &Pipeline) -> String {
        let mut lines = tree(pipeline);
        let over = |module: &PipelineModule| {
            matches!(module.state.as_str(), "succeeded" | "skipped" | "cancelled" | "pending")
        };
        if lines.len() > LINES {
            lines.retain(|(module, _)| !over(module));
            lines.truncate(LINES);
        }
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        text.push_str(&format!("{}\n", summary(pipeline)));
        for (_, line) in &lines {
            // a line that wrapped would count twice
            text.push_str(&format!("\x1b[?7l{line}\x1b[?7h\n"));
        }
        self.drawn = lines.len() + 1;
        text
    }

    fn changes(&mut self, pipeline: &Pipeline) -> String {
        let mut text = String::new();
        for module in &pipeline.modules {
            let before = self.states.insert(module.name.clone(), module.state.clone());
            if before.as_ref() != Some(&module.state) && !matches!(module.state.as_str(), "pending" | "ready") {
                text.push_str(&format!("{}\n", line(module)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, state: &str, after: &[&str]) -> PipelineModule {
        PipelineModule {
            name: name.into(),
            state: state.into(),
            depends_on: after.iter().map(|name| name.to_string()).collect(),
            function: "f".into(),
            attempts: 1,
            failures: 0,
            interruptions: 0,
            node: Some("n1".into()),
            node_name: None,
            started_at: None,
            ended_at: None,
            error: Some("no\nluck".into()),
            result: None,
        }
    }

    #[test]
    fn the_tree_says_what_comes_after_what() {
        let pipeline = Pipeline {
            id: "p1".into(),
            name: None,
            status: "failed".into(),
            failure_policy: "stop".into(),
            runs: 1,
            submitted_at: "2026-01-01T00:00:00Z".into(),
            ended_at: None,
            counts: [("failed".to_string(), 1), ("skipped".to_string(), 2)].into(),
            modules: vec![module("c", "skipped", &["b"]), module("a", "failed", &[]), module("b", "running", &["a"])],
        };
        let lines: Vec<String> = tree(&pipeline).into_iter().map(|(_, line)| line).collect();
        assert_eq!(
            lines,
            ["  ✘ a  failed  no luck", "  └ ▶ b  running  on n1  after a", "    └ – c  skipped  after b  no luck"]
        );
        assert_eq!((ended(&pipeline), summary(&pipeline)), (3, "pipeline p1 failed: 1 failed, 2 skipped".into()));
    }
}
