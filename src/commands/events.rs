//! `cares events`: what happened in the cluster, and with `-f` what happens. Must never miss one between two streams.

use super::{Outcome, connect};
use crate::cli::{Events, Format};
use crate::client::Orchestrator;
use crate::errors::Error;
use crate::output;
use crate::types::Event;
use std::io;
use std::time::Duration;

/// Between two attempts to reach an orchestrator that is gone.
const PAUSE: Duration = Duration::from_secs(1);

pub fn run(flags: &Events) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    let format = options.output.unwrap_or_default();
    if !flags.follow {
        for event in client.past_events()? {
            print(&event?, format)?;
        }
        return Ok(());
    }
    let mut last = 0;
    let mut seen = false; // an orchestrator that was never there is an error, one that went away is waited for
    loop {
        match follow(&client, &mut last, &mut seen, format)? {
            Some(error) if !seen => return Err(error.into()),
            Some(error @ (Error::Api(_) | Error::Protocol { .. })) => return Err(error.into()),
            Some(error) => output::progress(&options, &format!("cares: {error}. Trying again.")),
            None => {}
        }
        std::thread::sleep(PAUSE);
    }
}

/// Prints until the stream ends, and says why it did.
fn follow(client: &Orchestrator, last: &mut u64, seen: &mut bool, format: Format) -> io::Result<Option<Error>> {
    let events = match client.events(Some(*last)) {
        Ok(events) => events,
        Err(error) => return Ok(Some(error)),
    };
    *seen = true;
    for event in events {
        match event {
            Ok(event) => {
                *last = event.id;
                print(&event, format)?;
            }
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

fn print(event: &Event, format: Format) -> io::Result<()> {
    let level = event.level.to_uppercase();
    let from = event.from.as_ref().map(|address| format!(" (from {address})")).unwrap_or_default();
    let text = match format {
        Format::Json => return output::print(&output::json_line(event)?),
        Format::Name => event.kind.clone(),
        Format::Wide => format!("{} {} [{level}] {} {}{from}", event.id, event.time, event.kind, event.message),
        Format::Table => format!("{} [{level}] {}", event.time, event.message),
    };
    output::print(&format!("{}\n", output::one_line(&text)))
}
