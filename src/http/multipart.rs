//! `multipart/form-data` as it comes, piece by piece: what a form's file parts are made of never has to fit into memory.
//! Pure: must never read or write anything itself, nor hold more than a part's head and what may be a boundary.

use bytes::{Bytes, BytesMut};
use std::fmt;

/// Bytes of a part's own headers: a name and a file's name.
const HEAD_BYTES: usize = 8 << 10;
/// Parts of one body: a form here has a handful of fields.
const PARTS: usize = 32;
/// Bytes of a boundary, by RFC 2046.
const BOUNDARY_BYTES: usize = 70;
/// Spaces that may stand behind a boundary.
const PADDING_BYTES: usize = 64;

/// A body being taken apart.
pub struct Multipart {
    /// What ends a part: a line's end, two dashes and the boundary.
    delimiter: Vec<u8>,
    held: BytesMut,
    state: State,
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Right behind a boundary.
    Boundary,
    Head,
    Data,
    /// Behind the last boundary: what comes is of no meaning.
    Over,
}

/// What is found in a body, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A part begins.
    Part {
        name: String,
        /// It is a file, called so by who sends it.
        file: Option<String>,
    },
    /// More of that part.
    Data(Bytes),
    /// It ends.
    End,
    /// All parts have come.
    Over,
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad(&'static str);

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; send it as multipart/form-data, as `curl -F file=@FOLDER.zip -F name=NAME` does", self.0)
    }
}

impl Multipart {
    /// By the body's `Content-Type`, which says what stands between its parts.
    pub fn new(content_type: &str) -> Result<Self, Bad> {
        let mut words = content_type.split(';');
        let kind = words.next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("multipart/form-data") {
            return Err(Bad("the body is no form"));
        }
        let boundary = words.find_map(|word| {
            let (name, value) = word.split_once('=')?;
            name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
        });
        let fits =
            |text: &&str| (1..=BOUNDARY_BYTES).contains(&text.len()) && text.bytes().all(|b| (32..127).contains(&b));
        let boundary = boundary.filter(fits).ok_or(Bad("the Content-Type names no boundary of 1 to 70 bytes"))?;
        // The first boundary may stand at the very beginning: it gets its line's end here.
        let held = BytesMut::from(&b"\r\n"[..]);
        Ok(Multipart { delimiter: [b"\r\n--", boundary.as_bytes()].concat(), held, state: State::Preamble, parts: 0 })
    }

    /// More of the body.
    pub fn add(&mut self, bytes: &[u8]) {
        if self.state != State::Over {
            self.held.extend_from_slice(bytes);
        }
    }

    /// What comes next; `None`: more of the body must come first.
    pub fn next(&mut self) -> Result<Option<Word>, Bad> {
        loop {
            match self.state {
                State::Preamble => match self.find() {
                    Ok(at) => self.pass(at + self.delimiter.len(), State::Boundary),
                    Err(safe) => {
                        self.pass(safe, State::Preamble);
                        return Ok(None);
                    }
                },
                State::Boundary => match self.boundary()? {
                    Some(State::Over) => {
                        self.held.clear();
                        self.state = State::Over;
                        return Ok(Some(Word::Over));
                    }
                    Some(_) => {}
                    None => return Ok(None),
                },
                State::Head => return self.head(),
                State::Data => return Ok(self.data()),
                State::Over => return Ok(None),
            }
        }
    }

    /// Whether the body may end here.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn pass(&mut self, bytes: usize, state: State) {
        drop(self.held.split_to(bytes));
        self.state = state;
    }

    /// Where the next delimiter begins; else how many bytes cannot be the beginning of one.
    fn find(&self) -> Result<usize, usize> {
        let mut from = 0;
        while let Some(at) = self.held[from..].iter().position(|b| *b == b'\r').map(|at| from + at) {
            let rest = &self.held[at..];
            let both = rest.len().min(self.delimiter.len());
            if rest[..both] == self.delimiter[..both] {
                return if both == self.delimiter.len() { Ok(at) } else { Err(at) };
            }
            from = at + 1;
        }
        Err(self.held.len())
    }

    /// What stands behind a boundary: a line's end, or the two dashes of the last.
    fn boundary(&mut self) -> Result<Option<State>, Bad> {
        if self.held.starts_with(b"--") {
            return Ok(Some(State::Over));
        }
        let blank = self.held.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        if blank > PADDING_BYTES {
            return Err(Bad("the form has a boundary with 64 spaces behind it"));
        }
        match &self.held[blank..] {
            [b'\r', b'\n', ..] => {
                self.parts += 1;
                if self.parts > PARTS {
                    return Err(Bad("the form has more than 32 parts"));
                }
                self.pass(blank + 2, State::Head);
                Ok(Some(State::Head))
            }
            [] | [b'\r'] => Ok(None),
            [b'-'] if blank == 0 => Ok(None),
            _ => Err(Bad("the form has a boundary that does not end its line")),
        }
    }

    fn head(&mut self) -> Result<Option<Word>, Bad> {
        let end = match self.held.starts_with(b"\r\n") {
            true => return Err(Bad("a part of the form has no name")),
            false => self.held.windows(4).take(HEAD_BYTES).position(|four| four == b"\r\n\r\n"),
        };
        let Some(end) = end else {
            return if self.held.len() >= HEAD_BYTES + 3 {
                Err(Bad("a part's head is longer than 8 KiB"))
            } else {
                Ok(None)
            };
        };
        let head = self.held.split_to(end + 4);
        self.state = State::Data;
        let text = str::from_utf8(&head[..end]).map_err(|_| Bad("a part's head is no UTF-8"))?;
        disposition(text).map(Some)
    }

    fn data(&mut self) -> Option<Word> {
        match self.find() {
            Ok(0) => {
                self.pass(self.delimiter.len(), State::Boundary);
                Some(Word::End)
            }
            Ok(safe) | Err(safe) if safe > 0 => Some(Word::Data(self.held.split_to(safe).freeze())),
            _ => None,
        }
    }
}

/// What `Content-Disposition` says of a part.
fn disposition(head: &str) -> Result<Word, Bad> {
    let (mut name, mut file) = (None, None);
    for line in head.split("\r\n") {
        let Some((header, value)) = line.split_once(':') else {
            return Err(Bad("a part's head has a line without a colon"));
        };
        if !header.trim().eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let mut rest = value.trim();
        rest = rest.strip_prefix("form-data").ok_or(Bad("a part of the form is no form-data"))?;
        while let Some((key, after)) = rest.trim_start_matches([' ', ';']).split_once('=') {
            let value;
            (value, rest) = parameter(after);
            match key.trim().to_ascii_lowercase().as_str() {
                "name" => name = Some(value),
                "filename" => file = Some(value),
                _ => {}
            }
        }
    }
    let name = name.filter(|name| !name.is_empty()).ok_or(Bad("a part of the form has no name"))?;
    Ok(Word::Part { name, file })
}

/// A value, quoted or not, and what stands behind it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim().to_string(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, &quoted[at + 1..]),
            c => {
                escaped = false;
                value.push(c);
            }
        }
    }
    (value, "")
}

/// A byte that says how the rest is cut up; its first line is the boundary. However it is cut, the same must come out.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(data: &[u8]) {
    let Some((whole, mut pieces)) = crate::fuzz::cut(data) else { return };
    let Some(end) = whole.iter().position(|b| *b == b'\n') else { return };
    let boundary = String::from_utf8_lossy(&whole[..end]);
    let kind = format!("multipart/form-data; boundary={boundary}");
    let (Ok(at_once), Ok(cut)) = (Multipart::new(&kind), Multipart::new(&kind)) else { return };
    let at_once = all(at_once, [&whole[end + 1..]].into_iter());
    let cut = all(cut, whole[end + 1..].chunks(pieces.next().map_or(1, <[u8]>::len)));
    assert_eq!(at_once.is_err(), cut.is_err());
    if let (Ok(at_once), Ok(cut)) = (at_once, cut) {
        assert_eq!(at_once, cut);
    }
}

/// All that is in a body, data that comes in pieces put together.
#[cfg(any(test, feature = "fuzz"))]
fn all<'a>(mut body: Multipart, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Word>, Bad> {
    let mut found: Vec<Word> = Vec::new();
    for piece in pieces {
        body.add(piece);
        while let Some(word) = body.next()? {
            match (found.last_mut(), word) {
                (Some(Word::Data(before)), Word::Data(more)) => *before = [&before[..], &more].concat().into(),
                (_, word) => found.push(word),
            }
        }
        assert!(body.held.len() <= HEAD_BYTES + piece.len() + 8, "more is held than must be");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=\"a b\"";

    fn part(name: &str, file: Option<&str>) -> Word {
        Word::Part { name: name.into(), file: file.map(Into::into) }
    }

    fn data(text: &str) -> Word {
        Word::Data(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn read(body: &str, size: usize) -> Result<Vec<Word>, Bad> {
        all(Multipart::new(KIND).expect("a boundary"), body.as_bytes().chunks(size))
    }

    #[test]
    fn parts_come_out_whole_however_they_are_cut() {
        let body = "this is nothing\r\n--a b  \r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".zip\"\r\n\
                    Content-Type: application/zip\r\n\r\nPK\r\n--a\r\n\r\n--a c\r\r\n--a b\r\ncontent-disposition: form-data; \
                    name=empty\r\n\r\n\r\n--a b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nx\r\n--a b--\r\nand more";
        let expected = [
            part("file", Some("a \"b\".zip")),
            data("PK\r\n--a\r\n\r\n--a c\r"),
            Word::End,
            part("empty", None),
            Word::End,
            part("n", None),
            data("x"),
            Word::End,
            Word::Over,
        ];
        for size in 1..body.len() {
            assert_eq!(read(body, size).as_deref(), Ok(&expected[..]), "{size}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused_in_words() {
        for bad in ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="] {
            assert!(Multipart::new(bad).is_err(), "{bad}");
        }
        assert!(Multipart::new(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_err());
        let head = |head: &str| format!("--a b\r\n{head}\r\n\r\nx\r\n--a b--\r\n");
        for (body, says) in [
            (head("Content-Type: text/plain"), "no name"),
            ("--a b\r\n\r\nx\r\n--a b--".into(), "no name"),
            (head("Content-Disposition: attachment; name=x"), "no form-data"),
            (head("nonsense"), "colon"),
            (head(&"x".repeat(9_000)), "8 KiB"),
            ("--a bc\r\n".into(), "does not end its line"),
            (head("Content-Disposition: form-data; name=x").replace("--a b--\r\n", "").repeat(40), "32 parts"),
        ] {
            let said = read(&body, 7).expect_err("refused").to_string();
            assert!(said.contains(says) && said.contains("curl -F"), "{said}");
        }
        let unfinished = "--a b\r\nContent-Disposition: form-data; name=x\r\n\r\nx";
        let mut body = Multipart::new(KIND).expect("a boundary");
        body.add(unfinished.as_bytes());
        while let Ok(Some(_)) = body.next() {}
        assert!(!body.is_over());
    }
}
