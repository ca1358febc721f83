//! Where images are kept, and what opens the door there.

use super::{ConfigError, Env};
use crate::cli::OrchestratorOptions;
use std::path::PathBuf;

/// What an orchestrator is told of registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Where images go after they have been built, `HOST[:PORT][/PATH]`; `None`: from node to node.
    pub place: Option<String>,
    /// A file like Docker's `config.json`.
    pub auth: Option<PathBuf>,
    /// Hosts that speak plain HTTP, as their operator knows.
    pub insecure: Vec<String>,
}

impl RegistryConfig {
    pub(super) fn read(flags: &OrchestratorOptions, env: &Env<'_>) -> Result<RegistryConfig, ConfigError> {
        let place = flags.registry.clone().or_else(|| env.get("CARES_REGISTRY"));
        if let Some(place) = &place {
            check("--registry", place, true)?;
        }
        flags.registry_insecure.iter().try_for_each(|host| check("--registry-insecure", host, false))?;
        let auth = flags.registry_auth.clone().or_else(|| env.get("CARES_REGISTRY_AUTH")).map(PathBuf::from);
        if let Some(file) = &auth {
            let bad = |why: String| ConfigError::RegistryAuth { file: file.clone(), why };
            let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
            let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
            if !json["auths"].is_object() {
                return Err(bad("it has no \"auths\", as Docker's own has".into()));
            }
        }
        Ok(RegistryConfig { place, auth, insecure: flags.registry_insecure.clone() })
    }

    /// Whether the registry speaks plain HTTP: what is on this machine does, as engines take for granted.
    pub fn is_plain(&self) -> bool {
        let host = self.place.as_deref().map(|place| place.split('/').next().unwrap_or(place)).unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let loopback = name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
        loopback || self.insecure.iter().any(|named| named == host)
    }
}

/// Without a dot or a port an engine takes the first word for a user of Docker Hub.
fn check(flag: &'static str, value: &str, path: bool) -> Result<(), ConfigError> {
    let bad = |why| Err(ConfigError::Registry { flag, value: value.into(), why });
    let (host, rest) = value.split_once('/').map_or((value, None), |(host, rest)| (host, Some(rest)));
    let plain = |text: &str, also: &[u8]| {
        let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || also.contains(b))
    };
    if value.contains("://") {
        return bad("it must not be a URL");
    }
    if !plain(host, b".-:") || host.matches(':').count() > 1 {
        return bad("it is no host");
    }
    if host.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
        return bad("its port must be 1 to 65535");
    }
    if !host.contains(['.', ':']) && host != "localhost" {
        return bad("engines take a host only for one when it has a dot or a port");
    }
    match rest {
        Some(_) if !path => bad("it is a host alone"),
        Some(rest) if !plain(rest, b"._-/") || rest.contains("//") || rest.bytes().any(|b| b.is_ascii_uppercase()) => {
            bad("what follows the host is no beginning of an image's name")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: OrchestratorOptions) -> Result<RegistryConfig, String> {
        RegistryConfig::read(&flags, &Env(&|_| None)).map_err(|why| why.to_string())
    }

    #[test]
    fn places_are_checked() {
        let place = |place: &str| read(OrchestratorOptions { registry: Some(place.into()), ..Default::default() });
        for good in ["localhost:5001", "localhost", "10.0.0.5:5000", "ghcr.io/me", "r.example.org:443/team/apps"] {
            assert_eq!(place(good).unwrap().place.as_deref(), Some(good));
        }
        for bad in [
            "",
            "registry",
            "http://r.io",
            "r.io/",
            "r.io/A",
            "r.io//a",
            "r.io:x",
            "r.io:99999",
            "a b.c",
            "r.io/a b",
            "-a.b",
        ] {
            let why = place(bad).unwrap_err();
            assert!(why.contains("--registry") && why.contains("localhost:5001"), "{bad}: {why}");
        }
        let insecure = |host: &str| {
            let all = vec![host.to_string()];
            read(OrchestratorOptions {
                registry: Some("10.0.0.5:5000".into()),
                registry_insecure: all,
                ..Default::default()
            })
        };
        assert!(insecure("10.0.0.5:5000").unwrap().is_plain() && !insecure("10.0.0.5:1").unwrap().is_plain());
        assert!(insecure("10.0.0.5:5000/x").is_err() && place("127.0.0.1:1").unwrap().is_plain());
        let named =
            RegistryConfig::read(&Default::default(), &Env(&|name| (name == "CARES_REGISTRY").then(|| "r.io".into())));
        assert_eq!(named.unwrap().place.as_deref(), Some("r.io"));
    }

    #[test]
    fn a_file_of_logins_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        let given =
            || read(OrchestratorOptions { registry_auth: Some(file.display().to_string()), ..Default::default() });
        assert!(given().unwrap_err().contains("config.json"));
        for (text, why) in [("{", "EOF"), ("{}", "auths")] {
            std::fs::write(&file, text).unwrap();
            let said = given().unwrap_err();
            assert!(said.contains("--registry-auth") && said.contains(why), "{said}");
        }
        std::fs::write(&file, r#"{"auths":{"r.io":{"auth":"c2VjcmV0"}}}"#).unwrap();
        assert_eq!(given().unwrap().auth, Some(file));
    }
}
