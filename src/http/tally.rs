//! What a front door counts: connections, answers and refusals. Atomic counters alone, so that counting costs no lock.

use super::codes::{self, CODES};
use super::problem::Problem;
use crate::limits::{Limit, TABLE};
use hyper::StatusCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one role.
pub struct Tally {
    /// Connections that were taken, and of these ended.
    taken: AtomicU64,
    left: AtomicU64,
    /// Answers by the first digit of their status.
    answers: [AtomicU64; CLASSES.len()],
    /// Errors of our own, as in `CODES`.
    problems: [AtomicU64; CODES.len()],
    /// Of these, such as name a limit; as in the table of limits.
    limits: [AtomicU64; TABLE.len()],
}

/// By the first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Default for Tally {
    fn default() -> Self {
        Tally {
            taken: AtomicU64::new(0),
            left: AtomicU64::new(0),
            answers: [const { AtomicU64::new(0) }; CLASSES.len()],
            problems: [const { AtomicU64::new(0) }; CODES.len()],
            limits: [const { AtomicU64::new(0) }; TABLE.len()],
        }
    }
}

/// Which error an answer is: goes with it to where it is counted.
#[derive(Clone, Copy)]
pub struct Why {
    code: &'static str,
    limit: Option<Limit>,
}

impl From<&Problem> for Why {
    fn from(problem: &Problem) -> Self {
        Why { code: problem.code, limit: problem.limit }
    }
}

impl Tally {
    /// A connection was taken.
    pub fn enter(&self) {
        add(&self.taken);
    }

    /// One has ended.
    pub fn leave(&self) {
        add(&self.left);
    }

    /// A request has its answer.
    pub fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        add(&self.answers[class]);
    }

    /// It is an error of ours.
    pub fn refused(&self, why: Why) {
        if let Some(at) = codes::place(why.code) {
            add(&self.problems[at]);
        }
        if let Some(limit) = why.limit {
            add(&self.limits[limit as usize]);
        }
    }

    /// Connections so far, and those that are open now.
    pub fn connections(&self) -> (u64, u64) {
        let left = self.left.load(Ordering::Relaxed); // first: one may end meanwhile
        let taken = self.taken.load(Ordering::Relaxed);
        (taken, taken.saturating_sub(left))
    }

    /// Answers by class of status.
    pub fn answers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.answers.iter().map(read))
    }

    /// Errors by code: those there have been.
    pub fn problems(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CODES.iter().map(|code| code.code).zip(self.problems.iter().map(read)).filter(|(_, count)| *count > 0)
    }

    /// Refusals by limit, of those this role has.
    pub fn limits(&self, of: crate::limits::Of) -> impl Iterator<Item = (&'static str, u64)> {
        let named = TABLE.iter().zip(self.limits.iter().map(read));
        named.filter(move |(row, _)| row.of.covers(of)).map(|(row, count)| (row.name, count))
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Of;

    #[test]
    fn a_refusal_is_counted_by_code_and_by_limit() {
        let tally = Tally::default();
        tally.refused((&Problem::too_large("the body", 9).of_limit(Limit::BodyBytes)).into());
        tally.refused((&Problem::too_large("the body", 9)).into());
        tally.answered(StatusCode::PAYLOAD_TOO_LARGE);
        tally.answered(StatusCode::from_u16(999).unwrap());
        assert_eq!(tally.problems().collect::<Vec<_>>(), [("too_large", 2)]);
        let counted = |of| tally.limits(of).filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        assert_eq!(counted(Of::Worker), [("body-bytes", 1)]);
        assert!(tally.limits(Of::Worker).all(|(name, _)| name != "calls"));
        assert_eq!(tally.answers().map(|(_, count)| count).collect::<Vec<_>>(), [0, 0, 0, 1, 1]);
    }
}
