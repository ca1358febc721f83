//! What functions printed lately, in memory, and who reads along. Must never make a function wait for a reader.

use crate::limits::{Limit, Limits};
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes of a line; what is longer is cut, and says so.
pub const MAX_LINE_BYTES: usize = 8 << 10;
/// Lines that wait for a slow reader: at most 2 MiB of the longest ones.
pub const FOLLOW_LINES: usize = 256;

/// The source of a word of the log itself.
pub const OWN: &str = "cares";
/// At the end of a line that was cut.
const CUT: &str = " … [cut at 8 KiB]";
/// Counted for each line beside its text: the struct, and what the allocator adds.
const LINE_OVERHEAD: usize = 96;
/// When all is full, this part of it is freed at once, so that not every line has to look at all functions.
const SLACK: usize = 64;

/// Where a line was printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// One line a function printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Always increasing in one book, and beyond those of a book that was there before.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The instance or call that printed it; or `OWN`.
    pub source: Arc<str>,
    pub stream: Stream,
    /// Without its newline; at most 8 KiB and the mark of a cut.
    pub text: Arc<str>,
}

impl Line {
    fn bytes(&self) -> usize {
        LINE_OVERHEAD + self.text.len()
    }
}

/// All that functions printed lately. Cheap to append to from many tasks.
pub struct LogBook {
    /// Milliseconds since 1970.
    now: fn() -> u64,
    /// Bytes kept of one function, and of all together.
    of_one: usize,
    of_all: usize,
    shelves: Mutex<Shelves>,
}

#[derive(Default)]
struct Shelves {
    functions: HashMap<String, Shelf>,
    bytes: usize,
    last_number: u64,
    next_follower: u64,
}

#[derive(Default)]
struct Shelf {
    lines: VecDeque<Line>,
    bytes: usize,
    followers: Vec<Follower>,
}

struct Follower {
    id: u64,
    to: Sender<Line>,
    /// Lines it was too slow for since the last it got.
    lost: u64,
}

impl LogBook {
    /// An empty book; `now` tells milliseconds since 1970.
    pub fn new(now: fn() -> u64, limits: &Limits) -> LogBook {
        let (of_one, of_all) = (limits.count(Limit::LogBytesPerFunction), limits.count(Limit::LogBytes));
        // A millisecond for each thousand lines: no book gets ahead of the clock.
        let shelves = Shelves { last_number: now() << 10, ..Shelves::default() };
        LogBook { now, of_one, of_all, shelves: Mutex::new(shelves) }
    }

    /// Keeps a line (without its newline), and hands it to those who follow.
    pub fn append(&self, function: &str, source: &Arc<str>, stream: Stream, text: &str) {
        self.append_at((self.now)(), function, source, stream, text);
    }

    /// The same for a line that was printed then.
    pub fn append_at(&self, at_ms: u64, function: &str, source: &Arc<str>, stream: Stream, text: &str) {
        let text = cut(text);
        let mut shelves = self.lock();
        let shelves = &mut *shelves;
        shelves.last_number += 1;
        let line = Line { number: shelves.last_number, at_ms, source: source.clone(), stream, text };
        if !shelves.functions.contains_key(function) {
            shelves.functions.insert(function.to_owned(), Shelf::default());
        }
        let Some(shelf) = shelves.functions.get_mut(function) else { return };
        shelf.followers.retain_mut(|follower| follower.send(&line));
        shelf.bytes += line.bytes();
        shelves.bytes += line.bytes();
        shelf.lines.push_back(line);
        while shelf.bytes > self.of_one && shelf.lines.len() > 1 {
            shelves.bytes -= shelf.drop_oldest();
        }
        if shelves.bytes > self.of_all {
            shelves.make_room(self.of_all);
        }
    }

    /// The newest `n` lines of a function, oldest first.
    #[cfg(test)]
    pub fn tail(&self, function: &str, n: usize) -> Vec<Line> {
        self.lock().functions.get(function).map(|shelf| shelf.tail(n)).unwrap_or_default()
    }

    /// The newest `n` lines of a function, and whatever it prints from then on: none twice, none missed between. It
    /// need not have printed anything yet.
    pub fn follow(self: &Arc<Self>, function: &str, n: usize) -> (Vec<Line>, Following) {
        let (to, lines) = rt::bounded(FOLLOW_LINES);
        let mut shelves = self.lock();
        let id = shelves.next_follower;
        shelves.next_follower += 1;
        let shelf = shelves.functions.entry(function.to_owned()).or_default();
        shelf.followers.push(Follower { id, to, lost: 0 });
        (shelf.tail(n), Following { book: self.clone(), function: function.to_owned(), id, lines })
    }

    /// Drops all lines kept under that name; who follows goes on.
    pub fn forget(&self, function: &str) {
        let mut shelves = self.lock();
        let Some(shelf) = shelves.functions.get_mut(function) else { return };
        let bytes = std::mem::take(&mut shelf.bytes);
        shelf.lines.clear();
        shelves.bytes -= bytes;
        shelves.remove_if_empty(function);
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        // Nothing panics under it; if it did, a log is still better than none.
        lock(&self.shelves)
    }
}

impl Shelves {
    /// Drops the oldest lines of the largest functions, all down to one level.
    fn make_room(&mut self, most: usize) {
        let target = most - most / SLACK;
        let mut sizes: Vec<usize> = self.functions.values().map(|shelf| shelf.bytes).collect();
        sizes.sort_unstable();
        let mut left = target;
        let level = sizes.iter().enumerate().find_map(|(n, size)| {
            let share = left / (sizes.len() - n);
            left -= (*size).min(share);
            (*size > share).then_some(share)
        });
        let level = level.unwrap_or(usize::MAX);
        for shelf in self.functions.values_mut() {
            while shelf.bytes > level && self.bytes > target {
                self.bytes -= shelf.drop_oldest();
            }
        }
        self.functions.retain(|_, shelf| !shelf.is_empty());
    }

    fn remove_if_empty(&mut self, function: &str) {
        if self.functions.get(function).is_some_and(Shelf::is_empty) {
            self.functions.remove(function);
        }
    }
}

impl Shelf {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.followers.is_empty()
    }

    fn drop_oldest(&mut self) -> usize {
        let bytes = self.lines.pop_front().map_or(0, |line| line.bytes());
        self.bytes -= bytes;
        bytes
    }

    fn tail(&self, n: usize) -> Vec<Line> {
        self.lines.iter().skip(self.lines.len().saturating_sub(n)).cloned().collect()
    }
}

impl Follower {
    /// Hands it a line if it has room, after a word on those it had none for. Says whether it is still there.
    fn send(&mut self, line: &Line) -> bool {
        // One place is kept for the word, which comes before the next line.
        if self.to.len() + 1 + usize::from(self.lost > 0) > FOLLOW_LINES {
            self.lost += 1;
            return !self.to.is_closed();
        }
        if self.lost > 0 {
            let text = format!("[{} lines were lost here: they came faster than they were read]", self.lost);
            let word = Line { source: OWN.into(), stream: Stream::Stderr, text: text.into(), ..line.clone() };
            self.lost = 0;
            let _ = self.to.try_send(word);
        }
        self.to.try_send(line.clone()).is_ok()
    }
}

/// What a function prints, as it prints it. A slow reader loses lines and is told so. Dropping it ends it.
pub struct Following {
    book: Arc<LogBook>,
    function: String,
    id: u64,
    lines: Receiver<Line>,
}

impl Following {
    /// Waits for the next line.
    pub async fn next(&self) -> Line {
        match self.lines.recv().await {
            Ok(line) => line,
            // The sender stays in the book as long as this does.
            Err(_) => std::future::pending().await,
        }
    }

    /// The next line if one is waiting.
    pub fn try_next(&self) -> Option<Line> {
        self.lines.try_recv().ok()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut shelves = self.book.lock();
        if let Some(shelf) = shelves.functions.get_mut(&self.function) {
            shelf.followers.retain(|follower| follower.id != self.id);
            shelves.remove_if_empty(&self.function);
        }
    }
}

fn cut(text: &str) -> Arc<str> {
    if text.len() <= MAX_LINE_BYTES {
        return text.into();
    }
    let end = (0..=MAX_LINE_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{CUT}", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Arc<LogBook> {
        Arc::new(LogBook::new(|| 7, &Limits::default()))
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| &*line.text).collect()
    }

    fn kept(book: &LogBook) -> (usize, usize) {
        let shelves = book.lock();
        let sum: usize = shelves.functions.values().flat_map(|shelf| &shelf.lines).map(Line::bytes).sum();
        assert_eq!(sum, shelves.bytes);
        (shelves.bytes, shelves.functions.len())
    }

    #[test]
    fn the_newest_lines_are_kept() {
        let (book, source) = (book(), Arc::from("i-1"));
        for n in 0..10_000 {
            book.append("f", &source, Stream::Stdout, &format!("line {n}"));
        }
        assert_eq!(texts(&book.tail("f", 2)), ["line 9998", "line 9999"]);
        assert_eq!(book.tail("f", 1)[0].at_ms, 7);
        assert!(book.tail("f", usize::MAX).len() > 1_000 && kept(&book).0 <= book.of_one);
        assert!(book.tail("g", 5).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_marked() {
        let book = book();
        book.append("f", &"i".into(), Stream::Stderr, &format!("x{}", "é".repeat(MAX_LINE_BYTES)));
        let line = &book.tail("f", 1)[0];
        assert!(line.text.ends_with(CUT) && line.text.len() <= MAX_LINE_BYTES + CUT.len());
    }

    #[test]
    fn all_together_stay_bounded_and_the_largest_pay() {
        let (book, source) = (book(), Arc::from("i"));
        book.append("small", &source, Stream::Stdout, "still here");
        for n in 0..200 {
            for _ in 0..40 {
                book.append(&format!("f{n}"), &source, Stream::Stdout, &"x".repeat(MAX_LINE_BYTES));
            }
        }
        assert!(kept(&book).0 <= book.of_all);
        assert_eq!(texts(&book.tail("small", 9)), ["still here"]);
        // Names alone cannot fill the memory either: the functions of dropped lines are dropped.
        for n in 0..300_000 {
            book.append(&format!("g{n}"), &source, Stream::Stdout, "x");
        }
        let (bytes, functions) = kept(&book);
        assert!(bytes <= book.of_all && functions <= book.of_all / LINE_OVERHEAD);
    }

    #[test]
    fn following_misses_nothing_and_slow_readers_are_told() {
        let (book, source) = (book(), Arc::from("i"));
        book.append("f", &source, Stream::Stdout, "before");
        let (before, following) = book.follow("f", 10);
        assert_eq!(texts(&before), ["before"]);
        for n in 0..FOLLOW_LINES + 50 {
            book.append("f", &source, Stream::Stdout, &n.to_string());
        }
        for n in 0..FOLLOW_LINES {
            assert_eq!(*rt::block_on(following.next()).text, *n.to_string());
        }
        assert!(following.try_next().is_none());
        book.append("f", &source, Stream::Stdout, "after");
        assert!(following.try_next().unwrap().text.contains("50 lines were lost"));
        assert_eq!(&*following.try_next().unwrap().text, "after");
    }

    #[test]
    fn who_went_away_costs_nothing() {
        let book = book();
        let (_, one) = book.follow("quiet", 0);
        let (_, two) = book.follow("quiet", 0);
        drop(one);
        assert_eq!(book.lock().functions["quiet"].followers.len(), 1);
        drop(two);
        assert_eq!(kept(&book), (0, 0));
    }
}
