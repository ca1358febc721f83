//! The little of tar (POSIX ustar) that a backup needs: files with short names, one after the other.

use std::io;

/// Everything in a tar comes in these.
pub const BLOCK: usize = 512;
/// Eleven octal digits.
const SIZE_MAX: u64 = (1 << 33) - 1;

/// A header; only the owner may read what is unpacked.
pub fn header(name: &str, size: u64, unix_s: u64) -> io::Result<[u8; BLOCK]> {
    if name.len() >= 100 || size > SIZE_MAX {
        return Err(io::Error::other(format!("'{name}' does not fit into a backup")));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{:011o}\0", unix_s.min(SIZE_MAX)));
    put(156, "0");
    put(257, "ustar\x0000");
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// A header's name and size; `None` when it is none that this file writes.
pub fn parse(block: &[u8; BLOCK]) -> Option<(&str, u64)> {
    let text = |from: usize, to: usize| str::from_utf8(&block[from..to]).ok()?.split('\0').next();
    let octal = |from, to| u64::from_str_radix(text(from, to)?.trim(), 8).ok();
    let ours = &block[257..265] == b"ustar\x0000" && block[156] == b'0' && octal(148, 156)? == checksum(block);
    ours.then_some((text(0, 100)?, octal(124, 136)?))
}

/// What is missing to a whole number of blocks.
pub fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Of all bytes, its own field taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let byte = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(*byte) };
    block.iter().enumerate().map(byte).sum()
}
