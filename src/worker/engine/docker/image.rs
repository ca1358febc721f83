//! Images: is it here, pulling it when not, and what it says of itself. Must never run one.

use super::super::{EngineError, ImageFacts};
use super::Shared;
use super::answers::{Image, Progress};
use super::frames::Objects;
use super::pulled::Pulled;
use super::request::{self, ImageName};
use super::trouble;
use super::wire::{Verb, WireError};
use crate::{clock, rt};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// To look an image up.
const INSPECT_LIMIT: Duration = Duration::from_secs(20);
/// The longest silence of a pull; an image may be large, but something always moves.
const PULL_QUIET: Duration = Duration::from_secs(120);
/// Between two words on a pull's progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Where no other port is said: Knative's and Cloud Run's.
const DEFAULT_PORT: u16 = 8080;
/// Images whose facts are remembered.
const REMEMBERED: usize = 1_000;

/// What is known of images that were prepared.
#[derive(Default)]
pub struct Images {
    facts: Mutex<HashMap<String, ImageFacts>>,
    pub pulled: Pulled,
}

impl Images {
    pub fn get(&self, image: &ImageName) -> Option<ImageFacts> {
        self.pulled.used(image.as_str());
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).get(image.as_str()).cloned()
    }

    pub fn forget(&self, image: &ImageName) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).remove(image.as_str());
    }

    fn put(&self, image: &ImageName, facts: ImageFacts) {
        let mut all = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(image.as_str().into(), facts);
    }
}

/// Sees that it is here. The one that is here is used even when its registry has a newer one of that name.
pub async fn prepare(shared: &Shared, image: &ImageName) -> Result<ImageFacts, EngineError> {
    shared.usable()?;
    let found = match inspect(shared, image).await? {
        Some(found) => found,
        None => {
            pull(shared, image).await?;
            shared.images.pulled.came(image);
            shared.images.pulled.save();
            let gone = || EngineError::Image(format!("the image {} was pulled and is gone again", image.as_str()));
            inspect(shared, image).await?.ok_or_else(gone)?
        }
    };
    let engine_arch = shared.arch.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if !runs_on(&found.architecture, &engine_arch) && !rt::unblock(emulates).await {
        return Err(EngineError::Image(format!(
            "the image {} was built for {} and this node is {engine_arch}; build it for this one too (docker buildx build \
             --platform linux/{engine_arch})",
            image.as_str(),
            found.architecture
        )));
    }
    let facts = facts(&found);
    shared.images.pulled.used(image.as_str());
    shared.images.put(image, facts.clone());
    Ok(facts)
}

/// Asks its registry for it although it may be here: the name may mean another image by now. One that no registry has
/// is used as it is.
pub async fn refresh(shared: &Shared, image: &ImageName) -> Result<ImageFacts, EngineError> {
    shared.usable()?;
    if let Err(error) = pull(shared, image).await {
        if inspect(shared, image).await?.is_none() {
            return Err(error);
        }
        log::warn!("The image {} is used as it is here: {error}", image.as_str());
    }
    prepare(shared, image).await
}

/// An engine that does not say is believed to run it.
fn runs_on(image: &str, engine: &str) -> bool {
    image.is_empty()
        || engine.is_empty()
        || image == engine
        || [("386", "amd64"), ("arm", "arm64")].contains(&(image, engine))
}

/// Whether this machine runs programs for others, by binfmt_misc.
fn emulates() -> bool {
    let Ok(formats) = std::fs::read_dir("/proc/sys/fs/binfmt_misc") else { return false };
    formats.flatten().any(|format| format.file_name().to_string_lossy().starts_with("qemu-"))
}

fn facts(image: &Image) -> ImageFacts {
    let ports = image.ports();
    let own = image.config.env.iter().rev().find_map(|one| one.strip_prefix("PORT=")?.parse().ok());
    let port = match ports[..] {
        [one] => one,
        _ => own.unwrap_or(DEFAULT_PORT),
    };
    ImageFacts { http: !ports.is_empty(), port }
}

async fn inspect(shared: &Shared, image: &ImageName) -> Result<Option<Image>, EngineError> {
    match shared.wire.call(Verb::Get, &image.inspect_path(), None, INSPECT_LIMIT).await {
        Ok(answer) => serde_json::from_str(&answer).map(Some).map_err(|e| trouble::unreadable("an image", &e)),
        Err(WireError::Refused(404, _)) => Ok(None),
        Err(error) => Err(trouble::failed("look the image up", &shared.socket, &error)),
    }
}

async fn pull(shared: &Shared, image: &ImageName) -> Result<(), EngineError> {
    let name = image.as_str();
    log::info!("Pulling image {name}");
    let login = login(image.registry().to_string()).await;
    let header = login.map(|login| ("X-Registry-Auth", login));
    let mut answer = shared.wire.stream(Verb::Post, &image.pull_path(), header, Some(PULL_QUIET));
    let (mut objects, mut layers, mut done) = (Objects::default(), HashSet::new(), HashSet::new());
    let mut next_word = clock::now() + PROGRESS_EVERY;
    while let Some(chunk) = answer.next().await {
        let chunk = chunk.map_err(|error| match error {
            WireError::Refused(_, said) => trouble::pull_failed(name, image.registry(), &said),
            WireError::Slow(_) => trouble::pull_failed(name, image.registry(), "nothing came any more: timeout"),
            other => trouble::failed(&format!("pull the image {name}"), &shared.socket, &other),
        })?;
        for step in objects.add::<Progress>(&chunk) {
            if let Some(said) = step.failure() {
                return Err(trouble::pull_failed(name, image.registry(), said));
            }
            match step.status.as_str() {
                "Pulling fs layer" => drop(layers.insert(step.id)),
                "Pull complete" | "Already exists" => drop(done.insert(step.id)),
                _ => {}
            }
        }
        if clock::now() >= next_word {
            next_word = clock::now() + PROGRESS_EVERY;
            log::info!("Pulling image {name}: {} of {} layers are here", done.len(), layers.union(&done).count());
        }
    }
    log::info!("Pulled image {name}");
    Ok(())
}

/// What Docker's own client on this machine would log in with.
async fn login(registry: String) -> Option<String> {
    let dir = std::env::var_os("DOCKER_CONFIG").map(Into::into);
    let dir = dir.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    let config = rt::unblock(move || std::fs::read_to_string(dir.join("config.json"))).await.ok()?;
    request::registry_auth(&config, &registry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_port_is_the_images_only_one() {
        let facts = |config| facts(&serde_json::from_value(json!({ "Config": config })).unwrap());
        let http = |port| ImageFacts { http: true, port };
        assert_eq!(facts(json!({"ExposedPorts": {"3000/tcp": {}}, "Env": ["PORT=1"]})), http(3000));
        assert_eq!(facts(json!({"ExposedPorts": {"80/tcp": {}, "443/tcp": {}}})), http(8080));
        assert_eq!(facts(json!({"ExposedPorts": {"80/tcp": {}, "443/tcp": {}}, "Env": ["PORT=443"]})), http(443));
        assert_eq!(facts(json!({})), ImageFacts { http: false, port: 8080 });
        assert!(
            runs_on("amd64", "amd64") && runs_on("", "amd64") && runs_on("arm", "arm64") && !runs_on("arm64", "amd64")
        );
    }
}
