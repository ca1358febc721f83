//! What is read of a build's output, however it comes.

use super::*;
use futures_lite::future::block_on;
use futures_lite::io::Cursor;
use std::io::{Read, Seek};

/// The log's lines, the zip and what is left in this output, how long the zip is said to be.
fn received(output: &[u8]) -> (Vec<String>, Vec<u8>, Vec<u8>, u64) {
    let (say, said) = rt::bounded(100);
    let (mut zip, mut left) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let into = Into { zip: zip.try_clone().unwrap(), left: left.try_clone().unwrap(), cache_bytes: 10 };
    let mut last = VecDeque::new();
    let from = Box::new(Cursor::new(output.to_vec()));
    let bytes = block_on(receive(from, into, &say, &mut last)).map_err(|failed| failed.why).unwrap();
    drop(say);
    let read = |file: &mut File| {
        let mut found = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut found).unwrap();
        found
    };
    let lines: Vec<String> = std::iter::from_fn(|| block_on(said.recv()).ok()).collect();
    assert!(last.len() <= LAST_LINES && last.iter().eq(&lines[lines.len().saturating_sub(LAST_LINES)..]));
    (lines, read(&mut zip), read(&mut left), bytes)
}

#[test]
fn the_log_comes_first_and_then_the_zip_and_what_is_left() {
    let made = |log: &str, zip: &[u8], len: u64, left: &[u8]| {
        received(&[log.as_bytes(), &[0], &len.to_le_bytes(), zip, left].concat())
    };
    let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let zip = b"PK\0\n\0x".to_vec();
    assert_eq!(made("one\ntwo\nhalf", &zip, 6, b""), (lines(&["one", "two", "half"]), zip.clone(), vec![], 6));
    assert_eq!(made("", &zip, 6, b"left\0over"), (vec![], zip.clone(), b"left\0over".to_vec(), 6));
    assert_eq!(made("", &zip, 6, b"more than is kept"), (vec![], zip.clone(), vec![], 6));
    assert_eq!(made("", &zip, 7, b"").3, 0, "half a zip is none");
    let gone = (lines(&["it went wrong", "no end"]), vec![], vec![], 0);
    assert_eq!(received(b"it went wrong\nno end"), gone);
    let many: String = (0..50).map(|n| format!("{n}\n")).collect();
    assert_eq!(received(many.as_bytes()).0.len(), 50);
    assert_eq!(received(b""), (vec![], vec![], vec![], 0));
    // However it comes.
    let (say, _said) = rt::bounded(100);
    let whole = [b"log\0".as_slice(), &6_u64.to_le_bytes(), &zip, b"left"].concat();
    let mut left = tempfile::tempfile().unwrap();
    let into = Into { zip: tempfile::tempfile().unwrap(), left: left.try_clone().unwrap(), cache_bytes: 10 };
    let slowly =
        futures_lite::io::AsyncReadExt::chain(Cursor::new(whole[..7].to_vec()), Cursor::new(whole[7..].to_vec()));
    assert_eq!(block_on(receive(Box::new(slowly), into, &say, &mut VecDeque::new())).map_err(|_| ()), Ok(6));
    let mut text = String::new();
    left.rewind().unwrap();
    left.read_to_string(&mut text).unwrap();
    assert_eq!(text, "left");
    let huge = [&[0][..], &u64::MAX.saturating_sub(1).to_le_bytes(), b"x"].concat();
    let into = Into { zip: tempfile::tempfile().unwrap(), left, cache_bytes: 10 };
    let failed = block_on(receive(Box::new(Cursor::new(huge)), into, &say, &mut VecDeque::new()));
    assert!(failed.is_err_and(|failed| failed.why.contains("1 GiB")));
}

#[test]
fn tools_are_looked_for_where_launches_find_them() {
    assert_eq!(missing("sh", "r"), None);
    for tool in ["no-such-tool", ""] {
        let text = missing(tool, "ruby").expect("a reason");
        assert!(
            text.contains("the runtime ruby") && text.contains("/usr/bin:/bin") && text.contains("Docker"),
            "{text}"
        );
    }
}

#[test]
fn what_a_build_runs_into_is_told_by_the_kernels_word_or_its_own() {
    let told = |exit, said: &str, bytes| too_little(exit, said, bytes);
    for (exit, said) in [
        (Exit::OutOfMemory, "Killed"),
        (Exit::Code(1), "tail: memory exhausted"),
        (Exit::Code(1), "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"),
        (Exit::Code(1), "sh: Cannot allocate memory"),
    ] {
        let text = told(exit, said, Some(64 << 20)).expect("a limit");
        assert!(text.contains("(64 MiB beside its files)") && text.contains("build-memory-bytes"), "{text}");
    }
    let text = told(Exit::Code(1), "ld: No space left on device", Some(8 << 30)).expect("a limit");
    assert!(text.contains("(2048 MiB") && text.contains("build-memory-bytes"), "{text}");
    assert_eq!(told(Exit::Code(1), "syntax error", Some(1)), None);
    assert_eq!((file_bytes(None), file_bytes(Some(1 << 20)), file_bytes(Some(u64::MAX))), (2 << 30, 1 << 20, 2 << 30));
}
