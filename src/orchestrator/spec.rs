//! A function's settings, between the JSON people write and the core's revision: checked here, once, with defaults.

use super::isolation;
use super::schedule::{self, Times};
use super::secrets::uses;
use super::tokens::RATE_MAX;
use crate::cluster::{Constraints, Mode, Revision, Runs, Schedule};
use crate::{names, types};
use std::sync::Arc;

/// Defaults, as the README states them.
const TIMEOUT_S: f64 = 30.0;
const CONCURRENCY: u32 = 80; // as Cloud Run
const MAX_INSTANCES: u32 = 20;
const IDLE_S: f64 = 300.0;
const ATTEMPTS: u32 = 3;
const ZONE: &str = "UTC";
const FREEZE_S: f64 = 30.0;

/// Limits on single fields: far beyond use, well short of overflow.
const TIMEOUT_MAX_S: f64 = 86_400.0;
const IDLE_MAX_S: f64 = 604_800.0;
const MEMORY_MAX_MB: u64 = 1 << 24;
const CPU_MAX: f64 = 4_096.0;
const CONCURRENCY_MAX: u32 = 10_000;
pub const INSTANCES_MAX: u32 = 10_000;
const ATTEMPTS_MAX: u32 = 20;
const CALLS_MAX: u32 = 10_000_000;
const SCHEDULE_MAX: usize = 256;
const IMAGE_MAX: usize = 512;
const DESCRIPTION_MAX: usize = 1_024;
const COMMAND_MAX: usize = 256;
const ENTRIES_MAX: usize = 256;
const TEXT_MAX_BYTES: usize = 32 * 1024;

const NO_IMAGE: &str = "must not be empty: give an image reference such as `hello-world`, or `bundle:DIGEST`";

/// A field that cannot be, and what may.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    pub field: &'static str,
    pub why: String,
}

pub(super) fn invalid<T>(field: &'static str, why: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { field, why: why.into() })
}

/// A revision as the settings describe it. Its number and times are set by the core and the caller.
pub fn revision(spec: types::FunctionSpec, unix_ms: u64) -> Result<Revision, Invalid> {
    match Runs::of(&spec.image) {
        Runs::OnNodes => any_revision(spec, unix_ms),
        Runs::Nowhere => invalid("image", NO_IMAGE),
        Runs::Elsewhere => invalid("image", "is an address: POST /register takes it as `endpoint`"),
    }
}

/// The same for what nodes need not be able to run: a function without an image, or one that is a server elsewhere.
/// Whoever takes an address from somebody must ask first whether it may be called.
pub fn any_revision(spec: types::FunctionSpec, unix_ms: u64) -> Result<Revision, Invalid> {
    if let Err(why) = names::check_name(&spec.name) {
        return invalid("name", why.to_string());
    }
    check_image(&spec.image)?;
    check_alone(&spec)?;
    let command = spec.command.unwrap_or_default();
    if command.len() > COMMAND_MAX || command.iter().map(String::len).sum::<usize>() > TEXT_MAX_BYTES {
        return invalid("command", format!("at most {COMMAND_MAX} words and {TEXT_MAX_BYTES} bytes"));
    }
    if command.first().is_some_and(|program| program.is_empty()) || command.iter().any(|word| word.contains('\0')) {
        return invalid("command", "the program must be named, and no word may hold a NUL");
    }
    let env = spec.env.unwrap_or_default();
    check_entries("env", &env)?;
    if env.iter().any(|(k, v)| k.is_empty() || k.contains('=') || k.contains('\0') || v.contains('\0')) {
        return invalid("env", "a name must not be empty or hold '=' or NUL, and no value may hold NUL");
    }
    let secrets = uses::read(spec.secrets.unwrap_or_default(), &env)?;
    let labels = spec.labels.unwrap_or_default();
    check_entries("labels", &labels)?;
    let description = spec.description.unwrap_or_default();
    if description.chars().count() > DESCRIPTION_MAX {
        return invalid("description", format!("at most {DESCRIPTION_MAX} characters"));
    }
    let max = ranged("max", spec.max, MAX_INSTANCES, 1, INSTANCES_MAX)?;
    let min = ranged("min", spec.min, 0, 0, INSTANCES_MAX)?;
    if min > max {
        return invalid("min", format!("must be at most max, which is {max}"));
    }
    let ready = ranged("ready", spec.ready, 0, 0, INSTANCES_MAX)?;
    if ready > max {
        return invalid("ready", format!("must be at most max, which is {max}"));
    }
    let memory_mb = match spec.memory_mb {
        Some(mb) if mb == 0 || mb > MEMORY_MAX_MB => {
            return invalid("memory_mb", format!("must be 1 to {MEMORY_MAX_MB}"));
        }
        other => other.unwrap_or(0),
    };
    let cpu = match spec.cpu {
        Some(cpu) if !(cpu > 0.0 && cpu <= CPU_MAX) => {
            return invalid("cpu", format!("must be more than 0, at most {CPU_MAX}"));
        }
        other => other.unwrap_or(0.0),
    };
    let isolation = isolation::read(&spec.isolation.unwrap_or_default())?;
    let constraints = spec.constraints.unwrap_or_default();
    let missed = word("schedule_missed", spec.schedule_missed, "run", "skip")?;
    let overlap = word("schedule_overlap", spec.schedule_overlap, "skip", "allow")?;
    let zone = spec.schedule_zone.filter(|zone| !zone.is_empty()).unwrap_or_else(|| ZONE.into());
    let expression = spec.schedule.filter(|expression| !expression.is_empty());
    let schedule = expression.map(|expression| Schedule { expression, zone, make_up: missed, overlap: !overlap });
    if let Some(schedule) = &schedule {
        check_schedule(schedule)?;
    }
    Ok(Revision {
        function: Arc::from(spec.name),
        number: 0,
        born: 0,
        image: spec.image,
        mode: mode_in(spec.mode.unwrap_or_default()),
        command,
        env,
        secrets,
        timeout_ms: seconds("timeout_s", spec.timeout_s, TIMEOUT_S, TIMEOUT_MAX_S, false)?,
        memory_bytes: memory_mb << 20,
        cpu,
        isolation,
        concurrency: ranged("concurrency", spec.concurrency, CONCURRENCY, 1, CONCURRENCY_MAX)?,
        min,
        ready,
        max,
        idle_ms: seconds("idle_s", spec.idle_s, IDLE_S, IDLE_MAX_S, true)?,
        freeze_ms: seconds("freeze_s", spec.freeze_s, FREEZE_S, IDLE_MAX_S, true)?,
        fresh: false,
        constraints: Constraints {
            os: constraints.os,
            arch: constraints.arch,
            tools: constraints.tools.into_iter().collect(),
            tags: constraints.tags,
            ..Constraints::default()
        },
        labels,
        description,
        attempts: ranged("attempts", spec.attempts, ATTEMPTS, 1, ATTEMPTS_MAX)?,
        schedule,
        public: spec.public.unwrap_or_default(),
        rate_per_s: positive("rate_per_s", spec.rate_per_s, RATE_MAX)?,
        calls_at_once: positive("calls_at_once", spec.calls_at_once, CALLS_MAX)?,
        created_unix_ms: unix_ms,
        updated_unix_ms: unix_ms,
        by: String::new(),
    })
}

/// Refuses what would silently mean nothing; an empty schedule is one that was there before, and goes.
fn check_alone(spec: &types::FunctionSpec) -> Result<(), Invalid> {
    let of_a_schedule = [
        ("schedule_zone", spec.schedule_zone.is_some()),
        ("schedule_missed", spec.schedule_missed.is_some()),
        ("schedule_overlap", spec.schedule_overlap.is_some()),
    ];
    match of_a_schedule.iter().find(|(_, given)| *given && spec.schedule.is_none()) {
        Some((field, _)) => invalid(field, "means nothing without `schedule`: give that too"),
        None => Ok(()),
    }
}

/// The same of what somebody sends, before it is put over what was there: a job has no instances. Never asked of what is
/// kept, for it was taken before.
pub fn check_job(spec: &types::FunctionSpec) -> Result<(), Invalid> {
    let of_instances = [
        ("min", spec.min.is_some_and(|n| n > 0)),
        ("ready", spec.ready.is_some_and(|n| n > 0)),
        ("max", spec.max.is_some()),
    ];
    match of_instances.iter().find(|(_, given)| *given && spec.mode == Some(types::Mode::Job)) {
        Some((field, _)) => invalid(field, "a job has no instances: it runs once for each call (see `calls_at_once`)"),
        None => Ok(()),
    }
}

fn check_schedule(schedule: &Schedule) -> Result<(), Invalid> {
    if schedule.expression.len() > SCHEDULE_MAX {
        return invalid("schedule", format!("at most {SCHEDULE_MAX} bytes"));
    }
    let zone = schedule::zone(&schedule.zone).or_else(|why| invalid("schedule_zone", why))?;
    Times::parse(&schedule.expression, zone).map(drop).or_else(|why| invalid("schedule", why))
}

/// True for the first of two words, which is the default.
fn word(field: &'static str, given: Option<String>, first: &str, second: &str) -> Result<bool, Invalid> {
    match given.as_deref() {
        None => Ok(true),
        Some(word) if word == first => Ok(true),
        Some(word) if word == second => Ok(false),
        Some(_) => invalid(field, format!("must be {first} or {second}")),
    }
}

fn check_image(image: &str) -> Result<(), Invalid> {
    if image.trim().is_empty() && !image.is_empty() {
        return invalid("image", NO_IMAGE);
    }
    if image.len() > IMAGE_MAX {
        return invalid("image", format!("at most {IMAGE_MAX} bytes"));
    }
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return invalid("image", "must not hold spaces or control characters");
    }
    if image.starts_with("bundle:") && crate::bundle::digest_in(image).is_none() {
        return invalid("image", "after `bundle:` there must be 64 hexadecimal digits, as the upload answered");
    }
    Ok(())
}

fn check_entries(field: &'static str, map: &std::collections::BTreeMap<String, String>) -> Result<(), Invalid> {
    let bytes: usize = map.iter().map(|(k, v)| k.len() + v.len()).sum();
    if map.len() > ENTRIES_MAX || bytes > TEXT_MAX_BYTES {
        return invalid(field, format!("at most {ENTRIES_MAX} entries and {TEXT_MAX_BYTES} bytes"));
    }
    Ok(())
}

fn ranged(field: &'static str, value: Option<u32>, default: u32, low: u32, high: u32) -> Result<u32, Invalid> {
    match value.unwrap_or(default) {
        value if (low..=high).contains(&value) => Ok(value),
        _ => invalid(field, format!("must be {low} to {high}")),
    }
}

/// 0 where nothing is said, which is no limit.
fn positive(field: &'static str, value: Option<u32>, high: u32) -> Result<u32, Invalid> {
    value.map_or(Ok(0), |value| ranged(field, Some(value), 0, 1, high))
}

fn seconds(field: &'static str, value: Option<f64>, default: f64, high: f64, zero: bool) -> Result<u64, Invalid> {
    let value = value.unwrap_or(default);
    if !(value.is_finite() && value <= high && (value > 0.0 || (zero && value == 0.0))) {
        let low = if zero { "0 or more" } else { "more than 0" };
        return invalid(field, format!("must be {low}, at most {high}"));
    }
    Ok(((value * 1_000.0).round() as u64).max(u64::from(!zero)))
}

fn mode_in(mode: types::Mode) -> Mode {
    match mode {
        types::Mode::Auto => Mode::Auto,
        types::Mode::Http => Mode::Http,
        types::Mode::Job => Mode::Job,
    }
}

/// The JSON word for a mode.
pub fn mode_out(mode: Mode) -> types::Mode {
    match mode {
        Mode::Auto => types::Mode::Auto,
        Mode::Http => types::Mode::Http,
        Mode::Job => types::Mode::Job,
    }
}

/// The settings a revision was made with, complete: made into a revision again they give the same one.
pub fn settings(revision: &Revision) -> types::FunctionSpec {
    types::FunctionSpec {
        name: revision.function.to_string(),
        image: revision.image.clone(),
        mode: Some(mode_out(revision.mode)),
        command: Some(revision.command.clone()),
        env: Some(revision.env.clone()),
        secrets: Some(uses::shown(&revision.secrets)),
        timeout_s: Some(revision.timeout_ms as f64 / 1_000.0),
        memory_mb: (revision.memory_bytes > 0).then_some(revision.memory_bytes >> 20),
        cpu: (revision.cpu > 0.0).then_some(revision.cpu),
        isolation: isolation::shown(&revision.isolation),
        concurrency: Some(revision.concurrency),
        min: Some(revision.min),
        ready: Some(revision.ready),
        max: Some(revision.max),
        idle_s: Some(revision.idle_ms as f64 / 1_000.0),
        freeze_s: Some(revision.freeze_ms as f64 / 1_000.0),
        constraints: Some(constraints(&revision.constraints)),
        labels: Some(revision.labels.clone()),
        description: Some(revision.description.clone()),
        attempts: Some(revision.attempts),
        schedule: revision.schedule.as_ref().map(|s| s.expression.clone()),
        schedule_zone: revision.schedule.as_ref().map(|s| s.zone.clone()),
        schedule_missed: revision.schedule.as_ref().map(|s| missed(s).into()),
        schedule_overlap: revision.schedule.as_ref().map(|s| overlap(s).into()),
        public: Some(revision.public),
        rate_per_s: (revision.rate_per_s > 0).then_some(revision.rate_per_s),
        calls_at_once: (revision.calls_at_once > 0).then_some(revision.calls_at_once),
    }
}

/// The JSON word for what becomes of missed times.
pub fn missed(schedule: &Schedule) -> &'static str {
    if schedule.make_up { "run" } else { "skip" }
}

/// And of times at which the call before has not ended.
pub fn overlap(schedule: &Schedule) -> &'static str {
    if schedule.overlap { "allow" } else { "skip" }
}

/// The JSON shape of constraints.
pub fn constraints(constraints: &Constraints) -> types::Constraints {
    types::Constraints {
        os: constraints.os.clone(),
        arch: constraints.arch.clone(),
        tools: constraints.tools.iter().cloned().collect(),
        tags: constraints.tags.clone(),
    }
}

/// `base` with everything `over` says put over it.
pub fn merged(base: types::FunctionSpec, over: types::FunctionSpec) -> types::FunctionSpec {
    types::FunctionSpec {
        name: base.name,
        image: base.image,
        mode: over.mode.or(base.mode),
        command: over.command.or(base.command),
        env: over.env.or(base.env),
        secrets: over.secrets.or(base.secrets),
        timeout_s: over.timeout_s.or(base.timeout_s),
        memory_mb: over.memory_mb.or(base.memory_mb),
        cpu: over.cpu.or(base.cpu),
        isolation: over.isolation.or(base.isolation),
        concurrency: over.concurrency.or(base.concurrency),
        min: over.min.or(base.min),
        ready: over.ready.or(base.ready),
        max: over.max.or(base.max),
        idle_s: over.idle_s.or(base.idle_s),
        freeze_s: over.freeze_s.or(base.freeze_s),
        constraints: over.constraints.or(base.constraints),
        labels: over.labels.or(base.labels),
        description: over.description.or(base.description),
        attempts: over.attempts.or(base.attempts),
        schedule: over.schedule.or(base.schedule),
        schedule_zone: over.schedule_zone.or(base.schedule_zone),
        schedule_missed: over.schedule_missed.or(base.schedule_missed),
        schedule_overlap: over.schedule_overlap.or(base.schedule_overlap),
        public: over.public.or(base.public),
        rate_per_s: over.rate_per_s.or(base.rate_per_s),
        calls_at_once: over.calls_at_once.or(base.calls_at_once),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(edit: impl FnOnce(&mut types::FunctionSpec)) -> types::FunctionSpec {
        let mut spec = types::FunctionSpec { name: "f".into(), image: "hello-world".into(), ..Default::default() };
        edit(&mut spec);
        spec
    }

    #[test]
    fn settings_make_the_same_revision_again() {
        let one = spec(|s| {
            s.timeout_s = Some(1.5);
            s.memory_mb = Some(64);
            s.min = Some(2);
            s.isolation = Some(types::Isolation { pids: Some(9), ..Default::default() });
            s.attempts = Some(7);
            (s.rate_per_s, s.calls_at_once) = (Some(50), Some(9));
            s.schedule = Some("*/5 * * * mon-fri".into());
            s.schedule_zone = Some("Europe/Berlin".into());
            s.schedule_missed = Some("skip".into());
            s.schedule_overlap = Some("allow".into());
            s.env = Some([("A".to_string(), "b=c".to_string())].into());
            let pair = |a: &str, b: &str| [(a.to_string(), b.to_string())].into();
            s.secrets = Some(types::Secrets { env: pair("B", "one"), files: pair("/run/secrets/c.pem", "two") });
        });
        let first = revision(one, 7).expect("valid");
        assert_eq!(revision(settings(&first), 7), Ok(first));
    }

    #[test]
    fn each_bad_field_is_named() {
        let field_of = |spec: types::FunctionSpec| revision(spec, 0).expect_err("invalid").field;
        let field = |edit: fn(&mut types::FunctionSpec)| field_of(spec(edit));
        assert_eq!(field(|s| s.name = "No Good".into()), "name");
        assert_eq!(field(|s| s.image = "  ".into()), "image");
        assert_eq!(field(|s| s.image = "bundle:12".into()), "image");
        assert_eq!(field(|s| s.timeout_s = Some(0.0)), "timeout_s");
        assert_eq!(field(|s| s.timeout_s = Some(f64::NAN)), "timeout_s");
        assert_eq!(field(|s| s.memory_mb = Some(0)), "memory_mb");
        assert_eq!(field(|s| s.cpu = Some(-1.0)), "cpu");
        assert_eq!(field(|s| s.concurrency = Some(0)), "concurrency");
        let pids = |pids| Some(types::Isolation { pids: Some(pids), ..Default::default() });
        assert_eq!(field_of(spec(|s| s.isolation = pids(0))), "isolation.pids");
        assert_eq!(field(|s| (s.min, s.max) = (Some(3), Some(2))), "min");
        assert_eq!(field(|s| s.max = Some(0)), "max");
        assert_eq!(field(|s| (s.ready, s.max) = (Some(3), Some(2))), "ready");
        assert_eq!(field(|s| s.freeze_s = Some(-1.0)), "freeze_s");
        assert_eq!(field(|s| s.env = Some([("A=B".to_string(), String::new())].into())), "env");
        assert_eq!(field(|s| s.attempts = Some(0)), "attempts");
        assert_eq!(field(|s| s.schedule = Some("* * * *".into())), "schedule");
        assert_eq!(field(|s| s.schedule = Some("0 0 31 2 *".into())), "schedule");
        let zone =
            |s: &mut types::FunctionSpec| (s.schedule, s.schedule_zone) = (Some("@daily".into()), Some("Mars".into()));
        assert_eq!(field(zone), "schedule_zone");
        assert_eq!(field(|s| s.schedule_missed = Some("maybe".into())), "schedule_missed");
        assert_eq!(field(|s| s.schedule_overlap = Some("run".into())), "schedule_overlap");
        assert_eq!(field(|s| s.schedule_zone = Some("Europe/Berlin".into())), "schedule_zone");
        assert_eq!(field(|s| s.schedule_missed = Some("skip".into())), "schedule_missed");
        assert_eq!(field(|s| s.rate_per_s = Some(0)), "rate_per_s");
        assert_eq!(field(|s| s.calls_at_once = Some(20_000_000)), "calls_at_once");
        let gone = spec(|s| (s.schedule, s.schedule_zone) = (Some(String::new()), Some("UTC".into())));
        assert_eq!(revision(gone, 7).unwrap().schedule, None);
        let job = |edit: fn(&mut types::FunctionSpec)| {
            check_job(&spec(|s| {
                s.mode = Some(types::Mode::Job);
                edit(s)
            }))
        };
        assert_eq!(job(|s| (s.min, s.ready) = (Some(0), None)), Ok(()));
        assert_eq!(job(|s| s.ready = Some(1)).unwrap_err().field, "ready");
        assert_eq!(job(|s| s.max = Some(1)).unwrap_err().field, "max");
        assert_eq!(field(|s| s.description = Some("x".repeat(2_000))), "description");
    }
}
