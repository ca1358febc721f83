//! `cares list`: one row a function. Must never change anything.

use super::{Failure, Outcome, connect, watch};
use crate::cli::{Format, List};
use crate::output::{self, Column, age};
use crate::types::Function;

const COLUMNS: [Column<Function>; 16] = [
    Column::new("NAME", |f, _| f.name.clone()),
    Column::new("MODE", |f, _| f.mode.word().to_string()),
    Column::status("STATUS", |f, _| f.status.clone()),
    Column::new("REVISION", |f, _| revision(f)),
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
    Column::new("IMAGE", |f, _| output::image(&f.image, output::DIGITS)),
    Column::new("AGE", |f, now| age(&f.created_at, now)),
];

pub fn run(flags: &List) -> Outcome {
    let options = &flags.client();
    let client = connect(options)?;
    if flags.watch {
        if !flags.label.is_empty() {
            return Err(Failure::Usage("--label picks from the list as it is: leave out --watch".into()));
        }
        return watch::run(options, client.watch_functions()?, &COLUMNS, |f| &f.name);
    }
    let functions = client.functions_with(&flags.label)?;
    let none = functions.is_empty() && flags.label.is_empty();
    if none && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(options, "No functions yet. Make one: cares deploy DIR, or cares register NAME IMAGE");
        return Ok(());
    }
    Ok(output::print_list(options, &functions, &COLUMNS)?)
}

/// The newest, and the one that calls run where that is another.
fn revision(f: &Function) -> String {
    match f.serving {
        serving if serving == f.revision || serving == 0 => f.revision.to_string(),
        serving => format!("{}(serving:{serving})", f.revision),
    }
}
