//! What the program tells: one line an event, on stderr as text or JSON, and in a ring that anyone may follow. As JSON a
//! line also names what it is about (`call`, `function`, `node` and more). Never panics, and holds no lock of its own
//! while it writes.

use crate::clock;
use crate::lock::lock;
use crate::ring::Ring;
use crate::types::LogRecord;
use log::kv::{self, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

/// Lines kept: a screen's scrollback.
const KEPT: usize = 10_000;
/// And their bytes in all.
const KEPT_BYTES: usize = 8 << 20;
/// Of one line; what is longer is cut in the ring, and whole on stderr.
const MESSAGE_BYTES: usize = 4 << 10;

/// Lines of requests: not in the ring, where they would push out all others, unless there is nowhere else.
const ACCESS: &str = "cares::access";

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line, for programs.
    Json,
}

/// Where lines go beside the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Stderr,
    /// Nowhere: a screen has the terminal.
    Ring,
}

struct Logger {
    format: Format,
    output: Output,
}

static ACCESS_WANTED: AtomicBool = AtomicBool::new(false);

static OWN: LazyLock<Arc<Ring<LogRecord>>> = LazyLock::new(|| Arc::new(Ring::new(KEPT, KEPT_BYTES, 0)));

/// Sets the program's logger; a second call does nothing.
pub fn start(format: Format, level: LevelFilter, output: Output) {
    if log::set_boxed_logger(Box::new(Logger { format, output })).is_ok() {
        log::set_max_level(level);
        panic::set_hook(Box::new(tell_panic));
    }
}

/// When something panicked last, by its place in the program.
static PANICS: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());
/// The same panic is told once in so long: some come with each request, as those of tiny_http out of files.
const PANIC_EVERY: Duration = Duration::from_secs(1);

/// A panic is a line of the log like any other; with RUST_BACKTRACE set, where it came from is told at level debug.
pub fn tell_panic(told: &PanicHookInfo<'_>) {
    if told.location().is_some_and(|place| told_lately(place.to_string())) {
        return;
    }
    let thread = std::thread::current();
    let told = told.to_string().replace('\n', " ");
    log::error!("a defect: thread '{}' {told}", thread.name().unwrap_or("unnamed"));
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        log::debug!("{trace}");
    }
}

fn told_lately(place: String) -> bool {
    let now = clock::now();
    let mut panics = lock(&PANICS);
    let lately = panics.get(&place).is_some_and(|last| now < *last + PANIC_EVERY);
    if !lately {
        panics.insert(place, now);
    }
    lately
}

/// From now on a line is written for each request.
pub fn want_access() {
    ACCESS_WANTED.store(true, Ordering::Relaxed);
}

/// Whether a line is to be written for each request.
pub fn access_wanted() -> bool {
    ACCESS_WANTED.load(Ordering::Relaxed)
}

/// A line of a request, whatever the level.
pub fn access(about: &[(&str, Value<'_>)], message: fmt::Arguments<'_>) {
    tell(ACCESS, Level::Info, about, message);
}

/// A line with what it is about.
pub fn about(level: Level, about: &[(&str, Value<'_>)], message: fmt::Arguments<'_>) {
    if level <= log::max_level() {
        tell(module_path!(), level, about, message);
    }
}

fn tell(target: &str, level: Level, about: &[(&str, Value<'_>)], message: fmt::Arguments<'_>) {
    log::logger().log(&Record::builder().target(target).level(level).key_values(&about).args(message).build());
}

/// The program's own last lines.
pub fn own() -> &'static Arc<Ring<LogRecord>> {
    &OWN
}

/// A line for people.
pub fn text(record: &LogRecord) -> String {
    format!("{} [{}] {}\n", record.time, record.level.to_uppercase(), record.message)
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cares") || metadata.level() <= Level::Warn // libraries' chatter is not ours
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = clock::rfc3339(clock::unix_ms());
        let message = record.args().to_string();
        let line = match (self.output, self.format) {
            (Output::Ring, _) => None,
            (Output::Stderr, Format::Text) => Some(format!("{time} [{}] {message}\n", record.level())),
            (Output::Stderr, Format::Json) => Some(format!("{}\n", json(record, &time, &message))),
        };
        if record.target() != ACCESS || line.is_none() {
            keep(&OWN, time, record.level(), message);
        }
        if let Some(line) = line {
            let _ = std::io::stderr().lock().write_all(line.as_bytes()); // a closed stderr must not end the program
        }
    }

    fn flush(&self) {}
}

/// An object; what the line is about never takes the place of its own fields.
fn json(record: &Record<'_>, time: &str, message: &str) -> serde_json::Value {
    let mut fields = Fields(serde_json::Map::new());
    let _ = record.key_values().visit(&mut fields); // it takes all
    for (name, value) in [("time", time), ("level", lowercase(record.level())), ("message", message)] {
        fields.0.insert(name.into(), value.into());
    }
    fields.0.into()
}

/// What a line is about, on its way to JSON.
struct Fields(serde_json::Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = match (value.to_u64(), value.to_f64(), value.to_bool()) {
            (Some(number), ..) => number.into(),
            (_, _, Some(flag)) => flag.into(),
            (_, Some(number), _) => number.into(),
            _ => value.to_string().into(),
        };
        self.0.insert(key.as_str().into(), value);
        Ok(())
    }
}

fn keep(ring: &Ring<LogRecord>, time: String, level: Level, mut message: String) {
    if message.len() > MESSAGE_BYTES {
        message.truncate((0..=MESSAGE_BYTES).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0));
        message.push('…');
        message.shrink_to_fit();
    }
    let bytes = size_of::<LogRecord>() + time.len() + message.len();
    ring.push(bytes, |id| LogRecord { id, time, level: lowercase(level).into(), message });
}

fn lowercase(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_comes_again_and_again_floods_no_log() {
        assert!(!told_lately("here".into()));
        assert!(told_lately("here".into()) && !told_lately("there".into()));
        PANICS.lock().unwrap().insert("here".into(), clock::now() - PANIC_EVERY);
        assert!(!told_lately("here".into()), "once more after a while");
    }

    use crate::ring::Next;

    fn kept(ring: &Arc<Ring<LogRecord>>) -> Vec<Arc<LogRecord>> {
        let (mut follower, last) = ring.tail(usize::MAX - 1);
        let mut all = Vec::new();
        while follower.after() < last {
            if let Next::Entries(entries) = futures_lite::future::block_on(follower.next()) {
                all.extend(entries.into_iter().map(|(_, record)| record));
            }
        }
        all
    }

    #[test]
    fn a_line_says_what_it_is_about_and_nothing_takes_its_own_fields_place() {
        let about: &[(&str, Value<'_>)] = &[
            ("call", "c1".into()),
            ("status", 200.into()),
            ("ms", 1.5.into()),
            ("whole", true.into()),
            ("level", 7.into()),
        ];
        let mut record = Record::builder();
        let args = format_args!("done");
        let line = json(&record.level(Level::Warn).key_values(&about).args(args).build(), "t", "done");
        let expected = serde_json::json!({"call": "c1", "level": "warn", "message": "done", "ms": 1.5, "status": 200,
            "time": "t", "whole": true});
        assert_eq!(line, expected);
    }

    #[test]
    fn long_lines_are_cut_and_the_ring_is_bounded() {
        let ring = Arc::new(Ring::new(KEPT, KEPT_BYTES, 0));
        keep(&ring, "t".into(), Level::Warn, "é".repeat(MESSAGE_BYTES));
        let cut = &kept(&ring)[0];
        assert!(cut.message.len() <= MESSAGE_BYTES + 3 && cut.message.ends_with("é…"), "{}", cut.message.len());
        assert_eq!((cut.id, cut.level.as_str(), text(cut).starts_with("t [WARN] é")), (1, "warn", true));
        for _ in 0..KEPT {
            keep(&ring, "t".into(), Level::Info, "x".repeat(2 * MESSAGE_BYTES));
        }
        let bytes: usize = kept(&ring).iter().map(|record| record.message.len()).sum();
        assert!(bytes > KEPT_BYTES / 2 && bytes <= KEPT_BYTES, "{bytes}");
    }
}
