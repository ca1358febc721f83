//! Names, keys, settings, and whole command lines.

use crate::cluster::InstanceKey;
use crate::cluster::backlog::CallKey;
use crate::config::EndpointRule;
use crate::limits::{Limits, Of};
use crate::modules::timespan;
use crate::names::{MAX_NAME_LEN, check_name, suggest_name};
use crate::orchestrator::fuzz::Endpoint;
use crate::{auth, usage};
use std::time::Duration;

/// What is suggested may be taken; what is a key is written in one way alone.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shape = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=MAX_NAME_LEN).contains(&text.len())
        && text.bytes().all(shape)
        && !text.starts_with('-')
        && !text.ends_with('-');
    let checked = check_name(&text);
    assert_eq!(checked.is_ok(), good, "{text:?}");
    if let Err(why) = checked {
        assert!(why.to_string().len() < 2_000);
    }
    if let Some(name) = suggest_name(&text) {
        check_name(&name).expect("a name that is suggested is one");
        assert_eq!(suggest_name(&name).as_deref(), Some(&*name));
    }
    if let Some(key) = InstanceKey::parse(&text) {
        assert_eq!(key.to_string(), text);
    }
    if let Some(key) = CallKey::parse(&text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(scope) = text.parse::<auth::Scope>() {
        assert_eq!(scope.to_string(), text);
    }
    if let Ok(secret) = auth::Secret::new(&text) {
        assert!(hyper::header::HeaderValue::from_str(secret.reveal()).is_ok());
    }
}

/// Each line a word. What is understood once is understood again behind an empty verbless mend.
pub fn command_line(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<String> = text.split('\n').take(64).map(str::to_string).collect();
    if let Err(usage::Instead::Usage(why)) = usage::parse(&words) {
        assert!(!why.trim().is_empty());
    }
}

/// Spans of time, places of workers and limits: what is taken is the same when it is written and read again.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(span) = timespan::parse(&text) {
        assert_eq!(timespan::parse(&timespan::write(span)), Ok(Duration::from_secs(span.as_secs())), "{text:?}");
    }
    if let Ok(endpoint) = Endpoint::read(&text) {
        assert_eq!(Endpoint::read(&endpoint.to_string()), Ok(endpoint), "{text:?}");
    }
    if let Ok(rule) = text.parse::<EndpointRule>() {
        let _ = rule.allows("h", [10, 0, 0, 1].into(), 80); // no shift is too far
        let _ = rule.allows("h", [0; 16].into(), 80);
        assert_eq!(rule.to_string().parse(), Ok(rule), "{text:?}");
    }
    let mut limits = Limits::default();
    match limits.set(Of::Both, &text) {
        Ok(()) => assert_eq!(limits.clone().set(Of::Both, &text), Ok(())),
        Err(why) => assert!(limits == Limits::default() && !why.to_string().is_empty()),
    }
}
