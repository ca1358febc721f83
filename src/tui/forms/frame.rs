//! Boxes over a screen: where they stand, their border, title and buttons, how they open and close. Knows nothing of
//! what is in them.

use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::traits::Nameable;
use cursive::view::{IntoBoxedView, View};
use cursive::{Cursive, Printer, Vec2};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a key or a button does.
pub type Callback = Arc<dyn Fn(&mut Cursive) + Send + Sync>;

/// Cells of the border and the blank beside it, at both sides together.
pub const SIDES: usize = 4;

/// A name no other box has: an answer that comes late must not reach a box opened since.
pub fn id(what: &str) -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("{what}-{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Puts a view over the screen. It is given the whole screen and draws what it needs of it.
pub fn open<V: View>(siv: &mut Cursive, id: &str, view: V)
where
    cursive::views::NamedView<V>: IntoBoxedView,
{
    siv.screen_mut().add_transparent_layer(view.with_name(id));
}

/// Takes it away, if it is still there.
pub fn close(siv: &mut Cursive, id: &str) {
    if let Some(at) = siv.screen_mut().find_layer_from_name(id) {
        siv.screen_mut().remove_layer(at);
    }
}

/// The size of a box that would like to have `wanted` cells inside.
pub fn outer(screen: Vec2, wanted: Vec2) -> Vec2 {
    Vec2::new((wanted.x + SIDES).min(screen.x), (wanted.y + 2).min(screen.y))
}

/// The cells inside a box.
pub fn inner(outer: Vec2) -> Vec2 {
    outer.saturating_sub((SIDES, 2))
}

/// Where a box of this size stands.
pub fn corner(screen: Vec2, outer: Vec2) -> Vec2 {
    screen.saturating_sub(outer) / 2
}

/// Draws an empty box in the middle, and what is in it.
pub fn draw(printer: &Printer, outer: Vec2, title: &str, content: impl FnOnce(&Printer)) {
    let at = corner(printer.size, outer);
    let printer = printer.offset(at).cropped(outer);
    printer.with_style(Tone::Plain.style(), |printer| {
        for y in 0..outer.y {
            printer.print_hline((0, y), outer.x, " ");
        }
        if outer.x > SIDES && outer.y > 2 {
            printer.print_box((0, 0), outer, false);
        }
        let title = text::cut(title, outer.x.saturating_sub(6));
        let start = outer.x.saturating_sub(text::width(&title) + 2) / 2;
        printer.with_style(Tone::Title.style(), |p| p.print((start, 0), &format!(" {title} ")));
        content(&printer.offset((SIDES / 2, 1)).cropped(inner(outer)));
    });
}

/// Rows of buttons in `width` cells: each the numbers of those in it.
pub fn button_rows(labels: &[&str], width: usize) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut used = 0;
    for (number, label) in labels.iter().enumerate() {
        let wide = text::width(label) + 4;
        match rows.last_mut() {
            Some(row) if used + 1 + wide <= width => {
                row.push(number);
                used += 1 + wide;
            }
            _ => {
                rows.push(vec![number]);
                used = wide;
            }
        }
    }
    rows
}

/// Draws buttons from row `y` on; the selected one has brackets and is reversed, for terminals without colour.
pub fn draw_buttons(printer: &Printer, y: usize, labels: &[&str], selected: Option<usize>) {
    for (line, row) in button_rows(labels, printer.size.x).iter().enumerate() {
        let mut x = 0;
        for number in row {
            let here = selected == Some(*number);
            let label = labels[*number];
            let label = if here { format!("[ {label} ]") } else { format!("  {label}  ") };
            let tone = if here { Tone::Selected } else { Tone::Plain };
            printer.with_style(tone.style(), |p| p.print((x, y + line), &label));
            x += text::width(&label) + 1;
        }
    }
}

/// A bar at the right edge that tells which part of `total` rows is seen, when not all of it is.
pub fn draw_scrollbar(printer: &Printer, first: usize, total: usize) {
    let (x, height) = (printer.size.x.saturating_sub(1), printer.size.y);
    if total <= height || height == 0 {
        return;
    }
    let thumb = (height * height / total).max(1);
    let start = (first * (height - thumb)).div_ceil((total - height).max(1)).min(height - thumb);
    for y in 0..height {
        let full = (start..start + thumb).contains(&y);
        let tone = if full { Tone::Plain } else { Tone::Dim };
        printer.with_style(tone.style(), |p| p.print((x, y), if full { "█" } else { "│" }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_wrap() {
        assert_eq!(button_rows(&["Uncordon", "Drain", "Cancel"], 36), [vec![0, 1, 2]]);
        assert_eq!(button_rows(&["Uncordon", "Drain", "Cancel"], 22), [vec![0, 1], vec![2]]);
        assert_eq!(button_rows(&["Uncordon"], 1), [vec![0]]);
    }
}
