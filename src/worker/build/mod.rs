//! A build on this worker: the source folder, an engine that makes an image of it, and the answer, which tells the log
//! while it grows. Given up when nobody takes the answer any more. Must never decide what is built.

mod bundle;
mod cache;
mod workspace;

use super::engine::{EngineError, ImageBuild};
use super::plain::plain;
use super::pool::Pool;
use crate::body::Body;
use crate::rt::{self, Receiver, Sender};
use crate::runtimes::{self, Recipe, Runtime};
use crate::wire::proto::{self, build_word::What};
use bytes::Bytes;
use futures_lite::future;
use hyper::Response;
use prost::Message;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use workspace::Workspace;

pub use cache::Caches;

/// Words that wait for the orchestrator; the build waits beyond them.
const WORDS: usize = 64;

/// Bytes of a bundle in one word.
const PIECE_BYTES: usize = 64 << 10;

/// Why it did not come to an end.
pub struct Failed {
    pub why: String,
    /// Another node may succeed.
    pub elsewhere: bool,
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        Failed { elsewhere: matches!(error, EngineError::Unavailable(_)), why: error.to_string() }
    }
}

/// The answer: the log's lines as they come, the zip if that is the result, and the end.
pub fn answer(pool: Arc<Pool>, order: proto::Build) -> Response<Body> {
    let (to, words) = rt::bounded(WORDS);
    let work = rt::spawn_scoped(run(pool, order, to));
    Response::new(Body::unfold((words, work), |(words, work)| async move {
        let what = words.recv().await.ok()?; // closed at the end
        let word = proto::BuildWord { what: Some(what) };
        Some((Ok(Bytes::from(word.encode_length_delimited_to_vec())), (words, work)))
    }))
}

async fn run(pool: Arc<Pool>, order: proto::Build, to: Sender<What>) {
    log::info!("Building '{}' ({})", order.function, order.id);
    let (say, said) = rt::bounded(WORDS);
    let work = async {
        let done = build(&pool, &order, &say, &to).await;
        say.close();
        done
    };
    let (done, ()) = future::zip(work, pass_on(said, &to)).await;
    let end = match done {
        Ok(()) => proto::BuildEnd::default(),
        Err(Failed { why, elsewhere }) => proto::BuildEnd { error: why, elsewhere },
    };
    let ended = if end.error.is_empty() { "is built" } else { "could not be built" };
    log::info!("'{}' {ended} ({})", order.function, order.id);
    let _ = to.send(What::End(end)).await; // whoever asked may have gone
}

async fn build(pool: &Arc<Pool>, order: &proto::Build, say: &Sender<String>, to: &Sender<What>) -> Result<(), Failed> {
    let runtime = order.runtime.as_ref().map(runtime).transpose()?;
    let work = Workspace::fetch(pool, &order.source, runtime.as_ref()).await?;
    if order.image.is_empty() {
        return as_bundle(pool, order, &work, runtime.as_ref(), say, to).await;
    }
    let engine = pool.engines.containers().map_err(|why| Failed { why, elsewhere: true })?;
    let image = ImageBuild {
        function: order.function.clone(),
        image: order.image.clone(),
        folder: work.source().to_owned(),
        dockerfile: runtime.as_ref().map(|runtime| runtime.dockerfile().to_owned()),
        runtime: runtime.map(|runtime| runtime.name).unwrap_or_default(),
        base: Some(order.base.clone()).filter(|base| !base.is_empty()),
        memory_bytes: Some(order.memory_bytes).filter(|bytes| *bytes > 0),
        anew: order.anew,
    };
    engine.build(&image, say).await?;
    if order.push {
        engine.push(&order.image, say).await?;
    }
    Ok(())
}

/// Without a container engine: the result itself is in the answer.
async fn as_bundle(
    pool: &Pool,
    order: &proto::Build,
    work: &Workspace,
    runtime: Option<&Runtime>,
    say: &Sender<String>,
    to: &Sender<What>,
) -> Result<(), Failed> {
    let refused = |why: &str| Failed { why: why.into(), elsewhere: true };
    let runtime = runtime.ok_or_else(|| refused("a Dockerfile needs a node with a container engine"))?;
    let engine = pool.engines.processes().map_err(|why| refused(&why))?;
    let zip = work.result();
    let what = bundle::Order {
        id: &order.id,
        function: &order.function,
        source: work.source(),
        runtime,
        memory_bytes: Some(order.memory_bytes).filter(|bytes| *bytes > 0),
        cache_bytes: pool.caches.most(),
    };
    let (caches, name, first) = (pool.caches.clone(), order.function.clone(), order.first);
    if !order.anew {
        let to = Recipe::kept(work.source());
        rt::unblock(move || caches.lend(&name, first, &to)).await;
    }
    let left = work.left();
    bundle::make(&**engine, &what, say, &zip, &left).await?;
    let (caches, name) = (pool.caches.clone(), order.function.clone());
    let kept = rt::unblock(move || caches.keep(&name, first, &left)).await;
    kept.unwrap_or_else(|error| log::warn!("'{}': the next build begins anew: {error}", order.function));
    let unread = |error: std::io::Error| Failed { why: format!("this node's disk: {error}"), elsewhere: true };
    let mut file = rt::unblock(move || File::open(zip)).await.map_err(unread)?;
    loop {
        let (rest, piece) = rt::unblock(move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let read = Read::by_ref(&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece);
            (file, read.map(|_| piece))
        })
        .await;
        let piece = piece.map_err(unread)?;
        if piece.is_empty() || to.send(What::Bundle(piece)).await.is_err() {
            return Ok(());
        }
        file = rest;
    }
}

/// As it was sent.
fn runtime(sent: &proto::Runtime) -> Result<Runtime, Failed> {
    let file = |file: &proto::RuntimeFile| runtimes::File {
        path: file.path.clone(),
        bytes: file.content.clone(),
        executable: file.executable,
    };
    let wrong = |why| Failed { why: format!("the runtime '{}' is not right: {why}", sent.name), elsewhere: false };
    Runtime::new(&sent.name, sent.files.iter().map(file).collect()).map_err(wrong)
}

async fn pass_on(said: Receiver<String>, to: &Sender<What>) {
    while let Ok(line) = said.recv().await {
        if to.send(What::Line(plain(&line))).await.is_err() {
            said.close(); // who says more is not held up
        }
    }
}
