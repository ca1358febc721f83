//! A log on the screen: a bounded scrollback that follows its end until someone scrolls up. Drawing reads, keys write.

use crate::tui::keymap::Action;
use crate::tui::scroll;
use crate::tui::text;
use crate::tui::theme::Tone;
use crate::types::LogRecord;
use cursive::Printer;
use std::collections::VecDeque;

/// Lines kept.
pub const LINES: usize = 10_000;

/// Cells from which on there is room for the time.
const TIME_FROM: usize = 60;

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// RFC 3339, UTC.
    pub time: String,
    /// `error`, `warn`, `info`, `debug`, or empty for what has none.
    pub level: String,
    pub text: String,
}

impl From<LogRecord> for Line {
    fn from(record: LogRecord) -> Self {
        Line { time: record.time, level: record.level, text: record.message }
    }
}

/// Up to which line a program's log was heard. A new connection gives the past again, and a new run of the program begins
/// at 1, at a later time.
#[derive(Default)]
pub struct Heard(Option<(u64, String)>);

impl Heard {
    /// Whether a line was not heard before; from now on it was.
    pub fn is_news(&mut self, record: &LogRecord) -> bool {
        let news = self.0.as_ref().is_none_or(|(id, time)| record.id > *id || record.time > *time);
        if news {
            self.0 = Some((record.id, record.time.clone()));
        }
        news
    }
}

/// The scrollback, and where one is in it.
#[derive(Default)]
pub struct Log {
    lines: VecDeque<Line>,
    /// The number of the first line shown at the top, while not following; counted since the start.
    top: Option<u64>,
    /// How many lines have been dropped at the front.
    dropped: u64,
}

impl Log {
    /// Adds one; the oldest goes when there are too many. Text of several lines becomes several.
    pub fn push(&mut self, line: Line) {
        let Line { time, level, text } = line;
        for part in text.lines() {
            self.lines.push_back(Line { time: time.clone(), level: level.clone(), text: part.to_string() });
        }
        while self.lines.len() > LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
    }

    /// Lines, oldest first.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &Line> + DoubleEndedIterator {
        self.lines.iter()
    }

    /// How many lines there have ever been.
    pub fn total(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }

    /// Lines that came after there had been `total`, as far as they are still kept.
    pub fn since(&self, total: u64) -> impl Iterator<Item = &Line> {
        self.lines.range(total.saturating_sub(self.dropped).min(self.lines.len() as u64) as usize..)
    }

    /// Whether new lines move it.
    pub fn following(&self) -> bool {
        self.top.is_none()
    }

    /// How many lines have gone: the number of the first there is, counted since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Scrolls, if need be, so that the line at `index` in `lines()` is seen in a pane of `height` lines.
    pub fn show(&mut self, index: usize, height: usize) {
        let first = self.first_shown(height);
        if !(first..first + height.max(1)).contains(&index) {
            let last = self.lines.len().saturating_sub(height);
            let top = index.saturating_sub(height / 2).min(last);
            self.top = (top < last).then_some(self.dropped + top as u64);
        }
    }

    /// Scrolls in a pane of `height` lines; `false` when the action is none that scrolls.
    pub fn scroll(&mut self, action: Action, height: usize) -> bool {
        let height = height.max(1);
        let last = self.lines.len().saturating_sub(height);
        let Some(next) = scroll::to(action, self.first_shown(height), height, last) else { return false };
        self.top = (next < last).then_some(self.dropped + next as u64);
        true
    }

    /// Where the lines shown start in `lines()`, in a pane of `height` lines.
    pub fn first_shown(&self, height: usize) -> usize {
        let last = self.lines.len().saturating_sub(height);
        self.top.map_or(last, |top| (top.saturating_sub(self.dropped) as usize).min(last))
    }

    /// Draws it over the whole of the printer.
    pub fn draw(&self, printer: &Printer) {
        let height = printer.size.y;
        for (y, line) in self.lines.iter().skip(self.first_shown(height)).take(height).enumerate() {
            draw_line(printer, y, line);
        }
    }
}

/// `12:34:56 [INFO] text`.
fn draw_line(printer: &Printer, y: usize, line: &Line) {
    let x = draw_head(printer, y, line);
    printer.print((x, y), &text::cut(&line.text, printer.size.x.saturating_sub(x)));
}

/// What stands before the text of a line: the time, where there is room for it, and the level. Where the text begins.
pub fn draw_head(printer: &Printer, y: usize, line: &Line) -> usize {
    let mut x = 0;
    if printer.size.x >= TIME_FROM
        && let Some(clock) = line.time.get(11..19)
    {
        printer.with_style(Tone::Dim.style(), |p| p.print((0, y), clock));
        x = clock.len() + 1;
    }
    let level = match line.level.as_str() {
        "" => return x,
        "stderr" => "err".to_string(),
        level => format!("[{}]", text::clean(level).to_uppercase()),
    };
    let level = text::cut(&level, printer.size.x.saturating_sub(x));
    printer.with_style(tone(&line.level).style(), |p| p.print((x, y), &level));
    x + text::width(&level) + 1
}

/// What a level looks like.
fn tone(level: &str) -> Tone {
    match level {
        "error" => Tone::Bad,
        "warn" | "stderr" => Tone::Warn,
        "debug" => Tone::Dim,
        _ => Tone::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: usize) -> Log {
        let mut log = Log::default();
        for n in 0..lines {
            log.push(line(&n.to_string()));
        }
        log
    }

    fn line(text: &str) -> Line {
        Line { time: String::new(), level: "info".into(), text: text.into() }
    }

    fn top(log: &Log) -> &str {
        &log.lines().nth(log.first_shown(10)).expect("a line").text
    }

    #[test]
    fn it_follows_until_scrolled_up_and_again_from_the_end() {
        let mut log = log(100);
        assert_eq!((top(&log), log.following()), ("90", true));
        log.scroll(Action::Up, 10);
        log.push(line("new"));
        assert_eq!((top(&log), log.following()), ("89", false), "it stays where one reads");
        log.scroll(Action::Bottom, 10);
        assert!(log.following());
        log.scroll(Action::Top, 10);
        assert_eq!(top(&log), "0");
    }

    #[test]
    fn the_oldest_go_and_what_is_read_goes_with_them() {
        let mut log = log(LINES);
        log.scroll(Action::Top, 10);
        log.push(line("one more"));
        assert_eq!(log.lines().len(), LINES);
        assert_eq!(top(&log), "1");
        log.scroll(Action::Down, 10);
        assert_eq!(top(&log), "2");
    }

    #[test]
    fn a_log_that_starts_again_is_told_from_one_that_is_heard_again() {
        let mut heard = Heard::default();
        let mut is_news = |id, second| {
            let time = format!("2026-01-01T00:00:0{second}.000Z");
            heard.is_news(&LogRecord { id, time, level: String::new(), message: String::new() })
        };
        assert!(is_news(7, 7));
        assert!(!is_news(7, 7) && !is_news(6, 7));
        assert!(is_news(8, 7));
        assert!(is_news(1, 9), "a new run");
        assert!(!is_news(1, 9));
    }

    #[test]
    fn short_logs_do_not_scroll() {
        let mut log = log(3);
        log.scroll(Action::Up, 10);
        assert!(log.following());
    }
}
