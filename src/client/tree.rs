//! A pipeline's modules in the order people read them: each below the one it waits for longest. Pure.

use crate::types::PipelineModule;
use std::collections::HashMap;

/// Levels that are told apart; what is deeper stands where the last of them does.
const LEVELS: usize = 12;

/// One line of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Which module, in the order they were given.
    pub index: usize,
    /// What stands before its name: `│ ├ `.
    pub lines: String,
}

/// The tree: a module that depends on several stands below the one that is farthest from the start, the last of these.
#[must_use]
pub fn tree(modules: &[PipelineModule]) -> Vec<Branch> {
    let at: HashMap<&str, usize> = modules.iter().enumerate().map(|(index, m)| (m.name.as_str(), index)).collect();
    let needs: Vec<Vec<usize>> = modules
        .iter()
        .map(|module| module.depends_on.iter().filter_map(|name| at.get(name.as_str()).copied()).collect())
        .collect();
    let depths = depths(&needs);
    let mut children = vec![Vec::new(); modules.len()];
    let mut roots = Vec::new();
    for (index, needs) in needs.iter().enumerate() {
        match needs.iter().max_by_key(|need| depths[**need]).filter(|need| depths[**need] < depths[index]) {
            Some(parent) => children[*parent].push(index),
            None => roots.push(index),
        }
    }
    let mut branches = Vec::with_capacity(modules.len());
    // What is still to be written, the next at the end: a module, what stands before its children, and before itself.
    let mut left: Vec<(usize, String, String)> =
        roots.into_iter().rev().map(|index| (index, String::new(), String::new())).collect();
    while let Some((index, below, lines)) = left.pop() {
        branches.push(Branch { index, lines });
        let deep = below.chars().count() / 2 >= LEVELS;
        for (nth, child) in children[index].iter().rev().enumerate() {
            let (turn, on) = if nth == 0 { ("└ ", "  ") } else { ("├ ", "│ ") };
            let next = if deep { below.clone() } else { format!("{below}{on}") };
            left.push((*child, next, format!("{below}{turn}")));
        }
    }
    branches
}

/// The longest way from the start to each.
fn depths(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut depths = vec![0; needs.len()];
    let mut waits: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut after = vec![Vec::new(); needs.len()];
    for (index, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|need| after[*need].push(index));
    }
    let mut ready: Vec<usize> = (0..needs.len()).filter(|index| waits[*index] == 0).collect();
    while let Some(index) = ready.pop() {
        for next in &after[index] {
            depths[*next] = depths[*next].max(depths[index] + 1);
            waits[*next] -= 1;
            if waits[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(modules: &[(&str, &[&str])]) -> Vec<String> {
        let module = |(name, after): &(&str, &[&str])| {
            let json = serde_json::json!({
                "name": name, "state": "pending", "dependsOn": after, "function": "f",
                "attempts": 0, "failures": 0, "interruptions": 0,
            });
            serde_json::from_value(json).unwrap()
        };
        let modules: Vec<PipelineModule> = modules.iter().map(module).collect();
        tree(&modules).into_iter().map(|branch| branch.lines + &modules[branch.index].name).collect()
    }

    #[test]
    fn each_stands_below_what_it_waits_for_longest() {
        let lines = drawn(&[
            ("report", &["build", "size", "digest"]),
            ("build", &[]),
            ("size", &["build"]),
            ("digest", &["build"]),
            ("alone", &[]),
            ("last", &["report", "alone"]),
        ]);
        assert_eq!(lines, ["build", "├ size", "└ digest", "  └ report", "    └ last", "alone"]);
    }

    #[test]
    fn chains_of_any_length_and_what_cannot_be_are_all_there() {
        let names: Vec<String> = (0..2_000).map(|n| format!("m{n}")).collect();
        let after: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
        let mut chain: Vec<(&str, &[&str])> = vec![("m0", &[])];
        chain.extend((1..names.len()).map(|n| (names[n].as_str(), &after[n - 1][..])));
        let lines = drawn(&chain);
        assert_eq!(lines.len(), 2_000);
        assert!(lines.iter().all(|line| line.chars().count() < 2 * LEVELS + 10), "{}", lines[1_999]);
        assert_eq!(drawn(&[("a", &["b"]), ("b", &["a"]), ("c", &["nobody"])]).len(), 3);
    }
}
