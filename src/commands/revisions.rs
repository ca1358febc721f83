//! `cares scale`, `redeploy` and `rollback`: change a function that is there without its settings. Must never make one.

use super::{Failure, Outcome, connect};
use crate::cli::{ClientOptions, Redeploy, Rollback, Scale};
use crate::output;
use crate::settings;
use crate::types::Function;

pub fn scale(flags: &Scale) -> Outcome {
    let scale = settings::scale(flags).map_err(Failure::Usage)?;
    let options = flags.client();
    let f = connect(&options)?.scale(&flags.name, &scale)?;
    let line =
        format!("scaled {}: min {}, ready {}, max {}. Next: cares describe {}", f.name, f.min, f.ready, f.max, f.name);
    Ok(output::print_change(&options, &f, &f.name, &line)?)
}

pub fn redeploy(flags: &Redeploy) -> Outcome {
    let options = flags.client();
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
    let now = if f.serving == f.revision { "" } else { ", which takes over once it answers" };
    let line =
        format!("{done} {} as revision {} ({}){now}. Next: cares describe {}", f.name, f.revision, f.image, f.name);
    Ok(output::print_change(options, f, &f.name, &line)?)
}
