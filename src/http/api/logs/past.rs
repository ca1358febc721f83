//! What all nodes have of a log, asked for at once: the newest lines of all, however many nodes there are and whatever they
//! say, and which of them did not say all of theirs in time.

use super::{Line, Lines, OWN};
use crate::body::Body;
use crate::clock;
use crate::cluster::NodeKey;
use crate::lock::lock;
use crate::rt;
use crate::types::LogLine;
use hyper::Response;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long nodes are waited for.
#[derive(Clone, Copy)]
pub struct Patience {
    /// For one to say something.
    pub silence: Duration,
    /// For all to have said everything.
    pub all: Duration,
}

/// A node that says nothing is as good as gone; and nobody waits for ever for one that says it line by line.
pub const PATIENCE: Patience = Patience { silence: super::NODE_LIMIT, all: Duration::from_secs(30) };

/// A line, the node that has it, and its number there.
pub type Said = (NodeKey, LogLine, u64);

/// What came.
pub struct Past {
    /// In the order it was printed.
    pub lines: Vec<Said>,
    /// The answers, which go on with what comes.
    pub answers: Vec<(NodeKey, Lines)>,
    /// The names of those that did not say all they have.
    pub missing: Vec<String>,
}

/// Which lines are wanted, and how many.
#[derive(Clone)]
pub struct Which {
    pub most: usize,
    pub wanted: Arc<dyn Fn(&LogLine) -> bool + Send + Sync>,
}

/// Asks these nodes, all at once.
pub async fn of_all<A, F>(nodes: Vec<(NodeKey, String)>, which: Which, patience: Patience, ask: A) -> Past
where
    A: Fn(NodeKey) -> F,
    F: Future<Output = Result<Response<Body>, String>> + Send + 'static,
{
    let newest = Arc::new(Mutex::new(Newest { most: which.most, ..Newest::default() }));
    let end = clock::now() + patience.all;
    let asking = nodes.into_iter().map(|(node, name)| {
        let asked =
            Asked { node, wanted: which.wanted.clone(), newest: newest.clone(), silence: patience.silence, end };
        (node, name.clone(), rt::spawn_scoped(asked.told(name, ask(node))))
    });
    let asking: Vec<_> = asking.collect();
    let (mut answers, mut missing) = (Vec::new(), Vec::new());
    for (node, name, told) in asking {
        let (lines, whole) = told.await;
        answers.extend(lines.map(|lines| (node, lines)));
        missing.extend((!whole).then_some(name));
    }
    let lines = std::mem::take(&mut lock(&newest).lines).into_values().collect();
    Past { lines, answers, missing }
}

/// What stands in the log for what is missing of it.
pub fn missing(node: String) -> LogLine {
    LogLine {
        time: clock::rfc3339(clock::unix_ms()),
        node,
        source: OWN.into(),
        stream: "stderr".into(),
        line: "[lines of this node are missing here: it did not send them in time; ask again]".into(),
    }
}

/// The lines that are held until all nodes have told theirs: no more than were asked for.
#[derive(Default)]
struct Newest {
    most: usize,
    /// By their times; those of one time as they came.
    lines: BTreeMap<(String, u64), Said>,
    came: u64,
}

impl Newest {
    fn add(&mut self, said: Said) {
        self.came += 1;
        self.lines.insert((said.1.time.clone(), self.came), said);
        if self.lines.len() > self.most {
            self.lines.pop_first();
        }
    }
}

struct Asked {
    node: NodeKey,
    wanted: Arc<dyn Fn(&LogLine) -> bool + Send + Sync>,
    newest: Arc<Mutex<Newest>>,
    silence: Duration,
    end: Instant,
}

impl Asked {
    /// Its answer, if there is one, and whether all of its past has come.
    async fn told(
        self,
        name: String,
        asked: impl Future<Output = Result<Response<Body>, String>>,
    ) -> (Option<Lines>, bool) {
        let Some(Ok(answer)) = self.in_time(asked).await else { return (None, false) };
        let mut lines = Lines::new(answer.into_body(), name);
        let whole = loop {
            match self.in_time(lines.next()).await {
                Some(Some(Line::Said(line, number))) => {
                    if (self.wanted)(&line) {
                        lock(&self.newest).add((self.node, line, number));
                    }
                }
                Some(Some(Line::UpToDate)) => break true,
                Some(None) | None => break false, // it broke off, or says nothing more
            }
        };
        (Some(lines), whole)
    }

    async fn in_time<T>(&self, says: impl Future<Output = T>) -> Option<T> {
        clock::timeout_at(self.end.min(clock::now() + self.silence), says).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NumberedLine;
    use futures_lite::future;

    fn line(time: u64) -> LogLine {
        let [node, source, stream, line] = ["", "i1", "stdout", "said"].map(String::from);
        LogLine { time: format!("{time:04}"), node, source, stream, line }
    }

    fn said(numbers: impl Iterator<Item = u64>) -> String {
        let text = |n| serde_json::to_string(&NumberedLine { number: n, line: line(n) }).unwrap() + "\n";
        numbers.map(text).collect()
    }

    fn nodes(count: u64) -> Vec<(NodeKey, String)> {
        (1..=count).map(|n| (NodeKey(n), format!("w{n}"))).collect()
    }

    fn which(most: usize) -> Which {
        Which { most, wanted: Arc::new(|line| line.time != "0999") }
    }

    #[test]
    fn no_more_is_held_than_was_asked_for_and_the_answer_goes_on() {
        let text = said(1..1_001) + "\n" + &said(1_001..1_002);
        let ask = |_| std::future::ready(Ok(Response::new(Body::full(text.clone()))));
        let mut past = rt::block_on(of_all(nodes(1), which(3), PATIENCE, ask));
        assert_eq!(past.lines.iter().map(|(_, _, number)| *number).collect::<Vec<_>>(), [997, 998, 1_000]);
        assert_eq!(past.missing, [""; 0]);
        let (_, lines) = &mut past.answers[0];
        assert!(matches!(rt::block_on(lines.next()), Some(Line::Said(line, 1_001)) if line.node == "w1"));
        let mut newest = Newest { most: 2, ..Newest::default() };
        (0..1_000).for_each(|n| newest.add((NodeKey(1), line(n * 7 % 1_000), n)));
        assert_eq!(newest.lines.into_keys().map(|(time, _)| time).collect::<Vec<_>>(), ["0998", "0999"]);
    }

    #[test]
    fn many_that_say_nothing_cost_as_long_as_one_and_are_named() {
        const SILENCE: Duration = Duration::from_millis(500);
        let ask = |NodeKey(n): NodeKey| {
            let text = match n {
                3 => said(5..7) + "\n",
                4 => said(1..5) + &said(8..9), // breaks off
                _ => String::new(),
            };
            let answer: future::Boxed<_> = match n {
                3 | 4 => Box::pin(std::future::ready(Ok(Response::new(Body::full(text))))),
                5 => Box::pin(std::future::ready(Err("its link is gone".into()))),
                _ => Box::pin(std::future::pending()),
            };
            answer
        };
        let begun = clock::now();
        let patience = Patience { silence: SILENCE, all: PATIENCE.all };
        let past = rt::block_on(of_all(nodes(12), which(3), patience, ask));
        assert!(begun.elapsed() < 5 * SILENCE, "they were asked one after the other: {:?}", begun.elapsed());
        assert_eq!(past.lines.iter().map(|(_, line, _)| &*line.time).collect::<Vec<_>>(), ["0005", "0006", "0008"]);
        assert_eq!(past.missing, (1..=12).filter(|n| *n != 3).map(|n| format!("w{n}")).collect::<Vec<_>>());
        assert_eq!(missing("w1".into()).node, "w1");
    }

    #[test]
    fn one_that_never_ends_is_waited_for_no_longer_than_all() {
        let trickle = Body::unfold((), |()| async {
            clock::after(Duration::from_millis(20)).await;
            Some((Ok(said(1..2).into()), ()))
        });
        let body = Mutex::new(Some(trickle));
        let ask = |_| std::future::ready(Ok(Response::new(body.lock().unwrap().take().unwrap())));
        let patience = Patience { silence: Duration::from_secs(20), all: Duration::from_millis(300) };
        let begun = clock::now();
        let past = rt::block_on(of_all(nodes(1), which(3), patience, ask));
        assert!(begun.elapsed() < patience.silence && past.missing == ["w1"] && past.lines.len() == 3);
    }
}
