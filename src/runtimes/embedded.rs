//! The runtimes that are in this program, and nothing else.

use super::runtime::File;
use super::sample;

/// The files of one runtime, of which those that are named `+x` may be executed.
macro_rules! runtime {
    ($name:literal: $($path:literal $(from $source:literal)? $(+ $x:ident)?),+ $(,)?) => {
        ($name, &[$(($path, include_bytes!(runtime!(@ $name, $path $(, $source)?)) as &[u8], runtime!(@executable $($x)?))),+])
    };
    (@ $name:literal, $path:literal) => { concat!($name, "/", $path) };
    (@ $name:literal, $path:literal, $source:literal) => { concat!($name, "/", $source) };
    (@executable) => { false };
    (@executable x) => { true };
}

type Embedded = (&'static str, &'static [(&'static str, &'static [u8], bool)]);

const RUNTIMES: [Embedded; 6] = [
    runtime!("go": "runtime.json", "Dockerfile", "build.sh", "starter/go.mod", "starter/main.go"),
    runtime!("nodejs": "runtime.json", "Dockerfile", "build.cjs", "starter/index.js", "starter/package.json"),
    runtime!("python-flask": "runtime.json", "Dockerfile", "build.py", "serve.py", "starter/app.py",
        "starter/requirements.txt"),
    // As Cargo.toml it would make a package of its own of the folder, which cargo leaves out of ours.
    runtime!("rust": "runtime.json", "Dockerfile", "build.sh", "starter/Cargo.toml" from "starter/manifest.toml",
        "starter/src/main.rs"),
    runtime!("shell": "runtime.json", "Dockerfile", "build.sh", "starter/main.sh" + x),
    runtime!("static-binary": "runtime.json", "Dockerfile", "starter/main.c"),
];

/// Each with its name and files.
pub fn runtimes() -> impl Iterator<Item = (&'static str, Vec<File>)> {
    RUNTIMES.into_iter().map(|(name, files)| {
        let file = |&(path, bytes, executable): &(&str, &[u8], bool)| File {
            path: path.into(),
            bytes: bytes.into(),
            executable,
        };
        let mut files: Vec<File> = files.iter().map(file).collect();
        if name == "static-binary"
            && let Some(program) = sample::program()
        {
            files.push(File { path: "starter/main".into(), bytes: program, executable: true });
        }
        (name, files)
    })
}
