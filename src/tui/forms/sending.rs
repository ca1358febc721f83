//! Forms that send something: opened as they were left, busy while it is on its way, open with what went wrong until it
//! worked. What is sent is their opener's business.

use super::form::{Form, Item};
use super::frame;
use crate::errors::Error;
use crate::tui::session::Session;
use cursive::Cursive;

/// The item that cannot be sent, and why.
pub type Wrong = (&'static str, String);

/// A form over the screen: what it is called in the session's memory, and among the layers.
#[derive(Clone)]
pub struct Sending {
    session: Session,
    name: &'static str,
    id: String,
}

/// Opens one under a name of its own, as it was left. `verb` is what `send` does, in a word; `hint` is said in a new one.
pub fn open(
    siv: &mut Cursive,
    session: &Session,
    name: &'static str,
    (title, verb, hint): (&str, &'static str, &str),
    items: Vec<Item>,
    send: fn(&mut Cursive, &Session, &Sending),
) {
    let sending = Sending { session: session.clone(), name, id: frame::id(name) };
    let (submit, close) = (sending.clone(), sending.clone());
    let mut form = Form::new(title, verb, items)
        .on_submit(move |siv| send(siv, &submit.session, &submit))
        .on_close(move |siv| close.leave(siv));
    match session.memory().draft(name) {
        Some(draft) => {
            form.restore(&draft);
            form.say("As you left it. Ctrl-U empties a field.");
        }
        None if hint.is_empty() => {}
        None => form.say(hint),
    }
    frame::open(siv, &sending.id, form);
}

impl Sending {
    /// Closes it; what was typed is there again when it is opened next.
    fn leave(&self, siv: &mut Cursive) {
        let draft = siv.call_on_name(&self.id, |form: &mut Form| form.touched().then(|| form.draft())).flatten();
        match draft {
            Some(draft) => self.session.memory().keep(self.name, draft),
            None => self.session.memory().forget(self.name),
        }
        frame::close(siv, &self.id);
    }

    /// What is to be sent, the form being busy with it; `None` once it has said what is wrong.
    pub fn take<T>(&self, siv: &mut Cursive, doing: &str, read: impl FnOnce(&Form) -> Result<T, Wrong>) -> Option<T> {
        let taken = siv.call_on_name(&self.id, |form: &mut Form| match read(form) {
            Ok(taken) => {
                form.busy(doing);
                Some(taken)
            }
            Err((label, why)) => {
                form.focus(label);
                form.failed(why);
                None
            }
        });
        taken.flatten()
    }

    /// It was answered: closes it and forgets what was typed, or says what went wrong.
    pub fn answered<T>(&self, siv: &mut Cursive, answer: Result<T, Error>) {
        match answer {
            Ok(_) => {
                self.session.memory().forget(self.name);
                frame::close(siv, &self.id);
            }
            Err(error) => self.failed(siv, &error.to_string()),
        }
    }

    /// Whether it was sent; says so if not.
    pub fn started(&self, siv: &mut Cursive, started: bool) {
        if !started {
            self.failed(siv, "Too much is on its way already. Try again soon.");
        }
    }

    fn failed(&self, siv: &mut Cursive, why: &str) {
        siv.call_on_name(&self.id, |form: &mut Form| form.failed(why));
    }
}
