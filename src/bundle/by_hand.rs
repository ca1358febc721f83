//! Zips written byte by byte, for the program's own tests and those in `tests/it`: no zip program would make some of these.

/// An entry as it is to stand in the zip, whatever sense that makes.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub body: Vec<u8>,
    pub mode: u32,
    pub flags: u16,
    /// Deflated, of this many bytes as the zip says; `None` when it is stored.
    pub deflated: Option<u32>,
}

/// A stored file with that name in UTF-8.
pub fn file(name: impl AsRef<[u8]>, body: impl AsRef<[u8]>, mode: u32) -> Entry {
    let (name, body) = (name.as_ref().to_vec(), body.as_ref().to_vec());
    Entry { name, body, mode: 0o100_000 | mode, flags: 0x800, deflated: None }
}

/// A zip of these.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = zip.len() as u32;
        let (method, sum) = if entry.deflated.is_some() { (8, 0) } else { (0, crc(&entry.body)) };
        let [low, high] = entry.flags.to_le_bytes();
        let mut common = vec![20, 0, low, high, method, 0, 0, 0, 0x21, 0];
        common.extend(sum.to_le_bytes());
        common.extend((entry.body.len() as u32).to_le_bytes());
        common.extend(entry.deflated.unwrap_or(entry.body.len() as u32).to_le_bytes());
        common.extend((entry.name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        zip.extend([b"PK\x03\x04", &common[..], &entry.name, &entry.body].concat());
        directory.extend([b"PK\x01\x02\x14\x03", &common[..], &[0; 6]].concat());
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(&entry.name);
    }
    let (start, count) = (zip.len() as u32, (entries.len() as u16).to_le_bytes());
    zip.extend(&directory);
    zip.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &(directory.len() as u32).to_le_bytes()].concat());
    zip.extend(start.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut crc, byte| {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()));
        crc
    })
}
