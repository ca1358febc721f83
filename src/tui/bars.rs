//! Bars and sparklines: how much of something is used, told by length, figure and tone.

use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::Printer;

/// From here on it is much, and too much; in percent.
const MUCH: f64 = 70.0;
const TOO_MUCH: f64 = 90.0;
/// Cells of the figure behind a bar.
const FIGURE: usize = 5;

/// `████░░░░  42%`, `width` cells in all; `N/A` when nobody knows. Below 10 cells only the figure.
pub fn bar(printer: &Printer, at: (usize, usize), width: usize, percent: Option<f64>) {
    let Some(percent) = percent.filter(|p| p.is_finite()).map(|p| p.clamp(0.0, 100.0)) else {
        return printer.with_style(Tone::Dim.style(), |p| p.print(at, &format!("{:>width$}", "N/A")));
    };
    let figure = format!("{percent:>4.0}%");
    let cells = if width < 10 { 0 } else { width - FIGURE };
    let (full, empty) = self::cells(percent, cells);
    printer.with_style(tone(percent).style(), |p| p.print(at, &full));
    printer.with_style(Tone::Dim.style(), |p| p.print((at.0 + text::width(&full), at.1), &empty));
    let start = if cells == 0 { width.saturating_sub(FIGURE) } else { cells };
    printer.with_style(tone(percent).style(), |p| p.print((at.0 + start, at.1), &figure));
}

/// A bar's full and empty cells, `width` in all.
pub fn cells(percent: f64, width: usize) -> (String, String) {
    let full = filled(percent, width);
    ("█".repeat(full), "░".repeat(width - full))
}

/// Cells of `width` that are full; something is never nothing.
fn filled(percent: f64, width: usize) -> usize {
    let cells = (percent / 100.0 * width as f64).round() as usize;
    if percent >= 0.5 && cells == 0 { 1.min(width) } else { cells.min(width) }
}

/// What a percentage means.
pub fn tone(percent: f64) -> Tone {
    match percent {
        p if p >= TOO_MUCH => Tone::Bad,
        p if p >= MUCH => Tone::Warn,
        _ => Tone::Good,
    }
}

/// The last `width` percentages, the newest at the right; a gap where one was not known.
pub fn sparkline(history: &[Option<f64>], width: usize) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &history[history.len().saturating_sub(width)..];
    let mut line = " ".repeat(width - shown.len());
    line.extend(shown.iter().map(|percent| match percent {
        Some(p) => STEPS[((p.clamp(0.0, 100.0) / 100.0 * 7.0).round() as usize).min(7)],
        None => ' ',
    }));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_never_nothing() {
        assert_eq!(filled(0.0, 10), 0);
        assert_eq!(filled(1.0, 10), 1);
        assert_eq!(filled(100.0, 10), 10);
        assert_eq!(filled(50.0, 0), 0);
    }

    #[test]
    fn a_sparkline_ends_at_the_right() {
        assert_eq!(sparkline(&[Some(0.0), None, Some(100.0)], 5), "  ▁ █");
        assert_eq!(sparkline(&[Some(0.0), Some(100.0)], 1), "█");
        assert_eq!(sparkline(&[], 3), "   ");
    }
}
