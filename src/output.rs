//! How results are printed: tables, JSON, names, ages, colour. Must never ask the orchestrator anything, and never
//! panic because a reader went away.

use crate::cli::{ClientOptions, Format};
use jiff::Timestamp;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// What stands where there is nothing.
pub const NONE: &str = "<none>";

/// Of a digest that are shown in tables.
pub const DIGITS: usize = 12;

/// One column of a table.
pub struct Column<T: 'static> {
    pub head: &'static str,
    /// Only in `-o wide`.
    pub wide: bool,
    /// Coloured by its word.
    pub status: bool,
    /// A sentence: stands last, so that its spaces part nothing.
    pub words: bool,
    pub cell: fn(&T, Timestamp) -> String,
}

impl<T> Column<T> {
    pub const fn new(head: &'static str, cell: fn(&T, Timestamp) -> String) -> Column<T> {
        Column { head, wide: false, status: false, words: false, cell }
    }

    pub const fn wide(head: &'static str, cell: fn(&T, Timestamp) -> String) -> Column<T> {
        Column { head, wide: true, status: false, words: false, cell }
    }

    pub const fn status(head: &'static str, cell: fn(&T, Timestamp) -> String) -> Column<T> {
        Column { head, wide: false, status: true, words: false, cell }
    }

    pub const fn words(head: &'static str, cell: fn(&T, Timestamp) -> String) -> Column<T> {
        Column { head, wide: true, status: false, words: true, cell }
    }

    fn shown(&self, item: &T, now: Timestamp) -> String {
        let text = one_line((self.cell)(item, now).trim());
        match (text.is_empty(), self.words) {
            (true, _) => NONE.to_string(),
            (false, true) => text,
            (false, false) => text.split_whitespace().collect::<Vec<_>>().join("-"),
        }
    }
}

/// Writes to stdout all at once, and flushes.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line to stderr; that nobody reads it is no reason to fail.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether what was said on stderr can be taken back and said anew.
pub fn redraws() -> bool {
    io::stderr().is_terminal() && !dumb()
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Says on stderr what is being done, unless asked to be quiet.
pub fn progress(options: &ClientOptions, text: &str) {
    if !options.quiet {
        note(text);
    }
}

/// Pretty JSON with a newline at its end.
pub fn json<T: Serialize + ?Sized>(value: &T) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// JSON on one line, with its end: for what streams.
pub fn json_line<T: Serialize>(value: &T) -> io::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}

/// Prints a list in the format that was asked for; the first column is what `-o name` prints.
pub fn print_list<T: Serialize>(options: &ClientOptions, items: &[T], columns: &[Column<T>]) -> io::Result<()> {
    match options.output.unwrap_or_default() {
        Format::Json => print(&json(items)?),
        _ => print(&lines(options, &items.iter().collect::<Vec<_>>(), columns).concat()),
    }
}

/// The lines of a list, with their ends: the heads of the columns, unless asked to be quiet or for names, and one an item.
pub fn lines<T>(options: &ClientOptions, items: &[&T], columns: &[Column<T>]) -> Vec<String> {
    let now = Timestamp::now();
    match options.output.unwrap_or_default() {
        Format::Name => match columns.first() {
            Some(column) => items.iter().map(|item| column.shown(item, now) + "\n").collect(),
            None => Vec::new(),
        },
        format => table(items, columns, format == Format::Wide, !options.quiet, colour(), now),
    }
}

/// Prints what a change did: one line and what comes next for people, the API's own answer as JSON, or just the name.
pub fn print_change<T: Serialize>(options: &ClientOptions, answer: &T, name: &str, line: &str) -> io::Result<()> {
    match options.output.unwrap_or_default() {
        Format::Json => print(&json(answer)?),
        Format::Name => print(&format!("{name}\n")),
        _ if options.quiet => Ok(()),
        _ => print(&format!("{line}\n")),
    }
}

/// Prints labelled lines, aligned; a value of several lines is indented below its label.
pub fn fields(fields: &[(&str, String)]) -> String {
    let widest = fields.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in fields {
        let mut lines = value.lines().map(printable);
        let first = lines.next().filter(|line| !line.is_empty()).unwrap_or_else(|| NONE.to_string());
        text.push_str(&format!("{label}:{}  {first}\n", " ".repeat(widest - width(label))));
        for line in lines {
            text.push_str(&format!("{}{line}\n", " ".repeat(widest + 3)));
        }
    }
    text
}

fn table<T>(items: &[&T], columns: &[Column<T>], wide: bool, head: bool, colour: bool, now: Timestamp) -> Vec<String> {
    let mut columns: Vec<&Column<T>> = columns.iter().filter(|column| wide || !column.wide).collect();
    columns.sort_by_key(|column| column.words);
    let mut rows: Vec<Vec<String>> = Vec::with_capacity(items.len() + 1);
    if head {
        rows.push(columns.iter().map(|column| column.head.to_string()).collect());
    }
    rows.extend(items.iter().map(|item| columns.iter().map(|column| column.shown(item, now)).collect()));
    let widths: Vec<usize> =
        (0..columns.len()).map(|at| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0)).collect();
    let mut lines = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        let mut text = String::new();
        for (at, cell) in row.iter().enumerate() {
            match colour && columns[at].status && !(head && number == 0) {
                true => text.push_str(&paint(cell, cell)),
                false => text.push_str(cell),
            }
            if at + 1 < row.len() {
                text.push_str(&" ".repeat(widths[at] - width(cell) + 3));
            }
        }
        text.push('\n');
        lines.push(text);
    }
    lines
}

/// Whether stdout takes colour: a terminal that is not asked to be plain.
pub fn colour() -> bool {
    let set = |key| std::env::var_os(key).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !set("NO_COLOR") && !dumb()
}

/// A status, coloured where that is wanted.
pub fn paint_if(word: &str) -> String {
    if colour() { paint(word, word) } else { word.to_string() }
}

/// Colours `text` as the status `word` calls for; the word stays, so that colour never stands alone.
pub fn paint(text: &str, word: &str) -> String {
    let code = match word {
        "active" | "running" | "ok" | "warm" | "succeeded" => 32,
        "draining" | "starting" | "warn" | "queued" | "active,cordoned" | "draining,cordoned" | "stopped"
        | "no-image" => 33,
        "disconnected" | "disconnected,cordoned" | "revoked" | "revoked,cordoned" | "failing" | "fail" | "failed" => 31,
        _ => return text.to_string(),
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// How long ago an RFC 3339 time is: `5s`, `3m`, `2h`, `4d`.
pub fn age(time: &str, now: Timestamp) -> String {
    let Ok(then) = time.parse::<Timestamp>() else { return NONE.to_string() };
    match now.as_second().saturating_sub(then.as_second()).max(0) {
        s @ ..60 => format!("{s}s"),
        s @ ..3600 => format!("{}m", s / 60),
        s @ ..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// An image, of a bundle's digest the first letters: they tell it apart.
pub fn image(image: &str, digits: usize) -> String {
    match image.strip_prefix("bundle:") {
        Some(digest) => format!("bundle:{}", digest.chars().take(digits).collect::<String>()),
        None => image.to_string(),
    }
}

/// Bytes for people: `512B`, `1.5KiB`, `20GiB`.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1023.95 {
            return if unit == "B" || value >= 99.95 {
                format!("{value:.0}{unit}")
            } else {
                format!("{value:.1}{unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1}TiB")
}

/// Text from elsewhere with its control characters made harmless; lines stay lines.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\t' | '\n') { '?' } else { c }).collect()
}

/// A line that somebody else wrote, with its end, for stdout: a terminal must not be told by it to do anything.
pub fn line(text: &str) -> String {
    match io::stdout().is_terminal() {
        true => harmless(text) + "\n",
        false => format!("{text}\n"),
    }
}

/// Colours stay; no other control character does.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.strip_suffix('\r').unwrap_or(text);
    while let Some(c) = rest.chars().next() {
        let colour = rest.strip_prefix("\x1b[").and_then(|set| {
            let end = set.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            (set.as_bytes()[end] == b'm').then_some("\x1b[".len() + end + 1)
        });
        let taken = colour.unwrap_or(c.len_utf8());
        match colour.is_none() && c.is_control() && c != '\t' {
            true => shown.push('?'),
            false => shown.push_str(&rest[..taken]),
        }
        rest = &rest[taken..];
    }
    shown
}

/// The same on one line.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// Columns a text takes on a terminal. Exact for what names hold; near enough for the rest of Unicode.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match c as u32 {
            0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f | 0x20d0..=0x20ff => 0,
            0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
            0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<(&str, &str)>; 5] = [
        Column::new("NAME", |row, _| row.0.to_string()),
        Column::status("STATUS", |row, _| row.1.to_string()),
        Column::words("WHY", |row, _| format!("because of\n {}", row.0)),
        Column::wide("EXTRA", |_, _| "x".to_string()),
        Column::new("AGE", |_, now| age("2025-01-01T00:00:00Z", now)),
    ];

    fn now() -> Timestamp {
        "2025-01-01T00:02:00Z".parse().unwrap()
    }

    #[test]
    fn tables_are_aligned_and_parseable() {
        let rows = [("a", "active"), ("日本", ""), ("b c\x1b[2J", "failing")];
        let rows: Vec<_> = rows.iter().collect();
        let text = table(&rows, &COLUMNS, false, true, false, now()).concat();
        let wanted =
            "NAME      STATUS    AGE\na         active    2m\n日本      <none>    2m\nb-c?[2J   failing   2m\n";
        assert_eq!(text, wanted);
        let wide = table(&rows, &COLUMNS, true, true, false, now()).concat();
        let wanted = "NAME      STATUS    EXTRA   AGE   WHY\na         active    x       2m    because of  a\n";
        assert!(wide.starts_with(wanted) && wide.ends_with("because of  b c?[2J\n"), "{wide}");
        assert!(table(&rows, &COLUMNS, false, false, true, now())[0].starts_with("a         \x1b[32mactive\x1b[0m"));
    }

    #[test]
    fn what_others_wrote_colours_a_terminal_and_tells_it_nothing_else() {
        for (text, wanted) in [
            ("plain\ttext ü", "plain\ttext ü"),
            ("\x1b[1;31mred\x1b[0m\x1b[m", "\x1b[1;31mred\x1b[0m\x1b[m"),
            ("\x1b]0;title\x07\x1b[2J\x1b[3", "?]0;title??[2J?[3"),
            ("\x1b[?25l\x1b[1;1H\u{9b}2J", "?[?25l?[1;1H?2J"),
            ("half\rway\r", "half?way"),
            ("", ""),
        ] {
            assert_eq!(harmless(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn ages_and_sizes_are_short() {
        for (time, wanted) in [
            ("2025-01-01T00:01:55Z", "5s"),
            ("2025-01-01T00:00:00Z", "2m"),
            ("2024-12-31T22:00:00Z", "2h"),
            ("2024-12-28T00:00:00+00:00", "4d"),
            ("2026-01-01T00:00:00Z", "0s"),
            ("", NONE),
        ] {
            assert_eq!(age(time, now()), wanted);
        }
        for (count, wanted) in [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (1 << 20, "1.0MiB"), (8 << 30, "8.0GiB")]
        {
            assert_eq!(bytes(count), wanted);
        }
        assert_eq!(bytes(u64::MAX), "16777216.0TiB");
    }

    #[test]
    fn fields_are_aligned() {
        let text = fields(&[("Name", "a".to_string()), ("Env", "A=1\nB=2".to_string()), ("Error", String::new())]);
        assert_eq!(text, "Name:   a\nEnv:    A=1\n        B=2\nError:  <none>\n");
    }
}
