//! The line of `cares doctor` about the container engine: asks it over its socket, as a worker would.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Where Docker listens when nothing else is said.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// An engine that takes longer is wedged.
const PATIENCE: Duration = Duration::from_secs(5);

/// Its version, or what is wrong and how to mend it.
pub fn ask(docker_host: Option<&str>) -> Result<String, (String, String)> {
    let socket = match docker_host.filter(|host| !host.is_empty()) {
        None => DEFAULT_SOCKET,
        Some(host) => host.strip_prefix("unix://").ok_or_else(|| {
            (
                format!("DOCKER_HOST is {host}"),
                "CARES talks to engines over unix sockets: DOCKER_HOST=unix:///PATH".into(),
            )
        })?,
    };
    match version(socket) {
        Ok(Some(version)) => Ok(format!("Docker {version} at {socket}")),
        Ok(None) => Err((
            format!("what listens at {socket} does not answer as a container engine"),
            "set DOCKER_HOST=unix:///PATH to the engine's socket".into(),
        )),
        Err(error) => Err((format!("{socket}: {error}"), fix(&error).into())),
    }
}

fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "to run images, install an engine (apt-get install docker.io); bundles need none",
        io::ErrorKind::PermissionDenied => {
            "add this user to the group docker ('usermod -aG docker USER') and log in again; mind that it is as good as root"
        }
        io::ErrorKind::ConnectionRefused => "start the engine: 'systemctl start docker'",
        _ => "restart the engine: 'systemctl restart docker'",
    }
}

fn version(socket: &str) -> io::Result<Option<String>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let json = answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<serde_json::Value>(body).ok());
    Ok(json.and_then(|v| v["Version"].as_str().map(str::to_string)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_has_its_fix() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| format!("unix://{}", dir.path().join(name).display());
        let (why, fix) = ask(Some("tcp://1.2.3.4:2375")).expect_err("no unix socket");
        assert!(why.contains("tcp://") && fix.contains("unix:///"));
        let (why, fix) = ask(Some(&path("none"))).expect_err("no socket");
        assert!(why.contains("none") && fix.contains("install"), "{why} {fix}");
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("dead")).expect("a socket"));
        let (_, fix) = ask(Some(&path("dead"))).expect_err("nobody listens");
        assert!(fix.contains("start the engine"), "{fix}");
    }
}
