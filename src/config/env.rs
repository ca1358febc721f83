//! Settings that are no flags.

use super::{ConfigError, listen_address};
use crate::auth::Secret;
use crate::limits::{Limits, Of};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Where settings that are no flags come from; tests give their own.
pub struct Env<'a>(pub &'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    /// The process's own. An empty variable counts as unset.
    pub fn process() -> Env<'static> {
        Env(&|key| std::env::var(key).ok())
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        (self.0)(key).filter(|value| !value.is_empty())
    }

    /// The default places for data: `$XDG_DATA_HOME/cares`, `~/.local/share/cares`, and `/var/lib/cares` for a root
    /// without a home.
    ///
    /// # Errors
    /// `NoHome` when there is none.
    pub fn data_base(&self) -> Result<PathBuf, ConfigError> {
        let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute()); // as XDG asks
        if let Some(xdg) = self.get("XDG_DATA_HOME").and_then(absolute) {
            return Ok(xdg.join("cares"));
        }
        if let Some(home) = self.get("HOME").and_then(absolute) {
            return Ok(home.join(".local/share/cares"));
        }
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/cares"));
        }
        Err(ConfigError::NoHome)
    }

    pub fn data_dir(&self, flag: Option<&String>) -> Option<PathBuf> {
        flag.cloned().or_else(|| self.get("CARES_DATA_DIR")).map(PathBuf::from)
    }

    pub(super) fn listen(
        &self,
        flag: &'static str,
        given: Option<&String>,
        variable: &str,
        default: SocketAddr,
    ) -> Result<SocketAddr, ConfigError> {
        let Some(value) = given.cloned().or_else(|| self.get(variable)) else { return Ok(default) };
        listen_address(flag, &value)
    }

    /// The defaults, over them the environment, over that the flags. One environment may be that of both roles.
    pub(super) fn limits(&self, of: Of, flags: &[String]) -> Result<Limits, ConfigError> {
        let mut limits = Limits::default();
        let bad = |from| move |why| ConfigError::Limit { from, why };
        for given in self.get("CARES_LIMITS").iter().flat_map(|all| all.split(',')).filter(|one| !one.trim().is_empty())
        {
            limits.set(Of::Both, given).map_err(bad("CARES_LIMITS"))?;
        }
        flags.iter().try_for_each(|given| limits.set(of, given)).map_err(bad("--limit"))?;
        Ok(limits)
    }

    pub(super) fn seconds(
        &self,
        variable: &'static str,
        (default, bounds): (u64, RangeInclusive<u64>),
    ) -> Result<Duration, ConfigError> {
        let Some(value) = self.get(variable) else { return Ok(Duration::from_secs(default)) };
        let number = value.trim().parse().ok().filter(|number| bounds.contains(number));
        let bad = || ConfigError::Seconds { variable, value, least: *bounds.start(), most: *bounds.end() };
        number.map(Duration::from_secs).ok_or_else(bad)
    }

    /// From the file of a flag, else from a variable.
    pub fn token(
        &self,
        flag: &'static str,
        file: Option<&String>,
        variable: &'static str,
    ) -> Result<Option<Secret>, ConfigError> {
        let (from, secret) = match (file, self.get(variable).filter(|text| !text.trim().is_empty())) {
            (Some(file), _) => (flag, Secret::in_file(file.as_ref())),
            (None, Some(text)) => (variable, Secret::new(&text)),
            (None, None) => return Ok(None),
        };
        secret.map(Some).map_err(|why| ConfigError::Token { from, why })
    }
}
