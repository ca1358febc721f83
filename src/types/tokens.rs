//! The public JSON of tokens.

use serde::{Deserialize, Serialize};

/// Settings of a token: the body of `POST /tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// As a function's; what events say did a change.
    pub name: String,
    /// `admin`, `deploy`, `invoke`, `invoke:FUNCTION`, `read`, `worker`.
    pub scopes: Vec<String>,
    /// Seconds it is valid for; 1 to 315,360,000, which is ten years. Default: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
}

/// A token without its secret, as `GET /tokens` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// The answer to `POST /tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMade {
    #[serde(flatten)]
    pub token: Token,
    /// The only time it is shown: what is kept is its digest.
    #[serde(rename = "token")]
    pub secret: String,
}
