//! The little of tar (POSIX ustar and pax) that backups and builds need: files and folders, one after the other.

use std::io;

/// Everything in a tar comes in these.
pub const BLOCK: usize = 512;
/// Eleven octal digits.
const SIZE_MAX: u64 = (1 << 33) - 1;
/// A header's own field, with its end.
const NAME_MAX: usize = 100;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    /// What the standard calls an extended header: says more of the entry behind it.
    More,
}

impl Kind {
    fn flag(self) -> &'static str {
        match self {
            Kind::File => "0",
            Kind::Folder => "5",
            Kind::More => "x",
        }
    }
}

/// A header; only the owner may read what is unpacked.
pub fn header(name: &str, size: u64, unix_s: u64) -> io::Result<[u8; BLOCK]> {
    if name.len() >= NAME_MAX || size > SIZE_MAX {
        return Err(io::Error::other(format!("'{name}' does not fit into a tar")));
    }
    Ok(block(name, Kind::File, 0o600, size, unix_s))
}

/// The header of an entry whose name may be long, with what must stand before it.
pub fn entry(name: &str, kind: Kind, mode: u32, size: u64) -> io::Result<Vec<u8>> {
    if size > SIZE_MAX {
        return Err(io::Error::other(format!("'{name}' does not fit into a tar")));
    }
    if name.len() < NAME_MAX {
        return Ok(block(name, kind, mode, size, 0).to_vec());
    }
    // The record says its own length, whose digits count too.
    let plain = " path=\n".len() + name.len();
    let digits = |n: usize| n.to_string().len();
    let length = plain + digits(plain + digits(plain));
    let record = format!("{length} path={name}\n");
    let mut bytes = block("path", Kind::More, 0o600, record.len() as u64, 0).to_vec();
    bytes.extend_from_slice(record.as_bytes());
    bytes.resize(bytes.len() + padding(record.len() as u64), 0);
    let short = (0..NAME_MAX).rev().find(|at| name.is_char_boundary(*at)).map_or("", |at| &name[..at]);
    bytes.extend_from_slice(&block(short, kind, mode, size, 0));
    Ok(bytes)
}

fn block(name: &str, kind: Kind, mode: u32, size: u64, unix_s: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}\0"));
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{:011o}\0", unix_s.min(SIZE_MAX)));
    put(156, kind.flag());
    put(257, "ustar\x0000");
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A header's name and size; `None` when it is none that this file writes.
pub fn parse(block: &[u8; BLOCK]) -> Option<(&str, u64)> {
    let text = |from: usize, to: usize| str::from_utf8(&block[from..to]).ok()?.split('\0').next();
    let octal = |from, to| u64::from_str_radix(text(from, to)?.trim(), 8).ok();
    let ours = &block[257..265] == b"ustar\x0000" && block[156] == b'0' && octal(148, 156)? == checksum(block);
    ours.then_some((text(0, 100)?, octal(124, 136)?))
}

/// Makes a header's checksum what it must be.
#[cfg(any(test, feature = "fuzz"))]
pub fn mend(block: &mut [u8; BLOCK]) {
    let sum = checksum(block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
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
