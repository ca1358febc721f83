//! A text field: what was typed, where the cursor is, and how much it takes. It swallows every character; which key
//! leaves it is the form's business.

use crate::tui::paste;
use crate::tui::theme::Tone;
use cursive::Printer;
use cursive::event::{Event, Key};
use cursive::theme::Effect;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// One field.
pub struct Field {
    text: String,
    /// In bytes, always between two characters.
    cursor: usize,
    /// In characters.
    limit: usize,
    /// Rows on the screen; with more than one, Enter makes a new line.
    rows: usize,
    /// Something was left out for lack of room.
    full: bool,
}

impl Field {
    /// Of one line.
    pub fn line(limit: usize) -> Field {
        Field { text: String::new(), cursor: 0, limit, rows: 1, full: false }
    }

    /// Of several lines, `rows` of which are shown.
    pub fn area(limit: usize, rows: usize) -> Field {
        Field { rows: rows.max(2), ..Field::line(limit) }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Replaces the text; the cursor goes to its end.
    pub fn set(&mut self, text: &str) {
        self.text = text.chars().take(self.limit).collect();
        self.cursor = self.text.len();
        self.full = false;
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the last that was typed had no room.
    pub fn full(&self) -> bool {
        self.full
    }

    /// Takes a key; `false`: it means nothing here.
    pub fn takes(&mut self, event: &Event) -> bool {
        let several = self.rows > 1;
        match event {
            Event::Char(c) if !c.is_control() => self.insert(*c),
            Event::Unknown(pasted) => paste::text(pasted, !several).chars().for_each(|c| self.insert(c)),
            Event::Key(Key::Enter) if several => self.insert('\n'),
            Event::Key(Key::Backspace) | Event::CtrlChar('h') => self.erase(self.before()),
            Event::Key(Key::Del) | Event::CtrlChar('d') => {
                let end = self.after();
                self.cut(self.cursor, end);
            }
            Event::Key(Key::Left) | Event::CtrlChar('b') => self.cursor = self.before(),
            Event::Key(Key::Right) | Event::CtrlChar('f') => self.cursor = self.after(),
            Event::Ctrl(Key::Left) => self.cursor = self.word_before(),
            Event::Ctrl(Key::Right) => self.cursor = self.word_after(),
            Event::Key(Key::Home) | Event::CtrlChar('a') => self.cursor = self.line_start(),
            Event::Key(Key::End) | Event::CtrlChar('e') => self.cursor = self.line_end(),
            Event::CtrlChar('u') => self.erase(self.line_start()),
            Event::CtrlChar('k') => {
                let end = self.line_end();
                self.cut(self.cursor, end);
            }
            Event::CtrlChar('w') => self.erase(self.word_before()),
            Event::Key(Key::Up) if several && self.line_start() > 0 => {
                let column = self.text[self.line_start()..self.cursor].chars().count();
                self.cursor = self.line_start() - 1;
                self.move_to_column(column);
            }
            Event::Key(Key::Down) if several && self.line_end() < self.text.len() => {
                let column = self.text[self.line_start()..self.cursor].chars().count();
                self.cursor = self.line_end() + 1;
                self.move_to_column(column);
            }
            _ => return false,
        }
        true
    }

    fn insert(&mut self, c: char) {
        self.full = self.text.chars().count() >= self.limit;
        if !self.full {
            self.text.insert(self.cursor, c);
            self.cursor += c.len_utf8();
        }
    }

    /// Removes what stands between `start` and the cursor.
    fn erase(&mut self, start: usize) {
        self.cut(start, self.cursor);
        self.cursor = start;
    }

    fn cut(&mut self, start: usize, end: usize) {
        self.full &= start == end;
        self.text.replace_range(start..end, "");
    }

    fn before(&self) -> usize {
        self.text[..self.cursor].char_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.cursor + self.text[self.cursor..].chars().next().map_or(0, char::len_utf8)
    }

    fn word_before(&self) -> usize {
        let words = self.text[..self.cursor].trim_end();
        words.char_indices().rev().find(|(_, c)| c.is_whitespace()).map_or(0, |(at, c)| at + c.len_utf8())
    }

    fn word_after(&self) -> usize {
        let rest = &self.text[self.cursor..];
        let spaces = rest.len() - rest.trim_start().len();
        let word = rest[spaces..].find(char::is_whitespace).unwrap_or(rest.len() - spaces);
        self.cursor + spaces + word
    }

    fn line_start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.cursor..].find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    /// To a column of the cursor's line, or its end.
    fn move_to_column(&mut self, column: usize) {
        let start = self.line_start();
        let line = &self.text[start..self.line_end()];
        self.cursor = start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    }

    /// Draws it over the whole of the printer, so that the cursor is seen.
    pub fn draw(&self, printer: &Printer, focused: bool) {
        let (width, height) = (printer.size.x.max(1), printer.size.y);
        let (rows, (x, y)) = self.layout(width);
        let top = (y + 1).saturating_sub(height);
        for row in 0..height {
            let text = rows.get(top + row).copied().unwrap_or_default();
            let text = crate::tui::text::clean(text);
            printer.print((0, row), &text);
            let used = text.width();
            let filler = "_".repeat(width.saturating_sub(used));
            printer.with_style(Tone::Dim.style(), |p| p.print((used, row), &filler));
        }
        if focused {
            let under = self.text[self.cursor..].chars().next().filter(|c| !c.is_control() && c.width() > Some(0));
            let under = under.map_or(" ".to_string(), String::from);
            printer.with_effect(Effect::Reverse, |p| p.print((x.min(width - 1), y - top), &under));
        }
    }

    /// What stands in each row of `width` cells, and the cursor's column and row.
    fn layout(&self, width: usize) -> (Vec<&str>, (usize, usize)) {
        if self.rows == 1 {
            // One row, whose start leaves the screen when the cursor would.
            let mut start = 0;
            let mut column = self.text[..self.cursor].width();
            for c in self.text[..self.cursor].chars() {
                if column < width {
                    break;
                }
                column -= c.width().unwrap_or(0);
                start += c.len_utf8();
            }
            return (vec![fitting(&self.text[start..], width)], (column, 0));
        }
        let mut rows = Vec::new();
        let mut at = (0, 0);
        let mut start = 0;
        for line in self.text.split('\n') {
            let end = start + line.len();
            let mut row_start = start;
            loop {
                // The last cell is the cursor's, at a line's end.
                let row = fitting(&self.text[row_start..end], width - 1);
                let row_end = if row.is_empty() { end } else { row_start + row.len() };
                if (row_start..=row_end).contains(&self.cursor) {
                    at = (self.text[row_start..self.cursor].width(), rows.len());
                }
                rows.push(&self.text[row_start..row_end]);
                row_start = row_end;
                if row_start >= end {
                    break;
                }
            }
            start = end + 1;
        }
        (rows, at)
    }
}

/// As much of the start as fits.
fn fitting(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > width
    });
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(mut field: Field, text: &str) -> Field {
        for c in text.chars() {
            field.takes(&if c == '\n' { Event::Key(Key::Enter) } else { Event::Char(c) });
        }
        field
    }

    #[test]
    fn it_is_edited() {
        let mut field = typed(Field::line(20), "one twó");
        for key in [Event::Key(Key::Left), Event::Key(Key::Backspace), Event::Char('日')] {
            assert!(field.takes(&key));
        }
        assert_eq!(field.text(), "one t日ó");
        field.takes(&Event::CtrlChar('w'));
        assert_eq!(field.text(), "one ó");
        field.takes(&Event::CtrlChar('u'));
        assert_eq!(field.text(), "ó");
        field.takes(&Event::Key(Key::Del));
        field.takes(&Event::Key(Key::Del));
        field.takes(&Event::Key(Key::Backspace));
        assert_eq!(field.text(), "");
        assert!(!field.takes(&Event::Key(Key::Up)) && !field.takes(&Event::Key(Key::Enter)));
    }

    #[test]
    fn what_has_no_room_is_said() {
        let mut field = typed(Field::line(3), "abcd");
        assert_eq!((field.text(), field.full()), ("abc", true));
        field.takes(&Event::Key(Key::Backspace));
        assert!(!field.full());
    }

    #[test]
    fn lines_have_rows() {
        let mut field = typed(Field::area(100, 3), "abc\ndefgh\n");
        assert_eq!(field.layout(4), (vec!["abc", "def", "gh", ""], (0, 3)));
        field.takes(&Event::Key(Key::Up));
        field.takes(&Event::Key(Key::Up));
        assert_eq!(field.layout(10).1, (0, 0));
        assert!(!field.takes(&Event::Key(Key::Up)), "the form's");
        field.takes(&Event::Key(Key::End));
        field.takes(&Event::Key(Key::Down));
        assert_eq!(field.layout(10).1, (3, 1));
    }

    #[test]
    fn long_lines_keep_the_cursor_in_sight() {
        let field = typed(Field::line(100), "日本語日本語");
        assert_eq!(field.layout(5), (vec!["本語"], (4, 0)));
        let field = typed(Field::line(100), "日本");
        assert_eq!(field.layout(1).1.1, 0);
        assert_eq!(typed(Field::area(9, 2), "日本").layout(1).0.len(), 1);
    }
}
