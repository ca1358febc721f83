//! The frame of a pane: a box where there is room, else a line above. Heavy lines have the focus. No behaviour.

use super::layout::{Area, area};
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::Printer;

/// What a frame says.
pub struct Frame<'a> {
    pub title: &'a str,
    /// Behind the title: counts, filter, state; with its tone.
    pub note: &'a str,
    pub tone: Tone,
    pub focused: bool,
    pub boxed: bool,
    /// Cells at the right end of its first row that are somebody else's.
    pub keep: usize,
}

/// Where the inside of a frame is.
pub fn inside(of: Area, boxed: bool) -> Area {
    let (left, across, down) = if boxed { (1, 2, 2) } else { (0, 0, 1) };
    area(of.at.x + left, of.at.y + 1, of.size.x.saturating_sub(across), of.size.y.saturating_sub(down))
}

impl Frame<'_> {
    /// Draws it and gives the printer of its inside.
    pub fn draw<'p, 'b>(&self, printer: &Printer<'p, 'b>, area: Area) -> Printer<'p, 'b> {
        let size = area.size;
        let whole = area.printer(printer);
        let lines = if self.focused {
            ["━", "┃", "┏", "┓", "┗", "┛"]
        } else {
            ["─", "│", "┌", "┐", "└", "┘"]
        };
        let [across, down, top_left, top_right, bottom_left, bottom_right] = lines;
        let tone = if self.focused { Tone::Accent } else { Tone::Dim };
        whole.with_style(tone.style(), |p| {
            p.print_hline((0, 0), size.x, across);
            if self.boxed && size.x > 1 && size.y > 1 {
                p.print_hline((0, size.y - 1), size.x, across);
                p.print_vline((0, 0), size.y, down);
                p.print_vline((size.x - 1, 0), size.y, down);
                let right = size.x - 1;
                let corners = [
                    ((0, 0), top_left),
                    ((right, 0), top_right),
                    ((0, size.y - 1), bottom_left),
                    ((right, size.y - 1), bottom_right),
                ];
                for (at, corner) in corners {
                    p.print(at, corner);
                }
            }
        });
        let room = size.x.saturating_sub(4 + self.keep);
        let title = text::cut(&format!(" {} ", self.title), room);
        whole.with_style(if self.focused { Tone::Title } else { Tone::Plain }.style(), |p| p.print((2, 0), &title));
        if !self.note.is_empty() {
            let used = text::width(&title);
            let note = text::cut(&format!("· {} ", self.note), room.saturating_sub(used));
            whole.with_style(self.tone.style(), |p| p.print((2 + used, 0), &note));
        }
        inside(area, self.boxed).printer(printer)
    }
}
