//! What a worker's screen knows, and how it puts it into words. Pure: time is given to it.

use crate::tui::theme::Tone;
use crate::types::Member;
use std::collections::VecDeque;

/// Readings kept for the sparklines: two minutes.
const HISTORY: usize = 120;
/// Without a word for so long, what was said is stale: it speaks once a second.
const STALE_MS: u64 = 3_000;

/// All of it. Times are those of `clock::now_ms`.
#[derive(Default)]
pub struct WorkerModel {
    member: Option<Member>,
    /// When it was last heard.
    heard_ms: u64,
    joined_once: bool,
    /// Why it is not heard, when the way to it broke.
    broken: Option<String>,
    pub cpu: VecDeque<Option<f64>>,
    pub memory: VecDeque<Option<f64>>,
}

impl WorkerModel {
    /// It spoke.
    pub fn heard(&mut self, member: Member, now_ms: u64) {
        // A change of membership comes between two readings and is none.
        if self.cpu.is_empty() || now_ms.saturating_sub(self.heard_ms) >= 500 || self.broken.is_some() {
            keep(&mut self.cpu, member.cpu_percent);
            keep(&mut self.memory, member.memory_percent);
        }
        self.joined_once |= member.cluster.is_some();
        self.member = Some(member);
        self.heard_ms = now_ms;
        self.broken = None;
    }

    /// The way to it broke.
    pub fn lost(&mut self, why: String) {
        if self.broken.is_none() {
            keep(&mut self.cpu, None);
            keep(&mut self.memory, None);
        }
        self.broken = Some(why);
    }

    /// What it last said, if it was heard at all.
    pub fn last(&self) -> Option<&Member> {
        self.member.as_ref()
    }

    /// What it said just now; nothing when that is too long ago.
    pub fn fresh(&self, now_ms: u64) -> Option<&Member> {
        let fresh = self.broken.is_none() && now_ms.saturating_sub(self.heard_ms) < STALE_MS;
        self.member.as_ref().filter(|_| fresh)
    }

    /// Whether what is shown changes as time goes by, without a word from the worker.
    pub fn ages(&self, now_ms: u64) -> bool {
        self.fresh(now_ms).is_none_or(|member| member.retry_in_ms.is_some())
    }

    /// How it stands with its cluster.
    pub fn standing(&self, now_ms: u64) -> (Tone, String) {
        if let Some(why) = &self.broken {
            return (Tone::Bad, format!("✗ this worker does not answer: {why}"));
        }
        let Some(member) = &self.member else { return (Tone::Dim, "◌ asking the worker…".into()) };
        let age_ms = now_ms.saturating_sub(self.heard_ms);
        if age_ms >= STALE_MS {
            return (Tone::Bad, format!("✗ no word from this worker for {} s", age_ms / 1_000));
        }
        let at = &member.orchestrator;
        let again = member.retry_in_ms.map(|ms| ms.saturating_sub(age_ms).div_ceil(1_000));
        let why = member.trouble.as_deref().unwrap_or("no reason is known");
        match (member.status.as_str(), again) {
            ("joined", _) => {
                let cluster = member.cluster.as_deref().unwrap_or("?");
                (Tone::Good, format!("● joined cluster {cluster} at {at}"))
            }
            ("leaving", _) => (Tone::Warn, format!("◐ leaving {at}: finishes what runs")),
            ("waiting", Some(seconds)) if self.joined_once => {
                (Tone::Bad, format!("✗ connection lost, again in {seconds} s: {why}"))
            }
            ("waiting", Some(seconds)) => (Tone::Warn, format!("○ standalone, again in {seconds} s: {why}")),
            ("connecting", _) if self.joined_once => (Tone::Warn, format!("◌ connection lost, trying {at} now")),
            ("connecting", _) => (Tone::Warn, format!("◌ standalone, connecting to {at}")),
            _ => (Tone::Bad, format!("✗ ended: {why}")),
        }
    }
}

fn keep(history: &mut VecDeque<Option<f64>>, value: Option<f64>) {
    history.push_back(value);
    if history.len() > HISTORY {
        history.pop_front();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn member(status: &str) -> Member {
        Member {
            id: "n-1".into(),
            name: "box-0001".into(),
            orchestrator: "127.0.0.1:50051".into(),
            status: status.into(),
            cluster: (status == "joined").then(|| "c-9".into()),
            certificate_until: None,
            trouble: (status == "waiting").then(|| "cannot reach the orchestrator".into()),
            retry_in_ms: (status == "waiting").then_some(4_200),
            cpu_percent: Some(42.0),
            memory_percent: None,
            slots: 256,
            running: 3,
            job_slots: 4,
            jobs: 1,
            engines: vec!["process".into()],
            engine_trouble: String::new(),
            work: Vec::new(),
        }
    }

    #[test]
    fn a_lost_connection_counts_down() {
        let mut model = WorkerModel::default();
        model.heard(member("waiting"), 0);
        assert_eq!(model.standing(0).1, "○ standalone, again in 5 s: cannot reach the orchestrator");
        model.heard(member("joined"), 500);
        assert_eq!(model.standing(500).1, "● joined cluster c-9 at 127.0.0.1:50051");
        assert!(!model.ages(500));
        model.heard(member("waiting"), 1_000);
        assert!(model.ages(1_000));
        assert_eq!(model.standing(1_000).1, "✗ connection lost, again in 5 s: cannot reach the orchestrator");
        assert_eq!(model.standing(3_300).1, "✗ connection lost, again in 2 s: cannot reach the orchestrator");
    }

    #[test]
    fn what_is_old_is_not_shown() {
        let mut model = WorkerModel::default();
        model.heard(member("joined"), 0);
        assert!(model.fresh(2_999).is_some() && model.fresh(3_000).is_none());
        assert_eq!(model.standing(4_000).1, "✗ no word from this worker for 4 s");
        model.heard(member("joined"), 5_000);
        model.lost("it is gone".into());
        assert!(model.fresh(5_000).is_none());
        assert_eq!(model.cpu, [Some(42.0), Some(42.0), None]);
    }
}
