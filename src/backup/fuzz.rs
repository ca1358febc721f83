//! Backups by chance: as they are, and with their headers' checksums mended, behind which chance alone never gets.

use super::Part;
use crate::tar::{self, BLOCK};

fn read_one(bytes: &[u8]) {
    let (mut head, mut records, mut taken) = (false, 0, 0);
    let whole = super::read(bytes, |part| {
        match part {
            Part::Head(_) => head = true,
            Part::Record { key, value, .. } => records += key.len() + value.len(),
            Part::Bundle { bytes, .. } => taken += bytes.read_to_end(&mut Vec::new())?,
        }
        Ok(())
    });
    // A value may be written longer than it came: numbers, and characters that need not be escaped.
    assert!(records <= bytes.len() * 32 && taken <= bytes.len());
    assert!(whole.is_err() || head);
}

/// The target.
pub fn read(data: &[u8]) {
    read_one(data);
    let mut mended = data.to_vec();
    let mut at = 0;
    while let Some(block) = mended.get_mut(at..at + BLOCK).and_then(|block| <&mut [u8; BLOCK]>::try_from(block).ok()) {
        tar::mend(block);
        let Some((_, size)) = tar::parse(block) else { break };
        let Some(next) = usize::try_from(size).ok().and_then(|size| at.checked_add(BLOCK + size)) else { break };
        at = next.next_multiple_of(BLOCK);
    }
    read_one(&mended);
}
