//! Hides the secrets of a launch in what it prints, where they stand there as they are. Must never be taken for more than
//! help against mistakes: what is printed in another form is shown.

use crate::wire::proto::{Secret, Secrets};
use std::borrow::Cow;

/// Shorter ones stand in any text by chance.
const SHORTEST: usize = 6;

/// The values to hide.
#[derive(Default)]
pub struct Mask(Secrets);

impl Mask {
    pub fn new(secrets: &Secrets) -> Mask {
        Mask(secrets.clone())
    }

    /// The text, with the name of a secret where its value was; of one with several lines, where any of them was.
    pub fn over<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.0.env.iter().chain(&self.0.files) {
            for line in lines(secret) {
                if text.contains(line) {
                    text = Cow::Owned(text.replace(line, &format!("(secret {})", secret.name)));
                }
            }
        }
        text
    }
}

fn lines(secret: &Secret) -> impl Iterator<Item = &str> {
    let text = str::from_utf8(&secret.value).unwrap_or_default();
    text.lines().map(str::trim).filter(|line| line.len() >= SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_line_by_line() {
        let secret = |name: &str, value: &str| Secret { name: name.into(), value: value.into() };
        let env = vec![secret("PASS", "hunter2"), secret("PIN", "1234")];
        let mask =
            Mask::new(&Secrets { env, files: vec![secret("key", "BEGIN x\n abcdef \r\nEND\n")], plain: Vec::new() });
        assert_eq!(mask.over("hunter2 1234 hunter2!"), "(secret PASS) 1234 (secret PASS)!");
        assert_eq!(mask.over("BEGIN x\nabcdef\nEND"), "(secret key)\n(secret key)\nEND");
        assert!(matches!(mask.over("hunter"), Cow::Borrowed("hunter")));
        assert_eq!(Mask::default().over("hunter2"), "hunter2");
    }
}
