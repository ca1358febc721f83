//! `cares delete`: removes a function, when it is certain. Must never delete without a yes.

use super::{Outcome, Part, confirm, connect_to};
use crate::cli::Delete;
use crate::output;

pub fn run(flags: &Delete) -> Outcome {
    let options = flags.client();
    let client = connect_to(&options, Part::Controller)?;
    confirm(&options, &format!("Delete the function '{}' and its revisions?", flags.name))?;
    client.delete_function(&flags.name)?;
    let answer = serde_json::json!({ "name": flags.name, "status": "deleted" });
    let line = format!("deleted {}. Next: cares list", flags.name);
    Ok(output::print_change(&options, &answer, &flags.name, &line)?)
}
