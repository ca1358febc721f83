//! The README, held to what it says: each of its commands is run as it stands there, on machines of the test's own where
//! 127.0.0.1:8080 is free and 192.168.1.10 is another machine's way to it. A block that no row knows fails.

mod blocks;
mod machine;
mod play;
mod rows;

const README: &str = include_str!("../../README.md");

/// How a block of commands is run.
struct Row {
    /// A piece of its text that no other block has.
    block: &'static str,
    /// Whether it needs a Docker engine, whose containers it then reaches.
    engine: bool,
    /// What else the machine must have; says so where it has not.
    needs: fn() -> bool,
    /// What it takes for granted: commands that are typed before it, in the same shell.
    before: &'static str,
    /// What of its text stands for something else here.
    swap: &'static [(&'static str, &'static str)],
    /// What comes of commands that begin so, each once. All others end well.
    told: &'static [(&'static str, Told)],
    /// Whether each `#` is followed by what the answer to its command holds.
    answers: bool,
    /// Typed at the end.
    after: &'static str,
}

/// What comes of a command.
enum Told {
    /// It ends well, having said this.
    Says(&'static str),
    /// The same, after a while: it is run until then.
    Comes(&'static str),
    /// It ends well when it reads this.
    Hears(&'static str),
    /// It does not end by itself, and has said this.
    GoesOn(&'static str),
    /// The same, and what it has said is the block of text that begins so, but for ids.
    Shows(&'static str),
    /// The same, when a node of that name has joined.
    Joins(&'static str),
    /// It ends well as soon as what goes on at the other machine has ended.
    Alone,
    /// It ends with an error that says this.
    Fails(&'static str),
    /// It is not run here but by that file, which has these words in it.
    Elsewhere(&'static str, &'static str),
}

/// Blocks of the README that are set in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    README.split(fence.as_str()).skip(1).map(|rest| rest.split("\n```").next().expect("a first part")).collect()
}

/// The one that has this piece of text.
fn block(language: &str, piece: &str) -> &'static str {
    let found: Vec<_> = blocks(language).into_iter().filter(|block| block.contains(piece)).collect();
    let [block] = found[..] else { panic!("{} blocks of {language} in the README have '{piece}'", found.len()) };
    block
}
