//! What stands in a pane, as keys and the mouse meet it: a table, lines, or a log. Must never draw.

use super::lines::Lines;
use crate::tui::keymap::Action;
use crate::tui::log::Log;
use crate::tui::session::Session;
use cursive::Vec2;
use cursive::event::Event;

/// Rows the wheel moves.
pub const WHEEL: usize = 3;

/// Something that is scrolled, and perhaps sorted, filtered and selected in.
pub trait Pane {
    /// Moves in a pane of `height` rows, sorts by the column of this number, or filters; `false` when the action is none
    /// of that.
    fn act(&mut self, action: Action, number: usize, height: usize) -> bool;

    /// Turns the wheel.
    fn wheel(&mut self, down: bool, height: usize) {
        let action = if down { Action::Down } else { Action::Up };
        for _ in 0..WHEEL {
            self.act(action, 0, height);
        }
    }

    /// A click at a place of its inside, of this width. Whether it was on what was selected before.
    fn click(&mut self, _at: Vec2, _width: usize) -> bool {
        false
    }

    /// Whether keys are text now.
    fn typing(&self) -> bool {
        false
    }

    /// Takes one of them.
    fn type_key(&mut self, _key: &Event) {}
}

impl Pane for Lines {
    fn act(&mut self, action: Action, _: usize, height: usize) -> bool {
        self.scroll(action, height)
    }
}

impl Pane for Log {
    fn act(&mut self, action: Action, _: usize, height: usize) -> bool {
        self.scroll(action, height)
    }
}

/// The log of the whole session.
pub struct SessionLog(pub Session);

impl Pane for SessionLog {
    fn act(&mut self, action: Action, _: usize, height: usize) -> bool {
        self.0.model().log.scroll(action, height)
    }
}
