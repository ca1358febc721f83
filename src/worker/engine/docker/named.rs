//! Which registries a Dockerfile names, so that a build gets the logins it may need and no others. Must never take a file's
//! name for trouble: one too many is only asked for in vain.

use super::request::DOCKER_HUB;
use std::collections::BTreeSet;

/// Registries of one Dockerfile; an image of one beyond them is pulled without a login.
const MAX: usize = 32;

/// Those its images may come from, also by an `ARG` that has only the registry, and Docker Hub.
pub fn registries(dockerfile: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([DOCKER_HUB.to_owned()]);
    for line in dockerfile.replace("\\\n", " ").lines() {
        let mut words = line.split_ascii_whitespace();
        let all = match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "FROM" | "ARG" => true,
            "COPY" | "ADD" | "RUN" => false,
            _ => continue,
        };
        // What is in quotes, after NAME=, --from= or within --mount=...,from=.
        let wanted = words.filter(|word| all || (word.starts_with("--") && word.contains("from=")));
        let parts = wanted.flat_map(|word| word.split(['=', ',', '"', '\'']));
        found.extend(parts.filter_map(host).take(MAX).map(str::to_owned));
        if found.len() > MAX {
            break;
        }
    }
    found
}

/// The host that an image's name begins with, or is.
fn host(name: &str) -> Option<&str> {
    let host = name.split('/').next().unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".:-".contains(&b);
    let named = host.contains(['.', ':']) || host == "localhost";
    (named && host.len() <= 255 && host.bytes().all(plain) && host.as_bytes()[0].is_ascii_alphanumeric())
        .then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_looked_for_where_they_are_named() {
        let found = |dockerfile: &str| {
            let mut found = registries(dockerfile);
            assert!(found.remove(DOCKER_HUB));
            found.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("FROM scratch\nCOPY main.py lib.so /x/\nRUN ls example.org/a"), "");
        assert_eq!(found("# FROM no.io/a\nfrom --platform=linux/amd64 r.io:5000/a/b:1@sha256:00 AS x"), "r.io:5000");
        assert_eq!(found("ARG R=\"r.lab\"\nARG BASE=localhost/a\nFROM ${R}/b"), "localhost r.lab");
        assert_eq!(
            found("FROM a\nCOPY --chown=1:1 --from=ghcr.io/c x y\nRUN --mount=type=bind,from=q.io/d,source=/s ls"),
            "ghcr.io q.io"
        );
        assert_eq!(found("FROM \\\n  --platform=linux/amd64 \\\n  r.io/a"), "r.io");
        assert_eq!(found("FROM -.io/a\nFROM r.io?x/a\nFROM .io/b\nFROM"), "");
        let many: String = (0..1_000).map(|n| format!("FROM r{n}.io/a\n")).collect();
        assert_eq!(registries(&many).len(), MAX + 1);
    }
}
