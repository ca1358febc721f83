//! An orchestrator of the first CARES, played by the test: it knows the first fields alone.
