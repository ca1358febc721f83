//! `cares token …`: what people and machines come with. Must never show a token but when it is made.

use super::{Failure, Outcome, confirm, connect};
use crate::cli::{ClientOptions, Format, TokenCreate, TokenRevoke, TokenVerb};
use crate::output::{self, Column, NONE, age};
use crate::types::{Token, TokenSpec};

const COLUMNS: [Column<Token>; 7] = [
    Column::new("NAME", |t, _| t.name.clone()),
    Column::new("SCOPES", |t, _| t.scopes.join(",")),
    Column::status("STATUS", |t, _| t.status.clone()),
    Column::new("EXPIRES", |t, _| t.expires_at.clone().unwrap_or_else(|| NONE.into())),
    Column::wide("ID", |t, _| t.id.clone()),
    Column::wide("BY", |t, _| t.created_by.clone().unwrap_or_else(|| NONE.into())),
    Column::new("AGE", |t, now| age(&t.created_at, now)),
];

pub fn run(verb: &TokenVerb) -> Outcome {
    match verb {
        TokenVerb::Create(flags) => create(flags),
        TokenVerb::List(flags) => list(&flags.client()),
        TokenVerb::Revoke(flags) => revoke(flags),
    }
}

fn create(flags: &TokenCreate) -> Outcome {
    if flags.scope.is_empty() {
        let text = "say what it may do with --scope: admin, deploy, invoke, invoke:FUNCTION, read or worker";
        return Err(Failure::Usage(text.into()));
    }
    let options = flags.client();
    let spec = TokenSpec { name: flags.name.clone(), scopes: flags.scope.clone(), expires_s: flags.expires };
    let made = connect(&options)?.create_token(&spec)?;
    match options.output.unwrap_or_default() {
        Format::Json => output::print(&output::json(&made)?)?,
        _ => {
            let name = &made.token.name;
            let next = format!("created {name}; it is shown this one time. Revoke it with: cares token revoke {name}");
            output::progress(&options, &next);
            output::print(&format!("{}\n", made.secret))?; // alone on stdout, for `> FILE`
        }
    }
    Ok(())
}

fn list(options: &ClientOptions) -> Outcome {
    let tokens = connect(options)?.tokens()?;
    if tokens.is_empty() && matches!(options.output.unwrap_or_default(), Format::Table | Format::Wide) {
        output::progress(options, "No tokens. Make one: cares token create NAME --scope admin");
        return Ok(());
    }
    Ok(output::print_list(options, &tokens, &COLUMNS)?)
}

fn revoke(flags: &TokenRevoke) -> Outcome {
    let (options, token) = (flags.client(), &flags.token);
    let client = connect(&options)?;
    confirm(&options, &format!("Revoke the token '{token}'? Whoever uses it is refused from then on."))?;
    client.revoke_token(token)?;
    let answer = serde_json::json!({ "token": token, "status": "revoked" });
    let line = format!("revoked {token}. Next: cares token list");
    Ok(output::print_change(&options, &answer, token, &line)?)
}
