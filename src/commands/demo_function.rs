//! The program side of the examples: what a worker runs when `hello` or `echo` is called. Must never need a cluster.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

/// The most `hello` reads of a name.
const MAX_NAME_BYTES: u64 = 64 << 10;

/// Runs `hello` (a job) or `echo` (an http function).
pub fn run(function: &str) -> ExitCode {
    match function {
        "hello" => match hello(io::stdin().lock(), io::stdin().is_terminal(), io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE, // the caller went away: there is nobody to tell
        },
        "echo" => super::demo_echo::run(),
        other => {
            crate::output::note(&format!("cares: there is no example '{other}'. Use hello or echo."));
            ExitCode::from(super::USAGE)
        }
    }
}

fn hello(input: impl Read, terminal: bool, mut output: impl Write) -> io::Result<()> {
    let mut name = Vec::new();
    if !terminal {
        input.take(MAX_NAME_BYTES).read_to_end(&mut name)?;
    }
    let name = String::from_utf8_lossy(&name);
    match name.trim() {
        "" => writeln!(output, "Hello from CARES")?,
        name => writeln!(output, "Hello, {name}!")?,
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_greets() {
        let say = |input: &str| {
            let mut output = Vec::new();
            hello(input.as_bytes(), false, &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        assert_eq!(say(""), "Hello from CARES\n");
        assert_eq!(say(" World\n"), "Hello, World!\n");
    }
}
