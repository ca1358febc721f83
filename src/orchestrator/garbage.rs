//! Bundles that no revision refers to any more: they go after a while, or earlier when they take too much space. Must
//! never take one in use, nor one that came a moment ago and is about to be.

use super::Orchestrator;
use super::backups;
use crate::rt::Receiver;
use crate::{bundle, clock};
use futures_lite::future;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long what is of no use is kept.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Somebody who deleted a function may want its bundle again, by its digest.
    pub unused_ms: u64,
    /// Between its upload and the revision that is made of it nothing refers to a bundle.
    pub young_ms: u64,
    /// All that is unused together.
    pub bytes: u64,
    /// Between two looks.
    pub every: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { unused_ms: 24 * 3_600_000, young_ms: 600_000, bytes: 1 << 30, every: Duration::from_secs(300) }
    }
}

/// Something of no use, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    pub digest: String,
    pub bytes: u64,
    pub since_ms: u64,
}

/// Which of these are to go now: the old ones, and then the oldest while the rest takes too much.
pub fn to_drop(mut unused: Vec<Unused>, now_ms: u64, rules: &Rules) -> Vec<String> {
    unused.sort_by(|a, b| (a.since_ms, &a.digest).cmp(&(b.since_ms, &b.digest)));
    let mut total: u64 = unused.iter().map(|one| one.bytes).sum();
    let mut gone = Vec::new();
    for one in unused {
        let age = now_ms.saturating_sub(one.since_ms);
        if age >= rules.unused_ms || (total > rules.bytes && age >= rules.young_ms) {
            total -= one.bytes;
            gone.push(one.digest);
        }
    }
    gone
}

/// Looks again and again until it is told to stop.
pub async fn run(app: Arc<Orchestrator>, rules: Rules, stopped: Receiver<()>) {
    loop {
        let more = async {
            clock::after(rules.every).await;
            true
        };
        if !future::or(async { stopped.recv().await.is_ok() }, more).await {
            return;
        }
        sweep(&app, &rules).await;
    }
}

async fn sweep(app: &Arc<Orchestrator>, rules: &Rules) {
    let in_use: BTreeSet<String> = app.state.read(|cluster| {
        let images = cluster.functions().flat_map(|f| f.revisions.iter().map(|r| &r.image));
        images.filter_map(|image| bundle::digest_in(image).map(str::to_string)).collect()
    });
    let now_ms = clock::now_ms();
    let gone = to_drop(app.bundles.unused(&in_use, now_ms), now_ms, rules);
    if gone.is_empty() {
        return;
    }
    let Ok(_turn) = backups::turn(app) else { return }; // what a backup reads, or restores, stays: next time
    for digest in gone {
        match app.bundles.discard(&digest, now_ms, rules.young_ms).await {
            Ok(true) => log::info!("Bundle {digest} is removed: no revision uses it"),
            Ok(false) => {} // somebody came for it
            Err(error) => return log::warn!("Bundle {digest}, which no revision uses, stays: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused(digest: &str, bytes: u64, since_ms: u64) -> Unused {
        Unused { digest: digest.into(), bytes, since_ms }
    }

    #[test]
    fn the_old_go_and_then_the_oldest_beyond_the_space() {
        let rules = Rules { unused_ms: 1_000, young_ms: 100, bytes: 10, every: Duration::ZERO };
        let gone = |list: &[Unused], now| to_drop(list.to_vec(), now, &rules);
        assert_eq!(gone(&[unused("a", 1, 0), unused("b", 1, 500)], 999), [""; 0]);
        assert_eq!(gone(&[unused("a", 1, 0), unused("b", 1, 500)], 1_000), ["a"]);
        let many = [unused("c", 6, 300), unused("a", 6, 100), unused("b", 4, 200)];
        assert_eq!(gone(&many, 500), ["a"], "the rest just fits");
        assert_eq!(gone(&many, 199), [""; 0], "all are too young");
        assert_eq!(gone(&[unused("huge", 50, 0), unused("new", 50, 450)], 500), ["huge"], "the new one stays");
    }
}
