//! What is asked of registries beside pulls: to take an image, and what a name means. Must never show what it logs in with.

use super::super::EngineError;
use super::Shared;
use super::answers::{Distribution, Progress};
use super::frames::Objects;
use super::image;
use super::request::ImageName;
use super::trouble::{At, failed, registry_failed};
use super::wire::{Verb, WireError};
use crate::rt::Sender;
use std::time::Duration;

/// The longest silence of a push; a layer may be large, but something always moves.
const QUIET: Duration = Duration::from_secs(120);
/// For the registry to say what a name means.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// `{}`: engines want a login also where there is none.
const NO_LOGIN: &str = "e30=";

/// What a name means there now.
pub async fn digest(shared: &Shared, image: &ImageName) -> Result<String, EngineError> {
    shared.usable()?;
    let login = image::login(shared, image).await.unwrap_or_else(|| NO_LOGIN.into());
    let header = Some(("X-Registry-Auth", login));
    let mut answer = shared.wire.stream(Verb::Get, &image.distribution_path(), header, Some(ASK_LIMIT));
    let mut objects = Objects::default();
    while let Some(chunk) = answer.next().await {
        let chunk = chunk.map_err(|error| match error {
            WireError::Refused(_, said) => registry_failed(At::Pull, image.as_str(), image.registry(), &said),
            other => failed("ask a registry", &shared.socket, &other),
        })?;
        if let Some(found) = objects.add::<Distribution>(&chunk).pop()
            && !found.descriptor.digest.is_empty()
        {
            return Ok(found.descriptor.digest);
        }
    }
    Err(EngineError::Unavailable("the container engine does not say what the registry has".into()))
}

/// Answers the image's digest there.
pub async fn push(shared: &Shared, image: &ImageName, say: &Sender<String>) -> Result<String, EngineError> {
    shared.usable()?;
    let (name, registry) = (image.as_str(), image.registry());
    let by_digest = || EngineError::Image(format!("the image {name} cannot be pushed by its digest: give it a tag"));
    let path = image.push_path().ok_or_else(by_digest)?;
    let login = image::login(shared, image).await.unwrap_or_else(|| NO_LOGIN.into());
    let tell = async |line: String| drop(say.send(line).await); // nobody listens any more
    tell(format!("Pushing {name}")).await;
    let refused = |said: &str| registry_failed(At::Push, name, registry, said);
    let mut answer = shared.wire.stream(Verb::Post, &path, Some(("X-Registry-Auth", login)), Some(QUIET));
    let (mut objects, mut digest) = (Objects::default(), String::new());
    while let Some(chunk) = answer.next().await {
        let chunk = chunk.map_err(|error| match error {
            WireError::Refused(_, said) => refused(&said),
            WireError::Slow(_) => refused("nothing moved any more: timeout"),
            other => failed(&format!("push the image {name}"), &shared.socket, &other),
        })?;
        for step in objects.add::<Progress>(&chunk) {
            if let Some(said) = step.failure() {
                return Err(refused(said));
            }
            if ["Pushed", "Layer already exists"].contains(&&*step.status) {
                tell(format!("{}: {}", step.id, step.status)).await;
            }
            if !step.aux.digest.is_empty() {
                digest = step.aux.digest;
            }
        }
    }
    if digest.is_empty() {
        return Err(refused("the engine's answer broke off"));
    }
    tell(format!("Pushed {name} as {digest}")).await;
    Ok(digest)
}
