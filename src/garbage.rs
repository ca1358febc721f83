//! What is of no use any more: which of it goes, by age and space. Knows nothing of what it is.

use std::time::Duration;

/// How long what is of no use is kept.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What nobody had a use for in this time goes.
    pub unused_ms: u64,
    /// Between its coming and its use nothing refers to a thing.
    pub young_ms: u64,
    /// All that is unused together.
    pub bytes: u64,
    /// Between two looks.
    pub every: Duration,
}

/// Something of no use, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    pub name: String,
    pub bytes: u64,
    pub since_ms: u64,
}

/// Which of these are to go now: the old ones, and then the oldest while the rest takes too much.
pub fn to_drop(mut unused: Vec<Unused>, now_ms: u64, rules: &Rules) -> Vec<String> {
    unused.sort_by(|a, b| (a.since_ms, &a.name).cmp(&(b.since_ms, &b.name)));
    let mut total: u64 = unused.iter().map(|one| one.bytes).sum();
    let mut gone = Vec::new();
    for one in unused {
        let age = now_ms.saturating_sub(one.since_ms);
        if age >= rules.unused_ms || (total > rules.bytes && age >= rules.young_ms) {
            total -= one.bytes;
            gone.push(one.name);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused(name: &str, bytes: u64, since_ms: u64) -> Unused {
        Unused { name: name.into(), bytes, since_ms }
    }

    #[test]
    fn the_old_go_and_then_the_oldest_beyond_the_space() {
        let rules = Rules { unused_ms: 1_000, young_ms: 100, bytes: 10, every: Duration::ZERO };
        let gone = |list: &[Unused], now| to_drop(list.to_vec(), now, &rules);
        assert_eq!(gone(&[unused("a", 1, 0), unused("b", 1, 500)], 999), [""; 0]);
        assert_eq!(gone(&[unused("a", 1, 0), unused("b", 1, 500)], 1_000), ["a"]);
        let many = [unused("c", 6, 300), unused("a", 6, 100), unused("b", 4, 200)];
        assert_eq!(gone(&many, 500), ["a"], "the rest just fits");
        assert_eq!(gone(&many, 199), [""; 0], "all are too young");
        assert_eq!(gone(&[unused("huge", 50, 0), unused("new", 50, 450)], 500), ["huge"], "the new one stays");
    }
}
