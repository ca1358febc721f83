//! A build's log: its last lines while it runs, for anybody to follow, and a file once it has ended. Must never hold a
//! build up.

use super::{Build, Builds};
use crate::body::Body;
use crate::clock;
use crate::ring::{Follower, Next, Ring};
use crate::rt::{self, Receiver};
use bytes::Bytes;
use futures_lite::future;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Lines kept, however short.
const LINES: usize = 50_000;
/// What a line costs beside its text.
const LINE_COST: usize = 64;
/// What a failed build's error is followed by.
const LAST_LINES: usize = 20;
const LAST_BYTES: usize = 4 << 10;
/// Of one that a backup brought, or whose log could not be written.
const NOT_KEPT: &str = "(this build's log is not kept)\n";
/// Silence after which an empty line is sent, so that proxies keep the stream.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Of a build that has not ended.
pub struct Log(Arc<Ring<String>>);

impl Log {
    /// Keeps about so many bytes.
    pub fn new(bytes: usize) -> Self {
        Log(Arc::new(Ring::new(LINES, bytes, 0)))
    }

    /// One more line.
    pub fn say(&self, line: String) {
        self.0.push(line.len() + LINE_COST, |_| line);
    }

    /// All that is kept.
    async fn text(&self, lines: usize) -> String {
        let mut reader = Reader { log: self.0.clone(), follower: self.0.tail(lines).0, over: None, last: None };
        reader.last = Some(self.0.newest());
        let mut text = String::new();
        while let Some(more) = reader.next().await {
            text.push_str(&String::from_utf8_lossy(&more));
        }
        text
    }

    /// The end of it, for an error.
    pub async fn last_lines(&self) -> String {
        let text = self.text(LAST_LINES).await;
        let from = text.len().saturating_sub(LAST_BYTES);
        let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text[from..].trim_end().to_string()
    }

    /// Writes it to where it is found once the build has ended.
    pub async fn keep(&self, file: PathBuf) {
        let text = self.text(LINES).await;
        let written = rt::unblock(move || fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))).await;
        if let Err(why) = written {
            log::warn!("a build's log is not kept: {why}");
        }
    }
}

/// What there is of a build's log, and, if asked for, what comes until its end.
pub async fn read(builds: &Builds, build: &Build, follow: bool) -> Body {
    let Some((log, over)) = build.live_log() else {
        let file = builds.log_file(build);
        return rt::unblock(move || File::open(file)).await.map_or_else(|_| NOT_KEPT.to_string().into(), Body::file);
    };
    let last = (!follow).then(|| log.0.newest());
    let reader = Reader { log: log.0.clone(), follower: log.0.tail(LINES).0, over: Some(over), last };
    Body::unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Some((Ok(piece), reader))
    })
}

struct Reader {
    log: Arc<Ring<String>>,
    follower: Follower<String>,
    over: Option<Receiver<()>>,
    /// The last line wanted; `None`: the build's.
    last: Option<u64>,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.last.is_some_and(|last| self.follower.after() >= last) {
                return None;
            }
            let over = self.over.clone().filter(|_| self.last.is_none());
            let ended = async {
                match over {
                    Some(over) => drop(over.recv().await),
                    None => future::pending().await,
                }
                None
            };
            let next = async { Some(self.follower.next().await) };
            match clock::timeout(KEEPALIVE, future::or(next, ended)).await {
                Some(Some(Next::Entries(lines))) => {
                    let lines = lines.iter().filter(|(id, _)| self.last.is_none_or(|last| *id <= last));
                    return Some(lines.map(|(_, line)| format!("{line}\n")).collect::<String>().into());
                }
                Some(Some(Next::Missed(count))) => return Some(format!("({count} lines are no longer kept)\n").into()),
                Some(None) => self.last = Some(self.log.newest()),
                None => return Some(Bytes::from_static(b"\n")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_log_is_kept() {
        let log = Log::new(4_096);
        (0..1_000).for_each(|n| log.say(format!("line {n}")));
        let text = rt::block_on(log.text(LINES));
        assert!(text.ends_with("line 998\nline 999\n") && text.len() < 4_096, "{text}");
        let last = rt::block_on(log.last_lines());
        assert_eq!((last.lines().count(), last.lines().last()), (20, Some("line 999")));
        assert_eq!(rt::block_on(Log::new(4_096).text(LINES)), "");
    }
}
