//! Images that nodes get from each other, through here: who has one, and who sends it. Must never hold more of an image
//! than a piece.

use super::Orchestrator;
use super::builds;
use super::dispatch::link::why;
use crate::body::{self, Body, BoxError};
use crate::clock;
use crate::cluster::{Node, NodeKey, NodeStatus, Reach};
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use crate::wire::proto::ImageRequest;
use bytes::Bytes;
use futures_lite::Stream;
use http_body_util::BodyExt;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tonic::Status;

/// What the names of images that were built here begin with where there is no registry.
pub const OWN: &str = "cares";
/// Longest name of an image.
const NAME_BYTES: usize = 512;
/// For a node to say whether it has an image.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// For a registry to say what a tag means, while somebody waits who registers a function.
const PIN_LIMIT: Duration = Duration::from_secs(5);
/// Nodes asked at once.
const ASKED_AT_ONCE: usize = 64;
/// One node sends so many at once: whoever waits gets it from one that has it by then, which is sooner for all.
const SENT_AT_ONCE: usize = 2;
/// Nodes that failed to send something are remembered, so many.
const REMEMBERED: usize = 1_000;
/// What runs containers.
const ENGINE: &str = "docker";

/// Who sends images now.
#[derive(Default)]
pub struct Images {
    inner: Mutex<Senders>,
}

#[derive(Default)]
struct Senders {
    by_node: HashMap<NodeKey, Sending>,
    /// Closed when somebody is done.
    waiting: Vec<Sender<()>>,
}

#[derive(Clone, Copy, Default)]
struct Sending {
    now: usize,
    /// Since it last sent one whole.
    failed: u32,
}

/// One on its way. Dropped, the next may be sent.
struct Turn {
    app: Arc<Orchestrator>,
    node: NodeKey,
    whole: bool,
}

impl Images {
    /// The one that has sent the most reliably and sends the least, unless all send as much as they may: then what closes
    /// when one is done.
    fn choose(&self, app: &Arc<Orchestrator>, among: &[NodeKey]) -> Result<Turn, Receiver<()>> {
        let mut inner = self.lock();
        let of = |inner: &Senders, node: &NodeKey| inner.by_node.get(node).copied().unwrap_or_default();
        let free = among.iter().filter(|node| of(&inner, node).now < SENT_AT_ONCE);
        let best = free.min_by_key(|node| (of(&inner, node).failed, of(&inner, node).now)).copied();
        match best {
            Some(node) => {
                inner.by_node.entry(node).or_default().now += 1;
                Ok(Turn { app: app.clone(), node, whole: false })
            }
            None => {
                let (done, waiting) = rt::bounded(1);
                inner.waiting.push(done);
                Err(waiting)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Senders> {
        lock(&self.inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut inner = self.app.images.lock();
        if let Some(sending) = inner.by_node.get_mut(&self.node) {
            sending.now -= 1;
            sending.failed = if self.whole { 0 } else { sending.failed + 1 };
            if sending.now == 0 && sending.failed == 0 {
                inner.by_node.remove(&self.node);
            }
            if inner.by_node.len() > REMEMBERED {
                inner.by_node.retain(|_, sending| sending.now > 0);
            }
        }
        inner.waiting.clear();
    }
}

/// An image's name as it is registered: one of the cluster's own registry by the digest that its tag means now, so that all
/// nodes run the same, also after the tag has moved. Others, and what cannot be asked now, stay as they are.
pub async fn pinned(app: &Orchestrator, image: String) -> String {
    if !app.registry.has(&image) || image.contains('@') || !plain(&image) || app.builds.that_made(&image).is_some() {
        return image; // what a build has made is named after its source
    }
    let Some(node) = nodes(app, "").first().copied() else { return image };
    let path = format!("/images/digest?name={image}");
    let asked = async {
        let answer = app.links.ask(node, &path).await?;
        match answer.status().is_success() {
            true => body::collect(answer.into_body(), NAME_BYTES).await.map_err(|_| "its answer broke off".to_string()),
            false => Err(why(answer).await),
        }
    };
    let digest = match clock::timeout(PIN_LIMIT, asked).await {
        Some(Ok(digest)) => String::from_utf8_lossy(&digest).into_owned(),
        Some(Err(why)) => {
            log::warn!("Image {image} is registered by its tag alone: {why}");
            return image;
        }
        None => return image,
    };
    let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match digest.strip_prefix("sha256:").is_some_and(hex) {
        true => format!("{image}@{digest}"),
        false => image,
    }
}

/// The name that a pinned image was registered by, if it has a tag; what it means may have changed.
pub fn unpinned(app: &Orchestrator, image: &str) -> Option<String> {
    let (name, _) = image.split_once('@').filter(|_| app.registry.has(image))?;
    name.rsplit('/').next()?.contains(':').then(|| name.to_string())
}

fn plain(image: &str) -> bool {
    image.len() <= NAME_BYTES && image.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b))
}

/// The archive of an image that some node has, for another.
pub async fn fetch(
    app: &Arc<Orchestrator>,
    request: ImageRequest,
) -> Result<impl Stream<Item = Result<Bytes, Status>> + Send + use<>, Status> {
    let image = request.image.clone();
    if !plain(&image) {
        return Err(Status::invalid_argument("image: is no name of an image"));
    }
    let own = image.strip_prefix(OWN).is_some_and(|rest| rest.starts_with('/'));
    if !own && !app.registry.has(&image) {
        return Err(Status::not_found("only images that this cluster has built go from node to node"));
    }
    let (mut failed, mut built) = (Vec::new(), false);
    loop {
        let holders: Vec<NodeKey> = holders(app, &image, &request.node_id).await;
        let left: Vec<NodeKey> = holders.into_iter().filter(|node| !failed.contains(node)).collect();
        if left.is_empty() && built {
            return Err(Status::not_found("no other node has it")); // it may have been built where it is wanted
        }
        if left.is_empty() {
            log::warn!("Image {image} is on no node any more: it is built again");
            let again = builds::again(app, &image).await;
            again.map_err(|why| {
                Status::failed_precondition(format!("no node has it, nor can it be built again: {why}"))
            })?;
            built = true;
            continue;
        }
        let turn = match app.images.choose(app, &left) {
            Ok(turn) => turn,
            Err(done) => {
                let _ = done.recv().await; // closed
                continue;
            }
        };
        let asked = clock::timeout(ASK_LIMIT, app.links.save_image(turn.node, &request)).await;
        match asked.unwrap_or_else(|| Err(format!("no answer within {} s", ASK_LIMIT.as_secs()))) {
            Ok(archive) => return Ok(pieces(archive, turn)),
            Err(why) => {
                log::warn!("Image {image} was not to be had from a node that has it: {why}");
                failed.push(turn.node);
            }
        }
    }
}

fn pieces(archive: Body, turn: Turn) -> impl Stream<Item = Result<Bytes, Status>> + Send + use<> {
    futures_lite::stream::unfold(Some((archive, turn)), |state| async move {
        let (mut archive, mut turn) = state?;
        loop {
            match archive.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Some((Ok(data), Some((archive, turn)))),
                    Err(_) => continue,
                },
                Some(Err(error)) => return Some((Err(broken(&error)), None)),
                None => {
                    turn.whole = true;
                    return None;
                }
            }
        }
    })
}

fn broken(error: &BoxError) -> Status {
    Status::unavailable(format!("the node that sent it broke off: {error}"))
}

/// Those of all revisions that are kept.
pub async fn in_use(app: &Orchestrator) -> BTreeSet<String> {
    let state = app.state.clone();
    rt::unblock(move || {
        let mut images = BTreeSet::new();
        state.each_function(|f| images.extend(f.revisions.iter().map(|r| r.image.clone())));
        images
    })
    .await
}

/// The nodes that run containers and can be asked, but for one.
fn nodes(app: &Orchestrator, but: &str) -> Vec<NodeKey> {
    let may = |n: &&Node| {
        let here = n.status != NodeStatus::Disconnected && n.reach == Reach::Links;
        here && n.spec.id != but && n.spec.engines.contains(ENGINE)
    };
    app.state.read(|c| c.nodes().filter(may).map(|n| n.key).collect())
}

/// The nodes that have an image, but for the one that asks.
async fn holders(app: &Arc<Orchestrator>, image: &str, asker: &str) -> Vec<NodeKey> {
    let nodes = nodes(app, asker);
    let mut all = Vec::new();
    for some in nodes.chunks(ASKED_AT_ONCE) {
        let ask = |node: &NodeKey| {
            let (app, node, path) = (app.clone(), *node, format!("/images?name={image}"));
            rt::spawn_scoped(async move {
                let answer = clock::timeout(ASK_LIMIT, app.links.ask(node, &path)).await;
                matches!(answer, Some(Ok(answer)) if answer.status().is_success()).then_some(node)
            })
        };
        let asked: Vec<_> = some.iter().map(ask).collect();
        for one in asked {
            all.extend(one.await);
        }
        if !all.is_empty() {
            break;
        }
    }
    all
}
