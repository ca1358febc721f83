//! What an engine may answer, whole or in pieces.

use super::answers;
use super::frames::{Frames, Objects};
use super::moving::{layers::LeftOut, sieve::Sieve};
use super::request::ImageName;
use crate::worker::logs::Stream;

/// A stream of stdout and stderr is the same however it is cut.
pub fn frames(data: &[u8]) {
    let Some((whole, chunks)) = crate::fuzz::cut(data) else { return };
    let apart = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let (mut frames, mut out) = (Frames::default(), [Vec::new(), Vec::new()]);
        for mut chunk in chunks {
            while let Some((stream, piece)) = frames.next(&mut chunk) {
                assert!(!piece.is_empty());
                out[usize::from(stream == Stream::Stderr)].extend_from_slice(piece);
            }
            assert!(chunk.is_empty());
        }
        out
    };
    let mut chunks = chunks;
    assert_eq!(apart(&mut chunks), apart(&mut std::iter::once(whole)));
}

/// An image's archive: the same passes however it is cut, and what passes passes again unchanged.
pub fn archive(data: &[u8]) {
    let Some((whole, chunks)) = crate::fuzz::cut(data) else { return };
    // Heads have a checksum, which chance does not find.
    let mut mended = whole.to_vec();
    for block in mended.as_chunks_mut::<{ crate::tar::BLOCK }>().0 {
        if &block[257..262] == b"ustar" {
            crate::tar::mend(block);
        }
    }
    let size = chunks.map(<[u8]>::len).next().unwrap_or(1);
    let sift = |bytes: &[u8], size: usize| {
        let layers = [format!("sha256:{}", "a".repeat(64))];
        let (mut sieve, mut out) =
            (Sieve::new("cares/x:1", LeftOut::new(&layers, &layers.iter().cloned().collect())), Vec::new());
        bytes.chunks(size).try_for_each(|chunk| sieve.add(chunk, &mut out)).and_then(|()| sieve.end()).map(|()| out)
    };
    let out = sift(&mended, mended.len().max(1));
    assert_eq!(out, sift(&mended, size));
    if let Ok(out) = out {
        assert_eq!(sift(&out, size).as_ref(), Ok(&out));
    }
}

/// JSON: objects in a row, and each answer alone.
pub fn answers(data: &[u8]) {
    let Some((whole, chunks)) = crate::fuzz::cut(data) else { return };
    let mut objects = Objects::default();
    let found: Vec<answers::Event> = chunks.flat_map(|chunk| objects.add(chunk)).collect();
    assert!(found.len() <= whole.len());
    let all = serde_json::Deserializer::from_slice(whole).into_iter::<answers::Event>();
    if let Ok(all) = all.collect::<Result<Vec<_>, _>>() {
        assert_eq!(found, all);
    }
    let _ = serde_json::from_slice::<answers::Container>(whole);
    let _ = serde_json::from_slice::<answers::Image>(whole);
    let _ = serde_json::from_slice::<answers::Version>(whole);
    let _ = serde_json::from_slice::<Vec<answers::Summary>>(whole);
    let _ = serde_json::from_slice::<answers::Stats>(whole);
    if let Ok(name) = ImageName::parse(&String::from_utf8_lossy(whole)) {
        assert!(!name.path().contains("..") && !name.registry().is_empty());
    }
}
