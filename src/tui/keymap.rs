//! Every key there is: one table, from which the footer, the help and the README's table come. No behaviour.

use cursive::event::{Event, Key};

/// What a key asks for. What it does is the screen's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Left,
    Right,
    NextPane,
    PreviousPane,
    Open,
    Back,
    Add,
    Invoke,
    Delete,
    Cordon,
    Logs,
    Filter,
    NextMatch,
    PreviousMatch,
    /// By the column of this number, counted from 1; again: the other way round.
    Sort,
    Command,
    Mouse,
    Help,
    Quit,
}

/// Which screen a key is pressed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The two choices of `cares` alone.
    Start,
    /// An orchestrator's dashboard.
    Dashboard,
    /// A worker's screen.
    Worker,
    /// One node or function, opened.
    Detail,
    /// A log, opened.
    Log,
}

/// One row of the table.
pub struct Binding {
    pub action: Action,
    /// As people read them.
    pub keys: &'static str,
    /// In the footer: one word.
    pub word: &'static str,
    /// In the help and the README.
    pub what: &'static str,
    pub places: &'static [Place],
    /// Shown in the footer; the most useful first.
    pub footer: bool,
}

use Place::{Dashboard, Detail, Log, Start, Worker};

const fn key(
    action: Action,
    keys: &'static str,
    word: &'static str,
    what: &'static str,
    places: &'static [Place],
    footer: bool,
) -> Binding {
    Binding { action, keys, word, what, places, footer }
}

const EVERYWHERE: &[Place] = &[Start, Dashboard, Worker, Detail, Log];
const SCROLLED: &[Place] = &[Dashboard, Worker, Detail, Log];

/// The table.
pub const KEYMAP: &[Binding] = &[
    key(Action::Open, "enter", "open", "open the selected node or function; choose", &[Start, Dashboard], true),
    key(Action::Back, "esc", "back", "back to where one was", &[Detail, Log], true),
    key(Action::NextPane, "tab", "pane", "next pane", &[Dashboard, Worker, Detail], true),
    key(Action::PreviousPane, "shift-tab", "pane", "previous pane", &[Dashboard, Worker, Detail], false),
    key(Action::Add, "a", "add", "register a function", &[Dashboard], true),
    key(Action::Invoke, "i", "invoke", "call the function and see its answer", &[Dashboard, Detail], true),
    key(Action::Logs, "l", "logs", "the log, with search", &[Dashboard, Worker, Detail], true),
    key(Action::Filter, "/", "filter", "filter rows", &[Dashboard], true),
    key(Action::Back, "esc", "clear", "clear the filter", &[Dashboard], false),
    key(Action::Filter, "/", "search", "search", &[Log], true),
    key(Action::NextMatch, "n", "next", "next match", &[Log], true),
    key(Action::PreviousMatch, "N", "previous", "previous match", &[Log], false),
    key(Action::Delete, "d", "delete", "delete the function or node (asks first)", &[Dashboard, Detail], true),
    key(Action::Cordon, "c", "cordon", "cordon, uncordon or drain the node (asks first)", &[Dashboard, Detail], true),
    key(Action::Sort, "1-9", "sort", "sort by that column; again: the other way round", &[Dashboard], true),
    key(Action::Command, ":", "command", "a command, as on the command line", &[Dashboard, Detail], true),
    key(Action::Up, "up k", "up", "up", EVERYWHERE, false),
    key(Action::Down, "down j", "down", "down", EVERYWHERE, false),
    key(Action::Left, "left h", "left", "left, in long lines", &[Log], false),
    key(Action::Right, "right", "right", "right, in long lines", &[Log], false),
    key(Action::PageUp, "pgup ctrl-b", "page up", "a page up", SCROLLED, false),
    key(Action::PageDown, "pgdn ctrl-f", "page down", "a page down", SCROLLED, false),
    key(Action::Top, "g home", "top", "to the first", SCROLLED, false),
    key(Action::Bottom, "G end", "bottom", "to the last; a log follows from there", SCROLLED, false),
    key(Action::Mouse, "m", "mouse", "mouse on or off (off: the terminal selects text)", EVERYWHERE, false),
    key(Action::Help, "?", "help", "these keys", EVERYWHERE, true),
    key(Action::Quit, "q", "quit", "leave (a running role asks first)", EVERYWHERE, true),
];

/// What a key asks for on a screen; a digit comes with its column.
pub fn action(place: Place, event: &Event) -> Option<(Action, usize)> {
    let here = |binding: &&Binding| binding.places.contains(&place);
    KEYMAP.iter().filter(here).find_map(|binding| {
        if binding.action == Action::Sort {
            let Event::Char(digit @ '1'..='9') = event else { return None };
            return Some((Action::Sort, *digit as usize - '0' as usize));
        }
        binding.keys.split(' ').any(|name| event_of(name).as_ref() == Some(event)).then_some((binding.action, 0))
    })
}

/// The keys of one action.
pub fn events(action: Action) -> impl Iterator<Item = Event> {
    let bindings = KEYMAP.iter().filter(move |binding| binding.action == action);
    bindings.flat_map(|binding| binding.keys.split(' ')).filter_map(event_of)
}

fn event_of(name: &str) -> Option<Event> {
    Some(match name {
        "enter" => Event::Key(Key::Enter),
        "esc" => Event::Key(Key::Esc),
        "tab" => Event::Key(Key::Tab),
        "shift-tab" => Event::Shift(Key::Tab),
        "up" => Event::Key(Key::Up),
        "down" => Event::Key(Key::Down),
        "left" => Event::Key(Key::Left),
        "right" => Event::Key(Key::Right),
        "pgup" => Event::Key(Key::PageUp),
        "pgdn" => Event::Key(Key::PageDown),
        "home" => Event::Key(Key::Home),
        "end" => Event::Key(Key::End),
        "ctrl-b" => Event::CtrlChar('b'),
        "ctrl-f" => Event::CtrlChar('f'),
        one => {
            let mut chars = one.chars();
            let first = chars.next()?;
            chars.next().is_none().then_some(Event::Char(first))?
        }
    })
}

/// The footer of a screen: key and word, the most useful first. Cut from the right where there is no room.
pub fn footer(place: Place) -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYMAP.iter().filter(move |b| b.footer && b.places.contains(&place)).map(|b| (first(b.keys), b.word))
}

fn first(keys: &str) -> &str {
    keys.split(' ').next().unwrap_or(keys)
}

/// The help of a screen: keys and what they do.
pub fn help(place: Place) -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYMAP.iter().filter(move |b| b.places.contains(&place)).map(|b| (b.keys, b.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_on_one_screen() {
        for place in EVERYWHERE {
            let mut seen = Vec::new();
            for binding in KEYMAP.iter().filter(|b| b.places.contains(place)) {
                for name in binding.keys.split(' ') {
                    assert!(!seen.contains(&name), "{name} twice on {place:?}");
                    assert!(binding.action == Action::Sort || event_of(name).is_some(), "{name} is no key");
                    seen.push(name);
                }
            }
        }
    }

    #[test]
    fn keys_are_found() {
        assert_eq!(action(Dashboard, &Event::Char('3')), Some((Action::Sort, 3)));
        assert_eq!(action(Dashboard, &Event::Char('a')), Some((Action::Add, 0)));
        assert_eq!(action(Worker, &Event::Char('a')), None);
        assert_eq!(action(Log, &Event::Key(Key::End)), Some((Action::Bottom, 0)));
    }

    #[test]
    fn the_readme_has_the_table() {
        let readme = include_str!("../../README.md");
        for binding in KEYMAP {
            let keys: Vec<String> = binding.keys.split(' ').map(|k| format!("`{k}`")).collect();
            let row = format!("| {} | {} |", keys.join(" "), binding.what);
            assert!(readme.contains(&row), "the README lacks: {row}");
        }
    }
}
