//! Streams as the engine sends them, cut anywhere: stdout and stderr in one, and JSON objects in a row. Must never hold
//! more than a frame's head or one object.

use super::super::output::{LastWords, Lines};
use super::wire::Attached;
use crate::worker::logs::{LogBook, Stream};
use futures_lite::io::{AsyncRead, ReadHalf};
use serde::de::DeserializeOwned;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Bytes read at once from a job.
const READ_BYTES: usize = 32 << 10;
/// Longest JSON object of a stream: an event with many labels is some KiB.
const MAX_OBJECT_BYTES: usize = 1 << 20;

/// Takes a stream of stdout and stderr apart.
#[derive(Default)]
pub struct Frames {
    head: [u8; 8],
    have: usize,
    left: usize,
}

impl Frames {
    /// The next piece in `bytes`, which is moved on behind it; `None` when there is no more.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<(Stream, &'a [u8])> {
        while self.left == 0 {
            let take = bytes.len().min(self.head.len() - self.have);
            self.head[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            *bytes = &bytes[take..];
            if self.have < self.head.len() {
                return None;
            }
            self.have = 0;
            self.left = u32::from_be_bytes([self.head[4], self.head[5], self.head[6], self.head[7]]) as usize;
        }
        if bytes.is_empty() {
            return None;
        }
        let (piece, rest) = bytes.split_at(bytes.len().min(self.left));
        *bytes = rest;
        self.left -= piece.len();
        let stream = if self.head[0] == 2 { Stream::Stderr } else { Stream::Stdout };
        Some((stream, piece))
    }
}

/// Where a container's output is kept.
pub struct Log {
    pub logs: Arc<LogBook>,
    pub function: String,
    pub source: Arc<str>,
    pub last_words: Arc<LastWords>,
    lines: [Lines; 2],
    /// Each line begins with the time when it was printed, as the engine noted it.
    stamped: bool,
}

impl Log {
    pub fn new(logs: Arc<LogBook>, function: &str, id: &str, last_words: Arc<LastWords>) -> Log {
        Log {
            logs,
            function: function.into(),
            source: id.into(),
            last_words,
            lines: Default::default(),
            stamped: false,
        }
    }

    /// Each line begins with the time when it was printed: what an earlier worker left is read from its beginning.
    pub fn stamped(mut self) -> Log {
        self.stamped = true;
        self
    }

    pub fn is_stamped(&self) -> bool {
        self.stamped
    }

    pub fn add(&mut self, stream: Stream, bytes: &[u8]) {
        let lines = &mut self.lines[usize::from(stream == Stream::Stderr)];
        let words = &self.last_words;
        if self.stamped {
            let (function, source) = (&self.function, &self.source);
            return lines.add(bytes, &mut |text| {
                let (at_ms, text) = stamp(text);
                words.add(text.as_bytes());
                words.add(b"\n");
                self.logs.append_at(at_ms, function, source, stream, &words.mask(text));
            });
        }
        words.add(bytes);
        lines.add(bytes, &mut |text| self.logs.append(&self.function, &self.source, stream, &words.mask(text)));
    }
}

/// When a line was printed, and the rest of it.
fn stamp(text: &str) -> (u64, &str) {
    let parts = text.split_once(' ').and_then(|(time, rest)| Some((time.parse::<jiff::Timestamp>().ok()?, rest)));
    match parts {
        Some((time, rest)) => (u64::try_from(time.as_millisecond()).unwrap_or(0), rest),
        None => (crate::clock::unix_ms(), text),
    }
}

impl Drop for Log {
    /// The last line may have no newline.
    fn drop(&mut self) {
        for (lines, stream) in self.lines.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
            let words = &self.last_words;
            lines.finish(&mut |text| self.logs.append(&self.function, &self.source, stream, &words.mask(text)));
        }
    }
}

/// A job's stdout. Its stderr goes to the log on the way; a reader that waits makes the job wait.
pub struct Stdout {
    from: ReadHalf<Attached>,
    frames: Frames,
    log: Option<Log>,
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
}

impl Stdout {
    pub fn new(from: ReadHalf<Attached>, log: Log) -> Stdout {
        let buffer = vec![0; READ_BYTES].into();
        Stdout { from, frames: Frames::default(), log: Some(log), buffer, begin: 0, end: 0 }
    }
}

impl AsyncRead for Stdout {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if into.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let mut bytes = &this.buffer[this.begin..this.end];
            // No more is taken than there is room for.
            bytes = &bytes[..bytes.len().min(into.len())];
            let before = bytes.len();
            let piece = this.frames.next(&mut bytes);
            this.begin += before - bytes.len();
            match piece {
                Some((Stream::Stdout, piece)) => {
                    into[..piece.len()].copy_from_slice(piece);
                    return Poll::Ready(Ok(piece.len()));
                }
                Some((Stream::Stderr, piece)) => {
                    if let Some(log) = &mut this.log {
                        log.add(Stream::Stderr, piece);
                    }
                }
                None if this.begin < this.end => {} // only a head was read
                None => {
                    let read = ready!(Pin::new(&mut this.from).poll_read(cx, &mut this.buffer));
                    (this.begin, this.end) = (0, 0);
                    match read {
                        Ok(0) => {
                            this.log = None;
                            return Poll::Ready(Ok(0));
                        }
                        Ok(n) => this.end = n,
                        Err(error) => {
                            this.log = None;
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
        }
    }
}

/// Takes a stream of JSON objects apart.
#[derive(Default)]
pub struct Objects {
    pending: Vec<u8>,
}

impl Objects {
    /// All objects that are whole now. What is none, or too long, is dropped.
    pub fn add<T: DeserializeOwned>(&mut self, chunk: &[u8]) -> Vec<T> {
        self.pending.extend_from_slice(chunk);
        let (mut found, mut used) = (Vec::new(), 0);
        loop {
            let rest = &self.pending[used..];
            let mut objects = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
            let (mut taken, mut broken_line) = (0, None);
            loop {
                match objects.next() {
                    Some(Ok(object)) => found.push(object),
                    Some(Err(error)) => {
                        broken_line = (!error.is_eof()).then(|| error.line());
                        break;
                    }
                    None => {
                        taken = objects.byte_offset();
                        break;
                    }
                }
                taken = objects.byte_offset();
            }
            // Engines end objects with a newline: the next begins behind it, and behind what cannot be read. One that is
            // cut off within a number cannot be read either, so what has no newline yet may still become an object.
            let mut ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            let broken_until = broken_line.and_then(|line: usize| ends.nth(line.saturating_sub(1)));
            match broken_until {
                Some(until) => used += until,
                None if rest.len() - taken <= MAX_OBJECT_BYTES => {
                    used += taken;
                    break;
                }
                None => {
                    used += ends.find(|end| *end > taken).unwrap_or(rest.len());
                    break;
                }
            }
        }
        self.pending.drain(..used);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend((text.len() as u32).to_be_bytes());
        frame.extend(text.as_bytes());
        frame
    }

    #[test]
    fn output_comes_apart_wherever_it_is_cut() {
        let whole = [frame(1, "out"), frame(2, "err"), frame(1, ""), frame(1, "more")].concat();
        for size in 1..whole.len() {
            let (mut frames, mut out, mut err) = (Frames::default(), String::new(), String::new());
            for mut chunk in whole.chunks(size) {
                while let Some((stream, piece)) = frames.next(&mut chunk) {
                    let text = str::from_utf8(piece).unwrap();
                    if stream == Stream::Stderr { err.push_str(text) } else { out.push_str(text) }
                }
                assert!(chunk.is_empty());
            }
            assert_eq!((&*out, &*err), ("outmore", "err"), "{size}");
        }
    }

    #[test]
    fn stamped_lines_keep_their_time() {
        let (logs, words) = (Arc::new(LogBook::new(|| 0, &Default::default())), Arc::new(LastWords::default()));
        let mut log = Log::new(logs.clone(), "f", "i", words.clone()).stamped();
        log.add(Stream::Stdout, b"2026-01-31T12:00:00.500000001Z one two\n2026-01-31T12:00:01Z thr");
        log.add(Stream::Stdout, b"ee\nno time\n");
        let kept = logs.tail("f", 9);
        assert_eq!((kept[0].at_ms, &*kept[0].text), (1_769_860_800_500, "one two"));
        assert_eq!((kept[1].at_ms, &*kept[1].text), (1_769_860_801_000, "three"));
        assert_eq!((&*kept[2].text, words.text().as_str()), ("no time", "one two\nthree\nno time\n"));
    }

    #[test]
    fn a_jobs_stdout_is_only_its_stdout() {
        let whole =
            [frame(2, "e1\ne2"), frame(1, "out"), frame(2, "!\n"), frame(1, &"x".repeat(99_999)), frame(2, "end")];
        let logs = Arc::new(LogBook::new(|| 0, &Default::default()));
        let words = Arc::new(LastWords::default());
        let raw: Attached = Box::pin(Both(futures_lite::io::Cursor::new(whole.concat())));
        let (from, _) = futures_lite::io::split(raw);
        let mut stdout = Stdout::new(from, Log::new(logs.clone(), "f", "i", words.clone()));
        let mut text = String::new();
        let read = futures_lite::io::AsyncReadExt::read_to_string(&mut stdout, &mut text);
        futures_lite::future::block_on(read).unwrap();
        assert_eq!((text.len(), &text[..4]), (100_002, "outx"));
        assert_eq!(words.text(), "e1\ne2!\nend");
        let kept: Vec<String> = logs.tail("f", 9).iter().map(|line| line.text.to_string()).collect();
        assert_eq!(kept, ["e1", "e2!", "end"]);
    }

    struct Both(futures_lite::io::Cursor<Vec<u8>>);

    impl AsyncRead for Both {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_read(cx, into)
        }
    }

    impl futures_lite::io::AsyncWrite for Both {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn objects_come_apart_wherever_they_are_cut() {
        let whole = "{\"a\":\"é}{\"}\r\n{\"b\":[1,{}]}{\"c\":3}\n";
        for size in 1..whole.len() {
            let mut objects = Objects::default();
            let found: Vec<Value> = whole.as_bytes().chunks(size).flat_map(|chunk| objects.add(chunk)).collect();
            assert_eq!((found.len(), &found[0]["a"], &found[2]["c"]), (3, &"é}{".into(), &3.into()), "{size}");
            assert!(objects.pending.is_empty());
        }
        for cut in ["{\"a\":-", "{\"a\":1.", "{\"a\":1e"] {
            let mut objects = Objects::default();
            assert!(objects.add::<Value>(cut.as_bytes()).is_empty());
            assert_eq!(objects.add::<Value>(b"1}\n").len(), 1, "{cut}");
        }
        let mut objects = Objects::default();
        assert_eq!(objects.add::<Value>(b"{\"a\":1}\n{nonsense}\n{\"b\":2}\n").len(), 2);
        let nonsense =
            [b"x\n".repeat(500_000), b"{\"a\":1}\n".to_vec(), b"\n".repeat(900_000), b"x\n{}".to_vec()].concat();
        assert_eq!(objects.add::<Value>(&nonsense).len(), 2);
        for _ in 0..100 {
            assert!(objects.add::<Value>(&[b"[".as_slice(), &[b' '; 99_999]].concat()).is_empty());
            assert!(objects.pending.len() <= MAX_OBJECT_BYTES + 100_000);
        }
    }
}
