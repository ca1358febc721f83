//! Compiles `proto/` without `protoc` and tells the binary which commit it was built from.

use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/cluster.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false) // the channel is ours: hyper over async-std, see `src/grpc_transport`
        .codec_path("crate::wire::Codec")
        .bytes(".cluster.BundleChunk.data")
        .skip_debug([".cluster.Secret", ".cluster.RegistryAuth"]) // `wire` has ones that show no value
        .compile_fds(descriptors)?;

    for file in ["HEAD", "index"] {
        // asked for, since a worktree keeps them elsewhere: a file that is not there would have every build run anew
        if let Some(path) = git(&["--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!("cargo:rustc-env=CARES_COMMIT={}", git(&["--short=12", "HEAD"]).as_deref().unwrap_or("unknown"));
    Ok(())
}

/// What `git rev-parse` answers; nothing without git, or outside a repository.
fn git(asked: &[&str]) -> Option<String> {
    let out = Command::new("git").arg("rev-parse").args(asked).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_string())
}
