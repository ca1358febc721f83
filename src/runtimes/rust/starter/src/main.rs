//! Runs once for each call: what was sent is on stdin, what is printed is the answer.

use std::io::{self, Read};

fn main() -> io::Result<()> {
    let mut name = String::new();
    io::stdin().read_to_string(&mut name)?;
    let name = if name.is_empty() { "World" } else { &name };
    println!("Hello, {name}!");
    Ok(())
}
