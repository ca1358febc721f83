//! Lines of text with tones, scrolled: what a pane shows that is no table and no log. Must never know what they mean.

use crate::tui::keymap::Action;
use crate::tui::scroll;
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::Printer;

/// Parts of one line, each behind the other.
pub type Spans = Vec<(String, Tone)>;

/// Lines, and where one is in them.
#[derive(Default)]
pub struct Lines {
    pub lines: Vec<Spans>,
    top: usize,
}

impl Lines {
    /// Scrolls in a pane of `height` rows; `false` when the action is none that scrolls.
    pub fn scroll(&mut self, action: Action, height: usize) -> bool {
        let last = self.lines.len().saturating_sub(height);
        let Some(top) = scroll::to(action, self.top, height, last) else { return false };
        self.top = top;
        true
    }

    /// `3-12 of 40` when not all lines fit.
    pub fn range(&self, height: usize) -> String {
        let top = self.top.min(self.lines.len().saturating_sub(height));
        match self.lines.len() > height && height > 0 {
            true => format!("{}-{} of {}", top + 1, top + height, self.lines.len()),
            false => String::new(),
        }
    }

    /// Draws it over the whole of the printer.
    pub fn draw(&self, printer: &Printer) {
        let top = self.top.min(self.lines.len().saturating_sub(printer.size.y));
        for (y, spans) in self.lines.iter().skip(top).take(printer.size.y).enumerate() {
            let mut x = 0;
            for (part, tone) in spans {
                let part = text::cut(part, printer.size.x.saturating_sub(x));
                printer.with_style(tone.style(), |p| p.print((x, y), &part));
                x += text::width(&part);
            }
        }
    }
}

/// Rows of words as lines in columns, under a head; the last column is not padded.
pub fn columns(head: &[&str], rows: &[Vec<(String, Tone)>]) -> Vec<Spans> {
    /// A name may be long, and what follows it must still be seen.
    const MOST: usize = 28;
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|(word, _)| text::width(word));
        cells.max().unwrap_or(0).max(text::width(head[column])).min(MOST)
    };
    let widths: Vec<usize> = (0..head.len()).map(wide).collect();
    let pad = |column: usize, word: &str| match column + 1 == head.len() {
        true => word.to_string(),
        false => text::left(word, widths[column]) + "  ",
    };
    let title = head.iter().enumerate().map(|(column, word)| (pad(column, word), Tone::Title)).collect();
    let body = rows.iter().map(|row| {
        row.iter().take(head.len()).enumerate().map(|(column, (word, tone))| (pad(column, word), *tone)).collect()
    });
    std::iter::once(title).chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_scroll_no_further_than_their_end() {
        let mut lines = Lines { lines: vec![Spans::new(); 10], top: 0 };
        lines.scroll(Action::PageDown, 4);
        assert_eq!(lines.range(4), "4-7 of 10");
        lines.scroll(Action::Bottom, 4);
        lines.scroll(Action::Down, 4);
        assert_eq!(lines.range(4), "7-10 of 10");
        lines.lines.truncate(3);
        assert_eq!(lines.range(4), "");
        lines.scroll(Action::Up, 4);
        assert_eq!(lines.top, 0);
    }
}
