//! The `cares` program: everything is in the library, so that tests and other programs can use it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    cares::run(std::env::args_os().collect())
}
