//! Bundles, good and hostile.

use super::archive::{Limits, inspect_within};
use super::by_hand::{self, Entry, zip};
use super::*;
use crate::types::Mode;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

/// A file that anybody may read.
fn file(name: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Entry {
    by_hand::file(name, body, 0o644)
}

fn manifest() -> Entry {
    file(MANIFEST, r#"{"command": ["./run"]}"#)
}

struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: TempDir::new().unwrap() }
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("b.zip");
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The error of a bundle that neither `inspect` nor `unpack` may take.
    fn refused(&self, entries: &[Entry]) -> String {
        let zip = self.write(&zip(entries));
        let into = self.dir.path().join("out/it");
        let error = inspect(&zip).unwrap_err().to_string();
        assert_eq!(unpack(&zip, &into).unwrap_err().to_string(), error);
        assert_eq!(fs::read_dir(self.dir.path().join("out")).unwrap().count(), 0, "nothing is left behind");
        error
    }
}

fn inspected(json: &str) -> Result<crate::types::FunctionSpec, BundleError> {
    let bench = Bench::new();
    inspect(&bench.write(&zip(&[file(MANIFEST, json)])))
}

#[test]
fn a_manifest_is_read() {
    let spec = inspected(r#"{"name":"a","command":["python3","main.py"],"mode":"http","timeout":5}"#).unwrap();
    assert_eq!((spec.name.as_str(), spec.mode, spec.timeout_s), ("a", Some(Mode::Http), Some(5.0)));
    for mode in ["", r#","mode":"auto""#, r#","mode":"job""#] {
        let spec = inspected(&format!(r#"{{"command":["x"]{mode}}}"#)).unwrap();
        assert_eq!(spec.mode, Some(Mode::Job));
    }
}

#[test]
fn a_bad_manifest_is_refused_by_field() {
    for (json, says) in [
        ("{", "JSON object"),
        ("[]", "JSON object"),
        ("{}", "`command` is missing"),
        (r#"{"command":[]}"#, "`command` is missing"),
        (r#"{"command":[""]}"#, "empty program"),
        (r#"{"command":"x"}"#, "field `command`"),
        (r#"{"command":["x"],"memory_mb":"much"}"#, "field `memory_mb`"),
        (r#"{"command":["x"],"mode":"cron"}"#, "field `mode`"),
        (r#"{"command":["x"],"colour":"red"}"#, "unknown field `colour`"),
        (r#"{"command":["x"],"image":"alpine"}"#, "`image` must be left out"),
    ] {
        let error = inspected(json).unwrap_err().to_string();
        assert!(error.starts_with("function.json: ") && error.contains(says), "{json}: {error}");
    }
    let error = inspected(&format!(r#"{{"command":["x"],"description":"{}"}}"#, "x".repeat(70_000))).unwrap_err();
    assert!(error.to_string().contains("64 KiB"), "{error}");
}

#[test]
fn a_missing_manifest_is_told() {
    let bench = Bench::new();
    let error = inspect(&bench.write(&zip(&[file("main.py", "")]))).unwrap_err().to_string();
    assert!(error.contains("has no function.json"), "{error}");
    let error = inspect(&bench.write(&zip(&[file("app/function.json", "{}")]))).unwrap_err().to_string();
    assert!(error.contains("\"app/function.json\""), "{error}");
}

#[test]
fn what_is_no_zip_is_refused() {
    let bench = Bench::new();
    let whole = zip(&[manifest(), file("a", "bcd")]);
    for bytes in [&b""[..], b"PK", b"#!/bin/sh\n", &whole[..whole.len() - 30], &whole[40..]] {
        assert!(inspect(&bench.write(bytes)).is_err());
    }
    let mut rotten = whole.clone();
    let at = rotten.windows(3).position(|w| w == b"bcd").unwrap();
    rotten[at] = b'x';
    let error = inspect(&bench.write(&rotten)).unwrap_err().to_string();
    assert!(error.contains("\"a\"") && error.contains("inflated"), "{error}");
}

#[test]
fn hostile_names_are_refused() {
    let bench = Bench::new();
    let deep = vec!["d"; 33].join("/");
    let long = "n".repeat(256);
    let very_long = format!("{}x", "abcdefg/".repeat(128));
    for (name, says) in [
        (&b"../up"[..], ". or .."),
        (b"a/../../up", ". or .."),
        (b"./a", ". or .."),
        (b"/etc/passwd", "absolute"),
        (b"/", "absolute"),
        (b"//a", "absolute"),
        (b"", "empty"),
        (b"a//b", "empty"),
        (b"a\\..\\b", "backslash"),
        (b"C:/windows", "drive letter"),
        (b"c:x", "drive letter"),
        (b"a\0b", "NUL"),
        (b"caf\xe9", "not UTF-8"),
        (deep.as_bytes(), "32 folders"),
        (long.as_bytes(), "255 bytes"),
        (very_long.as_bytes(), "1,024 bytes"),
    ] {
        let error = bench.refused(&[manifest(), file(name, "x")]);
        assert!(error.contains(says), "{name:?}: {error}");
    }
}

#[test]
fn two_of_a_name_are_refused() {
    let bench = Bench::new();
    for (names, says) in [
        (["a", "a"], "two of this name"),
        (["a/", "a/"], "two of this name"),
        (["a", "a/"], "file as well as a folder"),
        (["a/b", "a"], "file as well as a folder"),
        (["a", "a/b/c"], "file as well as a folder"),
    ] {
        let entries = names.map(|name| Entry { mode: 0, ..file(name, "") });
        let error = bench.refused(&entries);
        assert!(error.contains(says), "{names:?}: {error}");
    }
}

#[test]
fn links_special_files_and_secrets_are_refused() {
    let bench = Bench::new();
    for (mode, says) in [(0o120_777, "symbolic link"), (0o010_644, "neither"), (0o060_644, "neither")] {
        let error = bench.refused(&[manifest(), Entry { mode, ..file("it", "/etc/passwd") }]);
        assert!(error.contains(says), "{error}");
    }
    let error = bench.refused(&[Entry { flags: 0x801, ..file("secret", "0123456789abcdef") }]);
    assert!(error.contains("encrypted"), "{error}");
}

#[test]
fn ten_thousand_entries_are_the_limit() {
    let bench = Bench::new();
    let mut entries: Vec<Entry> = (1..10_000).map(|n| file(format!("f{n}"), "")).collect();
    entries.push(manifest());
    inspect(&bench.write(&zip(&entries))).unwrap();
    entries.push(file("one-more", ""));
    let error = bench.refused(&entries);
    assert!(error.contains("10001 entries"), "{error}");
}

/// A deflated zip whose headers may lie about how large the file will be.
fn deflated(bytes: usize, claimed: Option<u32>) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("zeros"), vec![0; bytes]).unwrap();
    let mut zip = Cursor::new(Vec::new());
    pack(dir.path(), &crate::ignore::Ignore::default(), &mut zip).unwrap();
    let mut zip = zip.into_inner();
    if let Some(claimed) = claimed {
        let real = (bytes as u32).to_le_bytes();
        let places: Vec<usize> = (0..zip.len() - 4).filter(|at| zip[*at..at + 4] == real).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|at| zip[*at..at + 4].copy_from_slice(&claimed.to_le_bytes()));
    }
    zip
}

#[test]
fn a_bomb_is_refused_by_what_comes_out() {
    let bench = Bench::new();
    let size = 3_000_001;
    for (claimed, limits, says) in [
        (None, Limits { file_bytes: 1 << 20, total_bytes: u64::MAX }, "512 MiB in one file"),
        (None, Limits { file_bytes: u64::MAX, total_bytes: 1 << 20 }, "1 GiB unpacked"),
        (Some(10), Limits { file_bytes: 1 << 20, total_bytes: u64::MAX }, "zeros"),
        (Some(10), Limits { file_bytes: u64::MAX, total_bytes: 1 << 20 }, ""),
    ] {
        let zip = bench.write(&deflated(size, claimed));
        let error = inspect_within(&zip, limits).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // What is claimed is refused before anything is inflated.
    let error = inspect(&bench.write(&deflated(size, Some(600 << 20)))).unwrap_err().to_string();
    assert!(error.contains("512 MiB in one file"), "{error}");
}

#[test]
fn a_folder_too_large_is_refused_before_it_is_read() {
    let bench = Bench::new();
    let folder = bench.dir.path().join("f");
    fs::create_dir(&folder).unwrap();
    let sparse = |name: &str, bytes| fs::File::create(folder.join(name)).and_then(|file| file.set_len(bytes)).unwrap();
    let refused = || {
        let mut zip = Cursor::new(Vec::new());
        let error = pack(&folder, &crate::ignore::Ignore::default(), &mut zip).unwrap_err().to_string();
        assert!(zip.into_inner().is_empty(), "{error}");
        error
    };
    ["a", "b", "c"].iter().for_each(|name| sparse(name, 400 << 20));
    assert!(refused().starts_with("its files together are too large, and a bundle may have 1 GiB unpacked at most"));
    sparse("big", 513 << 20);
    fs::remove_file(folder.join("c")).unwrap();
    let error = refused();
    assert!(error.starts_with("its file \"big\" is too large, and a bundle may have 512 MiB in one file"), "{error}");
}

#[test]
fn a_zip_too_large_is_not_even_opened() {
    let bench = Bench::new();
    let zip = bench.write(b"");
    fs::OpenOptions::new().write(true).open(&zip).unwrap().set_len(MAX_ZIP_BYTES + 1).unwrap();
    assert!(inspect(&zip).unwrap_err().to_string().contains("1 GiB as a zip"));
}

#[test]
fn unpacking_keeps_exec_bits_and_drops_the_rest() {
    let bench = Bench::new();
    let zip = bench.write(&zip(&[
        manifest(),
        Entry { mode: 0o104_755, ..file("bin/run", "#!/bin/sh\n") },
        Entry { mode: 0o100_666, ..file("bin/open", "x") },
        Entry { mode: 0, ..file("dos", "x") },
        Entry { mode: 0o040_700, ..file("empty/", "") },
    ]));
    let into = bench.dir.path().join("it");
    assert_eq!(unpack(&zip, &into).unwrap(), 10 + 2 + manifest().body.len() as u64);
    let mode = |name: &str| fs::metadata(into.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin/run"), mode("bin/open"), mode("dos"), mode("empty")), (0o755, 0o644, 0o755, 0o755));
    assert_eq!(fs::read(into.join("bin/run")).unwrap(), b"#!/bin/sh\n");
    assert!(unpack(&zip, &into).is_err(), "never over what is there");
    assert_eq!(fs::read_dir(bench.dir.path()).unwrap().count(), 2, "no part is left behind");
}

#[test]
fn a_folder_packs_to_the_same_bytes_and_back() {
    let bench = Bench::new();
    let make = |name: &str, files: &[&str]| {
        let dir = bench.dir.path().join(name);
        for file in files {
            fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
            fs::write(dir.join(file), format!("the content of {file}")).unwrap();
        }
        fs::create_dir_all(dir.join("void")).unwrap();
        fs::write(dir.join(MANIFEST), r#"{"command":["x"]}"#).unwrap();
        fs::set_permissions(dir.join("z"), PermissionsExt::from_mode(0o755)).unwrap();
        let zip = bench.dir.path().join(format!("{name}.zip"));
        pack(&dir, &crate::ignore::Ignore::default(), fs::File::create(&zip).unwrap()).unwrap();
        (dir, zip)
    };
    let (dir, one) = make("one", &["z", "a/b/c", "a/é", ".git/HEAD", ".hidden"]);
    let (_, two) = make("two", &[".hidden", "a/é", "z", "a/b/c"]);
    assert_eq!(digest_of(&one).unwrap(), digest_of(&two).unwrap());
    inspect(&one).unwrap();
    let back = bench.dir.path().join("back");
    unpack(&one, &back).unwrap();
    assert!(!back.join(".git").exists() && back.join("void").is_dir());
    assert_eq!(fs::read(back.join("a/b/c")).unwrap(), fs::read(dir.join("a/b/c")).unwrap());
    assert_eq!(fs::metadata(back.join("z")).unwrap().permissions().mode() & 0o777, 0o755);

    symlink("/etc/passwd", dir.join("a/link")).unwrap();
    let error = pack(&dir, &crate::ignore::Ignore::default(), Cursor::new(Vec::new())).unwrap_err().to_string();
    assert!(error.contains("\"a/link\"") && error.contains("symbolic link"), "{error}");
}

#[test]
fn digests_are_told_from_other_images() {
    let bench = Bench::new();
    let digest = digest_of(&bench.write(b"abc")).unwrap();
    assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(digest_in(&format!("bundle:{digest}")), Some(digest.as_str()));
    for image in ["alpine", "bundle:", "bundle:../../x", &format!("bundle:{}", digest.to_uppercase()), &digest] {
        assert_eq!(digest_in(image), None, "{image}");
    }
}
