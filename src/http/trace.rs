//! W3C Trace Context. CARES records no spans, so it is no part of a trace: it passes `traceparent` and `tracestate` on as
//! they came, makes none, and gives them to jobs as variables. (A parent made here would name a span that nobody has.)

use hyper::HeaderMap;

/// The headers, and the variables that jobs get them in.
pub const HEADERS: [(&str, &str); 2] = [("traceparent", "TRACEPARENT"), ("tracestate", "TRACESTATE")];
/// What a tracestate should be passed on with at least; of a longer one a job is given nothing.
const STATE_BYTES: usize = 512;

/// What a job is told: only with a valid parent, and a state only with that.
pub fn variables(headers: &HeaderMap) -> impl Iterator<Item = (&str, String)> {
    let parent = parent(headers).map(str::to_string);
    let state = parent.as_ref().and_then(|_| one(headers, HEADERS[1].0).filter(|state| state.len() <= STATE_BYTES));
    let state = state.map(|state| (HEADERS[1].1, state.to_string()));
    parent.map(|parent| (HEADERS[0].1, parent)).into_iter().chain(state)
}

/// The trace's id.
pub fn id(headers: &HeaderMap) -> Option<&str> {
    parent(headers)?.get(3..35)
}

/// A parent that is well-formed: version, trace, span and flags in lower-case hex, neither id all zeros. Later versions
/// may say more behind that.
fn parent(headers: &HeaderMap) -> Option<&str> {
    let text = one(headers, HEADERS[0].0)?;
    let mut parts = text.split('-');
    for (at, length) in [2, 32, 16, 2].into_iter().enumerate() {
        let part = parts.next().filter(|part| part.len() == length)?;
        let hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let none = matches!(at, 1 | 2) && part.bytes().all(|byte| byte == b'0');
        if !hex || none || (at == 0 && part == "ff") {
            return None;
        }
    }
    (parts.next().is_none() || !text.starts_with("00")).then_some(text).filter(|text| text.len() <= STATE_BYTES)
}

/// A header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn told(parents: &[&str], state: &str) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append("traceparent", HeaderValue::from_str(parent).unwrap());
        }
        headers.insert("tracestate", HeaderValue::from_str(state).unwrap());
        variables(&headers).map(|(name, value)| (name.to_string(), value)).collect()
    }

    #[test]
    fn a_job_gets_what_is_well_formed() {
        let both = [("TRACEPARENT".to_string(), GOOD.to_string()), ("TRACESTATE".to_string(), "a=1".to_string())];
        assert_eq!(told(&[GOOD], "a=1"), both);
        assert_eq!(told(&[GOOD], &"a".repeat(513)).len(), 1);
        let later = GOOD.replacen("00", "cc", 1) + "-what-comes";
        assert_eq!(told(&[&later], "a=1")[0].1, later);
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(GOOD));
        assert_eq!(id(&headers), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    }

    #[test]
    fn anything_else_is_as_good_as_none() {
        let bad = [
            "",
            "garbage",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &format!("{GOOD}-more"),
            &GOOD[..54],
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            &(GOOD.replacen("00", "cc", 1) + "-" + &"x".repeat(600)),
        ];
        for parent in bad {
            assert_eq!(told(&[parent], "a=1"), [], "{parent}");
        }
        assert_eq!(told(&[GOOD, GOOD], "a=1"), [], "two");
        assert_eq!(told(&[], "a=1"), [], "none");
    }
}
