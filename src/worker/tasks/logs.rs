//! What a task printed: in memory while it runs and after, on disk from its end on, so that the next worker has it too.

use super::Tasks;
use super::shelf::LOG_BYTES;
use crate::body::Body;
use crate::clock;
use crate::rt::{self, Receiver};
use crate::types::LogLine;
use crate::worker::logs::{Following, Line};
use bytes::Bytes;
use futures_lite::future;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub tail: usize,
    /// Printed then or later, in milliseconds since 1970.
    pub since_ms: u64,
    pub follow: bool,
    /// After the past comes an empty line, as on links.
    pub marked: bool,
}

/// What a task's lines are kept under; no function can be called so.
pub fn name(id: &str) -> String {
    format!("task:{id}")
}

impl Tasks {
    /// Its lines, each written as `write` says; ends with the task. `None`: there is no such task.
    pub async fn log<W>(&self, id: &str, wanted: Wanted, write: W) -> Option<Body>
    where
        W: Fn(&LogLine) -> Vec<u8> + Send + Sync + 'static,
    {
        let over = {
            let book = self.book();
            let entry = book.tasks.get(id)?;
            let live = entry.supervisor.as_ref().filter(|_| !entry.record.state().ended());
            live.map(|(_, over)| over.clone())
        };
        let (lines, following) = self.logs.follow(&name(id), usize::MAX);
        let mut past: Vec<LogLine> = lines.iter().map(shown).collect();
        if past.is_empty() && over.is_none() {
            past = self.kept(id).await;
        }
        let since = clock::rfc3339(wanted.since_ms);
        past.retain(|line| wanted.since_ms == 0 || line.time >= since);
        let past = past.split_off(past.len().saturating_sub(wanted.tail));
        let mut text: Vec<u8> = past.iter().flat_map(&write).collect();
        if wanted.marked {
            text.push(b'\n');
        }
        let Some(over) = over.filter(|_| wanted.follow) else { return Some(Body::full(text)) };
        let reader = Reader { past: Some(text.into()), following, over };
        Some(Body::unfold((reader, write), |(mut reader, write)| async move {
            let piece = reader.next(&write).await?;
            Some((Ok(piece), (reader, write)))
        }))
    }

    /// Keeps what it printed, at its end.
    pub(super) async fn keep_log(&self, id: &str) {
        let (lines, _) = self.logs.follow(&name(id), usize::MAX);
        let text: Vec<u8> = lines.iter().map(shown).flat_map(|line| json(&line)).collect();
        let from = text.len().saturating_sub(LOG_BYTES as usize);
        let (shelf, id) = (self.shelf.clone(), id.to_string());
        let kept = rt::unblock(move || shelf.put_log(&id, &text[from..]).map_err(|error| (id, error))).await;
        if let Err((id, error)) = kept {
            log::warn!("task {id}: what it printed is not kept: {error}");
        }
    }

    async fn kept(&self, id: &str) -> Vec<LogLine> {
        let (shelf, id) = (self.shelf.clone(), id.to_string());
        let bytes = rt::unblock(move || shelf.log(&id)).await;
        bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

/// A line as JSON.
pub fn json(line: &impl serde::Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// A line as it is shown.
pub fn shown(line: &Line) -> LogLine {
    LogLine {
        time: clock::rfc3339(line.at_ms),
        node: String::new(), // who asks knows whom
        source: line.source.to_string(),
        stream: line.stream.as_str().into(),
        line: line.text.to_string(),
    }
}

struct Reader {
    past: Option<Bytes>,
    following: Following,
    over: Receiver<()>,
}

impl Reader {
    async fn next(&mut self, write: &impl Fn(&LogLine) -> Vec<u8>) -> Option<Bytes> {
        if let Some(past) = self.past.take().filter(|past| !past.is_empty()) {
            return Some(past);
        }
        let line = future::or(async { Some(self.following.next().await) }, async {
            let _ = self.over.recv().await; // closed at its end
            None
        });
        let line = match line.await {
            Some(line) => line,
            None => self.following.try_next()?, // what came just before
        };
        Some(write(&shown(&line)).into())
    }
}
