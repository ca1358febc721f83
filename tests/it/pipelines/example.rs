//! The example pipeline, as the README starts it.

use std::process::Command;

#[test]
fn the_example_builds_checks_and_reports() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/examples/pipeline/run");
    let mut command = Command::new("bash");
    command.arg(script).env("CARES_BIN", env!("CARGO_BIN_EXE_cares")).env_remove("AUTH_TOKEN");
    let (status, out, err) = crate::harness::run(&mut command);
    assert!(status.success(), "{out}{err}");
    let report = out.lines().find_map(|line| line.strip_prefix("report: ")).expect("a report");
    let results: serde_json::Value = serde_json::from_str(report).expect("JSON");
    assert!(results["build"].as_str().is_some_and(|text| text.contains("hello from a pipeline")), "{report}");
    for check in ["spelling", "size", "digest"] {
        assert!(results[check].as_str().is_some_and(|text| text.starts_with(check)), "{check}: {report}");
    }
    assert!(err.contains("✔ report  succeeded"), "{err}");
}
