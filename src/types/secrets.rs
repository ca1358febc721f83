//! The public JSON of secrets. Nothing here ever holds a value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The secrets a function is given, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// Environment variables: `{"DB_PASSWORD": "db-pass"}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files in the folder that `$CARES_SECRETS_DIR` names, in containers `/run/secrets`: `{"tls.key": "tls-key"}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

impl Secrets {
    /// It has none.
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.files.is_empty()
    }
}

/// A secret without its value, as `GET /secrets` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    pub name: String,
    /// Counts the values it had.
    pub version: u64,
    /// RFC 3339, UTC; of its first value.
    pub created_at: String,
    /// RFC 3339, UTC; of this value.
    pub updated_at: String,
    /// The token this value came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
    /// The functions that are given it.
    #[serde(default)]
    pub used_by: Vec<String>,
}
