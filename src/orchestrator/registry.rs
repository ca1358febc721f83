//! The registry that the cluster's images are kept in, if there is one, and what to log in to registries with. Must never
//! tell a login to anybody but a node.

use crate::config::RegistryConfig;
use crate::{registry_login, rt};

/// What the operator said of registries.
pub struct Registry {
    config: RegistryConfig,
}

impl Registry {
    pub fn new(config: RegistryConfig) -> Registry {
        Registry { config }
    }

    /// Where images are pushed after they have been built: `HOST[:PORT][/PATH]`.
    pub fn place(&self) -> Option<&str> {
        self.config.place.as_deref()
    }

    /// Whether it speaks plain HTTP.
    pub fn is_plain(&self) -> bool {
        self.config.is_plain()
    }

    /// Whether an image is of there.
    pub fn has(&self, image: &str) -> bool {
        self.place().is_some_and(|place| image.strip_prefix(place).is_some_and(|rest| rest.starts_with('/')))
    }

    /// What to log in to a registry with, as `X-Registry-Auth` has it. The file is read each time, so that one that has
    /// changed needs no restart.
    pub async fn login(&self, registry: &str) -> Result<Option<String>, String> {
        let Some(file) = self.config.auth.clone() else { return Ok(None) };
        let shown = file.display().to_string();
        let config = rt::unblock(move || std::fs::read_to_string(file)).await;
        let config = config.map_err(|error| format!("--registry-auth {shown}: {error}"))?;
        Ok(registry_login::login(&config, registry))
    }
}
