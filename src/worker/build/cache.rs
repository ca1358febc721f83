//! What builds without a container engine leave for the next one of the same function, such as what a compiler made of its
//! own libraries: one file each, which only `make-bundle` reads. Must never give one function's to another: a build may
//! write what it likes there, and another's would run it. Must never keep more bytes than it may.

use crate::lock::lock;
use crate::names;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// At the end of a name: made before the function was. What a deleted one left is not of use to its successor, though this
/// node was away when it was deleted.
const FIRST: &str = "~";
/// One function's may take this part of all.
const PARTS: u64 = 4;

/// The files of one worker.
pub struct Caches {
    dir: PathBuf,
    max_bytes: u64,
    /// Held while files come and go.
    turn: Mutex<()>,
}

impl Caches {
    /// Those in this folder; 0 bytes: none is kept. Blocks.
    pub fn open(dir: PathBuf, max_bytes: u64) -> io::Result<Caches> {
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        let caches = Caches { dir, max_bytes, turn: Mutex::default() };
        caches.make_room()?;
        Ok(caches)
    }

    /// Bytes one function may have.
    pub fn most(&self) -> u64 {
        self.max_bytes / PARTS
    }

    /// Puts what is kept of a function at `to`, for others to read; `first`: there is no such function yet. Blocks.
    pub fn lend(&self, function: &str, first: bool, to: &Path) {
        let _turn = lock(&self.turn);
        let names = [Some(format!("{function}{FIRST}")), (!first).then(|| function.to_owned())];
        for name in names.into_iter().flatten() {
            let kept = self.dir.join(name);
            if fs::hard_link(&kept, to).is_ok() {
                let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
                let used = Timestamps { last_access: now, last_modification: now };
                let now = utimensat(CWD, &kept, &used, AtFlags::empty());
                now.unwrap_or_else(|error| log::debug!("{}: {error}", kept.display())); // it goes sooner
                return;
            }
        }
    }

    /// Keeps a file as a function's, instead of what was there; an empty one is none. Blocks.
    pub fn keep(&self, function: &str, first: bool, file: &Path) -> io::Result<()> {
        if names::check_name(function).is_err() {
            return Ok(());
        }
        let _turn = lock(&self.turn);
        fs::set_permissions(file, fs::Permissions::from_mode(0o644))?;
        self.remove(function);
        if fs::metadata(file)?.len() == 0 {
            return Ok(());
        }
        fs::rename(file, self.dir.join(format!("{function}{}", if first { FIRST } else { "" })))?;
        self.make_room()
    }

    /// Removes a function's. Blocks.
    pub fn forget(&self, function: &str) {
        if names::check_name(function).is_ok() {
            let _turn = lock(&self.turn);
            self.remove(function);
        }
    }

    fn remove(&self, function: &str) {
        for end in ["", FIRST] {
            let _ = fs::remove_file(self.dir.join(format!("{function}{end}"))); // there may be none
        }
    }

    /// Removes those used longest ago.
    fn make_room(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let found = entry.metadata()?;
            kept.push((found.modified()?, found.len(), entry.path()));
        }
        kept.sort();
        let mut bytes = kept.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        for (_, len, path) in kept {
            if bytes <= self.max_bytes {
                break;
            }
            bytes -= len;
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;

    struct Bench(Scratch, Caches);

    fn bench(max_bytes: u64) -> Bench {
        let scratch = Scratch::new();
        let caches = Caches::open(scratch.0.join("caches"), max_bytes).unwrap();
        Bench(scratch, caches)
    }

    impl Bench {
        fn keep(&self, function: &str, first: bool, text: &str) {
            let file = self.0.0.join("made");
            fs::write(&file, text).unwrap();
            self.1.keep(function, first, &file).unwrap();
        }

        fn lent(&self, function: &str, first: bool) -> Option<String> {
            let to = self.0.0.join("lent");
            self.1.lend(function, first, &to);
            let text = fs::read_to_string(&to).ok();
            let _ = fs::remove_file(to);
            text
        }
    }

    #[test]
    fn each_function_has_its_own_and_a_successor_has_none_of_it() {
        let bench = bench(1_000);
        assert_eq!(bench.lent("f", true), None);
        bench.keep("f", true, "one");
        assert_eq!((bench.lent("f", true).as_deref(), bench.lent("g", false)), (Some("one"), None));
        assert_eq!(bench.lent("f", false).as_deref(), Some("one"), "made before it was deployed first");
        bench.keep("f", false, "two");
        assert_eq!((bench.lent("f", true), bench.lent("f", false).as_deref()), (None, Some("two")));
        bench.keep("f", true, "three");
        assert_eq!(bench.lent("f", false).as_deref(), Some("three"), "what the deleted one left is gone");
        bench.1.forget("f");
        bench.1.forget("../f");
        bench.keep("../f", true, "out");
        assert_eq!((bench.lent("f", true), bench.lent("f", false)), (None, None));
        assert!(!bench.0.0.join("f~").exists());
    }

    #[test]
    fn the_one_used_longest_ago_goes_when_there_is_no_room() {
        let bench = bench(10);
        let old = |name: &str, ago: u64| {
            let file = fs::File::open(bench.0.0.join("caches").join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(ago)).unwrap();
        };
        for (name, ago) in [("a", 30), ("b", 20)] {
            bench.keep(name, false, "12345");
            old(name, ago);
        }
        assert!(bench.lent("a", false).is_some());
        bench.keep("c", false, "1");
        let here = |name| bench.lent(name, false).is_some();
        assert_eq!([here("a"), here("b"), here("c")], [true, false, true]);
        let none = Caches::open(bench.0.0.join("caches"), 0).unwrap();
        assert_eq!((none.most(), fs::read_dir(bench.0.0.join("caches")).unwrap().count()), (0, 0));
    }
}
