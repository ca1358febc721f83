//! `cares start`, `stop`, `scale`, `redeploy` and `rollback`: change a function that is there without its settings. Must never make one.

use super::{Failure, Outcome, Part, connect, connect_to, deploy};
use crate::cli::{ClientOptions, Redeploy, Rollback, Scale, Start, Stop};
use crate::output;
use crate::settings;
use crate::types::Function;
use std::path::Path;

pub fn scale(flags: &Scale) -> Outcome {
    let scale = settings::scale(flags).map_err(Failure::Usage)?;
    let options = flags.client();
    let f = connect(&options)?.scale(&flags.name, &scale)?;
    let line =
        format!("scaled {}: min {}, ready {}, max {}. Next: cares describe {}", f.name, f.min, f.ready, f.max, f.name);
    Ok(output::print_change(&options, &f, &f.name, &line)?)
}

pub fn start(flags: &Start) -> Outcome {
    let options = flags.client();
    let f = connect_to(&options, Part::Controller)?.start(&flags.name)?;
    let line = format!("started {} ({}). Next: cares invoke {}", f.name, f.status, f.name);
    Ok(output::print_change(&options, &f, &f.name, &line)?)
}

pub fn stop(flags: &Stop) -> Outcome {
    let options = flags.client();
    let f = connect_to(&options, Part::Controller)?.stop(&flags.name)?;
    let line = format!("stopped {}: calls are refused. Next: cares start {}", f.name, f.name);
    Ok(output::print_change(&options, &f, &f.name, &line)?)
}

pub fn redeploy(flags: &Redeploy) -> Outcome {
    let options = flags.client();
    if Path::new(&flags.name).is_dir() {
        return deploy::folder(&options, Path::new(&flags.name), None, None, flags.anew);
    }
    if flags.anew {
        return Err(Failure::Usage(format!("--anew: there is no folder {} here to build", flags.name)));
    }
    let function = connect(&options)?.redeploy(&flags.name)?;
    revised(&options, "redeployed", &function)
}

pub fn rollback(flags: &Rollback) -> Outcome {
    let options = flags.client();
    let function = connect(&options)?.rollback(&flags.name, flags.to)?;
    revised(&options, "rolled back", &function)
}

/// It may take a moment until the new revision answers; until then the one before it does.
fn revised(options: &ClientOptions, done: &str, f: &Function) -> Outcome {
    let now = not_yet(f);
    let line =
        format!("{done} {} as revision {} ({}){now}. Next: cares describe {}", f.name, f.revision, f.image, f.name);
    Ok(output::print_change(options, f, &f.name, &line)?)
}

/// What is to be said of a newest revision that calls do not run yet.
pub fn not_yet(f: &Function) -> &'static str {
    match f.serving == f.revision {
        _ if f.status == "stopped" => ", which is stopped: cares start takes it up",
        true => "",
        false => ", which takes over once it answers",
    }
}
