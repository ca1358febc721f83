//! Figures as people read them, short. Pure.

/// `999`, `12.3k`, `4.5M`.
pub fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1}k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", n as f64 / 1e6),
        _ => format!("{:.1}G", n as f64 / 1e9),
    }
}

/// `0.4 ms`, `12 ms`, `1.2 s`, `3 min`, `1.5 h`, `12 d`.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() => "N/A".into(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 99_950.0 => format!("{:.1} s", ms / 1e3),
        ms if ms < 90.0 * 60e3 => format!("{:.0} min", ms / 60e3),
        ms if ms < 48.0 * 3600e3 => format!("{:.1} h", ms / 3600e3),
        ms => format!("{:.0} d", ms / 86_400e3),
    }
}

/// `512 MiB`, `7.5 GiB`.
pub fn bytes(n: u64) -> String {
    const MIB: f64 = 1048576.0;
    let mib = n as f64 / MIB;
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// `12:34:56` of an RFC 3339 time; all of it when it is none.
pub fn clock(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([count(9_999), count(12_345), count(4_500_000)], ["9999", "12.3k", "4.5M"]);
        assert_eq!([milliseconds(0.42), milliseconds(12.3), milliseconds(1234.0)], ["0.4 ms", "12 ms", "1.2 s"]);
        assert_eq!([milliseconds(3e5), milliseconds(5.4e6), milliseconds(9e8)], ["5 min", "1.5 h", "10 d"]);
        assert_eq!([bytes(512 << 20), bytes(15 << 29)], ["512 MiB", "7.5 GiB"]);
        assert_eq!([clock("2026-01-02T12:34:56.789Z"), clock("soon")], ["12:34:56", "soon"]);
    }
}
