//! Schedules against a slow reading of the same text, minute by minute as clocks show it.

use crate::orchestrator::fuzz::{Times, zone};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// With a half-hour change, a missing day, one that goes back in spring, and plain ones.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "America/St_Johns",
];
/// Minutes looked at one by one.
const MINUTES: i64 = 3 * 1_440;
/// Before these: what clocks showed already.
const MINUTES_BEFORE: i64 = 26 * 60;
/// Of the year 2005, and how many follow.
const START_S: i64 = 1_104_537_600;
const SPAN_S: u64 = 30 * 31_557_600;

/// A byte for the zone, five for the time, and then the schedule.
pub fn run(data: &[u8]) {
    let Some(([name, time @ ..], text)) = data.split_first_chunk::<6>() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let zone = zone(ZONES[usize::from(*name) % ZONES.len()]).expect("a zone");
    let Ok(times) = Times::parse(text, zone.clone()) else { return };
    let offset = time.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) % SPAN_S;
    let after = START_S + offset as i64;
    let found = times.next_after(after as u64 * 1_000).map(|ms| ms as i64);
    let lower = text.trim().to_ascii_lowercase();
    let fields: Vec<&str> = expanded(&lower).split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else { panic!("five fields were understood in {text:?}") };
    let is_day = |at: DateTime| {
        let by_day = holds(day, at.day().into(), 1, 31, "");
        let sunday = i64::from(at.weekday().to_sunday_zero_offset());
        let by_weekday = holds(weekday, sunday, 0, 7, WEEKDAYS) || sunday == 0 && holds(weekday, 7, 0, 7, WEEKDAYS);
        let either = !day.starts_with('*') && !weekday.starts_with('*');
        holds(month, at.month().into(), 1, 12, MONTHS)
            && if either { by_day || by_weekday } else { by_day && by_weekday }
    };
    let is_due = |at: DateTime| {
        holds(minute, at.minute().into(), 0, 59, "") && holds(hour, at.hour().into(), 0, 23, "") && is_day(at)
    };
    let every_hour = (0..24).all(|at| holds(hour, at, 0, 23, ""));
    let wanted = slowly(&zone, after, every_hour, is_due);
    match wanted {
        Some(at) => assert_eq!(found, Some(at * 1_000), "{text:?} in {zone:?} after {after}"),
        None => assert!(
            found.is_none_or(|ms| ms > (after + MINUTES * 60) * 1_000),
            "{text:?} in {zone:?} after {after}: {found:?}"
        ),
    }
}

/// The first minute after a time that is due, if it is among those looked at.
fn slowly(zone: &TimeZone, after: i64, every_hour: bool, is_due: impl Fn(DateTime) -> bool) -> Option<i64> {
    let first = after.div_euclid(60) * 60 - MINUTES_BEFORE * 60;
    let shown = |at: i64| zone.to_datetime(Timestamp::from_second(at).expect("a time"));
    let mut latest = shown(first);
    for at in (1..=MINUTES_BEFORE + MINUTES).map(|n| first + n * 60) {
        let now = shown(at);
        let due = if every_hour {
            is_due(now)
        } else {
            // Each minute of the calendar that has come or been skipped since, once.
            let mut due = false;
            while latest < now {
                latest = latest.checked_add(1.minute()).expect("a time");
                due |= is_due(latest);
            }
            due
        };
        if due && at > after {
            return Some(at);
        }
    }
    None
}

const WEEKDAYS: &str = "sun mon tue wed thu fri sat";
const MONTHS: &str = "jan feb mar apr may jun jul aug sep oct nov dec";

fn expanded(text: &str) -> &str {
    match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    }
}

/// Whether a field that is understood names a value.
fn holds(field: &str, value: i64, low: i64, high: i64, names: &str) -> bool {
    let number = |text: &str| match names.split(' ').position(|name| !name.is_empty() && name == text) {
        Some(at) => at as i64 + low,
        None => text.parse().expect("a number"),
    };
    field.split(',').any(|part| {
        let (range, step) =
            part.split_once('/').map_or((part, 1), |(range, step)| (range, step.parse().expect("a step")));
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (low, high),
            (_, Some((from, to))) => (number(from), number(to)),
            (one, None) if part.contains('/') => (number(one), high),
            (one, None) => (number(one), number(one)),
        };
        (from..=to).contains(&value) && (value - from) % step == 0
    })
}
