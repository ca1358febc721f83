//! `cares register`: makes a function of an image. Must never contact a registry.

use super::{Failure, Outcome, connect};
use crate::cli::Register;
use crate::output;
use crate::settings;

pub fn run(flags: &Register) -> Outcome {
    let spec = settings::from_flags(flags).map_err(Failure::Usage)?;
    let options = flags.client();
    let client = connect(&options)?;
    let name = &flags.name;
    let next = format!("Next: cares invoke {name}");
    if flags.replace {
        let function = client.replace(name, &spec)?;
        let line = format!("replaced {name} revision {}. {next}", function.revision);
        return Ok(output::print_change(&options, &function, name, &line)?);
    }
    let registered = client.register(&spec).map_err(|error| match error.code() {
        "name_taken" => Failure::Here(format!(
            "{}. Add --replace to make a new revision of it",
            error.to_string().trim_end_matches('.')
        )),
        _ => error.into(),
    })?;
    let line = format!("registered {name} revision {}. {next}", registered.revision);
    Ok(output::print_change(&options, &registered, name, &line)?)
}
