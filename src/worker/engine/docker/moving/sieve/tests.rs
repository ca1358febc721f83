//! Archives of each engine, in pieces of any size, and those that somebody meant ill with.

use super::*;
use crate::worker::engine::docker::moving::layers;
use crate::worker::engine::docker::moving::tar::tests::{entry as odd, file};

const IMAGE: &str = "cares/x:1";

fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn manifest(names: &str) -> Vec<u8> {
    let text =
        format!(r#"[{{"Config":"{}.json","RepoTags":{names},"Layers":["a","b"],"LayerSources":{{}}}}]"#, id('c'));
    file(MANIFEST, text.as_bytes())
}

fn whole(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

/// As engines of 25 and later write it.
fn blobs() -> Vec<u8> {
    whole(&[
        odd("blobs/", b'5', "", b""),
        odd("blobs/sha256/", b'5', "", b""),
        file(&format!("blobs/sha256/{}", id('a')), &[1; 700]),
        file(&format!("blobs/sha256/{}", id('b')), &[2; 512]),
        file(&format!("blobs/sha256/{}", id('c')), b"{}"),
        file("index.json", b"{}"),
        manifest(r#"["cares/x:1"]"#),
        file("oci-layout", b"{}"),
        file("repositories", b"{}"),
    ])
}

/// What comes out, and how many layers do not.
fn sieve(archive: &[u8], left_out: &LeftOut, size: usize) -> Result<(Vec<u8>, usize), String> {
    let (mut sieve, mut out) = (Sieve::new(IMAGE, left_out.clone()), Vec::new());
    for piece in archive.chunks(size) {
        sieve.add(piece, &mut out)?;
    }
    sieve.end()?;
    Ok((out, sieve.skipped))
}

fn names(mut archive: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(Some(head)) = Head::read(archive[..BLOCK].try_into().unwrap()) {
        archive = &archive[BLOCK + (head.bytes as usize).next_multiple_of(BLOCK)..];
        names.push(head.name);
    }
    assert!(archive.len() >= 2 * BLOCK && archive.iter().all(|byte| *byte == 0));
    names
}

fn refused(entries: &[Vec<u8>]) -> String {
    sieve(&whole(entries), &LeftOut::default(), 99).unwrap_err()
}

#[test]
fn layers_are_left_out_of_newer_archives() {
    let layers = ['a', 'b'].map(|letter| format!("sha256:{}", id(letter)));
    let has = |count: usize| LeftOut::new(&layers, &layers::chains(&layers)[..count].iter().cloned().collect());
    for size in [1, 511, 512, 513, 100_000] {
        let (all, skipped) = sieve(&blobs(), &has(0), size).unwrap();
        let blob = |letter| format!("blobs/sha256/{}", id(letter));
        assert_eq!((&names(&all)[2..5], skipped), (&['a', 'b', 'c'].map(blob)[..], 0));
        assert_eq!(names(&all).last().unwrap(), MANIFEST, "nothing else names images");
        let (one, skipped) = sieve(&blobs(), &has(1), size).unwrap();
        assert_eq!((one.len(), skipped), (all.len() - 512 - 1024, 1));
        assert!(!names(&one).contains(&blob('a')));
        assert_eq!(sieve(&blobs(), &has(2), size).unwrap().1, 2);
        assert_eq!(sieve(&all, &LeftOut::default(), size).unwrap().0, all, "the receiver changes nothing more");
    }
}

#[test]
fn sizes_in_records_count() {
    let blob = file(&format!("blobs/sha256/{}", id('a')), &[1; 600]);
    let mut short = odd(&format!("blobs/sha256/{}", id('a')), b'0', "", b"");
    short.extend_from_slice(&blob[BLOCK..]);
    let records = odd("x", b'x', "", b"12 size=600\n");
    let archive = whole(&[records, short, manifest(r#"["cares/x:1"]"#)]);
    let (out, _) = sieve(&archive, &LeftOut::default(), 100).unwrap();
    assert_eq!(out.len(), archive.len(), "nothing is left out but a word of the manifest");
}

#[test]
fn what_is_no_image_does_not_pass() {
    let good = manifest(r#"["cares/x:1"]"#);
    assert!(sieve(&whole(std::slice::from_ref(&good)), &LeftOut::default(), 99).is_ok());
    for tags in ["null", "[]", r#"["postgres:latest"]"#, r#"["cares/x:1","postgres:latest"]"#] {
        assert!(refused(&[manifest(tags)]).contains("by the names"), "{tags}");
    }
    // A field that Go takes for another is not passed on; one that is there twice is refused.
    let sly = r#"[{"Config":"c","RepoTags":["cares/x:1"],"repotags":["postgres:latest"],"Layers":[]}]"#;
    let (out, _) = sieve(&whole(&[file(MANIFEST, sly.as_bytes())]), &LeftOut::default(), 99).unwrap();
    assert!(!String::from_utf8_lossy(&out).contains("postgres"));
    let twice = r#"[{"Config":"c","RepoTags":["postgres:latest"],"RepoTags":["cares/x:1"],"Layers":[]}]"#;
    refused(&[file(MANIFEST, twice.as_bytes())]);
    refused(&[good.clone(), manifest(r#"["postgres:latest"]"#)]);
    for name in ["../x", "/etc/passwd", "./manifest.json", "manifest.json/", "blobs/sha256/x", "a/layer.tar"] {
        refused(&[file(name, b"x"), good.clone()]);
    }
    let layer = format!("{}/layer.tar", id('a'));
    for (name, to) in [(MANIFEST, "x"), (&*layer, "/etc/passwd"), (&*layer, "../../x"), (&*id('a'), ".")] {
        refused(&[odd(name, b'2', to, b""), good.clone()]);
    }
    refused(&[odd("manifest.json", b'1', "x", b""), good.clone()]);
    refused(&[odd("x", b'x', "", b"22 path=manifest.json\n"), good.clone()]);
    refused(&[file(MANIFEST, &vec![b' '; HELD_BYTES as usize + 1])]);
    refused(&[]);
    let alone = whole(std::slice::from_ref(&good));
    let cut = &alone[..700];
    assert!(sieve(cut, &LeftOut::default(), 99).unwrap_err().contains("broke off"));
    let more = [alone.clone(), good].concat();
    assert!(sieve(&more, &LeftOut::default(), 99).is_err());
}
