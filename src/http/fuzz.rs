//! Paths and queries by chance.

use super::origin;
use super::route;
use crate::client::fuzz::encode;
use crate::orchestrator::Orchestrator;
use hyper::Method;

/// A method's byte, a path, and behind `?` a query; a second line is a Host.
pub fn query(data: &[u8]) {
    let Some((method, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let (target, host) = text.split_once('\n').unwrap_or((&text, ""));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let method =
        [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD][usize::from(*method) % 5].clone();
    if let Ok((found, params)) = route::find::<Orchestrator>(&method, path) {
        let wanted = found.path.split('/').filter(|part| part.starts_with('{')).count();
        assert_eq!(params.len(), wanted, "{path:?}");
        assert!(params.iter().all(|param| !param.is_empty()));
        // Written again and asked for again, it is the same.
        let mut each = params.iter();
        let parts = found.path.split('/').filter(|part| *part != "*");
        let again =
            parts.map(|part| if part.starts_with('{') { encode(each.next().expect("one")) } else { part.into() });
        let again: Vec<String> = again.collect();
        let (second, same) = route::find::<Orchestrator>(&method, &again.join("/")).expect("the same route");
        assert_eq!((second.path, same), (found.path, params));
    }
    if let Ok(pairs) = route::query(query) {
        let written: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        assert_eq!(route::query(Some(&written.join("&"))).expect("a query"), pairs);
    }
    origin::fuzz(host);
    if let Ok(()) = crate::orchestrator::queue::check_url(host, &crate::config::Allowed::default()) {
        let host = host.to_ascii_lowercase();
        assert!(host.starts_with("http://") || host.starts_with("https://"), "{host:?}");
    }
}
