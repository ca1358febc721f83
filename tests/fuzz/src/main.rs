//! Runs the target named by `CARES_FUZZ_TARGET` under AFL++; `--list` names them all.

use cares::fuzz::TARGETS;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--list") {
        TARGETS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    }
    let wanted = std::env::var("CARES_FUZZ_TARGET").unwrap_or_default();
    let Some((_, target)) = TARGETS.iter().find(|(name, _)| *name == wanted) else {
        panic!("CARES_FUZZ_TARGET is none of {:?}", TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    };
    afl::fuzz!(|data: &[u8]| target(data));
}
