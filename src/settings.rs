//! From the flags of `register` and `scale` to the settings that are sent, for the command line and the terminal's. Must never ask
//! anyone whether they are right.

pub mod task;

use crate::cli::{Register, Scale};
use crate::names::check_name;
use crate::types::{self, FunctionSpec, Mode, Secrets};
use std::collections::BTreeMap;
use std::path::Path;

/// The settings `register` was given.
pub fn from_flags(flags: &Register) -> Result<FunctionSpec, String> {
    check_name(&flags.name).map_err(|bad| bad.to_string())?;
    check_image(&flags.image)?;
    let mode = match flags.mode.as_deref() {
        None => None,
        Some("auto") => Some(Mode::Auto),
        Some("http") => Some(Mode::Http),
        Some("job") => Some(Mode::Job),
        Some(other) => return Err(format!("--mode '{}' is none: use auto, http or job", other.escape_debug())),
    };
    Ok(FunctionSpec {
        name: flags.name.clone(),
        image: flags.image.clone(),
        mode,
        env: pairs("--env", &flags.env)?,
        secrets: secrets(flags)?,
        timeout_s: flags.timeout_s,
        memory_mb: flags.memory_mb,
        cpu: flags.cpu,
        concurrency: flags.concurrency,
        min: flags.min,
        max: flags.max,
        ready: flags.ready,
        idle_s: flags.idle_s,
        freeze_s: flags.freeze_s,
        labels: pairs("--label", &flags.label)?,
        description: flags.description.clone(),
        attempts: flags.attempts,
        schedule: flags.schedule.clone(),
        schedule_zone: flags.schedule_zone.clone(),
        public: flags.public.then_some(true),
        rate_per_s: flags.rate_per_s,
        calls_at_once: flags.calls_at_once,
        ..Default::default()
    })
}

fn secrets(flags: &Register) -> Result<Option<Secrets>, String> {
    let (env, files) = (pairs("--secret", &flags.secret)?, pairs("--secret-file", &flags.secret_file)?);
    let secrets = Secrets { env: env.unwrap_or_default(), files: files.unwrap_or_default() };
    Ok(Some(secrets).filter(|secrets| !secrets.is_empty()))
}

/// The bounds `scale` was given.
pub fn scale(flags: &Scale) -> Result<types::Scale, String> {
    let scale = types::Scale { min: flags.min, max: flags.max, ready: flags.ready };
    match scale == types::Scale::default() {
        true => Err("give --min, --ready or --max, or several of them".into()),
        false => Ok(scale),
    }
}

/// Refuses what can be no image reference; whether it exists is the engine's to find out.
fn check_image(image: &str) -> Result<(), String> {
    let shown = image.escape_debug();
    if Path::new(image).is_dir() && image.contains(['/', '.']) && !image.contains(':') {
        return Err(format!("'{shown}' is a folder, not an image: use 'cares deploy {shown}'"));
    }
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-/:@+".contains(c));
    if image.is_empty() || image.starts_with(['-', '/', '.', ':']) || image.contains("://") || image.contains(odd) {
        return Err(format!("'{shown}' is no image: it looks like hello-world, ghcr.io/me/app:1 or bundle:DIGEST"));
    }
    Ok(())
}

fn pairs(flag: &str, given: &[(String, String)]) -> Result<Option<BTreeMap<String, String>>, String> {
    let mut pairs = BTreeMap::new();
    for (key, value) in given {
        if pairs.insert(key.clone(), value.clone()).is_some() {
            return Err(format!("{flag} '{}' is given twice", key.escape_debug()));
        }
    }
    Ok((!pairs.is_empty()).then_some(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_references() {
        for good in ["hello-world", "ghcr.io/me/app:1", "localhost:5001/x@sha256:ab", "bundle:0123"] {
            assert_eq!(check_image(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "http://x/y", "-x", "/abs", "./rel", "a\n", "é"] {
            assert!(check_image(bad).is_err(), "{bad:?}");
        }
        assert!(check_image("/tmp").unwrap_err().contains("cares deploy"));
    }

    #[test]
    fn nothing_is_sent_that_was_not_said() {
        let words = ["cares", "register", "a", "b", "--mode", "job", "--env", "A=1"].map(str::to_string);
        let Ok(crate::cli::Cli { verb: Some(crate::cli::Verb::Register(flags)), .. }) =
            crate::usage::parse(&words[1..])
        else {
            panic!()
        };
        let json = serde_json::to_string(&from_flags(&flags).unwrap()).unwrap();
        assert_eq!(json, r#"{"name":"a","image":"b","mode":"job","env":{"A":"1"}}"#);
    }
}
