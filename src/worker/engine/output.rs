//! Reads what a function prints, always and at once, so that it never waits for its log. Must never keep more than a
//! line and the last words of it.

use super::mask::Mask;
use crate::lock::lock;
use crate::wire::proto::Secrets;
use crate::worker::logs::{LogBook, MAX_LINE_BYTES, Stream};
use futures_lite::future::yield_now;
use futures_lite::io::{AsyncRead, AsyncReadExt};
use std::borrow::Cow;
use std::sync::{Arc, Mutex};

/// Bytes read at once.
const CHUNK_BYTES: usize = 8 << 10;
/// Bytes of the last words.
pub const LAST_WORDS_BYTES: usize = 4 << 10;

/// Where what is read belongs.
pub struct Output {
    pub function: String,
    pub source: Arc<str>,
    pub stream: Stream,
    pub logs: Arc<LogBook>,
    pub last_words: Arc<LastWords>,
}

/// Reads until nobody can write any more.
pub async fn drain(mut from: Box<dyn AsyncRead + Send + Unpin>, output: Output) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut lines = Lines::default();
    let words = &output.last_words;
    let mut append =
        |text: &str| output.logs.append(&output.function, &output.source, output.stream, &words.mask(text));
    loop {
        match from.read(&mut chunk).await {
            Ok(n) if n > 0 => {
                output.last_words.add(&chunk[..n]);
                lines.add(&chunk[..n], &mut append);
                // A pipe that is never empty would keep this task on its thread for ever.
                yield_now().await;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    lines.finish(&mut append);
}

/// Makes lines of chunks. A line too long is passed on at once (the log marks it), its rest is dropped.
#[derive(Default)]
pub struct Lines {
    line: Vec<u8>,
    /// The line was passed on already.
    dropping: bool,
}

impl Lines {
    pub fn add(&mut self, mut bytes: &[u8], append: &mut impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take(&bytes[..end], append);
            self.finish(append);
            bytes = &bytes[end + 1..];
        }
        self.take(bytes, append);
    }

    fn take(&mut self, bytes: &[u8], append: &mut impl FnMut(&str)) {
        if self.dropping {
            return;
        }
        // One more than the log takes, so that it sees there is more.
        let room = MAX_LINE_BYTES + 1 - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.line.len() > MAX_LINE_BYTES {
            append(&String::from_utf8_lossy(&self.line));
            self.line.clear();
            self.dropping = true;
        }
    }

    /// The line ends here.
    pub fn finish(&mut self, append: &mut impl FnMut(&str)) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        // An empty line is one too, but not the nothing after the last.
        if !self.dropping && !line.is_empty() {
            append(&String::from_utf8_lossy(line));
        }
        self.line.clear();
        self.dropping = false;
    }
}

/// The last that was printed.
#[derive(Default)]
pub struct LastWords {
    bytes: Mutex<Vec<u8>>,
    secrets: Mask,
}

impl LastWords {
    /// Of a launch with these secrets, which are hidden in them.
    pub fn without(secrets: &Secrets) -> Self {
        LastWords { bytes: Mutex::default(), secrets: Mask::new(secrets) }
    }

    /// The same for a line on its way to the log.
    pub fn mask<'a>(&self, line: &'a str) -> Cow<'a, str> {
        self.secrets.over(line)
    }

    pub fn add(&self, new: &[u8]) {
        let mut bytes = lock(&self.bytes);
        bytes.extend_from_slice(new);
        // Moved only now and then.
        if bytes.len() > 2 * LAST_WORDS_BYTES {
            let extra = bytes.len() - LAST_WORDS_BYTES - 1;
            bytes.drain(..extra);
        }
    }

    /// At most 4 KiB; from the beginning of a line where there is one.
    pub fn text(&self) -> String {
        let bytes = lock(&self.bytes);
        let mut last = &bytes[bytes.len().saturating_sub(LAST_WORDS_BYTES)..];
        if last.len() < bytes.len() {
            let start = last[..last.len() - 1].iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            last = &last[start..];
        }
        let mut text = self.mask(&String::from_utf8_lossy(last)).into_owned();
        // What is not UTF-8 grew when it was replaced, and so may secrets have.
        while text.len() > LAST_WORDS_BYTES {
            text.remove(0);
        }
        text
    }
}

/// Lines are the same however they are cut, and none is longer than the log takes.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    let Some((whole, chunks)) = crate::fuzz::cut(data) else { return };
    let (words, mut apart, mut at_once) = (LastWords::default(), Vec::new(), Vec::new());
    let mut lines = Lines::default();
    for chunk in chunks {
        words.add(chunk);
        lines.add(chunk, &mut |text| apart.push(text.to_owned()));
    }
    lines.finish(&mut |text| apart.push(text.to_owned()));
    let mut lines = Lines::default();
    lines.add(whole, &mut |text| at_once.push(text.to_owned()));
    lines.finish(&mut |text| at_once.push(text.to_owned()));
    assert_eq!(apart, at_once);
    assert!(apart.iter().all(|line| line.len() <= 3 * (MAX_LINE_BYTES + 1) && !line.contains('\n')));
    let text = words.text();
    assert!(
        text.len() <= LAST_WORDS_BYTES
            && (whole.len() > LAST_WORDS_BYTES
                || text == String::from_utf8_lossy(whole)
                || text.len() > LAST_WORDS_BYTES - 4)
    );
    let logs = Arc::new(LogBook::new(|| 0, &crate::limits::Limits::default()));
    apart.iter().for_each(|line| logs.append("f", &"i".into(), Stream::Stdout, line));
    let kept: usize = logs.follow("f", usize::MAX).0.iter().map(|line| line.text.len()).sum();
    assert!(kept <= 256 << 10, "more than a function's log-bytes are kept");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_become_lines() {
        let mut seen = Vec::new();
        let mut append = |text: &str| seen.push(text.to_owned());
        let mut lines = Lines::default();
        for chunk in ["on", "e\r\ntwo\n\nth", "ree"] {
            lines.add(chunk.as_bytes(), &mut append);
        }
        lines.add(&vec![b'x'; 3 * MAX_LINE_BYTES], &mut append);
        lines.add(b"dropped\nnext", &mut append);
        lines.finish(&mut append);
        lines.finish(&mut append);
        assert_eq!((&seen[..2], seen.len()), (&["one".to_owned(), "two".to_owned()][..], 4));
        assert_eq!((seen[2].len(), &*seen[3]), (MAX_LINE_BYTES + 1, "next"));
    }

    #[test]
    fn last_words_are_the_last() {
        let words = LastWords::default();
        words.add(b"short\n");
        assert_eq!(words.text(), "short\n");
        for n in 0..10_000 {
            words.add(format!("line {n}\n").as_bytes());
        }
        let text = words.text();
        assert!(text.starts_with("line ") && text.ends_with("line 9999\n") && text.len() <= LAST_WORDS_BYTES);
        words.add(&[0xff; 20_000]);
        assert!(words.text().len() <= LAST_WORDS_BYTES);
    }
}
