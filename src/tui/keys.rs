//! What a terminal sends, as events: keys, the mouse, pastes. Pure: bytes in, events out. Ours because crossterm's reader
//! spins when the terminal goes away and may leave bytes waiting for the next key.

use cursive::Vec2;
use cursive::event::{Event, Key, MouseButton, MouseEvent};

/// The most a terminal hands over at once: an Escape at the end of that much may be the start of more.
const WHOLE_READ: usize = 1024;
/// The longest sequence; what goes on is no sequence of ours.
const SEQUENCE_MAX: usize = 64;
/// The most taken of one paste.
const PASTE_MAX: usize = 64 << 10;
const PASTE_START: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// Remembers what has come only in part.
#[derive(Default)]
pub struct Keys {
    held: Vec<u8>,
    /// What has been pasted so far, while it comes.
    pasting: Option<Vec<u8>>,
}

enum Parsed {
    /// So many bytes are used up; they may mean nothing.
    Taken(usize, Option<Event>),
    Paste(usize),
    More,
}

impl Keys {
    /// Takes what was read, and gives what it means. A paste comes as `Event::Unknown` with its text, so that only a
    /// text field takes it.
    pub fn take(&mut self, read: &[u8]) -> Vec<Event> {
        let cut = read.len() >= WHOLE_READ;
        self.held.extend_from_slice(read);
        let mut events = Vec::new();
        let mut at = 0;
        while at < self.held.len() {
            if let Some(pasted) = &mut self.pasting {
                let rest = &self.held[at..];
                let end = rest.windows(PASTE_END.len()).position(|window| window == PASTE_END);
                // The last bytes may be the start of the end.
                let until = end.unwrap_or(rest.len().saturating_sub(PASTE_END.len() - 1));
                let room = PASTE_MAX.saturating_sub(pasted.len());
                pasted.extend_from_slice(&rest[..until.min(room)]);
                at += until;
                if end.is_none() {
                    break;
                }
                at += PASTE_END.len();
                events.extend(self.pasting.take().map(Event::Unknown));
                continue;
            }
            match parse(&self.held[at..], cut) {
                Parsed::Taken(used, event) => {
                    at += used;
                    events.extend(event);
                }
                Parsed::Paste(used) => {
                    at += used;
                    self.pasting = Some(Vec::new());
                }
                Parsed::More => break,
            }
        }
        self.held.drain(..at);
        events
    }
}

/// The first key in `bytes`, which are not empty. `cut`: more may be on its way.
fn parse(bytes: &[u8], cut: bool) -> Parsed {
    match bytes {
        [0x1b] if cut => Parsed::More,
        [0x1b] => Parsed::Taken(1, Some(Event::Key(Key::Esc))),
        [0x1b, b'[', rest @ ..] => csi(rest),
        [0x1b, b'O'] => Parsed::More,
        [0x1b, b'O', letter, ..] => Parsed::Taken(3, letter_key(*letter).map(Event::Key)),
        [0x1b, 0x1b, ..] => Parsed::Taken(1, Some(Event::Key(Key::Esc))),
        [0x1b, rest @ ..] => match parse(rest, cut) {
            Parsed::Taken(used, Some(Event::Char(c))) => Parsed::Taken(used + 1, Some(Event::AltChar(c))),
            Parsed::Taken(used, Some(Event::Key(key))) => Parsed::Taken(used + 1, Some(Event::Alt(key))),
            Parsed::Taken(used, event) => Parsed::Taken(used + 1, event),
            other => other,
        },
        [b'\r' | b'\n', ..] => Parsed::Taken(1, Some(Event::Key(Key::Enter))),
        [b'\t', ..] => Parsed::Taken(1, Some(Event::Key(Key::Tab))),
        [0x7f | 0x08, ..] => Parsed::Taken(1, Some(Event::Key(Key::Backspace))),
        [control @ 1..=26, ..] => Parsed::Taken(1, Some(Event::CtrlChar(char::from(control - 1 + b'a')))),
        [0..=31, ..] => Parsed::Taken(1, None),
        _ => character(bytes),
    }
}

fn character(bytes: &[u8]) -> Parsed {
    let length = match bytes[0] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    match bytes.get(..length).map(str::from_utf8) {
        None => Parsed::More,
        Some(Ok(text)) => Parsed::Taken(length, text.chars().next().map(Event::Char)),
        Some(Err(_)) => Parsed::Taken(1, None),
    }
}

/// What follows `ESC [`.
fn csi(rest: &[u8]) -> Parsed {
    if rest.starts_with(&PASTE_START[2..]) {
        return Parsed::Paste(PASTE_START.len());
    }
    let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        return if rest.len() > SEQUENCE_MAX { Parsed::Taken(rest.len() + 2, None) } else { Parsed::More };
    };
    // The Linux console's F1 to F5 are `ESC [ [ A` and on.
    if rest[0] == b'[' {
        return match rest.get(1) {
            None => Parsed::More,
            Some(letter @ b'A'..=b'E') => Parsed::Taken(4, Some(Event::Key(Key::from_f(letter - b'A' + 1)))),
            Some(_) => Parsed::Taken(4, None),
        };
    }
    let used = end + 3;
    let Ok(text) = str::from_utf8(&rest[..end]) else { return Parsed::Taken(used, None) };
    let last = rest[end];
    if let Some(mouse) = text.strip_prefix('<') {
        return Parsed::Taken(used, mouse_event(mouse, last == b'm'));
    }
    let mut numbers = text.split(';').map(|n| n.parse::<u8>().unwrap_or(1));
    let first = numbers.next().unwrap_or(1);
    let modifiers = numbers.next().unwrap_or(1).saturating_sub(1);
    let event = match last {
        b'Z' => Some(Event::Shift(Key::Tab)),
        b'~' => numbered_key(first).map(|key| modified(key, modifiers)),
        letter if text.is_empty() || text.starts_with("1;") => letter_key(letter).map(|key| modified(key, modifiers)),
        _ => None, // an answer to what nobody asked
    };
    Parsed::Taken(used, event)
}

fn letter_key(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'M' => Key::Enter, // of the keypad
        b'P'..=b'S' => Key::from_f(letter - b'P' + 1),
        _ => return None,
    })
}

fn numbered_key(number: u8) -> Option<Key> {
    Some(match number {
        1 | 7 => Key::Home,
        2 => Key::Ins,
        3 => Key::Del,
        4 | 8 => Key::End,
        5 => Key::PageUp,
        6 => Key::PageDown,
        11..=15 => Key::from_f(number - 10),
        17..=21 => Key::from_f(number - 11),
        23 | 24 => Key::from_f(number - 12),
        _ => return None,
    })
}

/// 1 is Shift, 2 Alt, 4 Ctrl.
fn modified(key: Key, modifiers: u8) -> Event {
    match modifiers & 7 {
        0 => Event::Key(key),
        1 => Event::Shift(key),
        2 => Event::Alt(key),
        3 => Event::AltShift(key),
        4 => Event::Ctrl(key),
        5 => Event::CtrlShift(key),
        _ => Event::CtrlAlt(key),
    }
}

/// `BUTTON;COLUMN;ROW` of the SGR protocol.
fn mouse_event(text: &str, released: bool) -> Option<Event> {
    let mut numbers = text.split(';').map(|n| n.parse::<usize>().ok());
    let (code, x, y) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let button = match code & 3 {
        0 => MouseButton::Left,
        1 => MouseButton::Middle,
        2 => MouseButton::Right,
        _ => return None, // moved without a button
    };
    let event = match code & !(4 | 8 | 16) {
        64 => MouseEvent::WheelUp,
        65 => MouseEvent::WheelDown,
        0..=2 if released => MouseEvent::Release(button),
        0..=2 => MouseEvent::Press(button),
        32..=34 => MouseEvent::Hold(button),
        _ => return None,
    };
    let position = Vec2::new(x.saturating_sub(1), y.saturating_sub(1));
    Some(Event::Mouse { event, position, offset: Vec2::zero() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        Keys::default().take(text.as_bytes())
    }

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(events("aé語"), [Event::Char('a'), Event::Char('é'), Event::Char('語')]);
        assert_eq!(events("\x1b"), [Event::Key(Key::Esc)]);
        assert_eq!(
            events("\r\t\x7f\x03"),
            [Event::Key(Key::Enter), Event::Key(Key::Tab), Event::Key(Key::Backspace), Event::CtrlChar('c')]
        );
        assert_eq!(
            events("\x1b[A\x1bOB\x1b[Z\x1b[6~\x1b[1;5C\x1b[15~"),
            [
                Event::Key(Key::Up),
                Event::Key(Key::Down),
                Event::Shift(Key::Tab),
                Event::Key(Key::PageDown),
                Event::Ctrl(Key::Right),
                Event::Key(Key::F5)
            ]
        );
        assert_eq!(events("\x1bx"), [Event::AltChar('x')]);
    }

    #[test]
    fn the_mouse_is_where_it_says() {
        let at = |event, x, y| Event::Mouse { event, position: Vec2::new(x, y), offset: Vec2::zero() };
        assert_eq!(
            events("\x1b[<0;10;5M\x1b[<0;10;5m\x1b[<65;1;1M\x1b[<35;3;3M"),
            [
                at(MouseEvent::Press(MouseButton::Left), 9, 4),
                at(MouseEvent::Release(MouseButton::Left), 9, 4),
                at(MouseEvent::WheelDown, 0, 0)
            ]
        );
    }

    #[test]
    fn sequences_may_come_in_parts() {
        for text in ["\x1b[1;5C", "語", "\x1b[<0;10;5M", "\x1b[200~q\n\x1b[201~"] {
            let whole = events(text);
            for cut in 1..text.len() {
                if &text.as_bytes()[..cut] == b"\x1b" {
                    continue; // that is the key Escape
                }
                let mut keys = Keys::default();
                let mut got = keys.take(&text.as_bytes()[..cut]);
                got.extend(keys.take(&text.as_bytes()[cut..]));
                assert_eq!(got, whole, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_paste_is_one_event_and_never_keys() {
        assert_eq!(
            events("a\x1b[200~q\r\x1b[Aq\x1b[201~b"),
            [Event::Char('a'), Event::Unknown(b"q\r\x1b[Aq".to_vec()), Event::Char('b')]
        );
        let long = "x".repeat(5_000);
        assert_eq!(events(&format!("\x1b[200~{long}\x1b[201~")), [Event::Unknown(long.into())]);
    }

    #[test]
    fn garbage_is_dropped_and_does_not_stop_what_follows() {
        assert_eq!(events("\x1b[999;999;999Ra"), [Event::Char('a')]);
        assert_eq!(Keys::default().take(b"\xff\xfe\x00a"), [Event::Char('a')]);
        let mut keys = Keys::default();
        assert_eq!(keys.take(format!("\x1b[{}", "1".repeat(100)).as_bytes()), []);
        assert_eq!(keys.take(b"a"), [Event::Char('a')]);
    }
}
