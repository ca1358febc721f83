//! What of this machine a task can be given beside processor and memory: its devices and its disk. Looks, and changes
//! nothing.

use rustix::fs::statvfs;
use std::fs;
use std::path::Path;

/// Named by these beginnings, in the folder of devices.
const NAMED: [&str; 7] = ["nvidia", "ttyUSB", "ttyACM", "video", "dri", "kfd", "snd"];
/// As many as are told.
const MOST: usize = 64;

/// Those there are, by path; and `gpu` where a container engine can be asked for graphics processors.
pub fn all(dev: &Path) -> Vec<String> {
    let names =
        fs::read_dir(dev).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| NAMED.iter().any(|begin| name.starts_with(begin))).collect();
    names.sort();
    names.truncate(MOST);
    let gpu = names.iter().any(|name| name == "nvidia0").then(|| "gpu".to_string());
    gpu.into_iter().chain(names.into_iter().map(|name| format!("/dev/{name}"))).collect()
}

/// Bytes in use and in all of the disk that a folder is on; 0 when it cannot be read.
pub fn disk(folder: &Path) -> (u64, u64) {
    let Ok(disk) = statvfs(folder) else { return (0, 0) };
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    (bytes(disk.f_blocks.saturating_sub(disk.f_bfree)), bytes(disk.f_blocks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::tests::Scratch;

    #[test]
    fn devices_are_told_by_path() {
        let scratch = Scratch::new();
        for name in ["ttyUSB0", "nvidia0", "null", "tty1"] {
            fs::write(scratch.0.join(name), "").unwrap();
        }
        assert_eq!(all(&scratch.0), ["gpu", "/dev/nvidia0", "/dev/ttyUSB0"]);
        assert!(all(&scratch.0.join("none")).is_empty());
        let (used, total) = disk(&scratch.0);
        assert!(used <= total && total > 0);
        assert_eq!(disk(&scratch.0.join("none")), (0, 0));
    }
}
