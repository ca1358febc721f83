//! The field `isolation` of a function's settings, as it is given, kept and shown. Must never decide who may ask.

use super::spec::{Invalid, invalid};
use crate::cluster::Isolation;
use crate::types::{self, Files, Syscalls};

const PIDS_MAX: u32 = 65_536;
const TMP_MAX_MB: u64 = 1 << 20;

/// The field as the core keeps it.
pub fn read(given: &types::Isolation) -> Result<Isolation, Invalid> {
    let pids = match given.pids {
        Some(pids) if pids == 0 || pids > PIDS_MAX => {
            return invalid("isolation.pids", format!("must be 1 to {PIDS_MAX}"));
        }
        pids => pids.unwrap_or(0),
    };
    let tmp_mb = match given.tmp_mb {
        Some(mb) if mb == 0 || mb > TMP_MAX_MB => {
            return invalid("isolation.tmp_mb", format!("must be 1 to {TMP_MAX_MB}"));
        }
        mb => mb.unwrap_or(0),
    };
    Ok(Isolation {
        open_files: given.files == Some(Files::Open),
        all_syscalls: given.syscalls == Some(Syscalls::All),
        pids,
        tmp_bytes: tmp_mb << 20,
    })
}

/// The field as it is shown: what differs from the default. `None`: nothing does.
pub fn shown(kept: &Isolation) -> Option<types::Isolation> {
    (*kept != Isolation::default()).then(|| types::Isolation {
        files: kept.open_files.then_some(Files::Open),
        syscalls: kept.all_syscalls.then_some(Syscalls::All),
        pids: (kept.pids > 0).then_some(kept.pids),
        tmp_mb: (kept.tmp_bytes > 0).then_some(kept.tmp_bytes >> 20),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_as_it_was_given() {
        let json = |text: &str| serde_json::from_str::<types::Isolation>(text).expect("valid");
        for text in [r#"{"files":"open"}"#, r#"{"syscalls":"all","pids":9}"#, r#"{"tmp_mb":64}"#] {
            let shown = shown(&read(&json(text)).expect("in range")).expect("not the default");
            assert_eq!(serde_json::to_string(&shown).expect("JSON"), text);
        }
        assert_eq!(shown(&read(&json(r#"{"files":"private"}"#)).expect("in range")), None);
        assert!(read(&json(r#"{"tmp_mb":0}"#)).is_err() && read(&json(r#"{"pids":65537}"#)).is_err());
    }
}
