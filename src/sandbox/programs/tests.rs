//! What is found of a PATH, as a user of their own and as the worker's.

use super::*;
use crate::data_dir::tests::Scratch;

/// A program below the folder, which everybody may run.
fn program(scratch: &Scratch, path: &str) -> PathBuf {
    let file = scratch.0.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

fn found(scratch: &Scratch, folders: &[&str], others: bool) -> Programs {
    let path = std::env::join_paths(folders.iter().map(|folder| scratch.0.join(folder))).unwrap();
    Programs::find(&path, &scratch.0.canonicalize().unwrap(), &Rustup::default(), others)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_systems_folders_come_first_and_then_paths_own() {
    let scratch = Scratch::new();
    let (tool, _) = (program(&scratch, "tools/bin/tool"), program(&scratch, "tools/bin/sh"));
    let found = found(&scratch, &["tools/bin", "tools/bin", "/usr/bin", "/usr/sbin", "gone", "relative/../x"], true);
    assert_eq!(found.path(), format!("/usr/local/bin:/usr/bin:/bin:{}", scratch.0.join("tools/bin").display()));
    assert_eq!(found.find_one("tool"), Some(tool));
    assert!(found.find_one("sh").is_some_and(|sh| !sh.starts_with(&scratch.0)), "the system's goes before");
    assert_eq!(
        (found.find_one("no-such-tool"), found.find_one(""), found.out_of_reach("no-such-tool")),
        (None, None, None)
    );
}

#[test]
fn what_functions_cannot_reach_or_others_may_change_is_not_looked_through() {
    let scratch = Scratch::new();
    for path in ["private/home/bin/tool", "writable/bin/tool", "version/shims/tool"] {
        program(&scratch, path);
    }
    mode(&scratch.0.join("private"), 0o700);
    mode(&scratch.0.join("writable/bin"), 0o777);
    let found = |folder: &str| {
        let found = found(&scratch, &[folder], true);
        assert_eq!((found.path().as_str(), found.find_one("tool")), ("/usr/local/bin:/usr/bin:/bin", None), "{folder}");
        let (file, why) = found.out_of_reach("tool").expect("a reason");
        assert!(file.starts_with(&scratch.0) && found.opened().is_empty(), "{file:?}");
        why.to_owned()
    };
    let private = scratch.0.join("private").canonicalize().unwrap();
    let why = found("private/home/bin");
    assert!(why.contains(&format!("enter {}:", private.display())) && why.contains("for all users"), "{why}");
    assert!(found("writable/bin").contains("chmod o-w"));
    assert!(found("version/shims").contains("version itself"));
    // A program is not its folder: one may be there that others may not run.
    let tool = program(&scratch, "tools/bin/tool");
    mode(&tool, 0o700);
    assert_eq!(self::found(&scratch, &["tools/bin"], true).find_one("tool"), None);
    let mine = self::found(&scratch, &["tools/bin", "private/home/bin"], false);
    assert_eq!((mine.find_one("tool"), mine.folders.len()), (Some(tool), 5), "the worker's own user may");
}

#[test]
fn of_a_home_only_programs_and_their_libraries_are_opened() {
    let scratch = Scratch::new();
    for path in
        ["bin/mine", "lib/secret", "node/bin/node", "node/lib/node_modules/npm/x", "node/share/key", "go/pkg/tool/x"]
    {
        program(&scratch, path);
    }
    for path in ["go/bin/go", "go/src/fmt/print.go", "go/VERSION", "gopath/bin/gopls", "gopath/src/mine/main.go"] {
        program(&scratch, path);
    }
    program(&scratch, "outside/program");
    std::os::unix::fs::symlink(scratch.0.join("outside/program"), scratch.0.join("bin/linked")).unwrap();
    let found = found(&scratch, &["bin", "node/bin", "go/bin", "gopath/bin"], true);
    let root = scratch.0.canonicalize().unwrap();
    let opened: Vec<&str> =
        found.opened().iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
    assert_eq!(opened, ["bin", "node/lib", "node/bin", "go/VERSION", "go/pkg", "go/src", "go/bin", "gopath/bin"]);
    assert!(found.find_one("mine").is_some() && found.find_one("linked").is_none(), "it would not be opened there");
}

#[test]
fn rustups_programs_are_those_of_its_toolchain() {
    let scratch = Scratch::new();
    program(&scratch, ".cargo/bin/rustup");
    std::os::unix::fs::symlink("rustup", scratch.0.join(".cargo/bin/cargo")).unwrap();
    fs::write(scratch.0.join(".cargo/credentials.toml"), "a secret").unwrap();
    for name in ["stable", "nightly"] {
        program(&scratch, &format!(".rustup/toolchains/{name}/bin/cargo"));
    }
    fs::write(scratch.0.join(".rustup/settings.toml"), "version = \"12\"\ndefault_toolchain = \"stable\"\n").unwrap();
    let path = scratch.0.join(".cargo/bin").into_os_string();
    let cargo = |rustup: Rustup| {
        let found = Programs::find(&path, &scratch.0, &rustup, true);
        assert!(found.opened().iter().all(|path| !scratch.0.join(".cargo/credentials.toml").starts_with(path)));
        found.find_one("cargo").unwrap().strip_prefix(&scratch.0).unwrap().display().to_string()
    };
    assert_eq!(cargo(Rustup::default()), ".rustup/toolchains/stable/bin/cargo");
    let nightly = Rustup { toolchain: Some("nightly".into()), home: Some(scratch.0.join(".rustup").into()) };
    assert_eq!(cargo(nightly), ".rustup/toolchains/nightly/bin/cargo");
    let gone = Rustup { toolchain: Some("gone".into()), home: None };
    assert_eq!(cargo(gone), ".cargo/bin/cargo", "left to rustup itself");
}
