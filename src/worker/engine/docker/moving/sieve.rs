//! An image's archive on its way, piece by piece: at the sender without the layers that the receiver has, at both without
//! any name but the image's. Must never hold more than a description, nor let through what is no image's.

use super::layers::LeftOut;
use super::tar::{self, BLOCK, Head, Kind};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::mem;

/// Of a description that is held to be read: an image of a hundred layers has some 20 KiB.
const HELD_BYTES: u64 = 4 << 20;
const MANIFEST: &str = "manifest.json";

/// Lets an archive through.
pub struct Sieve {
    /// The one name that it may bring.
    image: String,
    left_out: LeftOut,
    /// Files to be left out, which come later.
    unwanted: HashSet<String>,
    at: At,
    /// Bytes of a block that is not whole yet.
    partial: Vec<u8>,
    /// The records before the next head, as they are to be passed on, and the size they tell.
    records: (Vec<u8>, Option<u64>),
    seen_manifest: bool,
    /// Layers that were left out.
    pub skipped: usize,
}

enum At {
    Head,
    /// Within contents: so many bytes and so many to fill the block up are left.
    Body {
        left: u64,
        fill: u64,
        what: What,
    },
    End,
}

enum What {
    Pass,
    Drop,
    /// Held: what it is, and so far. A manifest is passed on when it has been read, the others as they come.
    Hold(Held, Vec<u8>),
}

enum Held {
    Manifest,
    /// Of a layer, in the folder of this name.
    Description(String),
    Records,
}

/// As much of it as an engine needs. It is written anew, for engines read it less strictly: a field in other letters would
/// be the same to them.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Sieve {
    /// `image` as `docker save` was asked for it.
    pub fn new(image: &str, left_out: LeftOut) -> Sieve {
        Sieve {
            image: image.into(),
            left_out,
            unwanted: HashSet::new(),
            at: At::Head,
            partial: Vec::new(),
            records: Default::default(),
            seen_manifest: false,
            skipped: 0,
        }
    }

    /// Appends to `out` what is passed on of these bytes. `Err` says what is wrong with the archive.
    pub fn add(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Head => {
                    let (taken, rest) = bytes.split_at(bytes.len().min(BLOCK - self.partial.len()));
                    self.partial.extend_from_slice(taken);
                    bytes = rest;
                    if let Ok(block) = <&[u8; BLOCK]>::try_from(&*self.partial) {
                        let block = *block;
                        self.partial.clear();
                        self.head(&block, out)?;
                    }
                }
                At::Body { left, fill, what } => {
                    let (taken, rest) =
                        bytes.split_at(bytes.len().min(usize::try_from(*left + *fill).unwrap_or(usize::MAX)));
                    bytes = rest;
                    let contents = taken.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= contents as u64;
                    *fill -= (taken.len() - contents) as u64;
                    let over = *left + *fill == 0;
                    match what {
                        What::Drop => {}
                        What::Pass => out.extend_from_slice(taken),
                        What::Hold(held, so_far) => {
                            so_far.extend_from_slice(&taken[..contents]);
                            match held {
                                Held::Records => self.records.0.extend_from_slice(taken),
                                Held::Description(_) => out.extend_from_slice(taken),
                                Held::Manifest => {}
                            }
                        }
                    }
                    if over {
                        self.over(out)?;
                    }
                }
                At::End => {
                    if bytes.iter().any(|byte| *byte != 0) {
                        return Err("something follows its end".into());
                    }
                    out.extend_from_slice(bytes);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether it came whole.
    pub fn end(&self) -> Result<(), String> {
        match self.at {
            At::End if self.seen_manifest => Ok(()),
            At::End => Err("it has no manifest.json".into()),
            _ => Err("it broke off".into()),
        }
    }

    fn head(&mut self, block: &[u8; BLOCK], out: &mut Vec<u8>) -> Result<(), String> {
        let Some(head) = Head::read(block)? else {
            out.extend_from_slice(block);
            self.at = At::End;
            return Ok(());
        };
        if head.kind == Kind::Records {
            self.records.0.extend_from_slice(block);
            return self.body(head.bytes, What::Hold(Held::Records, Vec::new()), out);
        }
        let (records, size) = mem::take(&mut self.records);
        let bytes = size.unwrap_or(head.bytes);
        let what = self.what(&head)?;
        if matches!(what, What::Hold(..)) && bytes > HELD_BYTES {
            return Err(format!("{} has {bytes} bytes, at most {HELD_BYTES}", head.name));
        }
        if !matches!(what, What::Drop | What::Hold(Held::Manifest, _)) {
            out.extend_from_slice(&records);
            out.extend_from_slice(block);
        }
        self.body(bytes, what, out)
    }

    fn body(&mut self, left: u64, what: What, out: &mut Vec<u8>) -> Result<(), String> {
        let fill = left.checked_next_multiple_of(BLOCK as u64).ok_or("a size is beyond all measure")? - left;
        self.at = At::Body { left, fill, what };
        if left == 0 { self.over(out) } else { Ok(()) }
    }

    /// What is done with an entry, by its name: those of all engines' archives are known.
    fn what(&mut self, head: &Head) -> Result<What, String> {
        let name = head.name.as_str();
        let parts: Vec<&str> = name.trim_end_matches('/').split('/').collect();
        let unexpected = || Err(format!("{name} is no part of an image"));
        Ok(match (&head.kind, parts.as_slice()) {
            (Kind::Folder, ["blobs"] | ["blobs", "sha256"]) => What::Pass,
            (Kind::Folder, [id]) if is_hex(id) => What::Pass,
            (Kind::File, _) if name.ends_with('/') => return unexpected(),
            (Kind::File, [MANIFEST]) => What::Hold(Held::Manifest, Vec::new()),
            // The manifest says all of it, and there is one place to look for names.
            (Kind::File, ["repositories" | "index.json" | "oci-layout"]) => What::Drop,
            (Kind::File, [config]) if config.strip_suffix(".json").is_some_and(is_hex) => What::Pass,
            (Kind::File, ["blobs", "sha256", digest]) if is_hex(digest) => match self.left_out.is_blob(digest) {
                true => self.skip(),
                false => What::Pass,
            },
            (Kind::File, [id, "VERSION"]) if is_hex(id) => What::Pass,
            (Kind::File, [id, "json"]) if is_hex(id) => What::Hold(Held::Description(id.to_string()), Vec::new()),
            (Kind::File | Kind::Link(_), [id, "layer.tar"]) if self.unwanted.contains(*id) => self.skip(),
            (Kind::File, [id, "layer.tar"]) if is_hex(id) => What::Pass,
            (Kind::Link(to), [id, "layer.tar"]) if is_hex(id) => {
                let other = to.strip_prefix("../").and_then(|to| to.strip_suffix("/layer.tar"));
                match other.is_some_and(is_hex) {
                    true => What::Pass,
                    false => return unexpected(),
                }
            }
            _ => return unexpected(),
        })
    }

    fn skip(&mut self) -> What {
        self.skipped += 1;
        What::Drop
    }

    /// An entry's contents are over.
    fn over(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let At::Body { what, .. } = mem::replace(&mut self.at, At::Head) else { return Ok(()) };
        let What::Hold(held, bytes) = what else { return Ok(()) };
        match held {
            Held::Records => self.records.1 = tar::size_in(&bytes)?,
            Held::Description(id) => {
                if self.left_out.is_folder(&id, &bytes) {
                    self.unwanted.insert(id);
                }
            }
            Held::Manifest => {
                let all: Vec<Manifest> = serde_json::from_slice(&bytes).map_err(|e| format!("{MANIFEST}: {e}"))?;
                let names: Vec<String> = all.iter().flat_map(|one| one.repo_tags.iter().flatten().cloned()).collect();
                if all.len() != 1 || names != [self.image.as_str()] {
                    return Err(format!("it would bring {} images by the names {names:?}", all.len()));
                }
                let written = serde_json::to_vec(&all).map_err(|e| format!("{MANIFEST}: {e}"))?;
                let bytes = written.len() as u64;
                let head =
                    crate::tar::entry(MANIFEST, crate::tar::Kind::File, 0o644, bytes).map_err(|e| e.to_string())?;
                out.extend_from_slice(&head);
                out.extend_from_slice(&written);
                out.resize(out.len() + crate::tar::padding(bytes), 0);
                self.seen_manifest = true;
            }
        }
        Ok(())
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests;
