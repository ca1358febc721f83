//! `cares build …`: folders of sources that are built and not deployed, and what became of builds. Must never make a
//! function.

use super::{Failure, Outcome, Part, build_log, connect_to, deploy};
use crate::cli::{self, BuildVerb, Format};
use crate::client::BuildSpec;
use crate::output::{self, Column, age};
use crate::types::Build;
use std::path::Path;

const COLUMNS: [Column<Build>; 8] = [
    Column::new("ID", |b, _| b.id.clone()),
    Column::new("NAME", |b, _| b.name.clone()),
    Column::status("STATUS", |b, _| b.status.clone()),
    Column::new("IMAGE", |b, _| output::image(b.image.as_deref().unwrap_or_default(), output::DIGITS)),
    Column::wide("RUNTIME", |b, _| b.runtime.clone().unwrap_or_else(|| "Dockerfile".into())),
    Column::wide("NODE", |b, _| b.node.clone().unwrap_or_default()),
    Column::words("ERROR", |b, _| b.error.clone().unwrap_or_default()),
    Column::new("AGE", |b, now| age(&b.created, now)),
];

pub fn run(verb: &BuildVerb) -> Outcome {
    match verb {
        BuildVerb::Run(flags) => folder(flags),
        BuildVerb::List(flags) => list(flags),
        BuildVerb::Get(flags) => get(flags),
        BuildVerb::Log(flags) => log(flags),
        BuildVerb::Cancel(flags) => cancel(flags),
    }
}

fn folder(flags: &cli::BuildRun) -> Outcome {
    let (options, dir) = (flags.client(), Path::new(&flags.dir));
    let (name, manifest) = deploy::read(dir, flags.name.as_deref()).map_err(Failure::Here)?;
    let runtime = flags.runtime.clone().or(manifest.runtime.clone());
    if deploy::runs_as_it_is(dir, &manifest, runtime.as_deref()) {
        let text =
            format!("{0}: its function.json has a command, so there is nothing to build: cares deploy {0}", flags.dir);
        return Err(Failure::Here(text));
    }
    let spec = BuildSpec { name, runtime, anew: flags.anew };
    let (client, mut build) = deploy::send(&options, dir, &spec)?;
    if flags.detach {
        let line = format!("building {} as {1}. Next: cares build log -f {1}", build.name, build.id);
        return Ok(output::print_change(&options, &build, &build.id, &line)?);
    }
    build = build_log::follow(&client, &options, build)?;
    let image = build.image.as_deref().unwrap_or_default();
    let line = format!("built {image}. Next: cares register {} {image}", build.name);
    Ok(output::print_change(&options, &build, image, &line)?)
}

fn list(flags: &cli::BuildList) -> Outcome {
    let options = flags.client();
    let builds = connect_to(&options, Part::Builder)?.builds()?;
    if builds.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(&options, "No builds. Make one: cares deploy DIR, or cares build run DIR");
        return Ok(());
    }
    Ok(output::print_list(&options, &builds, &COLUMNS)?)
}

fn get(flags: &cli::BuildGet) -> Outcome {
    let options = flags.client();
    let build = connect_to(&options, Part::Builder)?.build_by_id(&flags.id)?;
    let text = match options.output.unwrap_or_default() {
        Format::Json => output::json(&build)?,
        Format::Name => format!("{}\n", build.id),
        _ => text(&build),
    };
    Ok(output::print(&text)?)
}

fn log(flags: &cli::BuildLog) -> Outcome {
    let options = flags.client();
    for line in connect_to(&options, Part::Builder)?.build_log(&flags.id, flags.follow)? {
        let line = line?;
        output::print(&match options.output.unwrap_or_default() {
            Format::Json => output::json_line(&serde_json::json!({ "line": line }))?,
            _ => output::line(&line),
        })?;
    }
    Ok(())
}

fn cancel(flags: &cli::BuildCancel) -> Outcome {
    let options = flags.client();
    let build = connect_to(&options, Part::Builder)?.cancel_build(&flags.id)?;
    let line = format!("cancelling {0}. Next: cares build get {0}", build.id);
    Ok(output::print_change(&options, &build, &build.id, &line)?)
}

fn text(build: &Build) -> String {
    let or_not = |text: &Option<String>| text.clone().unwrap_or_default();
    output::fields(&[
        ("ID", build.id.clone()),
        ("Name", build.name.clone()),
        ("Status", build.status.clone()),
        ("Image", or_not(&build.image)),
        ("Runtime", build.runtime.clone().unwrap_or_else(|| "its Dockerfile".into())),
        ("Node", or_not(&build.node)),
        ("Error", or_not(&build.error)),
        ("Created", build.created.clone()),
        ("Started", or_not(&build.started)),
        ("Finished", or_not(&build.finished)),
    ])
}
