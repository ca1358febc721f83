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
    /// To the pane of this number.
    ToPane,
    Open,
    Back,
    Add,
    Invoke,
    Delete,
    Cordon,
    /// Ends a pipeline.
    Cancel,
    /// Runs a pipeline again from what did not succeed.
    Retry,
    Stop,
    /// Once more.
    Start,
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
    /// Its tasks, while they have the focus.
    Tasks,
    /// Its pipelines, while they have the focus.
    Pipelines,
    /// A worker's screen.
    Worker,
    /// One node, opened.
    Node,
    /// One function, opened.
    Function,
    /// One task, opened.
    Task,
    /// One pipeline, opened.
    Pipeline,
    /// A log, opened.
    Log,
}

impl Place {
    /// Whether `esc` leads back to where one was.
    pub fn opened(self) -> bool {
        matches!(self, Node | Function | Task | Pipeline | Log)
    }
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

use Place::{Dashboard, Function, Log, Node, Pipeline, Pipelines, Start, Task, Tasks, Worker};

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

const EVERYWHERE: &[Place] = &[Start, Dashboard, Tasks, Pipelines, Worker, Node, Function, Task, Pipeline, Log];
const SCROLLED: &[Place] = &[Dashboard, Tasks, Pipelines, Worker, Node, Function, Task, Pipeline, Log];
const PANES: &[Place] = &[Dashboard, Tasks, Pipelines, Worker, Node, Function, Task, Pipeline];
const OVERVIEW: &[Place] = &[Dashboard, Tasks, Pipelines];
const TABLES: &[Place] = &[Dashboard, Tasks, Pipelines, Pipeline];
const CLUSTER: &[Place] = &[Dashboard, Tasks, Pipelines, Node, Function, Task, Pipeline];

/// The table.
pub const KEYMAP: &[Binding] = &[
    key(
        Action::Open,
        "enter",
        "open",
        "open, or choose, what is selected",
        &[Start, Dashboard, Tasks, Pipelines],
        true,
    ),
    key(Action::Open, "enter", "result", "what the selected module answered", &[Pipeline], true),
    key(Action::Back, "esc", "back", "back to where one was", &[Node, Function, Task, Pipeline, Log], true),
    key(Action::NextPane, "tab", "pane", "next pane", PANES, true),
    key(Action::PreviousPane, "shift-tab", "pane", "previous pane", PANES, false),
    key(Action::Add, "a", "add", "register a function", &[Dashboard], true),
    key(Action::Add, "a", "run", "run a task, at the tasks", &[Tasks], true),
    key(Action::Add, "a", "run", "run a pipeline, at the pipelines", &[Pipelines], true),
    key(Action::Invoke, "i", "invoke", "call the function and see its answer", &[Dashboard, Function], true),
    // Not for what is shown; who presses it all the same is told so.
    key(Action::Invoke, "i", "invoke", "call the function and see its answer", &[Node], false),
    key(Action::Logs, "l", "logs", "the log, with search", &[Dashboard, Tasks, Worker, Node, Function, Task], true),
    key(Action::Logs, "l", "logs", "what the selected module prints, with search", &[Pipeline], true),
    key(Action::Stop, "s", "stop", "stop the task (asks first)", &[Tasks, Task], true),
    key(Action::Start, "S", "start", "start the task once more", &[Tasks, Task], true),
    key(
        Action::Delete,
        "d",
        "delete",
        "forget the task, or stop it if it has not ended (asks first)",
        &[Tasks, Task],
        true,
    ),
    key(Action::Cancel, "c", "cancel", "cancel the pipeline (asks first)", &[Pipelines, Pipeline], true),
    key(Action::Retry, "r", "retry", "run again what of the pipeline did not succeed", &[Pipelines, Pipeline], true),
    key(Action::Filter, "/", "filter", "filter rows", TABLES, true),
    key(Action::Back, "esc", "clear", "clear the filter", OVERVIEW, false),
    key(Action::Filter, "/", "search", "search", &[Log], true),
    key(Action::NextMatch, "n", "next", "next match", &[Log], true),
    key(Action::PreviousMatch, "N", "previous", "previous match", &[Log], false),
    key(Action::Delete, "d", "delete", "delete the function or node (asks first)", &[Dashboard, Node, Function], true),
    key(Action::Cordon, "c", "cordon", "cordon, uncordon or drain the node (asks first)", &[Dashboard, Node], true),
    key(Action::Cordon, "c", "cordon", "cordon, uncordon or drain the node (asks first)", &[Function], false),
    key(Action::ToPane, "N F T P L", "to", "to the nodes, functions, tasks, pipelines, log", OVERVIEW, false),
    key(Action::Sort, "1-9", "sort", "sort by that column; again: the other way round", TABLES, true),
    key(Action::Command, ":", "command", "a command, as on the command line", CLUSTER, true),
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

/// What a key asks for on a screen; a digit comes with its column, another with its place among the keys of its row.
pub fn action(place: Place, event: &Event) -> Option<(Action, usize)> {
    let here = |binding: &&Binding| binding.places.contains(&place);
    KEYMAP.iter().filter(here).find_map(|binding| {
        if binding.action == Action::Sort {
            let Event::Char(digit @ '1'..='9') = event else { return None };
            return Some((Action::Sort, *digit as usize - '0' as usize));
        }
        let number = binding.keys.split(' ').position(|name| event_of(name).as_ref() == Some(event))?;
        Some((binding.action, number))
    })
}

/// The keys of one action.
pub fn events(action: Action) -> impl Iterator<Item = Event> {
    let bindings = KEYMAP.iter().filter(move |binding| binding.action == action);
    bindings.flat_map(|binding| binding.keys.split(' ')).filter_map(event_of)
}

/// The key of this number among those of an action.
pub fn nth_key(action: Action, number: usize) -> &'static str {
    let binding = KEYMAP.iter().find(|binding| binding.action == action);
    binding.and_then(|binding| binding.keys.split(' ').nth(number)).unwrap_or_default()
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
        assert_eq!(action(Log, &Event::Key(Key::End)), Some((Action::Bottom, 1)));
        assert_eq!(action(Tasks, &Event::Char('P')), Some((Action::ToPane, 3)));
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
