//! Text in cells: cut, padded and drawn by the width a terminal gives it, CJK and all. Pure.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Cells a text takes.
pub fn width(text: &str) -> usize {
    clean(text).width()
}

/// Control characters become spaces: what others sent must not move the cursor.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most `cells` wide; what is cut ends in `…`.
pub fn cut(text: &str, cells: usize) -> String {
    let text = clean(text);
    if text.width() <= cells {
        return text;
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > cells {
            break;
        }
        used += wide;
        kept.push(c);
    }
    if cells > 0 {
        kept.push('…');
    }
    kept
}

/// Exactly `cells` wide, the text at the left.
pub fn left(text: &str, cells: usize) -> String {
    let kept = cut(text, cells);
    let room = cells.saturating_sub(kept.width());
    kept + &" ".repeat(room)
}

/// Exactly `cells` wide, the text at the right.
pub fn right(text: &str, cells: usize) -> String {
    let kept = cut(text, cells);
    " ".repeat(cells.saturating_sub(kept.width())) + &kept
}

/// Lines of at most `cells`, broken between words where there are any; lines stay lines, tabs become spaces.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(2); // a wide character must fit
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let line = clean(&line.trim_end_matches('\r').replace('\t', "    "));
        let mut rest = line.as_str();
        while rest.width() > cells {
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
    for (at, c) in line.char_indices() {
        used += c.width().unwrap_or(0);
        if c == ' ' && !line[..at].trim().is_empty() {
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
}
