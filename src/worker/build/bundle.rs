//! A build without a container engine: the runtime's own tool makes a bundle of the source folder, held as a job of the
//! process engine is. Must never run anything of the source outside such a job.

use super::Failed;
use crate::bundle::MAX_ZIP_BYTES;
use crate::rt::{self, Sender};
use crate::runtimes::{END_OF_LOG, Recipe, Runtime};
use crate::sandbox::programs::programs;
use crate::worker::engine::{Engine, EngineError, Exit, Isolation, Kind, Launch, Lines, Program, hint};
use futures_lite::io::{AsyncRead, AsyncReadExt};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// For sources, dependencies and what compilers leave, all in memory where launches' folders are; never more than what the
/// build may take beside them.
const TMP_BYTES: u64 = 2 << 30;
/// Compilers start one for each core, and more.
const PIDS: u32 = 1024;
/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Lines in which the cause of a failure is looked for.
const LAST_LINES: usize = 20;
/// What programs say that get no more memory, where no control group ends them.
const NO_MEMORY: [&str; 5] =
    ["annot allocate memory", "ut of memory", "emory exhausted", "MemoryError", "memory allocation of"];
/// What they say that cannot write any more.
const NO_ROOM: [&str; 3] = ["No space left on device", "File too large", "File size limit exceeded"];
/// What a build gets of the worker's own environment: the way to the packages.
const PASSED: [&str; 12] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "PIP_INDEX_URL",
    "NPM_CONFIG_REGISTRY",
    "GOPROXY",
    "GOSUMDB",
    "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
    "SSL_CERT_FILE",
];

/// What is to be made.
pub struct Order<'a> {
    /// Unique on this node.
    pub id: &'a str,
    pub function: &'a str,
    /// Dressed by the runtime, and seen by launches.
    pub source: &'a Path,
    pub runtime: &'a Runtime,
    /// Beside what its files take.
    pub memory_bytes: Option<u64>,
    /// Of what it leaves for the function's next build.
    pub cache_bytes: u64,
}

/// Makes a bundle's zip at `into`, and what the next build gets at `left`; its log goes to `say`. Given up when dropped, with
/// all it started.
pub async fn make(
    engine: &dyn Engine,
    order: &Order<'_>,
    say: &Sender<String>,
    into: &Path,
    left: &Path,
) -> Result<(), Failed> {
    let runtime = order.runtime;
    let name = &runtime.name;
    let fails = |why: String| Failed { why, elsewhere: false };
    let recipe = Recipe::of(runtime, order.cache_bytes).ok_or_else(|| {
        fails(format!("the runtime {name} can only be run as an image: start Docker on a node, or give it `start`"))
    })?;
    if let Some(why) = runtime.tools.iter().find_map(|tool| missing(tool, name)) {
        return Err(Failed { why, elsewhere: true });
    }
    let (dir, to, left) = (order.source.to_owned(), into.to_owned(), left.to_owned());
    let disk = |error: std::io::Error| Failed { why: format!("this node's disk: {error}"), elsewhere: true };
    let files = rt::unblock(move || {
        recipe.write(&dir)?;
        Ok((File::create_new(to)?, File::create_new(left)?))
    });
    let (zip, left) = files.await.map_err(disk)?;
    // Compilers keep paths in what they leave, and $HOME is of the launch's name.
    let mut running = match engine.start(launch(order, format!("build-of-{}", order.function))).await {
        Err(EngineError::Resources(_)) => engine.start(launch(order, format!("build-{}", order.id))).await?,
        started => started?,
    };
    drop(running.stdin.take());
    let stdout = running.stdout.take().ok_or_else(|| fails("the build has no output".into()))?;
    let mut last = VecDeque::new();
    let into = Into { zip, left, cache_bytes: order.cache_bytes };
    let bytes = receive(stdout, into, say, &mut last).await?;
    let exit = running.control.ended().await;
    if exit.success() && bytes > 0 {
        return Ok(());
    }
    let words = running.control.last_words();
    let said = last.make_contiguous().join("\n");
    if let Some(why) = too_little(exit, &format!("{said}\n{words}"), order.memory_bytes) {
        let words = words.trim();
        return Err(fails(if words.is_empty() { why } else { format!("{why} ({words})") }));
    }
    let cause = match (exit.success(), words.trim()) {
        (true, _) => "the build ended without a bundle".to_owned(),
        (false, "") => format!("the build {exit}"),
        (false, words) => words.to_owned(),
    };
    let last = last.make_contiguous();
    let said = last.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap_or_default();
    let hint = hint(&last.join("\n"));
    Err(fails(if said.is_empty() { cause } else { format!("{cause}: {said}{hint}") }))
}

fn launch(order: &Order<'_>, id: String) -> Launch {
    let passed = PASSED.iter().filter_map(|name| Some((name.to_string(), std::env::var(name).ok()?)));
    Launch {
        id,
        function: order.function.into(),
        revision: 0,
        program: Program::Bundle(order.source.into()),
        command: vec!["cares".into(), "make-bundle".into()],
        env: passed.collect(),
        secrets: Default::default(),
        // Files in memory count.
        memory_bytes: order.memory_bytes.map(|bytes| bytes.saturating_add(file_bytes(order.memory_bytes))),
        cpu: None,
        isolation: Isolation::limits(PIDS, file_bytes(order.memory_bytes)),
        kind: Kind::Job,
        needs: Default::default(),
    }
}

fn file_bytes(memory_bytes: Option<u64>) -> u64 {
    memory_bytes.map_or(TMP_BYTES, |bytes| bytes.min(TMP_BYTES))
}

/// Which limit a build ran into that ended like this, and said so; the kernel's own word where it has one.
fn too_little(exit: Exit, said: &str, memory_bytes: Option<u64>) -> Option<String> {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let mib = |bytes: u64| bytes >> 20;
    let raise = "make it smaller, or raise the orchestrator's limit build-memory-bytes";
    if exit == Exit::OutOfMemory || has(&NO_MEMORY) {
        let most = memory_bytes.map_or(String::new(), |bytes| format!(" ({} MiB beside its files)", mib(bytes)));
        return Some(format!("the build needs more memory than it may have{most}: {raise}"));
    }
    let most = mib(file_bytes(memory_bytes));
    has(&NO_ROOM).then(|| {
        format!("the build writes more than it may ({most} MiB: as much as build-memory-bytes, at most 2 GiB): {raise}")
    })
}

/// What to do where launches do not find this program, which a runtime builds with.
fn missing(tool: &str, runtime: &str) -> Option<String> {
    let programs = programs();
    if programs.find_one(tool).is_some() {
        return None;
    }
    let needed = format!("which the runtime {runtime} builds with where there is no container engine");
    Some(match programs.out_of_reach(tool) {
        Some((file, why)) => format!("it has {}, {needed}, but {why}, or start Docker on a node", file.display()),
        None => format!(
            "it has no {tool} in {}, {needed}: install {tool} there, or where the worker's own PATH has it; or start \
             Docker on a node",
            programs.path()
        ),
    })
}

/// Where what comes after the log goes.
struct Into {
    zip: File,
    left: File,
    cache_bytes: u64,
}

/// Reads the log, and after it what `Into` takes; answers how long the zip is. What is left for the next build is whole, or
/// nothing of it is kept.
async fn receive(
    mut from: Box<dyn AsyncRead + Send + Unpin>,
    into: Into,
    say: &Sender<String>,
    last: &mut VecDeque<String>,
) -> Result<u64, Failed> {
    let Into { mut zip, mut left, cache_bytes } = into;
    let mut lines = Lines::default();
    let (mut chunk, mut logging, mut head) = (vec![0; CHUNK_BYTES], true, Vec::with_capacity(8));
    let (mut bytes, mut extra, mut wanted) = (0, 0, u64::MAX);
    while let Ok(n @ 1..) = from.read(&mut chunk).await {
        let mut piece = &chunk[..n];
        if logging {
            let end = piece.iter().position(|byte| *byte == END_OF_LOG);
            let mut said = Vec::new();
            lines.add(&piece[..end.unwrap_or(n)], &mut |line| said.push(line.to_owned()));
            if end.is_some() {
                lines.finish(&mut |line| said.push(line.to_owned()));
            }
            tell(said, say, last).await;
            let Some(end) = end else { continue };
            (logging, piece) = (false, &piece[end + 1..]);
        }
        if wanted == u64::MAX {
            let (length, rest) = piece.split_at(piece.len().min(8 - head.len()));
            head.extend_from_slice(length);
            let Ok(length) = <[u8; 8]>::try_from(&head[..]) else { continue };
            (wanted, piece) = (u64::from_le_bytes(length), rest);
        }
        if wanted > MAX_ZIP_BYTES {
            let why = "what the build made is larger than 1 GiB as a zip; leave out what the function does not need";
            return Err(Failed { why: why.into(), elsewhere: false });
        }
        let of_zip = piece.len().min(usize::try_from(wanted - bytes).unwrap_or(usize::MAX));
        let (zipped, rest) = piece.split_at(of_zip);
        (bytes, extra) = (bytes + zipped.len() as u64, extra + rest.len() as u64);
        // A build's own programs may write what they like: it is counted here, too.
        let rest = if extra > cache_bytes { Vec::new() } else { rest.to_vec() };
        let zipped = zipped.to_vec();
        let written;
        (zip, left, written) = rt::unblock(move || {
            let written = zip.write_all(&zipped).and_then(|()| left.write_all(&rest));
            (zip, left, written)
        })
        .await;
        written.map_err(|error| Failed { why: format!("this node's disk: {error}"), elsewhere: true })?;
    }
    if extra > cache_bytes {
        rt::unblock(move || left.set_len(0))
            .await
            .map_err(|error| Failed { why: format!("this node's disk: {error}"), elsewhere: true })?;
    }
    let mut said = Vec::new();
    lines.finish(&mut |line| said.push(line.to_owned()));
    tell(said, say, last).await;
    Ok(if bytes == wanted { bytes } else { 0 })
}

async fn tell(said: Vec<String>, say: &Sender<String>, last: &mut VecDeque<String>) {
    for line in said {
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line.clone());
        let _ = say.send(line).await; // nobody listens any more
    }
}

#[cfg(test)]
mod tests;
