//! A function that is called more than its instances can take, for longer than a burst lasts: then only so many calls
//! wait that those that are taken stay quick, and all others are told at once. Never counts for jobs, which may wait.

use super::*;

/// Calls may pile up for so long before it is no burst: what is taken then is answered late.
const BURST_MS: Millis = 100;
/// It is over once for so long no call had to wait.
const CALM_MS: Millis = 1_000;
/// So many may wait in any case, or a handful of clients could not share one instance.
const FEW: usize = 8;

/// While calls have to wait though nothing is being started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    since: Millis,
    /// When the last call had to wait.
    last: Millis,
}

impl Function {
    /// So many wait in a crowd: half as many as run, so that each of them waits for about half a call.
    pub(super) fn crowd_limit(&self) -> usize {
        FEW.max(self.running as usize / 2)
    }

    /// A call has to wait. How many may, if that is no burst any more.
    pub(super) fn crowded(&mut self, now: Millis) -> Option<usize> {
        if self.serving.is_job() || self.tally.starting > 0 || self.tally.up() == 0 {
            self.crowd = None; // there will be more room
            return None;
        }
        let since = self.crowd.filter(|crowd| now <= crowd.last + CALM_MS).map_or(now, |crowd| crowd.since);
        self.crowd = Some(Crowd { since, last: now });
        (now >= since + BURST_MS).then(|| self.crowd_limit())
    }
}

impl Cluster {
    /// Those that came last do not wait: it would be for too long.
    pub(super) fn send_away(&mut self, now: Millis, key: FunctionKey, limit: usize, out: &mut Vec<Event>) {
        while let Some(last) = self.functions.get(&key).filter(|f| f.queue.len() > limit).and_then(|f| f.queue.back()) {
            self.fail(now, *last, Failure::Crowded { limit }, out);
        }
    }
}
