//! Where keys that move lead to, in a list of any kind. Pure.

use crate::tui::keymap::Action;

/// From a place to another, at most `last`, by a page of `height` rows; `None` when the action is none that moves.
pub fn to(action: Action, from: usize, height: usize, last: usize) -> Option<usize> {
    let page = height.saturating_sub(1).max(1);
    let to = match action {
        Action::Up => from.saturating_sub(1),
        Action::Down => from + 1,
        Action::PageUp => from.saturating_sub(page),
        Action::PageDown => from + page,
        Action::Top => 0,
        Action::Bottom => last,
        _ => return None,
    };
    Some(to.min(last))
}
