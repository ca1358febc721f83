//! Why a role cannot be started as asked.

use super::MAX_SLOTS;
use crate::auth::{BadKeys, BadSecret};
use crate::http::origin::BadOrigin;
use crate::limits::BadLimit;
use crate::names::BadName;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a role cannot be started as asked; each text names the flag.
#[derive(Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// An address to listen on that is none.
    Address { flag: &'static str, value: String },
    /// An address to listen on that others can reach.
    Exposed { flag: &'static str, address: SocketAddr },
    /// An orchestrator's address that is none.
    Join { value: String, why: &'static str },
    /// A node's name that is none.
    Name(BadName),
    /// What says nothing about where workers may be called.
    Endpoints { flag: &'static str, value: String, why: &'static str },
    /// A tag that cannot travel.
    Tag { key: String, why: &'static str },
    /// A number of slots out of its range.
    Slots(u32),
    /// A token that is none.
    Token { from: &'static str, why: BadSecret },
    /// A limit that is none.
    Limit { from: &'static str, why: BadLimit },
    /// A site that is none.
    Origin(BadOrigin),
    /// A name for functions alone that is none.
    FunctionHost(BadOrigin),
    /// Settings of an issuer of tokens that go together.
    Jwt { needed: &'static str },
    /// Keys of an issuer that are none.
    Keys(BadKeys),
    /// A certificate without its key, or the other way round.
    HalfPair { given: &'static str, missing: &'static str },
    /// A span of time that is none, or out of its range.
    Seconds { variable: &'static str, value: String, least: u64, most: u64 },
    /// A registry that is none.
    Registry { flag: &'static str, value: String, why: &'static str },
    /// Logins of registries that are none.
    RegistryAuth { file: PathBuf, why: String },
    /// No place for data: HOME is not set.
    NoHome,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Address { flag, value } => {
                write!(f, "{flag} '{}' is no address to listen on: it looks like 127.0.0.1:8080", value.escape_debug())
            }
            ConfigError::Exposed { flag, address } => write!(
                f,
                "{flag} {address} can be reached from other machines, and whoever reaches it can run programs here. \
                 Listen on 127.0.0.1, set AUTH_TOKEN or --token-file so that everyone needs a token, or add --open if \
                 everyone on that network may"
            ),
            ConfigError::Join { value, why } => write!(
                f,
                "'{}' is no orchestrator's address to join: {why}. It is the gRPC address, such as 192.168.1.10:50051",
                value.escape_debug()
            ),
            ConfigError::Name(bad) => write!(f, "--name: {bad}"),
            ConfigError::Endpoints { flag, value, why } => write!(
                f,
                "{flag} '{}': {why}. It looks like 10.0.0.0/8, 192.168.1.7:9000 or worker1:9000",
                value.escape_debug()
            ),
            ConfigError::Tag { key, why } => write!(f, "--tag '{}': {why}", key.escape_debug()),
            ConfigError::Slots(given) => write!(f, "--slots {given} is out of range: use 1 to {MAX_SLOTS}"),
            ConfigError::Token { from, why } => write!(f, "{from}: {why}"),
            ConfigError::Limit { from, why } => write!(f, "{from}: {why}"),
            ConfigError::Origin(why) => write!(f, "--allow-origin {why}"),
            ConfigError::FunctionHost(why) => write!(f, "--function-host {why}"),
            ConfigError::Jwt { needed } => {
                write!(f, "{needed} is missing: --jwt-keys and --jwt-issuer go together, --jwt-audience with them")
            }
            ConfigError::Keys(why) => write!(f, "--jwt-keys: {why}"),
            ConfigError::HalfPair { given, missing } => {
                write!(f, "{given} is given without {missing}: HTTPS needs the certificate and its key")
            }
            ConfigError::Seconds { variable, value, least, most } => {
                write!(f, "{variable} '{}' must be seconds, {least} to {most}", value.escape_debug())
            }
            ConfigError::Registry { flag, value, why } => {
                let value = value.escape_debug();
                write!(f, "{flag} '{value}': {why}. It looks like localhost:5001 or registry.example.org/team")
            }
            ConfigError::RegistryAuth { file, why } => write!(
                f,
                "--registry-auth {}: {why}. It is a file like Docker's own config.json, as `docker login` writes it",
                file.display()
            ),
            ConfigError::NoHome => {
                f.write_str("there is no place for data, for HOME is not set. Give one with --data-dir DIR")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
