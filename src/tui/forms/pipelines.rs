//! What was typed behind `pipeline` on the command line of this screen: done with the client, shown in a box or by its row.

use super::ask;
use super::pipeline_ask;
use super::rows;
use super::sheet::Row;
use super::verbs::{self, Outcome};
use super::viewer;
use crate::cli::{ClientOptions, Format, PipelineVerb};
use crate::client::Orchestrator;
use crate::tui::session::Session;
use crate::types::{Pipeline, PipelineModule};
use cursive::Cursive;

/// What they all take.
pub fn options(verb: &PipelineVerb) -> ClientOptions {
    match verb {
        PipelineVerb::Run(flags) => flags.client(),
        PipelineVerb::List(flags) => flags.client(),
        PipelineVerb::Get(flags) => flags.client(),
        PipelineVerb::Result(flags) => flags.client(),
        PipelineVerb::Logs(flags) => flags.client(),
        PipelineVerb::Cancel(flags) => flags.client(),
        PipelineVerb::Retry(flags) => flags.client(),
    }
}

/// Does it.
pub fn run(siv: &mut Cursive, session: &Session, verb: PipelineVerb) -> Outcome {
    let format = options(&verb).output.unwrap_or_default();
    let follow = "--follow is for a shell: here its row follows it, and enter opens it.";
    match verb {
        PipelineVerb::Run(flags) if flags.follow => return Outcome::Refused(follow.into()),
        PipelineVerb::Get(flags) if flags.follow => return Outcome::Refused(follow.into()),
        PipelineVerb::Retry(flags) if flags.follow => return Outcome::Refused(follow.into()),
        PipelineVerb::List(flags) if flags.watch => {
            return Outcome::Refused("--watch is for a shell: the pane Pipelines follows them.".into());
        }
        PipelineVerb::Run(flags) if flags.file == "-" || flags.key.is_some() => {
            return Outcome::Refused("A document from stdin and --key are for a shell: name a file.".into());
        }
        PipelineVerb::Run(flags) => {
            pipeline_ask::submit(session, &flags.file, |siv, answer| {
                if let Err(error) = answer {
                    ask::failure(siv, "The pipeline was not taken", &error.to_string());
                }
            });
        }
        PipelineVerb::List(flags) => {
            let job = move |client: &Orchestrator| client.pipelines(flags.status.as_deref());
            verbs::answer_to(session, "Pipelines", job, move |found| pipelines(&found, format));
        }
        PipelineVerb::Get(flags) => {
            let id = flags.id.clone();
            verbs::answer_to(session, &flags.id, move |c| c.pipeline(&id), move |found| modules(&found, format));
        }
        PipelineVerb::Result(flags) => pipeline_ask::result(session, &flags.id, &flags.module),
        PipelineVerb::Logs(flags) => viewer::open_module(siv, session, &flags.id, &flags.module),
        PipelineVerb::Cancel(flags) => {
            let known = session.model().pipelines.get(&flags.id).cloned();
            match known.filter(|pipeline| pipeline.status == "running") {
                Some(pipeline) => pipeline_ask::cancel(siv, session, &pipeline),
                None => pipeline_ask::cancel_now(session, &flags.id), // it says why not
            }
        }
        PipelineVerb::Retry(flags) => pipeline_ask::retry(session, &flags.id),
    }
    Outcome::Done
}

fn pipelines(found: &[Pipeline], format: Format) -> Vec<Row> {
    let counted = |p: &Pipeline| {
        let counts: Vec<String> = p.counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        counts.join(", ")
    };
    let row = |p: &Pipeline| {
        [p.id.clone(), p.name.clone().unwrap_or_default(), p.status.clone(), p.runs.to_string(), counted(p)]
    };
    rows::list(found, format, ["ID", "NAME", "STATUS", "RUNS", "MODULES"], row)
}

fn modules(found: &Pipeline, format: Format) -> Vec<Row> {
    if format == Format::Json {
        return rows::lines(&serde_json::to_string_pretty(found).unwrap_or_default());
    }
    let row = |m: &PipelineModule| {
        let error = m.error.clone().unwrap_or_default().replace('\n', " ");
        [m.name.clone(), m.state.clone(), m.attempts.to_string(), m.depends_on.join(","), error]
    };
    rows::list(&found.modules, format, ["MODULE", "STATE", "ATTEMPTS", "AFTER", "ERROR"], row)
}
