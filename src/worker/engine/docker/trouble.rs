//! What the engine's refusals mean, and what to do about each. Must never hide what the engine itself said.

use super::super::{Availability, EngineError};
use super::wire::WireError;
use std::io::ErrorKind;
use std::path::Path;

/// An answer that was none of what was asked for.
pub fn unreadable(what: &str, error: &serde_json::Error) -> EngineError {
    EngineError::Unavailable(format!("the container engine's answer to {what} cannot be read: {error}; report this"))
}

/// Why the engine cannot be used, when a plain question to it failed.
pub fn down(socket: &Path, error: &WireError) -> Availability {
    let at = socket.display();
    let (reason, fix) = match error {
        WireError::Connect(ErrorKind::NotFound) => (
            format!("there is no container engine: {at} does not exist"),
            "install Docker and start it (systemctl start docker), or say where its socket is with \
             DOCKER_HOST=unix:///PATH"
                .to_string(),
        ),
        WireError::Connect(ErrorKind::PermissionDenied) => (
            format!("this user may not use the container engine at {at}"),
            "add the user to the socket's group (usermod -aG docker USER), log in again and restart the worker; the \
             socket is as good as root"
                .to_string(),
        ),
        WireError::Connect(ErrorKind::ConnectionRefused) => (
            format!("the container engine at {at} is stopped"),
            "start it (systemctl start docker); the worker notices by itself".to_string(),
        ),
        WireError::Slow(limit) => (
            format!("the container engine at {at} did not answer within {} s", limit.as_secs()),
            "look at its log (journalctl -u docker) and restart it (systemctl restart docker)".to_string(),
        ),
        WireError::Refused(status, message) => (
            format!("the container engine at {at} answers with {status}: {message}"),
            "look at its log (journalctl -u docker)".to_string(),
        ),
        WireError::Connect(kind) => {
            (format!("the container engine at {at} cannot be reached: {kind}"), "see that it runs".to_string())
        }
        WireError::Broken(why) => (
            format!("the container engine at {at} broke off: {why}"),
            "see that it runs (systemctl status docker)".to_string(),
        ),
    };
    Availability::Down { reason, fix }
}

/// Why it could not be done, whatever it was. `doing` reads like "create the container".
pub fn failed(doing: &str, socket: &Path, error: &WireError) -> EngineError {
    match error {
        WireError::Refused(status, message) => refused(doing, *status, message),
        WireError::Slow(limit) => EngineError::Unavailable(format!(
            "the container engine did not {doing} within {} s; it is overloaded or stuck: look at its log \
             (journalctl -u docker)",
            limit.as_secs()
        )),
        other => EngineError::Unavailable(format!("could not {doing}: {}", down(socket, other))),
    }
}

fn has(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| text.contains(part))
}

fn refused(doing: &str, status: u16, message: &str) -> EngineError {
    let text = message.to_lowercase();
    if has(&text, &["no space left on device", "disk quota exceeded"]) {
        EngineError::Resources(disk(message))
    } else if has(&text, &["exec format error"]) {
        EngineError::Image(format!(
            "the image was built for another kind of processor, or its program is a script without #!; build it for this \
             node's: {message}"
        ))
    } else if has(&text, &["executable file not found", "no such file or directory"]) && has(&text, &["exec", "runc"]) {
        EngineError::Command(format!(
            "the image has no such program; check `command` and the image's entrypoint: {message}"
        ))
    } else if has(&text, &["no command specified"]) {
        EngineError::Command(format!("the image does not say what to run; give the function a `command`: {message}"))
    } else if has(&text, &["permission denied"]) && has(&text, &["exec", "runc"]) {
        EngineError::Command(format!("the image's program may not be run; make it executable (chmod +x): {message}"))
    } else if has(&text, &["minimum memory limit"]) {
        EngineError::Resources(format!(
            "the function's memory_mb is less than the engine can give; raise it: {message}"
        ))
    } else if has(&text, &["range of cpus"]) {
        EngineError::Resources(format!("the function's cpu is more than this node has; lower it: {message}"))
    } else if has(&text, &["cannot allocate memory", "resource temporarily unavailable", "no available ipv4"]) {
        EngineError::Resources(format!("this node is out of what a container needs; stop something there: {message}"))
    } else {
        EngineError::Unavailable(format!("the container engine refused to {doing} ({status}): {message}"))
    }
}

fn disk(message: &str) -> String {
    format!("this node's disk is full; free some (docker system df, docker image prune): {message}")
}

/// Why an image could not be pulled, by what the engine or the registry said.
pub fn pull_failed(image: &str, registry: &str, message: &str) -> EngineError {
    let text = message.to_lowercase();
    if has(&text, &["no space left on device"]) {
        return EngineError::Resources(disk(message));
    }
    let registry = if registry.contains("index.docker.io") { "Docker Hub" } else { registry };
    let said = if has(&text, &["no matching manifest", "does not match the specified platform"]) {
        format!("the image {image} does not exist for this node's kind of processor; build it for this one too")
    } else if has(&text, &["toomanyrequests", "rate limit"]) {
        format!("{registry} gives this address no more images for now; log in (docker login), or wait")
    } else if has(&text, &["unauthorized", "authentication required", "no basic auth", "denied", "forbidden"]) {
        format!(
            "the image {image} does not exist at {registry}, or may not be pulled by this node; check the name, or log in \
             there as the worker's user (docker login)"
        )
    } else if has(&text, &["manifest unknown", "not found", "name unknown", "no such image"]) {
        format!("the image {image} does not exist at {registry}; check name and tag, or push it")
    } else if has(
        &text,
        &["dial tcp", "no such host", "timeout", "refused", "tls", "x509", "eof", "unreachable", "deadline"],
    ) {
        format!("{registry} cannot be reached from this node for the image {image}; check the network and the name")
    } else {
        format!("the image {image} could not be pulled from {registry}")
    };
    EngineError::Image(format!("{said}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_trouble_names_cause_and_next_step() {
        let pulls = [
            ("manifest for a:1 not found: manifest unknown: manifest unknown", "check name and tag"),
            (
                "pull access denied for a, repository does not exist or may require 'docker login': denied",
                "docker login",
            ),
            ("Get \"http://localhost:1/v2/\": dial tcp [::1]:1: connect: connection refused", "check the network"),
            ("failed to resolve reference \"localhost:1/none:1\": failed to do request: Head", "could not be pulled"),
            ("no matching manifest for linux/amd64 in the manifest list entries", "processor"),
            ("unauthorized: authentication required", "docker login"),
            ("toomanyrequests: You have reached your pull rate limit", "wait"),
            ("write /var/lib/docker/tmp/x: no space left on device", "prune"),
        ];
        for (said, advice) in pulls {
            let text = pull_failed("a:1", "r.io", said).to_string();
            assert!(text.contains(advice) && text.contains(said), "{text}");
        }
        let starts = [
            ("OCI runtime create failed: exec: \"nope\": executable file not found in $PATH: unknown", "`command`"),
            ("exec: \"/x\": stat /x: no such file or directory: unknown", "`command`"),
            ("exec /x: exec format error", "processor"),
            ("No command specified", "`command`"),
            ("exec: \"/x\": permission denied: unknown", "chmod"),
            ("Minimum memory limit allowed is 6MB", "memory_mb"),
            ("mkdir /var/lib/docker: no space left on device", "prune"),
            ("something else", "something else"),
        ];
        for (said, advice) in starts {
            let text = failed("start it", Path::new("/s"), &WireError::Refused(400, said.into())).to_string();
            assert!(text.contains(advice) && text.contains(said), "{text}");
        }
        let downs = [
            (WireError::Connect(ErrorKind::NotFound), "install"),
            (WireError::Connect(ErrorKind::PermissionDenied), "usermod"),
            (WireError::Connect(ErrorKind::ConnectionRefused), "start docker"),
            (WireError::Slow(Duration::from_secs(5)), "restart"),
            (WireError::Broken("x".into()), "see that it runs"),
            (WireError::Refused(500, "x".into()), "journalctl"),
        ];
        for (error, advice) in downs {
            let text = down(Path::new("/run/x.sock"), &error).to_string();
            assert!(text.contains(advice) && text.contains("/run/x.sock"), "{text}");
        }
    }
}
