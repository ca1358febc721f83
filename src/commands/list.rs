//! `cares list`: one row a function. Must never change anything.

use super::{Outcome, connect, watch};
use crate::cli::{ClientOptions, Format};
use crate::output::{self, Column, age};
use crate::types::{Function, Mode};

const COLUMNS: [Column<Function>; 16] = [
    Column::new("NAME", |f, _| f.name.clone()),
    Column::new("MODE", |f, _| mode(f.mode).to_string()),
    Column::status("STATUS", |f, _| f.status.clone()),
    Column::new("REVISION", |f, _| f.revision.to_string()),
    Column::new("INSTANCES", |f, _| f.instances.len().to_string()),
    Column::wide("FROZEN", |f, _| f.instances.iter().filter(|i| i.status == "frozen").count().to_string()),
    Column::wide("SERVING", |f, _| f.serving.to_string()),
    Column::new("CALLS", |f, _| f.calls.to_string()),
    Column::new("FAILURES", |f, _| f.failures.to_string()),
    Column::wide("IN-FLIGHT", |f, _| f.in_flight.to_string()),
    Column::wide("TIMEOUT", |f, _| format!("{}s", f.timeout_s)),
    Column::wide("SCHEDULE", |f, _| f.schedule.as_ref().map(|s| s.expression.replace(' ', "_")).unwrap_or_default()),
    Column::wide("NEXT-RUN", |f, _| f.schedule.as_ref().and_then(|s| s.next_run_at.clone()).unwrap_or_default()),
    Column::wide("MIN/MAX", |f, _| format!("{}/{}", f.min, f.max)),
    Column::new("IMAGE", |f, _| image(&f.image)),
    Column::new("AGE", |f, now| age(&f.created_at, now)),
];

pub fn run(options: &ClientOptions, watched: bool) -> Outcome {
    let client = connect(options)?;
    if watched {
        return watch::run(options, client.watch_functions()?, &COLUMNS, |f| &f.name);
    }
    let functions = client.functions()?;
    if functions.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(options, "No functions yet. Make one: cares deploy DIR, or cares register NAME IMAGE");
        return Ok(());
    }
    Ok(output::print_list(options, &functions, &COLUMNS)?)
}

pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::Http => "http",
        Mode::Job => "job",
    }
}

/// A digest is told apart by its first letters.
fn image(image: &str) -> String {
    match image.strip_prefix("bundle:") {
        Some(digest) => format!("bundle:{}", digest.chars().take(12).collect::<String>()),
        None => image.to_string(),
    }
}
