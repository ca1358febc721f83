//! `cares logs`: what a function printed. Must never hold more than a line.

use super::{Outcome, connect};
use crate::cli::{Format, Logs};
use crate::output;

pub fn run(flags: &Logs) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    for line in client.logs(&flags.name, flags.tail, flags.follow)? {
        let line = line?;
        let text = match options.output.unwrap_or_default() {
            Format::Json => output::json_line(&line)?,
            Format::Wide => format!("{} {} {} {} {}\n", line.time, line.node, line.source, line.stream, line.line),
            Format::Name => format!("{}\n", line.source),
            Format::Table => format!("{}\n", line.line),
        };
        output::print(&text)?;
    }
    Ok(())
}
