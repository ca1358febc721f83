//! The line of `cares doctor` about the registry: asks it from this machine, as engines ask theirs. Must never log in.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// One that takes longer is wedged, or behind a firewall.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found, or what is wrong and how to mend it. `place` as the orchestrator has it; `plain`: it speaks plain HTTP.
pub fn ask(place: &str, plain: bool) -> Result<String, (String, String)> {
    let host = place.split('/').next().unwrap_or(place);
    let usual = if plain { 80 } else { 443 };
    let at = if host.contains(':') { host.to_string() } else { format!("{host}:{usual}") };
    let fix = |what: &str| format!("{what}; every node that runs images must reach it as well");
    let unreachable = |error: io::Error| {
        let fix = fix("start it, or check the name (--registry) and the network");
        (format!("{host} cannot be reached from this machine: {error}"), fix)
    };
    let mut stream = connect(&at).map_err(unreachable)?;
    if !plain {
        return Ok(format!("{host} can be reached from this machine"));
    }
    match status(&mut stream, host) {
        Ok(Some(200 | 401)) => Ok(format!("{host} answers from this machine, over plain HTTP")),
        Ok(_) => {
            let fix = fix("see that a registry runs there, and take --registry-insecure away if it speaks HTTPS");
            Err((format!("what listens at {host} does not answer as a registry"), fix))
        }
        Err(error) => Err(unreachable(error)),
    }
}

fn connect(at: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name means no address");
    for address in at.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn status(stream: &mut TcpStream, host: &str) -> io::Result<Option<u16>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /v2/ HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(1 << 10).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Who says this to one caller.
    fn saying(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(text.as_bytes());
        });
        at
    }

    #[test]
    fn a_registry_is_told_from_what_is_none() {
        let asked = |text, plain| ask(&format!("{}/team", saying(text)), plain);
        assert!(asked("HTTP/1.1 200 OK\r\n\r\n{}", true).unwrap().contains("plain HTTP"));
        assert!(asked("HTTP/1.1 401 Unauthorized\r\n\r\n", true).is_ok());
        assert!(asked("", false).unwrap().contains("can be reached"));
        for none in ["HTTP/1.1 404 Not Found\r\n\r\n", "hello", ""] {
            let (why, fix) = asked(none, true).unwrap_err();
            assert!(why.contains("does not answer as a registry") && fix.contains("--registry-insecure"), "{why}");
        }
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (why, fix) = ask(&taken, true).unwrap_err();
        assert!(why.contains(&taken) && fix.contains("every node"), "{why}");
    }
}
