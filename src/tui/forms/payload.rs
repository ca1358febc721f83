//! Bytes that a function answered, as rows: JSON indented, text as it is, anything else in hexadecimal. Pure.

use super::sheet::Row;
use crate::tui::theme::Tone;

/// What is shown of a body that is no text.
const HEX_BYTES: usize = 128;
/// JSON that grows beyond this when indented is shown as it came.
const PRETTY_BYTES: usize = 512 << 10;

/// The rows of a body of this content type; more may come unless it is complete.
pub fn rows(bytes: &[u8], kind: &str, complete: bool) -> Vec<Row> {
    let Some(text) = text(bytes, complete) else {
        let mut rows = vec![(Tone::Dim, format!("{} bytes that are no text; the first of them:", bytes.len()))];
        rows.extend(bytes[..bytes.len().min(HEX_BYTES)].chunks(8).enumerate().map(hex));
        return rows;
    };
    let json = kind.contains("json") || text.trim_start().starts_with(['{', '[']);
    let shown = if json { pretty(text) } else { None };
    shown.as_deref().unwrap_or(text).lines().map(|line| (Tone::Plain, line.to_string())).collect()
}

/// A body as text, if it is some; a character that is cut at the end is left out while more may come.
fn text(bytes: &[u8], complete: bool) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && !complete => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}

fn hex((number, bytes): (usize, &[u8])) -> Row {
    let codes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = |byte: &u8| if byte.is_ascii_graphic() { *byte as char } else { '.' };
    let letters: String = bytes.iter().map(shown).collect();
    (Tone::Plain, format!("{:02x} {:<23} {letters}", number * 8, codes.join(" ")))
}

/// JSON indented, every token as it came: numbers keep their digits and keys their order.
fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    let mut rest = text.chars().filter(|c| !c.is_control()).peekable();
    while let Some(c) = rest.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        };
        match c {
            '{' | '[' => {
                out.push(c);
                while rest.next_if_eq(&' ').is_some() {}
                if rest.peek().is_none_or(|next| !matches!(next, '}' | ']')) {
                    depth += 1;
                    line(&mut out, depth);
                } else if let Some(end) = rest.next() {
                    out.push(end);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' => {}
            c => {
                quoted = c == '"';
                out.push(c);
            }
        }
        if out.len() > PRETTY_BYTES {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_character_is_no_reason_for_hexadecimal() {
        assert_eq!(text("é".as_bytes(), true), Some("é"));
        assert_eq!((text(&[b'a', 0xc3], false), text(&[b'a', 0xc3], true)), (Some("a"), None));
    }

    #[test]
    fn json_keeps_its_tokens() {
        let text = r#"{"z":1.000000000000000000001,"a":[ ],"s":"a{,\\\"}:","n":[1,{"x":null}]}"#;
        let wanted = "{\n  \"z\": 1.000000000000000000001,\n  \"a\": [],\n  \"s\": \"a{,\\\\\\\"}:\",\n  \"n\": [\n    1,\n    {\n      \"x\": null\n    }\n  ]\n}";
        assert_eq!(pretty(text).as_deref(), Some(wanted));
        assert_eq!(pretty("{oops"), None);
    }
}
