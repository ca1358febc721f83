//! Enums whose variants have a word each, for people, programs and what is kept. Written once: variant and word.

/// An enum of plain variants: `ALL` of them in this order, the `word` of each, and `of`, which finds one by its word.
macro_rules! worded {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$means:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$means])* $variant,)+ }

        impl $name {
            /// All of them, as they follow each other.
            pub const ALL: [$name; [$($word),+].len()] = [$($name::$variant),+];

            /// The word people and programs see.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// The one of that word.
            pub fn of(word: &str) -> Option<$name> {
                $name::ALL.into_iter().find(|known| known.word() == word)
            }
        }
    };
}

pub(crate) use worded;
