//! The public JSON of a cluster as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cluster as its orchestrator sees it: `GET /cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cluster {
    pub id: String,
    /// Where REST listens.
    pub http_addr: String,
    /// Where workers join.
    pub grpc_addr: String,
    /// What to type on another machine.
    pub join_command: String,
    pub version: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Whether REST is HTTPS.
    #[serde(default)]
    pub https: bool,
    /// Until when the certificate shown there is good; RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_until: Option<String>,
    /// Until when the certificate shown to nodes is good; it is renewed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_until: Option<String>,
    /// The registry that images are kept in after they were built, HOST:PORT or HOST:PORT/PATH; without one nodes get them from each
    /// other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Whether that speaks plain HTTP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub registry_plain: bool,
}
