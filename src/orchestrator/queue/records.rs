//! What is kept of asynchronous calls, as JSON, and back. A field may be added with a default; all else is a new version
//! of the store's schema.

use crate::cluster::backlog::{Call, CallKey, CallStatus, Callback, CallbackStatus, Idempotency};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct CallRecord {
    function: String,
    status: String,
    attempts: u32,
    failures: u32,
    interruptions: u32,
    max_attempts: u32,
    submitted: u64,
    #[serde(default)]
    node: Option<String>,
    started: Option<u64>,
    ended: Option<u64>,
    next_try: u64,
    last_error: Option<String>,
    request_bytes: u64,
    result_bytes: u64,
    idempotency: Option<(String, String)>,
    callback: Option<CallbackRecord>,
    scheduled_for: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct CallbackRecord {
    url: String,
    #[serde(default)]
    from: Option<String>,
    status: String,
    attempts: u32,
    next_try: u64,
    last_error: Option<String>,
}

/// A call, but for what it carries.
pub fn encode(call: &Call) -> Vec<u8> {
    let callback = call.callback.as_ref().map(|c| CallbackRecord {
        url: c.url.to_string(),
        from: c.from.as_deref().map(str::to_string),
        status: c.status.word().into(),
        attempts: c.attempts,
        next_try: c.next_try,
        last_error: c.last_error.clone(),
    });
    json(&CallRecord {
        function: call.function.to_string(),
        status: call.status.word().into(),
        attempts: call.attempts,
        failures: call.failures,
        interruptions: call.interruptions,
        max_attempts: call.max_attempts,
        submitted: call.submitted,
        node: call.node.as_deref().map(str::to_string),
        started: call.started,
        ended: call.ended,
        next_try: call.next_try,
        last_error: call.last_error.clone(),
        request_bytes: call.request_bytes,
        result_bytes: call.result_bytes,
        idempotency: call.idempotency.as_ref().map(|i| (i.key.to_string(), i.digest.to_string())),
        callback,
        scheduled_for: call.scheduled_for,
    })
}

/// `Err` says what cannot be read.
pub fn decode(id: &str, record: &[u8]) -> Result<Call, String> {
    let unread = |why: &dyn std::fmt::Display| format!("the record of the call '{id}' cannot be read: {why}");
    let record: CallRecord = serde_json::from_slice(record).map_err(|e| unread(&e))?;
    let callback = record.callback.map(|c| {
        let status = CallbackStatus::of(&c.status).ok_or_else(|| unread(&"its callback's status"))?;
        let CallbackRecord { url, from, attempts, next_try, last_error, .. } = c;
        Ok::<_, String>(Callback {
            url: url.into(),
            from: from.map(Into::into),
            status,
            attempts,
            next_try,
            last_error,
        })
    });
    let status = CallStatus::of(&record.status).ok_or_else(|| unread(&"its status"))?;
    if record.ended.is_some() != status.is_final() {
        return Err(unread(&"its end does not fit its status"));
    }
    Ok(Call {
        key: CallKey::parse(id).ok_or_else(|| unread(&"its id"))?,
        function: record.function.into(),
        status,
        attempts: record.attempts,
        failures: record.failures,
        interruptions: record.interruptions,
        max_attempts: record.max_attempts,
        submitted: record.submitted,
        node: record.node.map(Into::into),
        started: record.started,
        ended: record.ended,
        next_try: record.next_try,
        last_error: record.last_error,
        request_bytes: record.request_bytes,
        result_bytes: record.result_bytes,
        idempotency: record.idempotency.map(|(key, digest)| Idempotency { key: key.into(), digest: digest.into() }),
        callback: callback.transpose()?,
        scheduled_for: record.scheduled_for,
    })
}

/// Where a body is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
    /// Here, in base 64.
    Inline(String),
    /// In the call's own file, with so many bytes.
    File(u64),
}

impl Stored {
    pub fn inline(bytes: &[u8]) -> Self {
        Stored::Inline(STANDARD_NO_PAD.encode(bytes))
    }

    pub fn len(&self) -> u64 {
        match self {
            Stored::Inline(text) => text.len() as u64 * 3 / 4,
            Stored::File(bytes) => *bytes,
        }
    }
}

/// The bytes of an inline body.
pub fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    STANDARD_NO_PAD.decode(text).map_err(|e| e.to_string())
}

/// What a call asks of its function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub method: String,
    /// Below the function's name, with the query.
    pub path: String,
    pub headers: Headers,
    pub body: Stored,
}

/// What a call ended with: the function's own answer, or a problem.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub status: u16,
    pub headers: Headers,
    pub body: Stored,
}

/// Headers in their order; a byte of a value is a character, as values need not be UTF-8.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Headers(Vec<(String, String)>);

impl From<&HeaderMap> for Headers {
    fn from(map: &HeaderMap) -> Self {
        let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        Headers(map.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }
}

impl Headers {
    /// What is no header any more is left out.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in &self.0 {
            let bytes: Vec<u8> = value.chars().map(|c| c as u8).collect();
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(&bytes)) {
                map.append(name, value);
            }
        }
        map
    }
}

/// A record's bytes.
pub fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default() // strings and numbers only: cannot fail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_comes_back_as_it_was() {
        let call = Call {
            key: CallKey(0xabc),
            function: "f".into(),
            status: CallStatus::Failed,
            attempts: 4,
            failures: 3,
            interruptions: 1,
            max_attempts: 3,
            submitted: 1,
            node: Some("n-1".into()),
            started: Some(2),
            ended: Some(3),
            next_try: 4,
            last_error: Some("why".into()),
            request_bytes: 0,
            result_bytes: 5,
            idempotency: Some(Idempotency { key: "k".into(), digest: "d".into() }),
            callback: Some(Callback {
                from: Some("10.0.0.1".into()),
                attempts: 2,
                next_try: 9,
                ..Callback::to("http://x/".into())
            }),
            scheduled_for: Some(7),
        };
        assert_eq!(decode("aabc", &encode(&call)), Ok(call.clone()));
        assert!(decode("cabc", &encode(&call)).expect_err("no id").contains("its id"));
        assert!(decode("aabc", b"{}").is_err());
        let open = Call { ended: None, ..call };
        assert!(decode("aabc", &encode(&open)).is_err(), "it has ended and says not when");
    }

    #[test]
    fn headers_of_any_bytes_come_back() {
        let mut map = HeaderMap::new();
        map.append("x-a", HeaderValue::from_bytes(b"\xff\x80z").expect("a value"));
        map.append("x-a", HeaderValue::from_static("two"));
        let text = json(&Headers::from(&map));
        let headers: Headers = serde_json::from_slice(&text).expect("headers");
        assert_eq!(headers.to_map(), map);
    }
}
