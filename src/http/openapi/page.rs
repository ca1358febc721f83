//! `/docs`: a page that draws `/openapi.json`. All of it is in the binary, and it asks nobody else for anything.

use super::operation::{Answer, Content, Operation};
use crate::http::problem::Problem;
use crate::http::route::Reply;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

const PAGE: &str = include_str!("page.html");
static POLICY: OnceLock<String> = OnceLock::new();

/// What the document says of this.
pub const DOCS: Operation = Operation {
    id: "getDocs",
    tag: "program",
    summary: "This document as a page",
    answers: &[Answer::of(200, "The page.").with(&[Content::Bytes("text/html")]).headers(&["Content-Security-Policy"])],
    ..Operation::NONE
};

/// `GET /docs`
pub fn get() -> Result<Reply, Problem> {
    let headers = vec![
        ("Content-Type", "text/html; charset=utf-8".to_string()),
        ("Content-Security-Policy", POLICY.get_or_init(policy).clone()),
        ("X-Content-Type-Options", "nosniff".into()),
        ("Referrer-Policy", "no-referrer".into()),
        ("Cache-Control", "no-cache".into()),
    ];
    Ok(Reply { status: 200, body: PAGE.as_bytes().to_vec(), headers })
}

/// Its own style and script, by their digests, and the document; nothing else, and in no frame.
fn policy() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        digest("style"),
        digest("script")
    )
}

fn digest(tag: &str) -> String {
    let (_, after) = PAGE.split_once(&format!("<{tag}>")).unwrap_or_default();
    let (inside, _) = after.split_once(&format!("</{tag}>")).unwrap_or_default();
    STANDARD.encode(Sha256::digest(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        assert!(PAGE.len() < 30_000, "{}", PAGE.len());
        assert!(!PAGE.contains("http://") && !PAGE.contains("https://") && !PAGE.contains("innerHTML"));
        assert_eq!((PAGE.matches("<style").count(), PAGE.matches("<script").count()), (1, 1));
        assert!(!PAGE.contains(" style=") && !PAGE.contains(" onclick="));
        let nothing = STANDARD.encode(Sha256::digest(""));
        assert!(!policy().contains(&nothing), "{}", policy());
    }
}
