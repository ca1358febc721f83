//! The public JSON of builds. No behaviour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A build, as `GET /builds` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Build {
    pub id: String,
    /// The function's name.
    pub name: String,
    /// queued, running, succeeded, failed or cancelled.
    pub status: String,
    /// What came of it: an image, or `bundle:DIGEST`. Only of one that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What the folder was found or said to be; absent where it has a Dockerfile of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The name of the node that built it, or does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Why it failed, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
}
