//! What the engine's refusals mean, and what to do about each. Must never hide what the engine itself said.

use super::super::{Availability, EngineError, hint};
use super::request::ImageName;
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
            "the image has no such program, or not the loader that it needs (link it statically, or build on an image that has \
             it); check `command` and the image's entrypoint: {message}"
        ))
    } else if has(&text, &["no command specified"]) {
        EngineError::Command(format!("the image does not say what to run; give a `command`: {message}"))
    } else if has(&text, &["permission denied"]) && has(&text, &["exec", "runc"]) {
        EngineError::Command(format!("the image's program may not be run; make it executable (chmod +x): {message}"))
    } else if has(&text, &["port is already allocated", "address already in use", "ports are not available"]) {
        EngineError::Resources(format!(
            "a port of this node that it asks for is in use; stop what uses it, ask for another, or leave `host` out for a \
             free one: {message}"
        ))
    } else if has(&text, &["error gathering device information", "could not select device driver"]) {
        EngineError::Resources(format!("this node does not have a device that it asks for: {message}"))
    } else if has(&text, &["storage-opt", "storage option"]) {
        EngineError::Resources(format!(
            "this node's container engine cannot limit what is written to a container's root; leave `disk` out, or \
             isolation.files: {message}"
        ))
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

/// What was to be done at a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Pull,
    Push,
}

/// Why an image could not be pulled or pushed, by what the engine or the registry said.
pub fn registry_failed(at: At, image: &str, registry: &str, message: &str) -> EngineError {
    let text = message.to_lowercase();
    if at == At::Pull && has(&text, &["no space left on device"]) {
        return EngineError::Resources(disk(message));
    }
    let registry = if registry.contains("index.docker.io") { "Docker Hub" } else { registry };
    let done = if at == At::Pull { "pulled" } else { "pushed" };
    let said = if has(&text, &["http response to https client"]) {
        format!(
            "{registry} speaks plain HTTP, and this node's container engine asks for HTTPS, so the image {image} was not \
             {done}; give the registry a certificate, or let the engine do without: {{\"insecure-registries\": \
             [\"{registry}\"]}} in /etc/docker/daemon.json on each node that runs images, and restart it (systemctl \
             restart docker)"
        )
    } else if has(&text, &["no matching manifest", "does not match the specified platform"]) {
        format!("the image {image} does not exist for this node's kind of processor; build it for this one too")
    } else if has(&text, &["toomanyrequests", "rate limit"]) {
        format!("{registry} gives this address no more images for now; log in (docker login), or wait")
    } else if at == At::Push && has(&text, &["tag does not exist", "an image does not exist locally"]) {
        format!("the image {image} is not on this node any more, so it was not pushed; build it again")
    } else if has(&text, &["unauthorized", "authentication required", "no basic auth", "denied", "forbidden"]) {
        let what = match at {
            At::Pull => format!(
                "the image {image} does not exist at {registry}, or may not be pulled by this node; check the name"
            ),
            At::Push => {
                format!("{registry} does not let this node push the image {image}; check user, password and rights")
            }
        };
        format!(
            "{what}, or log in there: as the worker's user (docker login), or for all nodes with a file like Docker's \
             config.json that the orchestrator is given (--registry-auth FILE)"
        )
    } else if has(&text, &["manifest unknown", "not found", "name unknown", "no such image"]) {
        format!("the image {image} does not exist at {registry}; check name and tag, or push it")
    } else if has(
        &text,
        &["dial tcp", "no such host", "timeout", "refused", "tls", "x509", "eof", "unreachable", "deadline"],
    ) {
        format!(
            "{registry} cannot be reached from this node for the image {image}; see that it runs, check the network and the \
             name{}",
            if at == At::Pull { ", or bring the image to this node (docker load)" } else { "" }
        )
    } else {
        format!("the image {image} could not be {done} at {registry}")
    };
    EngineError::Image(format!("{said}: {message}"))
}

/// What to do where the image cannot be had that a runtime's builds begin with, as on a machine without a network.
pub fn no_base(runtime: &str, base: &str, why: &str) -> String {
    format!(
        "{why}\n(builds of the runtime {runtime} begin with {base}: have them begin with an image that is here, with \
         --base {runtime}=IMAGE on the orchestrator; or build without Docker, with the node's own tools: --engine process \
         on the workers, or on `cares up`)"
    )
}

/// Why an image could not be built, by what the engine said; `step` is its last word on where it was, `last` what that
/// has said last.
pub fn build_failed(step: &str, last: &str, message: &str) -> EngineError {
    let text = message.to_lowercase();
    let (number, what) = step.split_once(" : ").unwrap_or(("", step));
    let at =
        if number.is_empty() { String::new() } else { format!("{} (`{}`): ", number.to_lowercase(), shortened(what)) };
    if has(&text, &["no space left on device", "disk quota exceeded"]) {
        return EngineError::Resources(disk(message));
    }
    let base = what.strip_prefix("FROM ").and_then(|rest| rest.split_whitespace().find(|word| !word.starts_with("--")));
    if let Some(Ok(image)) = base.map(ImageName::parse) {
        let EngineError::Image(said) = registry_failed(At::Pull, image.as_str(), image.registry(), message) else {
            return EngineError::Resources(disk(message));
        };
        return EngineError::Image(format!("the Dockerfile begins with an image that cannot be had: {said}"));
    }
    EngineError::Image(if has(&text, &["non-zero code: 137"]) {
        format!(
            "{at}the step was killed; if it needs more memory, raise the orchestrator's limit build-memory-bytes: {message}"
        )
    } else if has(&text, &["requires buildkit"]) {
        format!(
            "{at}the step asks for what only BuildKit has, and images are built here by the engine's own builder; leave it out \
             (`--mount`, `--chmod`, `--link`), or build the image elsewhere and `cares register` it: {message}"
        )
    } else if has(&text, &["non-zero code"]) {
        match last.trim() {
            "" => format!("{at}the step failed, and said nothing; correct it and deploy again: {message}"),
            last => {
                let next = if last.contains("deploy again") { "" } else { "; correct it and deploy again" };
                format!("{at}the step failed: {}{}{next} ({message})", shortened(last), hint(last))
            }
        }
    } else if has(&text, &["copy failed", "add failed", "failed to compute cache key"]) {
        format!("{at}the folder does not have what is to be copied; add it, or correct the Dockerfile: {message}")
    } else if has(&text, &["dockerfile", "unknown instruction", "parse error", "requires"]) {
        format!("the Dockerfile cannot be used; correct it and deploy again: {message}")
    } else if has(&text, &["executable file not found", "no such file or directory", "exec format error"]) {
        format!("{at}the image it begins with has no such program, which RUN needs: {message}")
    } else {
        format!("{at}the container engine could not build the image: {message}")
    })
}

/// A line that stays one.
fn shortened(text: &str) -> String {
    let cut: String = text.chars().take(120).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_step_that_fails_is_told_with_what_it_said() {
        let message = "The command '/bin/sh -c x' returned a non-zero code: 3";
        let told = |last| build_failed("Step 2/3 : RUN x", last, message).to_string();
        let said = "step 2/3 (`RUN x`): the step failed: x: gone";
        assert_eq!(told("x: gone"), format!("{said}; correct it and deploy again ({message})"));
        assert_eq!(told("x: gone, deploy again"), format!("{said}, deploy again ({message})"));
        assert!(told("ModuleNotFoundError: No module named 'yaml'").contains("add PyYAML"));
        assert!(told(" ").contains("said nothing") && told(" ").contains("code: 3"));
        assert!(told(&"x".repeat(1_000)).len() < 300);
    }

    /// What each engine really says of a registry that does not listen.
    #[test]
    fn every_engines_words_on_a_registry_are_known() {
        for engine in ["20.10", "28", "29-dev"] {
            let path = format!("{}/tests/fixtures/engine/{engine}/pull-error-stream.txt", env!("CARGO_MANIFEST_DIR"));
            let said: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            let said = said["message"].as_str().unwrap();
            let text = registry_failed(At::Pull, "localhost:1/none:1", "localhost:1", said).to_string();
            assert!(text.contains("cannot be reached from this node") && text.contains(said), "{engine}: {text}");
            let text = build_failed("Step 1/2 : FROM localhost:1/none:1", "", said).to_string();
            assert!(text.contains("begins with an image that cannot be had") && text.contains("docker load"), "{text}");
        }
    }

    #[test]
    fn each_trouble_names_cause_and_next_step() {
        let pulls = [
            ("manifest for a:1 not found: manifest unknown: manifest unknown", "check name and tag"),
            (
                "pull access denied for a, repository does not exist or may require 'docker login': denied",
                "docker login",
            ),
            ("Get \"http://localhost:1/v2/\": dial tcp [::1]:1: connect: connection refused", "check the network"),
            (
                "failed to resolve reference \"localhost:1/none:1\": failed to do request: Head",
                "could not be pulled at",
            ),
            ("no matching manifest for linux/amd64 in the manifest list entries", "processor"),
            ("unauthorized: authentication required", "docker login"),
            ("toomanyrequests: You have reached your pull rate limit", "wait"),
            ("write /var/lib/docker/tmp/x: no space left on device", "prune"),
        ];
        for (said, advice) in pulls {
            let text = registry_failed(At::Pull, "a:1", "r.io", said).to_string();
            assert!(text.contains(advice) && text.contains(said), "{text}");
        }
        let pushes = [
            ("http: server gave HTTP response to HTTPS client", "[\"r.io\"]} in /etc/docker/daemon.json"),
            ("unauthorized: authentication required", "--registry-auth"),
            ("dial tcp 127.0.0.1:1: connect: connection refused", "see that it runs"),
            ("An image does not exist locally with the tag: r.io/a", "build it again"),
            ("received unexpected HTTP status: 500 Internal Server Error", "could not be pushed at r.io"),
        ];
        for (said, advice) in pushes {
            let text = registry_failed(At::Push, "r.io/a:1", "r.io", said).to_string();
            assert!(text.contains(advice) && text.contains(said), "{text}");
        }
        let starts = [
            ("OCI runtime create failed: exec: \"nope\": executable file not found in $PATH: unknown", "`command`"),
            ("exec: \"/x\": stat /x: no such file or directory: unknown", "`command`"),
            ("exec /x: exec format error", "processor"),
            ("No command specified", "`command`"),
            ("exec: \"/x\": permission denied: unknown", "chmod"),
            (
                "driver failed programming external connectivity: Bind for 0.0.0.0:80: port is already allocated",
                "`host`",
            ),
            ("error gathering device information while adding custom device \"/dev/x\"", "device"),
            ("--storage-opt is supported only for overlay over xfs with 'pquota' mount option", "`disk`"),
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
