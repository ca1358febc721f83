//! `cares version`: this program's and the orchestrator's. Must never fail because there is no orchestrator.

use super::{Outcome, connect, url};
use crate::cli::{ClientOptions, Format};
use crate::output;
use crate::version;
use std::time::Duration;

/// An orchestrator that takes longer has no version worth waiting for.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn run(options: &ClientOptions) -> Outcome {
    let remote = connect(options)?.timeout(PATIENCE).version();
    let text = match options.output.unwrap_or_default() {
        Format::Name => format!("{}\n", version::VERSION),
        Format::Json => output::json(&serde_json::json!({
            "version": version::VERSION,
            "commit": version::COMMIT,
            "orchestrator": remote.as_ref().ok(),
        }))?,
        _ => {
            let there = match &remote {
                Ok(remote) => format!("{} ({}) at {}", remote.version, remote.commit, url(options)),
                Err(error) => format!("unknown: {error}"),
            };
            let role = remote.as_ref().map_or("orchestrator", |remote| &remote.role);
            output::fields(&[("cares", version::long()), (role, there)])
        }
    };
    Ok(output::print(&text)?)
}
