//! The test images, for the program's own tests and for those in `tests/it`.

use std::process::Command;
use std::sync::OnceLock;

/// Makes the test images, once. `false`: there is no engine, and the test is skipped.
pub fn engine_is_there() -> bool {
    static THERE: OnceLock<Result<(), String>> = OnceLock::new();
    let there = THERE.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/images");
        let made = Command::new(script).output().map_err(|error| format!("{script}: {error}"))?;
        made.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&made.stderr).into_owned())
    });
    if let Err(why) = there {
        assert!(std::env::var("CARES_REQUIRE_DOCKER").as_deref() != Ok("1"), "CARES_REQUIRE_DOCKER=1, but: {why}");
        eprintln!("skipped, as there is no engine to test with: {why}");
    }
    there.is_ok()
}
