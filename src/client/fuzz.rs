//! What an orchestrator, or whoever stands in its place, may answer.

use super::http::{Http, Limit};
use super::stream::Sse;
use super::url::{self, Base};
use std::time::Duration;

pub(crate) use super::url::encode;

/// Server-sent events: never more than what came.
pub fn sse(data: &[u8]) {
    let http = Http::new(Base::parse("http://h:1").expect("an address"));
    let mut events = Sse::fuzz(http, data.to_vec(), Limit::Quiet(Duration::ZERO));
    let mut bytes = 0;
    while let Some(event) = events.next() {
        let Ok((kind, data)) = event else {
            assert!(events.next().is_none(), "nothing follows an error");
            break;
        };
        assert!(!kind.contains('\n'));
        bytes += data.len() + 1;
    }
    assert!(bytes <= data.len());
}

/// An address, and the next page's below it: never at another host.
pub fn urls(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (address, link) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(base) = Base::parse(address) else { return };
    let host = |url: &str| url.parse::<ureq::http::Uri>().ok().and_then(|uri| uri.authority().map(|a| a.to_string()));
    let own = host(base.as_str());
    assert!(own.is_some() && !base.as_str().ends_with('/'));
    if let Some(next) = url::next_page(link, &base)
        && let Some(there) = host(&next)
    {
        assert_eq!(Some(there), own);
    }
}
