//! Pastes: text for the field that has the focus, never keys. The terminal gives one as `Event::Unknown`, which only text
//! fields know. Pure.

/// What of a paste is text. On one line, line ends and tabs become spaces, so that nothing is submitted, and what stands
/// around it goes; other controls always go.
pub fn text(pasted: &[u8], one_line: bool) -> String {
    let text = String::from_utf8_lossy(pasted).replace("\r\n", "\n").replace('\r', "\n").replace('\t', " ");
    match one_line {
        true => text.trim().replace('\n', " ").chars().filter(|c| !c.is_control()).collect(),
        false => text.chars().filter(|c| *c == '\n' || !c.is_control()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_is_text_and_never_a_key() {
        let pasted = b"q\x1b[Aq\r\n127.0.0.1\t\n";
        assert_eq!(text(pasted, true), "q[Aq 127.0.0.1");
        assert_eq!(text(pasted, false), "q[Aq\n127.0.0.1 \n");
    }
}
