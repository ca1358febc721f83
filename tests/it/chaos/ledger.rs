//! Asynchronous calls under chaos: what was accepted, what ran, and whether the one explains the other.

use super::{ANSWERED, Chaos};
use crate::fixture;
use crate::harness::{Cluster, wait_for_some};
use crate::wire::get;
use cares::client::{Body, Invoke, Later, Orchestrator};
use cares::types::{Call, CallRecord};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Functions that write a line for each run: a job, and one that serves http.
pub const WRITERS: [&str; 2] = ["job-writer", "http-writer"];
/// The ledger's line before a role is killed.
pub const KILL: &str = "kill";
/// The line that says that nothing runs any more of what ran at the kills before it. A run that is written down between
/// the two lines may be of before the kill or of after it.
pub const SETTLED: &str = "settled";
/// They write where the test looks.
const OPEN: &str = r#","isolation":{"files":"open"}"#;
/// Between two calls of a caller, so that ten minutes make fewer calls than are kept.
const PAUSE: Duration = Duration::from_millis(50);
/// A body that gets a file of its own; each so-many-th call of a function has one.
const LARGE: (usize, usize) = (20_000, 16);
/// Most rows that a page of a list has.
const ROWS: usize = 1_000;

/// A call that was answered with 202, and what its result must end with.
struct Accepted {
    id: String,
    answer: String,
}

/// The functions' own record, and the callers'.
pub struct Ledger {
    /// `ID ATTEMPT` for each run, and `KILL` or `SETTLED`, in the order they happened.
    lines: PathBuf,
    accepted: Mutex<Vec<Accepted>>,
    /// Calls that were asked for without a key, and no answer came: they may be there or not.
    unknown: Mutex<usize>,
}

impl Ledger {
    /// Deploys the functions that write into it.
    pub fn deploy(cluster: &Cluster) -> Ledger {
        let lines = cluster.dir.path().join("ledger");
        let [job, http] = WRITERS;
        let note = format!("echo \"$CARES_CALL_ID $CARES_ATTEMPT\" >> '{}'", lines.display());
        cluster.deploy_open_script(job, &format!("{note}; sleep 0.1; exec cat")); // long enough to be killed at times
        cluster.deploy(http, &fixture::manifest_with(&format!("writes {}", lines.display()), OPEN), &[]);
        Ledger { lines, accepted: Mutex::default(), unknown: Mutex::default() }
    }

    /// Notes `KILL` or `SETTLED`.
    pub fn note(&self, what: &str) {
        append(&self.lines, what);
    }

    /// Asks for calls until it is over. Every second one has a key, and is asked for until it is accepted.
    pub(super) fn ask(&self, chaos: &Chaos, client: &Orchestrator, function: &str) {
        for n in 0.. {
            if chaos.over.load(Ordering::Relaxed) {
                return;
            }
            let large = if n % LARGE.1 == 0 { LARGE.0 } else { 0 };
            let body = format!("{function} {n}{}", ".".repeat(large));
            let (path, answer) = (format!("/{n}"), if function == WRITERS[1] { format!("/{n}") } else { body.clone() });
            let key = (n % 2 == 0).then(|| format!("{function} {n}"));
            let asked = Instant::now();
            loop {
                let body = Body::Bytes(if function == WRITERS[1] { Vec::new() } else { body.clone().into() });
                let invoke = Invoke { method: "POST".into(), path: path.clone(), body, ..Default::default() };
                let later = Later { idempotency_key: key.clone(), ..Default::default() };
                let began = Instant::now();
                let outcome = client.invoke_later(function, invoke, later);
                assert!(began.elapsed() < ANSWERED, "{function} {n}: {outcome:?} after {:?}", began.elapsed());
                match outcome {
                    Ok(call) => {
                        chaos.tally.count("later accepted".into());
                        self.accepted.lock().unwrap().push(Accepted { id: call.id, answer });
                        break;
                    }
                    Err(error) => match error.status() {
                        Some(status @ (429 | 502..=504)) => chaos.tally.count(format!("later told {status}")),
                        Some(_) => panic!("{function} {n}: {error}"),
                        None => {
                            chaos.tally.count("later cut off".into());
                            *self.unknown.lock().unwrap() += usize::from(key.is_none());
                        }
                    },
                }
                if key.is_none() {
                    break;
                }
                assert!(asked.elapsed() < 3 * ANSWERED, "{function} {n} is not accepted");
                thread::sleep(PAUSE);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Every accepted call has its result, there are no others, and whatever ran more than once did so for a kill.
    pub fn settle(&self, cluster: &Cluster) {
        let accepted = self.accepted.lock().unwrap();
        let mut again = 0;
        for Accepted { id, answer } in accepted.iter() {
            let call = ended(&cluster.client, id);
            assert_eq!(call.status, "succeeded", "{call:?}");
            let because = call.interruptions + call.failures;
            assert_eq!(call.attempts, 1 + because, "{call:?}");
            again += usize::from(because > 0);
            let mut result = cluster.client.call_result(id).expect("a result");
            let mut text = String::new();
            result.reader.read_to_string(&mut text).expect("a whole result");
            assert!(result.status == 200 && text.ends_with(answer), "{id}: {} {text}, not {answer}", result.status);
        }
        let rows = rows(cluster);
        let extra = rows.len() - accepted.len();
        assert!(accepted.iter().all(|call| rows.contains_key(&call.id)), "an accepted call is not listed");
        assert!(extra <= *self.unknown.lock().unwrap(), "{extra} calls that nobody asked for");
        for row in rows.values() {
            ended(&cluster.client, &row.id);
        }
        let large = accepted.iter().filter(|call| call.answer.len() > LARGE.0).count();
        let files = files(&cluster.dir.path().join("orchestrator").join("calls"));
        assert!((large..=large + extra).contains(&files), "{files} files are kept for {large} large results");
        let (runs, twice) = self.explain(&rows);
        println!(
            "{} calls accepted, {} with a result, {extra} more whose acceptance was cut off; {again} were sent more than \
             once; {runs} runs written down, of them {twice} again, each after a kill",
            accepted.len(),
            accepted.len(),
        );
    }

    /// Looks through the functions' own record: how many runs, and how many of them of a call that had run before.
    fn explain(&self, rows: &BTreeMap<String, CallRecord>) -> (usize, usize) {
        let text = std::fs::read_to_string(&self.lines).expect("the ledger");
        let mut last: BTreeMap<&str, (u32, usize)> = BTreeMap::new();
        let (mut kills, mut settled, mut runs, mut twice) = (0, 0, 0, 0);
        for line in text.lines() {
            let Some((id, attempt)) = line.split_once(' ') else {
                match line {
                    KILL => kills += 1,
                    SETTLED => settled = kills,
                    _ => panic!("in the ledger: {line:?}"),
                }
                continue;
            };
            let attempt: u32 = attempt.parse().expect("an attempt's number");
            let row = rows.get(id).unwrap_or_else(|| panic!("{id} ran and was never accepted"));
            assert!((1..=row.attempts).contains(&attempt), "attempt {attempt} of {row:?}");
            if let Some((before, settled_before)) = last.insert(id, (attempt, settled)) {
                assert!(attempt > before, "{id} ran as attempt {attempt} after {before}");
                assert!(kills > settled_before, "{id} ran again as attempt {attempt}, and nobody was killed since");
                twice += 1;
            }
            runs += 1;
        }
        (runs, twice)
    }
}

/// Waits for a call's end.
fn ended(client: &Orchestrator, id: &str) -> Call {
    wait_for_some(&format!("call {id} has ended"), || client.call(id).ok().filter(|call| call.ended_at.is_some()))
}

/// All asynchronous calls, by id.
fn rows(cluster: &Cluster) -> BTreeMap<String, CallRecord> {
    let mut all = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = get(cluster.head.http(), &format!("/calls?async=true&limit={ROWS}{after}"));
        assert_eq!(page.status, 200, "{page:?}");
        let page: Vec<CallRecord> = serde_json::from_slice(&page.body).expect("calls");
        let Some(last) = page.last() else { return all };
        after = format!("&after={}", last.id);
        all.extend(page.into_iter().map(|row| (row.id.clone(), row)));
    }
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).expect("a folder").count()
}

/// Adds a line that is never torn: one write, at the end.
pub fn append(file: &Path, line: &str) {
    let mut file = File::options().append(true).create(true).open(file).expect("the ledger");
    file.write_all(format!("{line}\n").as_bytes()).expect("written");
}
