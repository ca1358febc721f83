//! Bundles that no revision refers to any more: they go after a while, or earlier when they take too much space. Must
//! never take one in use, nor one that came a moment ago and is about to be.

use super::Orchestrator;
use super::{backups, images};
use crate::garbage::{Rules, to_drop};
use crate::rt::Receiver;
use crate::{bundle, clock};
use futures_lite::future;
use std::sync::Arc;
use std::time::Duration;

/// Somebody who deleted a function may want its bundle again, by its digest.
pub const RULES: Rules =
    Rules { unused_ms: 24 * 3_600_000, young_ms: 600_000, bytes: 1 << 30, every: Duration::from_secs(300) };

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
    let images = images::in_use(app).await;
    let mut in_use = app.builds.sources_in_use(&images);
    in_use.extend(images.iter().filter_map(|image| bundle::digest_in(image).map(str::to_string)));
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
