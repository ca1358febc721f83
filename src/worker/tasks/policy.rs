//! Whether a run that ended is followed by another, and when. Pure.

use super::record::Record;
use crate::ids;
use std::time::Duration;

/// However often it was started again.
const BACKOFF_MAX_MS: u64 = 300_000;
/// An interruption by the worker's own end is nobody's fault: no wait, and not counted.
const AT_ONCE: Duration = Duration::ZERO;

/// What comes after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Completed,
    /// With what is to be said beside the run's own end.
    Failed(String),
    /// After a wait.
    Again(Duration),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    Badly,
    /// With its worker.
    Interrupted,
}

/// Decides; notes the restart in the record, should there be one.
pub fn judge(record: &mut Record, ended: Ended, now_ms: u64) -> Verdict {
    let restart = record.task.restart.clone().unwrap_or_default();
    let again = match restart.policy.as_str() {
        "always" => true,
        "on-failure" => ended != Ended::Well,
        _ => false,
    };
    match (again, ended) {
        (false, Ended::Well) => return Verdict::Completed,
        (false, _) => return Verdict::Failed(String::new()),
        (true, Ended::Interrupted) => return Verdict::Again(AT_ONCE),
        (true, _) => {}
    }
    record.restarted_ms.retain(|at| at.saturating_add(restart.window_ms) > now_ms);
    let lately = record.restarted_ms.len();
    if lately >= restart.limit as usize {
        let window = Duration::from_millis(restart.window_ms);
        return Verdict::Failed(format!("; it was started again {lately} times within {window:?}, as often as it may"));
    }
    record.restarted_ms.push(now_ms);
    let doubled = restart.backoff_ms.saturating_mul(1_u64.checked_shl(lately.min(32) as u32).unwrap_or(u64::MAX));
    let wait = doubled.min(BACKOFF_MAX_MS.max(restart.backoff_ms));
    // Up to a tenth more, so that those which failed together do not come back together.
    Verdict::Again(Duration::from_millis(wait + ids::random_below(wait / 10 + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::{Task, TaskRestart};

    fn record(policy: &str) -> Record {
        let restart = TaskRestart { policy: policy.into(), limit: 3, window_ms: 1_000_000, backoff_ms: 1_000 };
        Record::new(Task { restart: Some(restart), ..Default::default() }, None, 0)
    }

    #[test]
    fn policies_decide() {
        use Ended::*;
        for (policy, ended, again) in [
            ("never", Badly, false),
            ("never", Interrupted, false),
            ("on-failure", Well, false),
            ("on-failure", Badly, true),
            ("on-failure", Interrupted, true),
            ("always", Well, true),
            ("always", Badly, true),
        ] {
            let verdict = judge(&mut record(policy), ended, 0);
            assert_eq!(matches!(verdict, Verdict::Again(_)), again, "{policy} {ended:?}: {verdict:?}");
        }
        assert_eq!(judge(&mut record("on-failure"), Well, 0), Verdict::Completed);
        assert_eq!(judge(&mut record("never"), Badly, 0), Verdict::Failed(String::new()));
    }

    #[test]
    fn waits_double_up_to_the_limit_within_the_window() {
        let mut record = record("always");
        for n in 0..3 {
            let Verdict::Again(wait) = judge(&mut record, Ended::Badly, n * 10) else { panic!("{n}") };
            let least = Duration::from_secs(1 << n);
            assert!((least..=least * 11 / 10).contains(&wait), "{n}: {wait:?}");
        }
        assert!(matches!(judge(&mut record, Ended::Badly, 40), Verdict::Failed(why) if why.contains("3 times")));
        // The first has left the window.
        assert!(matches!(judge(&mut record, Ended::Badly, 1_000_000), Verdict::Again(_)));
        if let Some(restart) = &mut record.task.restart {
            restart.limit = u32::MAX;
        }
        (0..100).for_each(|_| drop(judge(&mut record, Ended::Badly, 1_000_001)));
        assert!(
            matches!(judge(&mut record, Ended::Badly, 1_000_002), Verdict::Again(w) if w <= Duration::from_secs(330))
        );
    }
}
