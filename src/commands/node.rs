//! `cares node …`: what the machines are and what they take. Must never remove one without a yes.

use super::describe::pairs;
use super::{Outcome, confirm, connect, node_status, watch};
use crate::cli::{ClientOptions, Format, NodeVerb};
use crate::client::Orchestrator;
use crate::errors::Error;
use crate::output::{self, Column, NONE, age, bytes};
use crate::types::{Function, Node};

const COLUMNS: [Column<Node>; 13] = [
    Column::new("NAME", |n, _| n.name.clone()),
    Column::status("STATUS", |n, _| status(n)),
    Column::new("CPU", |n, _| percent(n.cpu_percent)),
    Column::new("MEMORY", |n, _| percent(n.memory_percent)),
    Column::new("RUNNING/SLOTS", |n, _| format!("{}/{}", n.running, n.slots)),
    Column::new("SUCCEEDED", |n, _| n.succeeded.to_string()),
    Column::new("FAILED", |n, _| n.failed.to_string()),
    Column::wide("ID", |n, _| n.id.clone()),
    Column::wide("OS/ARCH", |n, _| match n.os.as_str() {
        "" => String::new(), // of one that has not been here since the orchestrator started it is not known
        os => format!("{os}/{}", n.arch),
    }),
    Column::wide("ENGINES", |n, _| n.engines.join(",")),
    Column::wide("REACH", |n, _| n.reach.clone()),
    Column::wide("VERSION", |n, _| n.version.clone()),
    // A node's age that matters is that of its last word.
    Column::new("SEEN", |n, now| age(&n.last_seen, now)),
];

pub fn run(verb: &NodeVerb) -> Outcome {
    match verb {
        NodeVerb::List(flags) => list(&flags.client(), flags.watch),
        NodeVerb::Describe(flags) => describe(&flags.client(), &flags.node),
        NodeVerb::Status(flags) => node_status::run(&flags.client()),
        NodeVerb::Cordon(flags) => {
            change(&flags.client(), &flags.node, Orchestrator::cordon, "cordoned", "cares node uncordon")
        }
        NodeVerb::Uncordon(flags) => {
            change(&flags.client(), &flags.node, Orchestrator::uncordon, "uncordoned", "cares node describe")
        }
        NodeVerb::Drain(flags) => {
            change(&flags.client(), &flags.node, Orchestrator::drain, "draining", "cares node describe")
        }
        NodeVerb::Revoke(flags) => revoke(&flags.client(), &flags.node),
        NodeVerb::Remove(flags) => remove(&flags.client(), &flags.node),
    }
}

fn list(options: &ClientOptions, watched: bool) -> Outcome {
    let client = connect(options)?;
    if watched {
        return watch::run(options, client.watch_nodes()?, &COLUMNS, |n| &n.id);
    }
    let nodes = client.nodes()?;
    if nodes.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(options, "No nodes yet. Add one: cares worker ORCHESTRATOR:50051");
        return Ok(());
    }
    Ok(output::print_list(options, &nodes, &COLUMNS)?)
}

fn describe(options: &ClientOptions, node: &str) -> Outcome {
    let node = connect(options)?.node(node)?;
    let text = match options.output.unwrap_or_default() {
        Format::Json => output::json(&node)?,
        Format::Name => format!("{}\n", node.name),
        _ => text(&node, &connect(options)?.functions()?),
    };
    Ok(output::print(&text)?)
}

type Change = fn(&Orchestrator, &str) -> Result<Node, Error>;

fn change(options: &ClientOptions, node: &str, change: Change, done: &str, next: &str) -> Outcome {
    let node = change(&connect(options)?, node)?;
    let line = format!("{done} {}. Next: {next} {}", node.name, node.name);
    Ok(output::print_change(options, &node, &node.name, &line)?)
}

fn revoke(options: &ClientOptions, node: &str) -> Outcome {
    let client = connect(options)?;
    confirm(options, &format!("Revoke the node '{node}'? What runs there ends, and it is not let in again."))?;
    let node = client.revoke_node(node)?;
    let line = format!(
        "revoked {}; if its join token is known to others too, revoke that: cares token list. Next: cares node remove {}",
        node.name, node.name
    );
    Ok(output::print_change(options, &node, &node.name, &line)?)
}

fn remove(options: &ClientOptions, node: &str) -> Outcome {
    let client = connect(options)?;
    confirm(options, &format!("Remove the node '{node}' from the cluster?"))?;
    client.remove_node(node)?;
    let answer = serde_json::json!({ "node": node, "status": "removed" });
    Ok(output::print_change(options, &answer, node, &format!("removed {node}. Next: cares node list"))?)
}

fn text(n: &Node, functions: &[Function]) -> String {
    let here = |f: &'_ Function| {
        let own = f.instances.iter().filter(|i| i.node == n.id);
        own.map(|i| format!("{} of {} revision {} {} in flight {}", i.id, f.name, i.revision, i.status, i.in_flight))
            .collect::<Vec<_>>()
    };
    output::fields(&[
        ("Name", n.name.clone()),
        ("ID", n.id.clone()),
        ("Status", status(n)),
        ("Host", n.hostname.clone()),
        ("Address", n.address.clone()),
        ("Reach", n.reach.clone()),
        ("System", format!("{} {} ({} cores, {})", n.os, n.arch, n.cpus, bytes(n.memory_bytes))),
        ("CPU usage", percent(n.cpu_percent)),
        ("Memory usage", percent(n.memory_percent)),
        ("Running", format!("{} of {} slots ({} for jobs)", n.running, n.slots, n.job_slots)),
        ("Instances", functions.iter().flat_map(here).collect::<Vec<_>>().join("\n")),
        ("Done", format!("{} succeeded, {} failed", n.succeeded, n.failed)),
        ("Engines", n.engines.join(", ")),
        ("Tools", n.tools.join(", ")),
        ("Tags", pairs(&n.tags)),
        ("Version", n.version.clone()),
        ("Last seen", n.last_seen.clone()),
    ])
}

fn status(n: &Node) -> String {
    if n.cordoned { format!("{},cordoned", n.status) } else { n.status.clone() }
}

pub fn percent(value: Option<f64>) -> String {
    value.map_or(NONE.to_string(), |value| format!("{value:.0}%"))
}
