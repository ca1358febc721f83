//! Time spans as .NET writes them: `[d.]hh:mm:ss[.fffffff]`.

use std::time::Duration;

const HOW: &str = "must be hh:mm:ss, such as 00:05:00; days stand before it (1.00:00:00), parts of a second behind";
/// Of the parts of a second: a tick is 100 ns.
const DIGITS: usize = 7;
const TICK_NANOS: u32 = 100;
/// Far beyond anybody's patience, and far from what overflows.
const DAYS_MAX: u64 = 10_000;

/// # Errors
/// What it must look like.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    read(text).ok_or(HOW)
}

fn read(text: &str) -> Option<Duration> {
    let mut parts = text.split(':');
    let (first, minutes, last) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (days, hours) = first.split_once('.').unwrap_or(("0", first));
    let (seconds, fraction) = match last.split_once('.') {
        Some((seconds, fraction)) if (1..=DIGITS).contains(&fraction.len()) => (seconds, fraction),
        Some(_) => return None,
        None => (last, "0"),
    };
    let number = |digits: &str, places: usize, max: u64| {
        let plain = (1..=places).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u64>().ok()).flatten().filter(|n| *n <= max)
    };
    let ticks = number(&format!("{fraction:0<DIGITS$}"), DIGITS, 9_999_999)? as u32;
    let hours = number(days, 8, DAYS_MAX)? * 24 + number(hours, 2, 23)?;
    let seconds = (hours * 60 + number(minutes, 2, 59)?) * 60 + number(seconds, 2, 59)?;
    Some(Duration::new(seconds, ticks * TICK_NANOS))
}

/// Its whole seconds, as `hh:mm:ss`; days only where there are any.
pub fn write(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let days = if days > 0 { format!("{days}.") } else { String::new() };
    format!("{days}{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_dotnet_writes_them() {
        for (text, ms) in [
            ("00:00:00", 0),
            ("01:00:00", 3_600_000),
            ("00:02:30", 150_000),
            ("23:59:59", 86_399_000),
            ("1.00:00:00", 86_400_000),
            ("10.02:03:04", 871_384_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(write(Duration::from_millis(ms)), text);
        }
        assert_eq!(parse("0:0:1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse("23:59:59.9990000"), Ok(Duration::from_millis(86_399_999)));
        assert_eq!(parse("00:00:00.0000001"), Ok(Duration::from_nanos(100)));
        assert_eq!(write(Duration::from_millis(1_999)), "00:00:01");
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for bad in [
            "",
            "1",
            "90",
            "5s",
            "00:05",
            "24:00:00",
            "00:60:00",
            "00:00:60",
            "-00:00:01",
            "00:00:01.",
            "00:00:-1",
            "00:00:01.12345678",
            "1.2.03:04:05",
            "00:00:00:00",
            " 00:00:01",
            "+1:00:00",
            "99999.00:00:00",
            "aa:bb:cc",
            "٠٠:٠٠:٠١",
            ".00:00:01",
            "::",
        ] {
            assert_eq!(parse(bad), Err(HOW), "{bad:?}");
        }
    }
}
