//! Keys that are written down: a letter and hexadecimal digits, in one way alone. Unique over restarts of the orchestrator.

/// A key, how it is written, and how it is read.
macro_rules! written_key {
    ($(#[$about:meta])* pub struct $name:ident, $form:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, $form, self.0)
            }
        }

        impl $name {
            /// The key that is written so; nothing else is.
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.get(1..)?; // the letter is compared below
                let key = $name(u64::from_str_radix(digits, 16).ok()?);
                (key.to_string() == text).then_some(key)
            }
        }
    };
}

pub(crate) use written_key;

#[cfg(test)]
mod tests {
    written_key! {
        /// One.
        pub struct Key, "k{:x}"
    }

    #[test]
    fn a_key_is_read_as_it_is_written_and_no_other() {
        for key in [Key(0), Key(10), Key(u64::MAX)] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        for text in ["", "k", "a", "10", "l10", "k+1", "k01", "kA", "k 1", "k1 ", "é1", "k10000000000000000"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
