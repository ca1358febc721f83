//! `cares pipeline`: submitting pipelines, and what became of them. Must never print what a module answered but as
//! `result`.

use super::{FAILED, Failure, Outcome, connect, invoke, logs, pipeline_tree, watch};
use crate::cli::{self, ClientOptions, Format, PipelineVerb};
use crate::client::Orchestrator;
use crate::output::{self, Column, age};
use crate::types::{Change, Pipeline};
use std::io;

const COLUMNS: [Column<Pipeline>; 6] = [
    Column::new("ID", |p, _| p.id.clone()),
    Column::new("PIPELINE", |p, _| p.name.clone().unwrap_or_default()),
    Column::status("STATUS", |p, _| p.status.clone()),
    Column::new("ENDED", |p, _| format!("{}/{}", pipeline_tree::ended(p), p.counts.values().sum::<usize>())),
    Column::new("RUNS", |p, _| p.runs.to_string()),
    Column::new("AGE", |p, now| age(&p.submitted_at, now)),
];

pub fn run(verb: &PipelineVerb) -> Outcome {
    match verb {
        PipelineVerb::Run(flags) => submit(flags),
        PipelineVerb::List(flags) => list(flags),
        PipelineVerb::Get(flags) => get(flags),
        PipelineVerb::Result(flags) => result(flags),
        PipelineVerb::Logs(flags) => log(flags),
        PipelineVerb::Cancel(flags) => cancel(flags),
        PipelineVerb::Retry(flags) => retry(flags),
    }
}

fn submit(flags: &cli::PipelineRun) -> Outcome {
    let options = flags.client();
    let text = match flags.file.as_str() {
        "-" => io::read_to_string(io::stdin()),
        path => std::fs::read_to_string(path),
    };
    let text = text.map_err(|e| Failure::Usage(format!("{}: cannot be read: {e}", flags.file)))?;
    let spec: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Failure::Usage(format!("{}: is no JSON: {e}", flags.file)))?;
    let client = connect(&options)?;
    let accepted = client.submit_pipeline(&spec, flags.key.as_deref())?;
    if flags.follow {
        return follow(&client, &options, &accepted.id);
    }
    let line = format!("submitted {0}. Next: cares pipeline get {0} --follow", accepted.id);
    Ok(output::print_change(&options, &accepted, &accepted.id, &line)?)
}

fn list(flags: &cli::PipelineList) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    if flags.watch {
        if flags.status.is_some() {
            return Err(Failure::Usage("--status: a watch shows all; leave one out".into()));
        }
        return watch::run(&options, client.watch_pipelines()?, &COLUMNS, |pipeline| &pipeline.id);
    }
    let pipelines = client.pipelines(flags.status.as_deref())?;
    if pipelines.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(&options, "No such pipelines. Run one: cares pipeline run FILE");
        return Ok(());
    }
    Ok(output::print_list(&options, &pipelines, &COLUMNS)?)
}

fn get(flags: &cli::PipelineGet) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    if flags.follow {
        return follow(&client, &options, &flags.id);
    }
    show(&options, &client.pipeline(&flags.id)?)
}

fn show(options: &ClientOptions, pipeline: &Pipeline) -> Outcome {
    let text = match options.output.unwrap_or_default() {
        Format::Json => output::json(pipeline)?,
        Format::Name => format!("{}\n", pipeline.id),
        _ => pipeline_tree::whole(pipeline),
    };
    Ok(output::print(&text)?)
}

fn result(flags: &cli::PipelineResult) -> Outcome {
    invoke::show(connect(&flags.client())?.module_result(&flags.id, &flags.module)?, false)
}

fn log(flags: &cli::PipelineLogs) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    logs::show(client.module_logs(&flags.id, &flags.module, flags.tail, flags.follow)?, &options)
}

fn cancel(flags: &cli::PipelineCancel) -> Outcome {
    let options = flags.client();
    let pipeline = connect(&options)?.cancel_pipeline(&flags.id)?;
    let line = format!("cancelled {0}. Next: cares pipeline get {0}", pipeline.id);
    Ok(output::print_change(&options, &pipeline, &pipeline.id, &line)?)
}

fn retry(flags: &cli::PipelineRetry) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    let pipeline = client.retry_pipeline(&flags.id)?;
    if flags.follow {
        return follow(&client, &options, &flags.id);
    }
    let line = format!("runs again: {0}. Next: cares pipeline get {0} --follow", pipeline.id);
    Ok(output::print_change(&options, &pipeline, &pipeline.id, &line)?)
}

/// Shows it on stderr until it ends, and then on stdout how.
fn follow(client: &Orchestrator, options: &ClientOptions, id: &str) -> Outcome {
    let mut shown = pipeline_tree::Live::new(options);
    for change in client.watch_pipeline(id)? {
        let pipeline = match change? {
            Change::Put(pipeline) => pipeline,
            Change::Gone(_) => return Err(Failure::Here(format!("pipeline {id} is no longer kept"))),
            Change::Synced => continue,
        };
        shown.show(&pipeline);
        if pipeline.status == "running" {
            continue;
        }
        match options.output.unwrap_or_default() {
            Format::Table | Format::Wide if options.quiet => {}
            Format::Table | Format::Wide => output::print(&format!("{}\n", pipeline_tree::summary(&pipeline)))?,
            _ => show(options, &pipeline)?,
        }
        return if pipeline.status == "succeeded" { Ok(()) } else { Err(Failure::Told(FAILED)) };
    }
    Err(Failure::Here(format!(
        "the orchestrator ended the watch; see how it goes on: cares pipeline get {id} --follow"
    )))
}
