//! Compiles `proto/` without `protoc` and tells the binary which commit it was built from.

use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/cluster.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false) // the channel is ours: hyper over async-std, see `src/grpc_transport`
        .codec_path("crate::wire::Codec")
        .bytes(".cluster.BundleChunk.data")
        .compile_fds(descriptors)?;

    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/index");
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|out| out.status.success())
        .and_then(|out| String::from_utf8(out.stdout).ok());
    println!("cargo:rustc-env=CARES_COMMIT={}", commit.as_deref().map_or("unknown", str::trim));
    Ok(())
}
