//! What `commands` opens: the start screen, or the screen of a program that runs. Starts no role itself.

use crate::client::Orchestrator;
use crate::tui::forms::ask;
use crate::tui::keymap::{self, Action};
use crate::tui::orchestrator;
use crate::tui::session::{Session, Ui};
use crate::tui::start::select;
use crate::tui::start::starting::{Roles, Started, Starting};
use crate::tui::terminal::{self, Closed};
use crate::tui::worker;
use cursive::Cursive;
use cursive::event::Event;

/// Whose screen it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Orchestrator,
    Worker,
}

/// The start screen, and the screen of the role that is chosen there. Gives back that role, which still runs.
///
/// # Errors
/// When there is no terminal to draw on.
pub fn start(roles: Roles) -> Result<(Closed, Option<Started>), String> {
    let starting = Starting::new(roles);
    let chosen = starting.clone();
    let closed = terminal::run(move |siv, ui| {
        everywhere(siv, None);
        select::open(siv, &ui, &chosen);
    })?;
    Ok((closed, starting.give_up()))
}

/// The screen of a program, here or elsewhere. `role` is what ends with it, such as "the orchestrator".
///
/// # Errors
/// When there is no terminal to draw on.
pub fn show(program: Program, client: Orchestrator, role: Option<&'static str>) -> Result<Closed, String> {
    terminal::run(move |siv, ui| open(siv, ui, program, client, role))
}

/// Opens it instead of what is shown.
pub fn open(siv: &mut Cursive, ui: Ui, program: Program, client: Orchestrator, role: Option<&'static str>) {
    while siv.pop_layer().is_some() {}
    everywhere(siv, role);
    let session = Session::new(client, ui);
    match program {
        Program::Orchestrator => orchestrator::open(siv, &session, role),
        Program::Worker => worker::open(siv, &session, role),
    }
}

/// Keys that are the same on every screen: Ctrl-C is `q`, also in a text field; the mouse's, where no field takes it.
fn everywhere(siv: &mut Cursive, role: Option<&'static str>) {
    siv.set_global_callback(Event::CtrlChar('c'), move |siv| ask::quit(siv, role));
    for event in keymap::events(Action::Mouse) {
        siv.set_global_callback(event, |_| terminal::toggle_mouse());
    }
}
