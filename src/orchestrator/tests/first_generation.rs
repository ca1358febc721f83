//! A worker of the first CARES, played by the test: it knows the first fields alone, and serves ExecuteFunction.
