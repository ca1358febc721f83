//! The help: the keys of a screen, from the keymap.

use super::sheet::{Row, Sheet};
use crate::tui::keymap::{self, Place};
use crate::tui::text;
use crate::tui::theme::Tone;
use cursive::Cursive;

/// Opens it over what is shown.
pub fn open(siv: &mut Cursive, place: Place) {
    let widest = keymap::help(place).map(|(keys, _)| text::width(keys)).max().unwrap_or(0);
    let line = |(keys, what)| (Tone::Plain, format!("{}  {what}", text::left(keys, widest)));
    let mut rows: Vec<Row> = keymap::help(place).map(line).collect();
    rows.push((Tone::Plain, String::new()));
    let label = |keys: &str, what: &str| (Tone::Dim, format!("{}  {what}", text::left(keys, widest)));
    rows.push(label("in a form", "tab or arrows: next field; enter: send; esc: close, what was typed is kept"));
    Sheet::of("Keys", rows).labelled(widest + 2).button("Close", |_| {}).open(siv);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::forms::add;
    use crate::tui::forms::ask;
    use crate::tui::forms::command_line;
    use crate::tui::forms::invoke;
    use crate::tui::forms::viewer;
    use crate::tui::puppet::{self, Puppet};
    use cursive::event::{Event, Key};

    #[test]
    fn every_key_of_the_place_is_there() {
        for (columns, rows) in [(80, 40), (60, 20), (40, 10)] {
            let mut puppet = Puppet::over_a_dashboard(columns, rows);
            open(&mut puppet.runner, Place::Dashboard);
            println!("{}", puppet.text());
            puppet.shows("register a function");
            puppet.lacks("next match");
            puppet.types("G");
            puppet.shows("is kept");
            for key in ["?", "q", "\x1b", "\n"] {
                puppet.types(key);
                puppet.gone("Keys");
                open(&mut puppet.runner, Place::Dashboard);
                puppet.shows("Keys");
            }
            assert!(puppet.runner.is_running());
        }
    }

    #[test]
    fn no_size_is_too_small() {
        for (columns, rows) in (1..46).flat_map(|columns| [1, 2, 3, 5, 9].map(|rows| (columns, rows))) {
            let mut puppet = Puppet::over_a_dashboard(columns, rows);
            let session = puppet.session("http://127.0.0.1:1");
            let node = puppet::node("日本", "active", false);
            session.note("warn", "日本語 long text that goes on and on, beyond the edge");
            let siv = &mut puppet.runner;
            open(siv, Place::Log);
            ask::delete_function(siv, &session, "日本語");
            ask::cordon(siv, &session, &node);
            ask::failure(siv, "日本", "why 日本語");
            viewer::open_log(siv, &session, Some("日本"));
            invoke::open(siv, &session, "日本");
            add::open(siv, &session);
            command_line::open(siv, &session);
            for _ in 0..8 {
                puppet.types("日a 本\n\t\n日本語\t");
                for key in [Key::Right, Key::Down, Key::Left, Key::Up, Key::End, Key::PageUp, Key::Backspace] {
                    puppet.press(Event::Key(key));
                    puppet.text();
                }
                puppet.types("\x1b\x1b");
            }
        }
    }
}
