//! Lines that builds print, as people read them. Must never pass on what moves a terminal.

/// Bytes of a line; what is longer is cut.
const LINE_BYTES: usize = 4 << 10;

/// A line without what moves a terminal's cursor or colours it, and not too long.
pub fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len().min(LINE_BYTES));
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if text.len() >= LINE_BYTES {
            text.push('…');
            break;
        }
        match c {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                // A control sequence: parameters, then one letter that ends it.
                while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                chars.next();
            }
            '\t' => text.push(c),
            // A bar that is drawn over: what was last drawn counts.
            '\r' if chars.peek().is_some() => text.clear(),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_is_plain_text() {
        assert_eq!(plain("\u{1b}[91mnpm \u{1b}[1;32mok\u{1b}[0m\u{7}\t."), "npm ok\t.");
        assert_eq!(plain("10%\r50%\rdone\r"), "done");
        assert_eq!(plain("\u{1b}"), "");
        assert!(plain(&"é".repeat(10_000)).len() <= LINE_BYTES + 4);
    }
}
