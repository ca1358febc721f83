//! `cares calls`: what became of calls. Must never print what a call answered: that is `invoke`'s.

use super::{Failure, Outcome, connect, invoke};
use crate::cli;
use crate::cli::{CallsVerb, Format};
use crate::client::Calls;
use crate::output::{self, Column, age};
use crate::types::{Call, CallRecord, Callback};

const COLUMNS: [Column<CallRecord>; 10] = [
    Column::new("ID", |c, _| c.id.clone()),
    Column::new("FUNCTION", |c, _| c.function.clone()),
    Column::status("STATUS", |c, _| c.status.clone()),
    Column::new("ASYNC", |c, _| if c.asynchronous { "yes" } else { "no" }.to_string()),
    Column::new("ATTEMPTS", |c, _| c.attempts.to_string()),
    Column::new("TOOK", |c, _| format!("{:.0}ms", c.duration_ms)),
    Column::wide("NODE", |c, _| c.node.clone().unwrap_or_default()),
    Column::wide("MODULE", |c, _| c.module.clone().unwrap_or_default()),
    Column::words("ERROR", |c, _| c.last_error.clone().unwrap_or_default()),
    Column::new("AGE", |c, now| age(&c.started_at, now)),
];

pub fn run(verb: &CallsVerb) -> Outcome {
    match verb {
        CallsVerb::List(flags) => list(flags),
        CallsVerb::Get(flags) => get(flags),
        CallsVerb::Result(flags) => invoke::result(flags),
        CallsVerb::Cancel(flags) => cancel(flags),
    }
}

fn list(flags: &cli::CallList) -> Outcome {
    let options = flags.client();
    if flags.limit == Some(0) {
        return Err(Failure::Usage("--limit: must be 1 to 1000".into())); // to the client it means all it is given
    }
    let which = Calls {
        function: flags.function.clone(),
        status: flags.status.clone(),
        asynchronous: flags.later.then_some(true),
        limit: flags.limit.unwrap_or(0),
        ..Calls::default()
    };
    let calls = connect(&options)?.find_calls(&which)?;
    if calls.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(&options, "No such calls. Make one: cares invoke NAME, or cares invoke NAME --async");
        return Ok(());
    }
    Ok(output::print_list(&options, &calls, &COLUMNS)?)
}

fn get(flags: &cli::CallGet) -> Outcome {
    let options = flags.client();
    let call = connect(&options)?.call(&flags.id)?;
    let text = match options.output.unwrap_or_default() {
        Format::Json => output::json(&call)?,
        Format::Name => format!("{}\n", call.id),
        _ => text(&call),
    };
    Ok(output::print(&text)?)
}

fn cancel(flags: &cli::CallCancel) -> Outcome {
    let options = flags.client();
    let call = connect(&options)?.cancel_call(&flags.id)?;
    let line = format!("cancelled {}. Next: cares calls list", call.id);
    Ok(output::print_change(&options, &call, &call.id, &line)?)
}

fn text(call: &Call) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    let attempts = format!(
        "{} ({} failed of at most {}, {} cut short)",
        call.attempts, call.failures, call.max_attempts, call.interruptions
    );
    let mut fields = vec![
        ("ID", call.id.clone()),
        ("Function", call.function.clone()),
        ("Status", call.status.clone()),
        ("Attempts", attempts),
        ("Node", or_none(&call.node)),
        ("Submitted", call.submitted_at.clone()),
        ("Started", or_none(&call.started_at)),
        ("Ended", or_none(&call.ended_at)),
        ("Last error", or_none(&call.last_error)),
    ];
    for (label, value) in [
        ("Next try", &call.next_try_at),
        ("Kept until", &call.expires_at),
        ("Key", &call.idempotency_key),
        ("Scheduled for", &call.scheduled_for),
    ] {
        fields.extend(value.as_ref().map(|value| (label, value.clone())));
    }
    fields.extend(call.callback.as_ref().map(|callback| ("Callback", told(callback))));
    output::fields(&fields)
}

fn told(callback: &Callback) -> String {
    let error = callback.last_error.as_ref().map(|error| format!("\n{error}")).unwrap_or_default();
    let next = callback.next_try_at.as_ref().map(|at| format!(", next try {at}")).unwrap_or_default();
    let times = if callback.attempts == 1 { "attempt" } else { "attempts" };
    format!("{} {} after {} {times}{next}{error}", callback.url, callback.status, callback.attempts)
}
