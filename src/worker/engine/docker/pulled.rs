//! The images this worker pulled, and when each was last of use; remembered over restarts, for the engine does not say.
//! Must never remove one that a container is made of, nor one that was there before.

use super::Shared;
use super::answers::{Image, Summary};
use super::request::ImageName;
use super::wire::{Verb, WireError};
use crate::garbage::{Rules, Unused, to_drop};
use crate::lock::lock;
use crate::{clock, rt};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A function that is called once a week does not pull each time.
pub const RULES: Rules =
    Rules { unused_ms: 8 * 86_400_000, young_ms: 3_600_000, bytes: 20 << 30, every: Duration::from_secs(900) };
/// To ask, and to remove one; many layers take their time.
const LIMIT: Duration = Duration::from_secs(60);

/// Image names, as functions say them, with the time of their last use by the wall clock.
#[derive(Default)]
pub struct Pulled(Mutex<Book>);

#[derive(Default)]
struct Book {
    file: Option<PathBuf>,
    used: BTreeMap<String, u64>,
}

impl Pulled {
    /// Goes on with what an earlier worker wrote there. Blocks.
    pub fn remember_in(&self, file: PathBuf) {
        let mut book = self.lock();
        if let Ok(text) = fs::read(&file) {
            match serde_json::from_slice(&text) {
                Ok(used) => book.used = used,
                Err(error) => log::warn!("{}: {error}; the images it named stay", file.display()),
            }
        }
        book.file = Some(file);
    }

    /// It is here because of this worker.
    pub fn came(&self, image: &ImageName) {
        self.lock().used.insert(image.as_str().into(), clock::unix_ms());
    }

    /// Somebody had a use for it; means nothing for those that were there before.
    pub fn used(&self, image: &str) {
        if let Some(at) = self.lock().used.get_mut(image) {
            *at = clock::unix_ms();
        }
    }

    fn gone(&self, image: &str) {
        self.lock().used.remove(image);
    }

    /// To disk, whole or not at all. Blocks.
    pub fn save(&self) {
        let (Some(file), used) = ({
            let book = self.lock();
            (book.file.clone(), book.used.clone())
        }) else {
            return;
        };
        let part = file.with_extension("part");
        let text = serde_json::to_vec(&used).unwrap_or_default(); // names and numbers: cannot fail
        let write = |part: &Path| fs::write(part, text).and_then(|()| fs::rename(part, &file));
        if let Err(error) = write(&part) {
            log::warn!("{}: {error}; images pulled since then stay", file.display());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        lock(&self.0)
    }
}

/// Looks again and again, for as long as this is polled.
pub async fn run(shared: Arc<Shared>) {
    loop {
        clock::after(RULES.every).await;
        if shared.usable().is_ok()
            && let Err(error) = sweep(&shared, &RULES).await
        {
            log::debug!("images of no use stay: {error:?}"); // the next round will tell
        }
        let saved = shared.clone();
        rt::unblock(move || saved.images.pulled.save()).await;
    }
}

/// By its id alone, as what builds leave is known.
fn is_layer(name: &str) -> bool {
    name.len() >= 12 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Removes what nobody needs.
pub async fn sweep(shared: &Shared, rules: &Rules) -> Result<(), WireError> {
    let broken = |error: serde_json::Error| WireError::Broken(error.to_string());
    let known = shared.images.pulled.lock().used.clone();
    let mut unused = Vec::new();
    for (name, since_ms) in known {
        let Ok(image) = ImageName::parse(&name) else { continue };
        match shared.wire.call(Verb::Get, &image.inspect_path(), None, LIMIT).await {
            Ok(answer) => {
                let found: Image = serde_json::from_str(&answer).map_err(broken)?;
                // What a build that failed left has no name; where it has one by now, somebody wants it.
                match is_layer(&name) && !found.repo_tags.is_empty() {
                    true => shared.images.pulled.gone(&name),
                    false => unused.push((found, name, since_ms)),
                }
            }
            Err(WireError::Refused(404, _)) => shared.images.pulled.gone(&name),
            Err(error) => return Err(error),
        }
    }
    // After the images: a container that came meanwhile is seen.
    let answer = shared.wire.call(Verb::Get, "/containers/json?all=1", None, LIMIT).await?;
    let containers: Vec<Summary> = serde_json::from_str(&answer).map_err(broken)?;
    let in_use: BTreeSet<&str> = containers.iter().map(|one| one.image_id.as_str()).collect();
    let (busy, unused): (Vec<_>, Vec<_>) = unused.into_iter().partition(|(image, ..)| in_use.contains(&*image.id));
    busy.iter().for_each(|(_, name, _)| shared.images.pulled.used(name));
    let unused = unused.into_iter().map(|(image, name, since_ms)| Unused { name, bytes: image.size, since_ms });
    for name in to_drop(unused.collect(), clock::unix_ms(), rules) {
        let Ok(image) = ImageName::parse(&name) else { continue };
        // Without force: the engine itself refuses what a container is made of.
        match shared.wire.call(Verb::Delete, &image.path(), None, LIMIT).await {
            Ok(_) => log::info!("Image {name} is removed: it was pulled or built here and has not been used for long"),
            Err(WireError::Refused(404, _)) => {}
            Err(WireError::Refused(409, _)) => {
                shared.images.pulled.used(&name);
                continue;
            }
            Err(error) => return Err(error),
        }
        shared.images.forget(&image);
        shared.images.pulled.gone(&name);
    }
    Ok(())
}
