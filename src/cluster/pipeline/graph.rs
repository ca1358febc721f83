//! What depends on what, checked once: names that exist, nothing twice, no circle. Never changes once made.

use super::super::words::worded;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Modules of one pipeline, and what they depend on in all: bounds memory, and the time that one step takes.
pub const MODULES: usize = 2_000;
pub const DEPENDENCIES: usize = 20_000;

worded! {
    /// When a module runs, once all it depends on have ended.
    #[derive(Default)]
    pub enum Condition {
        /// If all of them succeeded.
        #[default]
        Success = "success",
        /// However they ended.
        Always = "always",
        /// If one of them failed, or one that they depend on.
        Failure = "failure",
    }
}

/// A module as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    pub name: Arc<str>,
    /// By name.
    pub after: Vec<Arc<str>>,
    pub condition: Condition,
    /// Times it is tried again after it failed.
    pub retries: u32,
    /// Modules of one number need the same of the cluster: where one finds no room the others wait with it.
    pub group: u32,
}

/// One module's place.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: Arc<str>,
    /// What it depends on, and what depends on it.
    pub after: Vec<usize>,
    pub before: Vec<usize>,
    /// Modules of the longest way from it to an end, without it.
    pub behind: u32,
    pub condition: Condition,
    pub retries: u32,
    pub group: u32,
}

/// A pipeline's modules, in the order they were given.
#[derive(Clone, Debug)]
pub struct Graph {
    places: Vec<Place>,
}

/// Why modules are no graph that could be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadGraph {
    Empty,
    TooManyModules {
        limit: usize,
    },
    TooManyDependencies {
        limit: usize,
    },
    Duplicate {
        module: Arc<str>,
    },
    Unknown {
        module: Arc<str>,
        name: Arc<str>,
    },
    Twice {
        module: Arc<str>,
        name: Arc<str>,
    },
    /// The first comes once more at the end.
    Circle {
        path: Vec<Arc<str>>,
    },
}

impl fmt::Display for BadGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadGraph::Empty => f.write_str("modules: there must be at least one"),
            BadGraph::TooManyModules { limit } => write!(f, "modules: at most {limit}"),
            BadGraph::TooManyDependencies { limit } => write!(f, "modules: dependsOn: at most {limit} in all"),
            BadGraph::Duplicate { module } => write!(f, "modules: '{module}': name: two modules have it"),
            BadGraph::Unknown { module, name } => write!(
                f,
                "modules: '{module}': dependsOn: there is no module '{}'",
                name.chars().take(80).collect::<String>().escape_debug()
            ),
            BadGraph::Twice { module, name } => write!(f, "modules: '{module}': dependsOn: '{name}' is named twice"),
            BadGraph::Circle { path } => {
                write!(f, "modules: '{}': dependsOn: they wait for each other: {}", path[0], path.join(" -> "))
            }
        }
    }
}

impl Graph {
    /// # Errors
    /// What is wrong, the module and the field first.
    pub fn new(planned: Vec<Planned>) -> Result<Graph, BadGraph> {
        if planned.is_empty() {
            return Err(BadGraph::Empty);
        }
        if planned.len() > MODULES {
            return Err(BadGraph::TooManyModules { limit: MODULES });
        }
        if planned.iter().map(|module| module.after.len()).sum::<usize>() > DEPENDENCIES {
            return Err(BadGraph::TooManyDependencies { limit: DEPENDENCIES });
        }
        let mut at = HashMap::new();
        for (index, module) in planned.iter().enumerate() {
            if at.insert(module.name.clone(), index).is_some() {
                return Err(BadGraph::Duplicate { module: module.name.clone() });
            }
        }
        let mut places: Vec<Place> = Vec::with_capacity(planned.len());
        for Planned { name, after, condition, retries, group } in planned {
            let mut found = Vec::with_capacity(after.len());
            for wanted in after {
                match at.get(&wanted) {
                    None => return Err(BadGraph::Unknown { module: name, name: wanted }),
                    Some(index) if found.contains(index) => {
                        return Err(BadGraph::Twice { module: name, name: wanted });
                    }
                    Some(index) => found.push(*index),
                }
            }
            places.push(Place { name, after: found, before: Vec::new(), behind: 0, condition, retries, group });
        }
        for index in 0..places.len() {
            for dependency in places[index].after.clone() {
                places[dependency].before.push(index);
            }
        }
        let mut graph = Graph { places };
        if let Some(path) = graph.circle() {
            return Err(BadGraph::Circle { path });
        }
        graph.measure();
        Ok(graph)
    }

    /// How far each is from the end; there is no circle.
    fn measure(&mut self) {
        let mut waits: Vec<usize> = self.places.iter().map(|place| place.before.len()).collect();
        let mut known: Vec<usize> = (0..waits.len()).filter(|index| waits[*index] == 0).collect();
        while let Some(index) = known.pop() {
            let behind = self.places[index].behind + 1;
            for dependency in self.places[index].after.clone() {
                let place = &mut self.places[dependency];
                place.behind = place.behind.max(behind);
                waits[dependency] -= 1;
                known.extend((waits[dependency] == 0).then_some(dependency));
            }
        }
    }

    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn place(&self, index: usize) -> &Place {
        &self.places[index]
    }

    /// The number of a module.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.places.iter().position(|place| &*place.name == name)
    }

    /// A way along dependencies that comes back to where it began. A stack of its own: ways may be as long as there are
    /// modules.
    fn circle(&self) -> Option<Vec<Arc<str>>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Never,
            OnTheWay,
            Done,
        }
        let mut seen = vec![Seen::Never; self.places.len()];
        for start in 0..self.places.len() {
            let mut way: Vec<(usize, usize)> = Vec::new(); // a module, and which dependency comes next
            if seen[start] == Seen::Never {
                seen[start] = Seen::OnTheWay;
                way.push((start, 0));
            }
            while let Some((at, next)) = way.last_mut() {
                let Some(dependency) = self.places[*at].after.get(*next).copied() else {
                    seen[*at] = Seen::Done;
                    way.pop();
                    continue;
                };
                *next += 1;
                match seen[dependency] {
                    Seen::Done => {}
                    Seen::Never => {
                        seen[dependency] = Seen::OnTheWay;
                        way.push((dependency, 0));
                    }
                    Seen::OnTheWay => {
                        let circle = way.iter().map(|(index, _)| *index).skip_while(|index| *index != dependency);
                        return Some(circle.chain([dependency]).map(|i| self.places[i].name.clone()).collect());
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(modules: &[(&str, &[&str])]) -> Result<Graph, BadGraph> {
        let planned = |(name, after): &(&str, &[&str])| Planned {
            name: (*name).into(),
            after: after.iter().map(|name| (*name).into()).collect(),
            ..Planned::default()
        };
        Graph::new(modules.iter().map(planned).collect())
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_name() {
        let why = |modules: &[(&str, &[&str])]| graph(modules).expect_err("no graph").to_string();
        assert_eq!(why(&[]), "modules: there must be at least one");
        assert_eq!(why(&[("a", &[]), ("a", &[])]), "modules: 'a': name: two modules have it");
        assert_eq!(why(&[("a", &["b"])]), "modules: 'a': dependsOn: there is no module 'b'");
        assert_eq!(why(&[("a", &[]), ("b", &["a", "a"])]), "modules: 'b': dependsOn: 'a' is named twice");
        assert!(why(&[("a", &["a"])]).ends_with("a -> a"));
        let circle = why(&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &[])]);
        assert_eq!(circle, "modules: 'a': dependsOn: they wait for each other: a -> b -> c -> a");
        assert!(graph(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])]).is_ok());
    }

    #[test]
    fn limits_are_named_and_the_longest_way_is_walked() {
        let chain = |length: usize| {
            let module = |n: usize| Planned {
                name: format!("m{n}").into(),
                after: if n == 0 { Vec::new() } else { vec![format!("m{}", n - 1).into()] },
                ..Planned::default()
            };
            (0..length).rev().map(module).collect::<Vec<_>>()
        };
        assert!(Graph::new(chain(MODULES)).is_ok());
        assert_eq!(Graph::new(chain(MODULES + 1)).err(), Some(BadGraph::TooManyModules { limit: MODULES }));
        let mut wide = chain(MODULES);
        let names: Vec<Arc<str>> = (0..21).map(|n| format!("m{n}").into()).collect();
        wide.iter_mut().for_each(|module| module.after = names.clone());
        assert_eq!(Graph::new(wide).err(), Some(BadGraph::TooManyDependencies { limit: DEPENDENCIES }));
    }
}
