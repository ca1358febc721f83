//! What a terminal may send.

use super::keys::Keys;

/// Cut up or not, it is the same keys, unless an Escape is cut off from what follows it.
pub fn keys(data: &[u8]) {
    let Some((whole, chunks)) = crate::fuzz::cut(data) else { return };
    let mut keys = Keys::default();
    let pieces: Vec<_> = chunks.flat_map(|chunk| keys.take(chunk)).collect();
    let once = Keys::default().take(whole);
    assert!(pieces.len() <= whole.len() && once.len() <= whole.len());
    if !whole.contains(&0x1b) && whole.is_ascii() {
        assert_eq!(pieces, once);
    }
}
