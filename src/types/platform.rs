//! What the platform's paths (`/register`, `/list`, `/start`, …) take and answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of `POST /register`. What is left out stays as it is; fields not named here are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Registration {
    /// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// An image reference, or `bundle:DIGEST`; it may also come later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `http://HOST:PORT` or `https://HOST:PORT` of a server that is there, in place of an image: calls are passed on to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where the image listens: its `$PORT`. 1 to 65535.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
}

/// One function, as the platform's paths show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformFunction {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// The same word as in `GET /functions`.
    pub status: String,
    /// Something of it runs now.
    pub running: bool,
    /// Running copies, over all nodes.
    pub instances: u32,
    pub revision: u64,
    /// Where it is called.
    pub path: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// Why the last start or call failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The answer to `DELETE /delete/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    pub name: String,
    /// Always `deleted`; failures are problems.
    pub status: String,
}
