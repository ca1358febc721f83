//! `--watch`: a list's rows, and then each row as it changes. Must never hold more than the rows there are.

use super::Outcome;
use crate::cli::{ClientOptions, Format};
use crate::client::Watch;
use crate::errors::Error;
use crate::output::{self, Column};
use crate::types::Change;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A row, and how it was printed last.
struct Shown<T> {
    row: T,
    text: String,
}

/// Prints until the stream ends. `key` is what the API knows a row by.
pub fn run<T: Serialize + DeserializeOwned>(
    options: &ClientOptions,
    watch: Watch<T>,
    columns: &[Column<T>],
    key: fn(&T) -> &str,
) -> Outcome {
    let mut rows: BTreeMap<String, Shown<T>> = BTreeMap::new();
    let mut synced = false;
    for change in watch {
        let change = change.map_err(|error| match error {
            Error::Unreachable { url, .. } => {
                Error::Unreachable { url, why: "it went away while it was watched".into() }
            }
            other => other,
        })?;
        if options.output == Some(Format::Json) {
            let object = match &change {
                Change::Put(row) => serde_json::json!({ "change": "put", "row": row }),
                Change::Gone(id) => serde_json::json!({ "change": "gone", "id": id }),
                Change::Synced => serde_json::json!({ "change": "synced" }),
            };
            output::print(&output::json_line(&object)?)?;
            continue;
        }
        match change {
            Change::Put(row) => {
                let key = key(&row).to_string();
                let text = rows.remove(&key).map(|shown| shown.text).unwrap_or_default();
                rows.insert(key.clone(), Shown { row, text });
                if synced {
                    print(options, &mut rows, columns, Some(&key))?;
                }
            }
            Change::Gone(id) => {
                if let Some(shown) = rows.remove(&id) {
                    output::progress(options, &format!("{} is gone", shown.text.split(' ').next().unwrap_or(&id)));
                }
            }
            Change::Synced => {
                synced = true;
                print(options, &mut rows, columns, None)?;
            }
        }
    }
    output::progress(options, "the orchestrator ended the watch");
    Ok(())
}

/// All rows below their heads, or one in the same columns if it looks different now.
fn print<T>(
    options: &ClientOptions,
    rows: &mut BTreeMap<String, Shown<T>>,
    columns: &[Column<T>],
    only: Option<&str>,
) -> Outcome {
    let all: Vec<&T> = rows.values().map(|shown| &shown.row).collect();
    let lines = output::lines(options, &all, columns);
    let (head, lines) = lines.split_at(lines.len() - all.len());
    let mut text: String = if only.is_none() { head.concat() } else { String::new() };
    for ((key, shown), line) in rows.iter_mut().zip(lines) {
        if shown.text != *line && only.is_none_or(|only| only == key) {
            text.push_str(line);
            shown.text.clone_from(line);
        }
    }
    Ok(output::print(&text)?)
}
