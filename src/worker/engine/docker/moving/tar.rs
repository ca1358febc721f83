//! The heads of a tar archive, as engines write it. Must never take an entry that another reader would take for another:
//! what is out of the ordinary is refused.

pub use crate::tar::BLOCK;
/// Of the records that may precede a head.
pub const RECORDS_BYTES: u64 = 64 << 10;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    /// And where it leads.
    Link(String),
    /// Records about the next entry.
    Records,
}

/// One entry's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub name: String,
    pub kind: Kind,
    pub bytes: u64,
}

impl Head {
    /// `None`: the block of zeros that ends an archive. `Err` says what cannot be read.
    pub fn read(block: &[u8; BLOCK]) -> Result<Option<Head>, &'static str> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum =
            block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) });
        if octal(&block[148..156]) != Some(sum.sum()) {
            return Err("a head's checksum is wrong");
        }
        let mut name = text(&block[..100])?;
        let posix = &block[257..263] == b"ustar\0";
        let prefix = if posix { text(&block[345..500])? } else { String::new() };
        if !prefix.is_empty() {
            name = format!("{prefix}/{name}");
        }
        let bytes = size(&block[124..136]).ok_or("a size cannot be read")?;
        let kind = match block[156] {
            b'0' | 0 => Kind::File,
            b'5' => Kind::Folder,
            b'2' => Kind::Link(text(&block[157..257])?),
            b'x' => Kind::Records,
            _ => return Err("an entry is of a kind that no image has"),
        };
        let empty = matches!(kind, Kind::Folder | Kind::Link(_));
        let bytes = if empty { 0 } else { bytes };
        if kind == Kind::Records && bytes > RECORDS_BYTES {
            return Err("an entry's records are too long");
        }
        Ok(Some(Head { name, kind, bytes }))
    }
}

/// What the records before a head say of the entry's size. They may say nothing of its name.
pub fn size_in(records: &[u8]) -> Result<Option<u64>, &'static str> {
    const ODD: &str = "an entry's records cannot be read";
    let (mut rest, mut bytes) = (records, None);
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or(ODD)?;
        let length: usize = str::from_utf8(&rest[..space]).ok().and_then(|n| n.parse().ok()).ok_or(ODD)?;
        let record = rest.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or(ODD)?;
        let record = str::from_utf8(record).map_err(|_| ODD)?;
        match record.split_once('=').ok_or(ODD)? {
            ("size", value) => bytes = Some(value.parse().map_err(|_| ODD)?),
            ("mtime" | "atime" | "ctime" | "uid" | "gid" | "uname" | "gname", _) => {}
            _ => return Err(ODD),
        }
        rest = &rest[length..];
    }
    Ok(bytes)
}

fn text(field: &[u8]) -> Result<String, &'static str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    match str::from_utf8(&field[..end]) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.into()),
        _ => Err("a name has characters that no image's has"),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(if text.is_empty() { "0" } else { text }, 8).ok()
}

/// In octal, or where that is too short in base 256.
fn size(field: &[u8]) -> Option<u64> {
    if field[0] != 0x80 {
        return octal(field);
    }
    let (high, low) = field.split_at(field.len() - 8);
    let high_is_zero = high[1..].iter().all(|byte| *byte == 0);
    high_is_zero.then(|| u64::from_be_bytes(low.try_into().unwrap_or([0xff; 8])))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Of any kind, filled up.
    pub fn entry(name: &str, kind: u8, link: &str, contents: &[u8]) -> Vec<u8> {
        let mut block = crate::tar::header(name, contents.len() as u64, 0).unwrap();
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        crate::tar::mend(&mut block);
        let mut all = block.to_vec();
        all.extend_from_slice(contents);
        all.resize(all.len().next_multiple_of(BLOCK), 0);
        all
    }

    pub fn file(name: &str, contents: &[u8]) -> Vec<u8> {
        entry(name, b'0', "", contents)
    }

    fn head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
        Head::read(bytes[..BLOCK].try_into().unwrap())
    }

    #[test]
    fn heads_are_read_and_odd_ones_refused() {
        let file = entry("a/b", b'0', "", b"12345");
        assert_eq!(head(&file), Ok(Some(Head { name: "a/b".into(), kind: Kind::File, bytes: 5 })));
        let link = entry("a", b'2', "../b", b"");
        assert_eq!(head(&link).unwrap().unwrap().kind, Kind::Link("../b".into()));
        assert_eq!(head(&[0; BLOCK]), Ok(None));
        for kind in [b'1', b'3', b'L', b'K', b'g', b'S'] {
            assert!(head(&entry("a", kind, "", b"")).is_err(), "{}", kind as char);
        }
        let mut broken = file;
        broken[0] = b'z';
        assert!(head(&broken).is_err());
        assert!(head(&entry("a\u{1}", b'0', "", b"")).is_err());
    }

    #[test]
    fn sizes_beyond_octal_are_read() {
        assert_eq!(size(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(8 << 30));
        assert_eq!(size(b"\x80\x01\0\0\0\0\0\x02\0\0\0\0"), None);
        assert_eq!(size(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(size_in(b"20 size=10000000000\n"), Ok(Some(10_000_000_000)));
        assert_eq!(size_in(b"18 mtime=12345.67\n"), Ok(None));
        for odd in [&b"9 path=a\n"[..], b"x", b"99 size=1\n", b"0 size=1\n", b"12 size=1 2x\n", b"10 size=-1\n"] {
            assert!(size_in(odd).is_err(), "{}", String::from_utf8_lossy(odd));
        }
    }
}
