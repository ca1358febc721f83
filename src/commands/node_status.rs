//! `cares node status`: a worker as it sees itself, asked at its own address. Must never change anything.

use super::node::percent;
use super::{Failure, Outcome, connect};
use crate::cli::{ClientOptions, Format};
use crate::output::{self, NONE};
use crate::types::{Member, Work};

pub fn run(options: &ClientOptions) -> Outcome {
    let client = connect(options)?;
    let member = client.member().map_err(|error| match error.status() {
        Some(404) => Failure::Usage(format!(
            "{} is no worker's address. Give the worker's own, such as --url http://127.0.0.1:9000; \
             'cares node list' asks the orchestrator",
            client.url()
        )),
        _ => Failure::Client(error),
    })?;
    let text = match options.output.unwrap_or_default() {
        Format::Json => output::json(&member)?,
        Format::Name => format!("{}\n", member.name),
        _ => text(&member),
    };
    Ok(output::print(&text)?)
}

fn text(member: &Member) -> String {
    let retry = member.retry_in_ms.map_or(String::new(), |ms| format!(", again in {:.1} s", ms as f64 / 1_000.0));
    let work = |w: &Work| {
        let module = w.module.as_ref().map(|module| format!(" module {module}")).unwrap_or_default();
        format!("{} {} {} {} in flight {}{module}", w.kind, w.id, w.function, w.status, w.in_flight)
    };
    output::fields(&[
        ("Name", member.name.clone()),
        ("ID", member.id.clone()),
        ("Status", format!("{}{retry}", member.status)),
        ("Orchestrator", member.orchestrator.clone()),
        ("Cluster", member.cluster.clone().unwrap_or_default()),
        ("Certificate", member.certificate_until.as_ref().map_or(NONE.into(), |until| format!("good until {until}"))),
        ("Trouble", member.trouble.clone().unwrap_or_default()),
        ("CPU", percent(member.cpu_percent)),
        ("Memory", percent(member.memory_percent)),
        ("Slots", format!("{} of {} in use", member.running, member.slots)),
        ("Jobs", format!("{} of {}", member.jobs, member.job_slots)),
        ("Engines", member.engines.join(" ")),
        ("Engine trouble", member.engine_trouble.clone()),
        ("Running", member.work.iter().map(work).collect::<Vec<_>>().join("\n")),
    ])
}
