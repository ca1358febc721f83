//! `cares logs`: what a function printed, or what a role itself told. Must never hold more than a line.

use super::{Failure, Outcome, Part, connect, connect_to};
use crate::cli::{ClientOptions, Format, Logs};
use crate::client::{self, Orchestrator};
use crate::output;

/// Lines of the past when not asked for a number, as the API has it for functions.
const TAIL: u64 = 200;

pub fn run(flags: &Logs) -> Outcome {
    let options = flags.client();
    match &flags.name {
        Some(name) => show(connect_to(&options, Part::Controller)?.logs(name, flags.tail, flags.follow)?, &options),
        None => own(&connect(&options)?, flags, &options),
    }
}

/// Prints lines as they come.
pub fn show(lines: client::Logs, options: &ClientOptions) -> Outcome {
    for line in lines {
        let line = line?;
        let text = match options.output.unwrap_or_default() {
            Format::Json => output::json_line(&line)?,
            Format::Wide => {
                let start = format!("{} {} {} {} ", line.time, line.node, line.source, line.stream);
                start + &output::line(&line.line)
            }
            Format::Name => output::line(&line.source),
            Format::Table => output::line(&line.line),
        };
        output::print(&text)?;
    }
    Ok(())
}

fn own(client: &Orchestrator, flags: &Logs, options: &ClientOptions) -> Outcome {
    let format = options.output.unwrap_or_default();
    if format == Format::Name {
        return Err(Failure::Usage("a role's own log has no names: use -o table, wide or json".into()));
    }
    for record in client.own_log(flags.tail.unwrap_or(TAIL), flags.follow)? {
        let record = record?;
        let level = record.level.to_uppercase();
        let text = match format {
            Format::Json => output::json_line(&record)?,
            Format::Wide => format!("{} {} [{level}] {}\n", record.id, record.time, output::one_line(&record.message)),
            _ => format!("{} [{level}] {}\n", record.time, output::one_line(&record.message)),
        };
        output::print(&text)?;
    }
    Ok(())
}
