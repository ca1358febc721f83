//! What people and workers send an orchestrator.

use super::spec;
use crate::bundle;

pub use super::endpoints::Endpoint;
pub use super::grpc::{read_join, reported};
pub use super::schedule::{Times, zone};

/// A `function.json`: what is taken makes the same revision again, and every refusal names a field.
pub fn manifest(data: &[u8]) {
    let Ok(mut settings) = bundle::parse_manifest(data) else { return };
    settings.image = "x".into();
    if settings.name.is_empty() {
        settings.name = "f".into();
    }
    match spec::revision(settings, 7) {
        Ok(revision) => assert_eq!(spec::revision(spec::settings(&revision), 7), Ok(revision)),
        Err(invalid) => assert!(!invalid.field.is_empty() && !invalid.why.is_empty()),
    }
}
