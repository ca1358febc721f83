//! Images: is it here, pulling it when not, and what it says of itself. Must never run one.

use super::super::{EngineError, ImageFacts};
use super::Shared;
use super::answers::{Image, Progress};
use super::frames::Objects;
use super::moving;
use super::pulled::Pulled;
use super::pulling::Pulling;
use super::request::ImageName;
use super::trouble::{self, At};
use super::wire::{Verb, WireError};
use crate::lock::lock;
use crate::rt::{Receiver, Sender};
use crate::{clock, registry_login, rt};
use std::collections::HashMap;
use std::sync::Mutex;
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
    pub pulling: Pulling,
    pub from_nodes: moving::Coming,
    coming: Coming,
}

/// The images that are being got: each once, however many ask for it. Whoever waits sees the channel close.
#[derive(Default)]
struct Coming(Mutex<HashMap<String, Receiver<()>>>);

impl Coming {
    /// Waits until whoever gets it now is done. `Some`: nobody is, so the caller does, until that is dropped.
    async fn turn(&self, image: &str) -> Option<Turn<'_>> {
        let under_way = {
            let mut all = lock(&self.0);
            match all.get(image) {
                Some(under_way) => under_way.clone(),
                None => {
                    let (done, waiting) = rt::bounded(1);
                    all.insert(image.into(), waiting);
                    return Some(Turn { coming: self, image: image.into(), _done: done });
                }
            }
        };
        let _ = under_way.recv().await; // closed
        None
    }
}

struct Turn<'a> {
    coming: &'a Coming,
    image: String,
    _done: Sender<()>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.coming.0).remove(&self.image);
    }
}

impl Images {
    pub fn get(&self, image: &ImageName) -> Option<ImageFacts> {
        self.pulled.used(image.as_str());
        lock(&self.facts).get(image.as_str()).cloned()
    }

    pub fn forget(&self, image: &ImageName) {
        lock(&self.facts).remove(image.as_str());
    }

    fn put(&self, image: &ImageName, facts: ImageFacts) {
        let mut all = lock(&self.facts);
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
        None => got(shared, image).await?,
    };
    let engine_arch = lock(&shared.arch).clone();
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

/// Gets one that is not here.
async fn got(shared: &Shared, image: &ImageName) -> Result<Image, EngineError> {
    loop {
        let turn = shared.images.coming.turn(image.as_str()).await;
        if let Some(found) = inspect(shared, image).await? {
            return Ok(found);
        }
        let Some(_turn) = turn else { continue }; // whoever got it failed, and was told why
        if image.is_own() {
            moving::fetch(shared, image).await?;
        } else if let Err(error) = pull(shared, image).await {
            // Another node may have what the cluster's own registry cannot give now.
            let worth_it = matches!(error, EngineError::Image(_));
            if !worth_it || moving::fetch(shared, image).await.inspect_err(|why| log::debug!("{why}")).is_err() {
                return Err(error);
            }
        }
        shared.images.pulled.came(image);
        shared.images.pulled.save();
        let gone = || EngineError::Image(format!("the image {} came here and is gone again", image.as_str()));
        return inspect(shared, image).await?.ok_or_else(gone);
    }
}

/// Asks its registry for it although it may be here: the name may mean another image by now. One that no registry has
/// is used as it is.
pub async fn refresh(shared: &Shared, image: &ImageName) -> Result<ImageFacts, EngineError> {
    shared.usable()?;
    if image.is_own() {
        return prepare(shared, image).await; // its name says what is in it
    }
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
    let root = matches!(image.config.user.split(':').next(), None | Some("" | "0" | "root"));
    ImageFacts { http: !ports.is_empty(), port, root }
}

pub async fn inspect(shared: &Shared, image: &ImageName) -> Result<Option<Image>, EngineError> {
    match shared.wire.call(Verb::Get, &image.inspect_path(), None, INSPECT_LIMIT).await {
        Ok(answer) => serde_json::from_str(&answer).map(Some).map_err(|e| trouble::unreadable("an image", &e)),
        Err(WireError::Refused(404, _)) => Ok(None),
        Err(error) => Err(trouble::failed("look the image up", &shared.socket, &error)),
    }
}

async fn pull(shared: &Shared, image: &ImageName) -> Result<(), EngineError> {
    let name = image.as_str();
    log::info!("Pulling image {name}");
    let login = login(shared, image).await;
    let header = login.map(|login| ("X-Registry-Auth", login));
    let mut answer = shared.wire.stream(Verb::Post, &image.pull_path(), header, Some(PULL_QUIET));
    let (mut objects, mut pull) = (Objects::default(), shared.images.pulling.begin(image.said()));
    let mut next_word = clock::now() + PROGRESS_EVERY;
    while let Some(chunk) = answer.next().await {
        let chunk = chunk.map_err(|error| match error {
            WireError::Refused(_, said) => trouble::registry_failed(At::Pull, name, image.registry(), &said),
            WireError::Slow(_) => {
                trouble::registry_failed(At::Pull, name, image.registry(), "nothing came any more: timeout")
            }
            other => trouble::failed(&format!("pull the image {name}"), &shared.socket, &other),
        })?;
        for step in objects.add::<Progress>(&chunk) {
            if let Some(said) = step.failure() {
                return Err(trouble::registry_failed(At::Pull, name, image.registry(), said));
            }
            pull.hear(step);
        }
        pull.note();
        if clock::now() >= next_word {
            next_word = clock::now() + PROGRESS_EVERY;
            log::info!("Pulling image {name}: {}", pull.so_far());
        }
    }
    log::info!("Pulled image {name}");
    Ok(())
}

/// For the registry of an image.
pub async fn login(shared: &Shared, image: &ImageName) -> Option<String> {
    login_at(shared, image.registry()).await
}

/// What Docker's own client on this machine would log in with, else what the cluster knows.
pub async fn login_at(shared: &Shared, registry: &str) -> Option<String> {
    if let Some(login) = own_login(registry.to_string()).await {
        return Some(login);
    }
    shared.supply.as_ref()?.login(registry).await
}

async fn own_login(registry: String) -> Option<String> {
    let dir = std::env::var_os("DOCKER_CONFIG").map(Into::into);
    let dir = dir.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    let config = rt::unblock(move || std::fs::read_to_string(dir.join("config.json"))).await.ok()?;
    registry_login::login(&config, &registry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_port_is_the_images_only_one() {
        let facts = |config| facts(&serde_json::from_value(json!({ "Config": config })).unwrap());
        let http = |port| ImageFacts { http: true, port, root: true };
        assert_eq!(facts(json!({"ExposedPorts": {"3000/tcp": {}}, "Env": ["PORT=1"]})), http(3000));
        assert_eq!(facts(json!({"ExposedPorts": {"80/tcp": {}, "443/tcp": {}}})), http(8080));
        assert_eq!(facts(json!({"ExposedPorts": {"80/tcp": {}, "443/tcp": {}}, "Env": ["PORT=443"]})), http(443));
        assert_eq!(facts(json!({})), ImageFacts { http: false, port: 8080, root: true });
        for (user, root) in [("0:0", true), ("root", true), ("1000", false), ("app:root", false)] {
            assert_eq!(facts(json!({ "User": user })).root, root, "{user}");
        }
        assert!(
            runs_on("amd64", "amd64") && runs_on("", "amd64") && runs_on("arm", "arm64") && !runs_on("arm64", "amd64")
        );
    }
}
