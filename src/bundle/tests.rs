//! Bundles, good and hostile. The hostile ones are written byte by byte: no zip program would make them.

use super::archive::{Limits, inspect_within};
use super::*;
use crate::types::Mode;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

/// An entry as it is to stand in the zip, whatever sense that makes.
#[derive(Clone)]
struct Raw {
    name: Vec<u8>,
    body: Vec<u8>,
    mode: u32,
    flags: u16,
}

fn file(name: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Raw {
    Raw { name: name.as_ref().to_vec(), body: body.as_ref().to_vec(), mode: 0o100_644, flags: 0x800 }
}

fn manifest() -> Raw {
    file(MANIFEST, r#"{"command": ["./run"]}"#)
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut crc, byte| {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()));
        crc
    })
}

/// A zip of stored entries.
fn zip_of(entries: &[Raw]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = zip.len() as u32;
        let size = (entry.body.len() as u32).to_le_bytes();
        let mut common = Vec::new();
        common.extend([20, 0]);
        common.extend(entry.flags.to_le_bytes());
        common.extend([0, 0, 0, 0, 0x21, 0]);
        common.extend(crc(&entry.body).to_le_bytes());
        common.extend(size);
        common.extend(size);
        common.extend((entry.name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        zip.extend(b"PK\x03\x04");
        zip.extend(&common);
        zip.extend(&entry.name);
        zip.extend(&entry.body);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(&entry.name);
    }
    let start = zip.len() as u32;
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([(entries.len() as u16).to_le_bytes(); 2].concat());
    zip.extend((directory.len() as u32).to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: TempDir::new().unwrap() }
    }

    fn zip(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("b.zip");
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The error of a bundle that neither `inspect` nor `unpack` may take.
    fn refused(&self, entries: &[Raw]) -> String {
        let zip = self.zip(&zip_of(entries));
        let into = self.dir.path().join("out/it");
        let error = inspect(&zip).unwrap_err().to_string();
        assert_eq!(unpack(&zip, &into).unwrap_err().to_string(), error);
        assert_eq!(fs::read_dir(self.dir.path().join("out")).unwrap().count(), 0, "nothing is left behind");
        error
    }
}

fn inspected(json: &str) -> Result<crate::types::FunctionSpec, BundleError> {
    let bench = Bench::new();
    inspect(&bench.zip(&zip_of(&[file(MANIFEST, json)])))
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
    let error = inspect(&bench.zip(&zip_of(&[file("main.py", "")]))).unwrap_err().to_string();
    assert!(error.contains("has no function.json"), "{error}");
    let error = inspect(&bench.zip(&zip_of(&[file("app/function.json", "{}")]))).unwrap_err().to_string();
    assert!(error.contains("\"app/function.json\""), "{error}");
}

#[test]
fn what_is_no_zip_is_refused() {
    let bench = Bench::new();
    let whole = zip_of(&[manifest(), file("a", "bcd")]);
    for bytes in [&b""[..], b"PK", b"#!/bin/sh\n", &whole[..whole.len() - 30], &whole[40..]] {
        assert!(inspect(&bench.zip(bytes)).is_err());
    }
    let mut rotten = whole.clone();
    let at = rotten.windows(3).position(|w| w == b"bcd").unwrap();
    rotten[at] = b'x';
    let error = inspect(&bench.zip(&rotten)).unwrap_err().to_string();
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
        let entries = names.map(|name| Raw { mode: 0, ..file(name, "") });
        let error = bench.refused(&entries);
        assert!(error.contains(says), "{names:?}: {error}");
    }
}

#[test]
fn links_special_files_and_secrets_are_refused() {
    let bench = Bench::new();
    for (mode, says) in [(0o120_777, "symbolic link"), (0o010_644, "neither"), (0o060_644, "neither")] {
        let error = bench.refused(&[manifest(), Raw { mode, ..file("it", "/etc/passwd") }]);
        assert!(error.contains(says), "{error}");
    }
    let error = bench.refused(&[Raw { flags: 0x801, ..file("secret", "0123456789abcdef") }]);
    assert!(error.contains("encrypted"), "{error}");
}

#[test]
fn ten_thousand_entries_are_the_limit() {
    let bench = Bench::new();
    let mut entries: Vec<Raw> = (1..10_000).map(|n| file(format!("f{n}"), "")).collect();
    entries.push(manifest());
    inspect(&bench.zip(&zip_of(&entries))).unwrap();
    entries.push(file("one-more", ""));
    let error = bench.refused(&entries);
    assert!(error.contains("10001 entries"), "{error}");
}

/// A deflated zip whose headers may lie about how large the file will be.
fn deflated(bytes: usize, claimed: Option<u32>) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("zeros"), vec![0; bytes]).unwrap();
    let mut zip = Cursor::new(Vec::new());
    pack(dir.path(), &mut zip).unwrap();
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
        let zip = bench.zip(&deflated(size, claimed));
        let error = inspect_within(&zip, limits).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // What is claimed is refused before anything is inflated.
    let error = inspect(&bench.zip(&deflated(size, Some(600 << 20)))).unwrap_err().to_string();
    assert!(error.contains("512 MiB in one file"), "{error}");
}

#[test]
fn a_zip_too_large_is_not_even_opened() {
    let bench = Bench::new();
    let zip = bench.zip(b"");
    fs::OpenOptions::new().write(true).open(&zip).unwrap().set_len(MAX_ZIP_BYTES + 1).unwrap();
    assert!(inspect(&zip).unwrap_err().to_string().contains("100 MiB"));
}

#[test]
fn unpacking_keeps_exec_bits_and_drops_the_rest() {
    let bench = Bench::new();
    let zip = bench.zip(&zip_of(&[
        manifest(),
        Raw { mode: 0o104_755, ..file("bin/run", "#!/bin/sh\n") },
        Raw { mode: 0o100_666, ..file("bin/open", "x") },
        Raw { mode: 0, ..file("dos", "x") },
        Raw { mode: 0o040_700, ..file("empty/", "") },
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
        pack(&dir, fs::File::create(&zip).unwrap()).unwrap();
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
    let error = pack(&dir, Cursor::new(Vec::new())).unwrap_err().to_string();
    assert!(error.contains("\"a/link\"") && error.contains("symbolic link"), "{error}");
}

#[test]
fn digests_are_told_from_other_images() {
    let bench = Bench::new();
    let digest = digest_of(&bench.zip(b"abc")).unwrap();
    assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(digest_in(&format!("bundle:{digest}")), Some(digest.as_str()));
    for image in ["alpine", "bundle:", "bundle:../../x", &format!("bundle:{}", digest.to_uppercase()), &digest] {
        assert_eq!(digest_in(image), None, "{image}");
    }
}
