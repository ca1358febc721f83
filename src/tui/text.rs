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

#[cfg(test)]
mod tests {
    use super::*;

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
