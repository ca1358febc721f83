//! A database that may be opened, repaired and migrated without a byte of it being changed: what is written stays in
//! memory.

use crate::lock::lock;
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

/// What is remembered at once of what was written.
const PAGE: u64 = 4096;

/// Reads from what is below and keeps what is written to itself.
#[derive(Debug)]
pub struct Overlay {
    below: Box<dyn StorageBackend>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// What is below counts up to here: beyond, it was cut off.
    below: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub fn over(below: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = below.len()?;
        Ok(Overlay { below, written: Mutex::new(Written { len, below: len, pages: BTreeMap::new() }) })
    }

    fn page(&self, written: &Written, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = written.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE as usize];
        let there = written.below.saturating_sub(number * PAGE).min(PAGE);
        if there > 0 {
            self.below.read(number * PAGE, &mut page[..there as usize])?;
        }
        Ok(page)
    }
}

/// The pages that a range of bytes touches: number, where in the page, where in the range.
fn pages(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let end = offset + len as u64;
    (offset / PAGE..end.div_ceil(PAGE)).map(move |number| {
        let (from, to) = (offset.max(number * PAGE), end.min((number + 1) * PAGE));
        let in_page = (from - number * PAGE) as usize..(to - number * PAGE) as usize;
        (number, in_page, (from - offset) as usize..(to - offset) as usize)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.written).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = lock(&self.written);
        if offset.saturating_add(out.len() as u64) > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, in_page, here) in pages(offset, out.len()) {
            out[here].copy_from_slice(&self.page(&written, number)?[in_page]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = lock(&self.written);
        written.len = len;
        written.below = written.below.min(len);
        written.pages.retain(|number, _| number * PAGE < len);
        if let Some(last) = written.pages.get_mut(&(len / PAGE)) {
            last[(len % PAGE) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = lock(&self.written);
        for (number, in_page, here) in pages(offset, data.len()) {
            let mut page = self.page(&written, number)?;
            page[in_page].copy_from_slice(&data[here]);
            written.pages.insert(number, page);
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }
}
