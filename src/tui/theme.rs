//! How things look: few tones, each a word in the code. The terminal's own background always; with NO_COLOR, only effects.

use cursive::theme::{
    BaseColor, BorderStyle, Color, ColorStyle, ColorType, Effect, Palette, PaletteColor, Style, Theme,
};
use std::sync::OnceLock;

/// What something means; never told by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    /// Less important.
    Dim,
    /// Keys, links, what can be acted on.
    Accent,
    /// Titles and column heads.
    Title,
    /// The selected row of the pane that has the focus.
    Selected,
    /// The selected row of another pane.
    Unfocused,
}

impl Tone {
    /// As cursive draws it.
    pub fn style(self) -> Style {
        self.styled(colour())
    }

    fn styled(self, colour: bool) -> Style {
        let plain = Style::from(own(Color::TerminalDefault));
        let base = match self {
            Tone::Good if colour => Style::from(own(Color::Dark(BaseColor::Green))),
            Tone::Warn if colour => Style::from(own(Color::Dark(BaseColor::Yellow))),
            Tone::Bad if colour => Style::from(own(Color::Dark(BaseColor::Red))),
            Tone::Accent if colour => Style::from(own(Color::Dark(BaseColor::Cyan))),
            _ => plain,
        };
        match self {
            Tone::Plain | Tone::Good | Tone::Warn | Tone::Accent => base,
            Tone::Bad | Tone::Title => base.combine(Effect::Bold),
            Tone::Dim => base.combine(Effect::Dim),
            Tone::Selected => base.combine(Effect::Reverse),
            Tone::Unfocused => base.combine(Effect::Underline),
        }
    }
}

/// A colour on the terminal's own background.
fn own(front: Color) -> ColorStyle {
    ColorStyle::new(ColorType::Color(front), ColorType::Color(Color::TerminalDefault))
}

/// Whether colours may be used (<https://no-color.org>: any value but the empty one says no).
pub fn colour() -> bool {
    static COLOUR: OnceLock<bool> = OnceLock::new();
    *COLOUR.get_or_init(|| std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
}

/// What cursive's own views (dialogs, fields, buttons) are drawn with.
pub fn theme() -> Theme {
    let mut palette = Palette::terminal_default();
    for part in [PaletteColor::Background, PaletteColor::View, PaletteColor::Shadow] {
        palette[part] = Color::TerminalDefault;
    }
    let accent = if colour() { Color::Dark(BaseColor::Cyan) } else { Color::TerminalDefault };
    palette[PaletteColor::TitlePrimary] = accent;
    Theme { shadow: false, borders: BorderStyle::Simple, palette }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_only_effects_are_left() {
        for tone in [Tone::Good, Tone::Warn, Tone::Bad, Tone::Accent] {
            assert_eq!(tone.styled(false).color, Tone::Plain.styled(false).color);
            assert_ne!(tone.styled(true).color, Tone::Plain.styled(true).color);
        }
        assert_ne!(Tone::Selected.styled(false).effects, Tone::Plain.styled(false).effects);
    }
}
