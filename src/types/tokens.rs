//! The public JSON of tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of a token: the body of `POST /tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// As a function's; what events say did a change.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// `admin`, `deploy`, `invoke`, `invoke:FUNCTION`, `read`, `worker`.
    #[schemars(inner(regex(
        pattern = r"^(admin|deploy|invoke|read|worker|invoke:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$"
    )))]
    pub scopes: Vec<String>,
    /// Seconds it is valid for; 1 to 315,360,000, which is ten years. Default: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 315360000))]
    pub expires_s: Option<u64>,
    /// Requests a second; 1 to 1,000,000. Default: `requests-per-s-token` of the orchestrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u32>,
}

/// The body of `POST /tokens/join`, whose answer is a `TokenMade` that a worker of another machine joins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenSpec {
    /// As a function's. Default: `join-` and a random number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Seconds it is valid for; 1 to 315,360,000. Default: a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
}

/// A token without its secret, as `GET /tokens` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub scopes: Vec<String>,
    /// `active` or `expired`.
    pub status: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The token it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Requests a second, if it has a rate of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u32>,
}

/// The answer to `POST /tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenMade {
    #[serde(flatten)]
    pub token: Token,
    /// The only time it is shown: what is kept is its digest.
    #[serde(rename = "token")]
    pub secret: String,
}
