//! Images from node to node without a registry, each layer only where it is missing. Must never hold a whole image, nor
//! write one to this worker's own disk: what an engine saves there, another loads here.

pub mod layers;
pub mod sieve;
mod tar;

use super::super::{EngineError, Pieces};
use super::Shared;
use super::answers::{Image, Info, Listed, Progress};
use super::context;
use super::frames::Objects;
use super::image::inspect;
use super::pulling::Pull;
use super::request::ImageName;
use super::trouble::{failed, unreadable};
use super::wire::{Chunks, Verb, WireError};
use crate::output::bytes as shown;
use crate::rt::{Receiver, Sender};
use crate::{clock, rt};
use bytes::Bytes;
use futures_lite::{StreamExt, future};
use layers::LeftOut;
use sieve::Sieve;
use std::collections::HashSet;
use std::time::Duration;

/// For answers that need no work.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// An engine may write the whole archive to its disk before it sends the first of it.
const SAVE_QUIET: Duration = Duration::from_secs(600);
/// The longest silence of the sender on the way.
const QUIET: Duration = Duration::from_secs(660);
/// To unpack what has come.
const LOAD_LIMIT: Duration = Duration::from_secs(600);
/// A node that vanishes is replaced by another that has the image.
const ATTEMPTS: usize = 4;
const AGAIN: Duration = Duration::from_millis(500);
/// Images that are looked at for layers that are here.
const LOOKED_AT: usize = 500;
/// Layers that a sender is told of: one message.
const LAYERS_TOLD: usize = 10_000;
/// Pieces that wait for the engine.
const PIECES: usize = 4;

/// Images that come at once: they share the connection to the orchestrator with all that it says.
const AT_ONCE: usize = 2;

/// Who may have an image come: each who does is a message.
pub struct Coming((Sender<()>, Receiver<()>));

impl Default for Coming {
    fn default() -> Self {
        Coming(rt::bounded(AT_ONCE))
    }
}

impl Coming {
    /// Waits until one may; until what is returned is dropped.
    async fn turn(&self) -> Turn<'_> {
        let _ = self.0.0.send(()).await; // its other end is in here too
        Turn(&self.0.1)
    }
}

struct Turn<'a>(&'a Receiver<()>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_recv();
    }
}

/// Whether it is here.
pub async fn holds(shared: &Shared, image: &ImageName) -> Result<bool, EngineError> {
    shared.usable()?;
    Ok(inspect(shared, image).await?.is_some())
}

/// Its archive without layers that the receiver has.
pub async fn save(shared: &Shared, image: &ImageName, has: Vec<String>) -> Result<Pieces, EngineError> {
    shared.usable()?;
    let name = image.as_str();
    let gone = || EngineError::Image(format!("the image {name} is not on this node"));
    let found = inspect(shared, image).await?.ok_or_else(gone)?;
    let path = image.save_path().ok_or_else(gone)?;
    let left_out = LeftOut::new(&found.root_fs.layers, &has.into_iter().collect());
    log::info!(
        "Image {name} goes to another node: {} of {} layers",
        found.root_fs.layers.len() - left_out.len(),
        found.root_fs.layers.len()
    );
    shared.images.pulled.used(name);
    let sieve = Sieve::new(&image.tagged().ok_or_else(gone)?, left_out);
    let chunks = shared.wire.stream(Verb::Get, &path, None, Some(SAVE_QUIET));
    Ok(Box::pin(sifted(chunks, sieve)))
}

fn sifted(chunks: Chunks, sieve: Sieve) -> impl futures_lite::Stream<Item = Result<Bytes, String>> + Send {
    futures_lite::stream::unfold(Some((chunks, sieve)), |state| async move {
        let (mut chunks, mut sieve) = state?;
        loop {
            let mut out = Vec::new();
            let passed = match chunks.next().await {
                Some(Ok(chunk)) => sieve.add(&chunk, &mut out),
                Some(Err(error)) => Err(format!("the container engine did not save it: {error:?}")),
                None => return sieve.end().err().map(|why| (Err(why), None)),
            };
            match passed {
                Err(why) => return Some((Err(why), None)),
                Ok(()) if out.is_empty() => {}
                Ok(()) => return Some((Ok(out.into()), Some((chunks, sieve)))),
            }
        }
    })
}

/// Gets it from a node that has it.
pub async fn fetch(shared: &Shared, image: &ImageName) -> Result<(), EngineError> {
    let name = image.as_str();
    let failed = |why: &str| EngineError::Image(format!("the image {name} could not be had from another node: {why}"));
    let Some(supply) = &shared.supply else { return Err(failed("this engine belongs to no cluster")) };
    let tagged = image.tagged().ok_or_else(|| failed("it is named by its digest"))?;
    let _turn = shared.images.from_nodes.turn().await;
    let pull = shared.images.pulling.begin(image.said());
    let mut attempt = 1;
    loop {
        let has = present(shared).await?;
        let begun = clock::now();
        let transferred = match supply.image(&tagged, has).await {
            Ok(Some(pieces)) => load(shared, &tagged, pieces, &pull).await,
            Ok(None) if inspect(shared, image).await?.is_some() => return Ok(()), // it has been built again, here
            Ok(None) => {
                return Err(EngineError::Image(format!(
                    "the image {name} is on no node of this cluster that runs containers now; deploy its function again, or \
                     start a node that has it"
                )));
            }
            Err(why) => return Err(failed(&why)),
        };
        match transferred {
            Ok(bytes) => {
                let took = begun.elapsed().as_secs_f64();
                log::info!("Image {name} came from another node: {} in {took:.1} s", shown(bytes));
                return Ok(());
            }
            Err(Untaken::Engine(error)) => return Err(error),
            Err(Untaken::Broken(why)) if attempt == ATTEMPTS => return Err(failed(&why)),
            Err(Untaken::Broken(why)) => log::warn!("Image {name} did not come whole, and is asked for again: {why}"),
        }
        attempt += 1;
        clock::after(AGAIN).await;
    }
}

/// Why an image is not here.
enum Untaken {
    /// Worth another try.
    Broken(String),
    Engine(EngineError),
}

/// All layers that are here, each by what it stands on.
async fn present(shared: &Shared) -> Result<Vec<String>, EngineError> {
    let broken = |error: WireError| failed("list the images", &shared.socket, &error);
    let read = |error: serde_json::Error| unreadable("its images", &error);
    let info = shared.wire.call(Verb::Get, "/info", None, ASK_LIMIT).await.map_err(broken)?;
    if serde_json::from_str::<Info>(&info).map_err(read)?.by_containerd() {
        return Ok(Vec::new()); // it takes only what is whole
    }
    let listed = shared.wire.call(Verb::Get, "/images/json", None, ASK_LIMIT).await.map_err(broken)?;
    let listed: Vec<Listed> = serde_json::from_str(&listed).map_err(read)?;
    let mut all = HashSet::new();
    for one in listed.iter().take(LOOKED_AT) {
        let Ok(id) = ImageName::parse(&one.id) else { continue };
        let image = match shared.wire.call(Verb::Get, &id.inspect_path(), None, ASK_LIMIT).await {
            Ok(image) => serde_json::from_str::<Image>(&image).map_err(read)?,
            Err(WireError::Refused(404, _)) => continue, // removed meanwhile
            Err(error) => return Err(broken(error)),
        };
        all.extend(layers::chains(&image.root_fs.layers));
    }
    Ok(all.into_iter().take(LAYERS_TOLD).collect())
}

/// Has the engine take an archive; answers how many bytes came.
async fn load(shared: &Shared, image: &str, mut pieces: Pieces, pull: &Pull<'_>) -> Result<u64, Untaken> {
    let (to, taken) = rt::bounded(PIECES);
    let mut answer = shared.wire.upload("/images/load?quiet=1", context::TYPE, None, taken);
    let mut bytes = 0;
    let feeding = async {
        let mut sieve = Sieve::new(image, LeftOut::default());
        loop {
            let piece = match clock::timeout(QUIET, pieces.next()).await {
                Some(Some(Ok(piece))) => piece,
                Some(Some(Err(why))) => return Err(Untaken::Broken(why)),
                Some(None) => break,
                None => return Err(Untaken::Broken("nothing came any more".into())),
            };
            bytes += piece.len() as u64;
            pull.came(bytes);
            let mut out = Vec::with_capacity(piece.len());
            sieve.add(&piece, &mut out).map_err(Untaken::Broken)?;
            if !out.is_empty() && to.send(out).await.is_err() {
                clock::after(ASK_LIMIT).await; // the engine says why
                return Err(Untaken::Broken("the engine took no more of it".into()));
            }
        }
        sieve.end().map_err(Untaken::Broken)?;
        let _ = to.send(Vec::new()).await; // so does it here
        clock::after(LOAD_LIMIT).await;
        Err(Untaken::Broken(format!("the engine did not take it within {} s", LOAD_LIMIT.as_secs())))
    };
    // A layer that was here may have been removed meanwhile: then all of it comes.
    let untaken = |error: &WireError| match failed("load an image", &shared.socket, error) {
        full @ EngineError::Resources(_) => Untaken::Engine(full),
        other => Untaken::Broken(other.to_string()),
    };
    let answering = async {
        let mut objects = Objects::default();
        while let Some(chunk) = answer.next().await {
            let chunk = chunk.map_err(|error| untaken(&error))?;
            if let Some(said) = objects.add::<Progress>(&chunk).iter().find_map(Progress::failure) {
                return Err(untaken(&WireError::Refused(500, said.into())));
            }
        }
        Ok(())
    };
    future::or(feeding, answering).await?;
    Ok(bytes)
}
