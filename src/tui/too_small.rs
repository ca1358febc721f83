//! Below a size nothing useful can be drawn: then the screen says which size is needed, and what is shown otherwise waits.

use crate::tui::theme::Tone;
use cursive::event::{Event, EventResult};
use cursive::{Cursive, CursiveRunner, Printer, ScreenId, Vec2, View};

/// The least there must be.
pub const COLUMNS: usize = 40;
pub const ROWS: usize = 10;

/// Draws, or says that there is no room to. cursive's second screen, so that nothing below is laid out.
#[derive(Default)]
pub struct TooSmall {
    screen: Option<ScreenId>,
    /// What is shown otherwise, while it is not.
    instead_of: Option<ScreenId>,
}

impl TooSmall {
    /// Shows what is to be seen at this size.
    pub fn refresh(&mut self, runner: &mut CursiveRunner<Cursive>, size: Vec2) {
        self.step_aside(runner);
        if size.x < COLUMNS || size.y < ROWS {
            self.instead_of = Some(runner.active_screen());
            match self.screen {
                Some(screen) => runner.set_screen(screen),
                None => {
                    self.screen = Some(runner.add_active_screen());
                    runner.add_fullscreen_layer(Notice);
                }
            }
        }
        runner.refresh();
    }

    /// Before events are handled: they are for what is shown otherwise.
    pub fn step_aside(&mut self, runner: &mut CursiveRunner<Cursive>) {
        if let Some(screen) = self.instead_of.take() {
            runner.set_screen(screen);
        }
    }
}

struct Notice;

impl View for Notice {
    fn draw(&self, printer: &Printer) {
        let size = printer.size;
        let lines = [format!("CARES needs {COLUMNS}x{ROWS},"), format!("this is {}x{}", size.x, size.y)];
        for (y, line) in lines.iter().enumerate() {
            let x = size.x.saturating_sub(line.len()) / 2;
            printer.with_style(Tone::Warn.style(), |p| p.print((x, size.y.saturating_sub(2) / 2 + y), line));
        }
    }

    fn required_size(&mut self, room: Vec2) -> Vec2 {
        room
    }

    fn on_event(&mut self, _: Event) -> EventResult {
        EventResult::consumed()
    }
}
