//! Schedules: five fields in a time zone, and when they are next due. Reads no clock.
//!
//! Where clocks are set, the house rule is cron's own: a schedule with an hour of its own is due once on such a day (in a
//! skipped hour: as soon as it is over; in a repeated one: the first time), one for every hour follows what clocks show.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp, ToSpan};

/// Beyond this a schedule never comes: 29 February may be eight years away, around a century's end.
const YEARS: i16 = 9;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const ALIASES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A schedule that has been understood.
#[derive(Clone, Debug)]
pub struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both are given: either makes a day one of its days.
    either_day: bool,
    every_hour: bool,
    zone: TimeZone,
}

/// Understands a zone. `Err` says what is wrong.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("'{}' is no time zone such as Europe/Berlin or UTC", name.escape_debug()))
}

impl Times {
    /// Understands five fields, or an alias. `Err` says what is wrong with which.
    pub fn parse(expression: &str, zone: TimeZone) -> Result<Self, String> {
        let text = expression.trim().to_ascii_lowercase();
        let text = match ALIASES.iter().find(|(alias, _)| *alias == text) {
            Some((_, fields)) => fields,
            None if text.starts_with('@') => {
                let known = ALIASES.map(|(alias, _)| alias).join(", ");
                return Err(format!("'{}' is none of {known}", text.escape_debug()));
            }
            None => text.as_str(),
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let count = fields.len();
            return Err(format!("has {count} fields: five are needed, minute hour day-of-month month day-of-week"));
        };
        let hours = set("hour", hour, 0, 23, &[])?;
        let weekdays = set("day of week", weekday, 0, 7, &DAYS)?;
        let times = Times {
            minutes: set("minute", minute, 0, 59, &[])?,
            hours,
            days: set("day of month", day, 1, 31, &[])?,
            months: set("month", month, 1, 12, &MONTHS)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f, // 7 is Sunday too
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
            every_hour: hours == (1 << 24) - 1,
            zone,
        };
        match times.next_civil(DateTime::constant(2000, 1, 1, 0, 0, 0, 0)) {
            Some(_) => Ok(times),
            None => Err(format!("'{}' never comes", expression.escape_debug())),
        }
    }

    /// The first time after one that it is due. `None`: beyond what a calendar holds.
    pub fn next_after(&self, unix_ms: u64) -> Option<u64> {
        let after = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
        let next = if self.every_hour { self.next_by_instants(after) } else { self.next_by_days(after) };
        u64::try_from(next?.as_millisecond()).ok()
    }

    /// Every hour there is, by what clocks show in it.
    fn next_by_instants(&self, after: Timestamp) -> Option<Timestamp> {
        let mut from = after;
        for _ in 0..1_000 {
            let offset = self.zone.to_offset(from);
            let next = offset.to_timestamp(self.next_civil(offset.to_datetime(from))?).ok()?;
            let set_at = self.zone.following(from).next().map(|transition| transition.timestamp());
            match set_at {
                Some(at) if at <= next => {
                    let there = self.zone.to_offset(at).to_datetime(at);
                    if self.is_due(there) {
                        return Some(at);
                    }
                    from = at; // from then on clocks show something else
                }
                _ => return Some(next),
            }
        }
        None
    }

    /// Each time on a calendar once.
    fn next_by_days(&self, after: Timestamp) -> Option<Timestamp> {
        let mut civil = self.zone.to_datetime(after);
        loop {
            civil = self.next_civil(civil)?;
            let ambiguous = self.zone.to_ambiguous_timestamp(civil);
            let at = match ambiguous.offset() {
                AmbiguousOffset::Gap { before, .. } => {
                    // as soon as the hour that is skipped would have begun
                    let by_old_clock = before.to_timestamp(civil).ok()?;
                    self.zone.preceding(by_old_clock + second()).next()?.timestamp()
                }
                _ => ambiguous.earlier().ok()?,
            };
            if at > after {
                return Some(at);
            }
        }
    }

    fn is_due(&self, at: DateTime) -> bool {
        at.second() == 0 && at.subsec_nanosecond() == 0 && self.is_day(at.date()) && {
            has(self.hours, at.hour()) && has(self.minutes, at.minute())
        }
    }

    fn is_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    /// The first minute after a time that it names.
    fn next_civil(&self, after: DateTime) -> Option<DateTime> {
        let start = after.date();
        let mut date = start;
        while date.year() <= start.year().saturating_add(YEARS) {
            if self.is_day(date) {
                let earliest = (date == start).then_some((after.hour(), after.minute()));
                let times = (0..24).filter(|hour| has(self.hours, *hour));
                let mut times = times.flat_map(|h| (0..60).filter(|m| has(self.minutes, *m)).map(move |m| (h, m)));
                if let Some((hour, minute)) = times.find(|time| earliest.is_none_or(|earliest| *time > earliest)) {
                    return Some(date.to_datetime(Time::new(hour, minute, 0, 0).ok()?));
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }
}

fn second() -> Span {
    1.second()
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set & (1 << value) != 0)
}

/// A field: a list of `*`, `a`, `a-b`, each perhaps with `/step`.
fn set(field: &str, text: &str, low: u32, high: u32, names: &[&str]) -> Result<u64, String> {
    let wrong = |why: String| Err(format!("{field} '{}': {why}", text.escape_debug()));
    let number = |text: &str| -> Option<u32> {
        match names.iter().position(|name| *name == text) {
            Some(at) => Some(at as u32 + low),
            None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().filter(|n| (low..=high).contains(n)),
            None => None,
        }
    };
    let mut all = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|n| (1..=high).contains(n))),
            None => (part, Some(1)),
        };
        let Some(step) = step else { return wrong(format!("a step must be 1 to {high}")) };
        let bounds = match range.split_once('-') {
            _ if range == "*" => Some((low, high)),
            Some((from, to)) => number(from).zip(number(to)),
            None if part.contains('/') => number(range).map(|from| (from, high)),
            None => number(range).map(|one| (one, one)),
        };
        match bounds {
            Some((from, to)) if from <= to => (from..=to).step_by(step as usize).for_each(|n| all |= 1 << n),
            Some(_) => return wrong("a range must rise".into()),
            None => {
                let named = if names.is_empty() { String::new() } else { format!(" or {}", names.join(", ")) };
                return wrong(format!("must be of numbers {low} to {high}{named}, such as *, 1,2, 1-5 or */2"));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(expression: &str, name: &str) -> Times {
        Times::parse(expression, zone(name).expect("a zone")).expect("a schedule")
    }

    fn ms(time: &str) -> u64 {
        time.parse::<Timestamp>().expect("a time").as_millisecond() as u64
    }

    /// The next times after one, in UTC.
    fn next(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let times = times(expression, zone);
        let mut at = ms(after);
        let next = (0..count).map(|_| {
            at = times.next_after(at).expect("a time");
            Timestamp::from_millisecond(at as i64).expect("a time").to_string()
        });
        next.collect()
    }

    #[test]
    fn fields_lists_ranges_steps_and_names_are_understood() {
        for (expression, wanted) in [
            ("* * * * *", ["2026-02-27T23:59:00Z", "2026-02-28T00:00:00Z"]),
            ("*/20 * * * *", ["2026-02-28T00:00:00Z", "2026-02-28T00:20:00Z"]),
            ("5/25 1 * * *", ["2026-02-28T01:05:00Z", "2026-02-28T01:30:00Z"]),
            ("0 9-17/4 * * mon-fri", ["2026-03-02T09:00:00Z", "2026-03-02T13:00:00Z"]),
            ("0,30 8 1,15 JAN,mar *", ["2026-03-01T08:00:00Z", "2026-03-01T08:30:00Z"]),
            ("0 0 29 2 *", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
            ("0 0 13 * 5", ["2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z"]), // either day
            ("0 0 * * 7", ["2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z"]),
            ("0 0 */10 * mon", ["2026-05-11T00:00:00Z", "2026-06-01T00:00:00Z"]), // both days
            ("@hourly", ["2026-02-28T00:00:00Z", "2026-02-28T01:00:00Z"]),
            ("@Weekly", ["2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z"]),
        ] {
            assert_eq!(next(expression, "UTC", "2026-02-27T23:58:00Z", 2), wanted, "{expression}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_its_field() {
        for (expression, word) in [
            ("", "has 0 fields"),
            ("* * * *", "has 4 fields"),
            ("* * * * * *", "has 6 fields"),
            ("60 * * * *", "minute"),
            ("-1 * * * *", "minute"),
            ("+1 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of month"),
            ("* * * 13 *", "month"),
            ("* * * foo *", "month"),
            ("* * * * 8", "day of week"),
            ("* * * * fri-mon", "rise"),
            ("*/0 * * * *", "step"),
            ("*/x * * * *", "step"),
            ("1, * * * *", "minute"),
            ("0 0 30 2 *", "never comes"),
            ("@never", "none of"),
        ] {
            let why = Times::parse(expression, TimeZone::UTC).expect_err(expression);
            assert!(why.contains(word), "{expression}: {why}");
        }
        for bad in ["", "Mars/Olympus", "UTC+1\n"] {
            assert!(zone(bad).is_err(), "{bad}");
        }
    }

    const BERLIN: &str = "Europe/Berlin";

    #[test]
    fn a_skipped_hour_is_made_up_for_when_it_is_over() {
        // On 2026-03-29 clocks in Berlin go from 02:00 to 03:00, at 01:00 UTC.
        let wanted = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
        assert_eq!(next("30 2 * * *", BERLIN, "2026-03-27T12:00:00Z", 3), wanted);
        let wanted = ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"];
        assert_eq!(next("*/20 2 * * *", BERLIN, "2026-03-27T12:00:00Z", 5)[3..], wanted, "once for all of it");
        let wanted = ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"];
        assert_eq!(next("*/30 * * * *", BERLIN, "2026-03-29T00:00:00Z", 3), wanted, "every hour there is");
        let wanted = ["2026-03-29T00:15:00Z", "2026-03-29T01:15:00Z"];
        assert_eq!(next("15 * * * *", BERLIN, "2026-03-29T00:00:00Z", 2), wanted);
    }

    #[test]
    fn a_repeated_hour_counts_once_but_for_every_hour() {
        // On 2026-10-25 clocks in Berlin go from 03:00 back to 02:00, at 01:00 UTC.
        let wanted = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        assert_eq!(next("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2), wanted);
        assert_eq!(next("30 2 * * *", BERLIN, "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30:00Z"]);
        let wanted = ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"];
        assert_eq!(next("*/30 * * * *", BERLIN, "2026-10-25T00:00:00Z", 4), wanted);
    }

    #[test]
    fn zones_differ_from_utc_by_what_they_are() {
        assert_eq!(next("0 9 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", 1), ["2026-01-01T03:30:00Z"]);
        assert_eq!(next("0 9 * * *", "America/New_York", "2026-07-01T00:00:00Z", 1), ["2026-07-01T13:00:00Z"]);
    }
}
