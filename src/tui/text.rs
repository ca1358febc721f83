//! Text in cells: cut, padded and drawn by the width a terminal gives it, CJK and all. Pure.

use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The widest cluster that is shown; cursive panics at one of more than 5 cells, and a log line can hold any.
const CLUSTER_MAX: usize = 2;

/// Cells a text takes.
pub fn width(text: &str) -> usize {
    clusters_width(&printable(text))
}

/// Control characters become spaces, and what turns or hides text goes: what others sent must not move the cursor.
pub fn clean(text: &str) -> String {
    printable(text).into_owned()
}

fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    for cluster in text.graphemes(true) {
        match cluster.width() {
            _ if cluster.chars().any(char::is_control) => kept.push(' '),
            0 => {} // direction marks, joiners: nothing to see
            1..=CLUSTER_MAX => kept.push_str(cluster),
            _ => kept.push(char::REPLACEMENT_CHARACTER),
        }
    }
    Cow::Owned(kept)
}

/// As a terminal, and cursive, add them up; neighbours may count for less together.
fn clusters_width(printable: &str) -> usize {
    if printable.is_ascii() {
        return printable.len();
    }
    printable.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// At most `cells` wide; what is cut ends in `…`.
pub fn cut(text: &str, cells: usize) -> String {
    let text = printable(text);
    if clusters_width(&text) <= cells {
        return text.into_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for cluster in text.graphemes(true) {
        let wide = cluster.width();
        if used + wide + 1 > cells {
            break;
        }
        used += wide;
        kept.push_str(cluster);
    }
    if cells > 0 {
        kept.push('…');
    }
    kept
}

/// Exactly `cells` wide, the text at the left.
pub fn left(text: &str, cells: usize) -> String {
    let kept = cut(text, cells);
    let room = cells.saturating_sub(clusters_width(&kept));
    kept + &" ".repeat(room)
}

/// Exactly `cells` wide, the text at the right.
pub fn right(text: &str, cells: usize) -> String {
    let kept = cut(text, cells);
    " ".repeat(cells.saturating_sub(clusters_width(&kept))) + &kept
}

/// Lines of at most `cells`, broken between words where there are any; lines stay lines, tabs become spaces.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(2); // a wide character must fit
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let line = clean(&line.trim_end_matches('\r').replace('\t', "    "));
        let mut rest = line.as_str();
        while clusters_width(rest) > cells {
            let (head, tail) = split(rest, cells);
            lines.push(head.to_string());
            rest = tail;
        }
        lines.push(rest.to_string());
    }
    lines
}

/// What fits in `cells`, to the last word's end, and what is left.
fn split(line: &str, cells: usize) -> (&str, &str) {
    let mut used = 0;
    let mut space = None;
    for (at, cluster) in line.grapheme_indices(true) {
        used += cluster.width();
        if cluster == " " && !line[..at].trim().is_empty() {
            space = Some(at);
        }
        if used > cells {
            return match space {
                Some(at) => (&line[..at], &line[at + 1..]),
                None => line.split_at(at),
            };
        }
    }
    (line, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("日本語", 3), ["日", "本", "語"]);
        assert_eq!(wrap("    abc def", 7), ["    abc", "def"]);
        assert_eq!(wrap("a\n\nb\x1b[2J\r\n", 9), ["a", "", "b [2J", ""]);
        assert_eq!(wrap("ab", 0), ["ab"]);
    }

    #[test]
    fn widths_are_cells() {
        assert_eq!(width("日本"), 4);
        assert_eq!(left("日本語", 5), "日本…");
        assert_eq!(left("日本語", 4), "日… ");
        assert_eq!(right("ab", 4), "  ab");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(clean("a\x1b[31m\n"), "a [31m ");
    }
    #[test]
    fn what_would_panic_or_turn_the_line_never_reaches_the_screen() {
        let jamo = "ᄀ".repeat(6); // one cluster, 12 cells
        assert_eq!(clean(&jamo), "\u{fffd}");
        assert_eq!(clean("a\u{202e}b\u{200b}c\r\nd\u{9b}31m"), "abc d 31m");
        assert_eq!(left("e\u{301}\u{1f468}\u{200d}\u{1f469}", 4), "e\u{301}\u{1f468}\u{200d}\u{1f469} ");
        for text in
            [jamo.as_str(), "\u{301}", "का\u{93e}\u{93e}\u{93e}\u{93e}\u{93e}\u{93e}", "☺\u{fe0f}☺\u{fe0f}", "لا"]
        {
            for cells in 0..8 {
                assert_eq!(clusters_width(&left(text, cells)), cells, "{text:?} in {cells}");
            }
        }
    }
}
