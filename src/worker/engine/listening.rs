//! Which TCP ports a program takes connections on, as the kernel tells (proc_net(5)): for words to people when it is not reached.
//! What may not be looked at is not there; must never fail.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One that it listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    pub port: u16,
    /// Nobody outside the program's own network reaches it.
    pub loopback: bool,
}

/// How the kernel calls a socket that listens.
const LISTEN: &str = "0A";
/// Where Docker answers names inside a container's network.
const ENGINES_OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Of all that shares the network of this process, if that is not our own.
pub fn in_network_of(pid: i64) -> Vec<Listening> {
    let network = |of: &str| fs::read_link(format!("/proc/{of}/ns/net")).ok();
    match network(&pid.to_string()) {
        Some(its) if network("self").is_some_and(|ours| ours != its) => found(&pid.to_string(), |_| true),
        _ => Vec::new(),
    }
}

/// Of the processes of this group, in our own network: functions share it, and one that has left it is not reached there.
pub fn of_group(leader: i32) -> Vec<Listening> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i64>().ok());
    let sockets: HashSet<u64> = pids.filter(|pid| group(*pid) == Some(leader)).flat_map(sockets).collect();
    found("self", |socket| sockets.contains(&socket))
}

/// The group of a process: the third word behind its name, which may have any letters in it.
fn group(pid: i64) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

/// Those that it has open, by their numbers.
fn sockets(pid: i64) -> Vec<u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = open.filter_map(|file| fs::read_link(file.path()).ok());
    links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

/// In the network of this process.
fn found(process: &str, wanted: impl Fn(u64) -> bool) -> Vec<Listening> {
    let mut all: Vec<Listening> = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for (at, port, _) in table.lines().filter_map(row).filter(|(_, _, socket)| wanted(*socket)) {
            let reached = |one: &Listening| one.port == port && !one.loopback;
            if at != ENGINES_OWN && !all.iter().any(reached) {
                all.retain(|one| one.port != port);
                all.push(Listening { port, loopback: at.to_canonical().is_loopback() });
            }
        }
    }
    all.sort_by_key(|one| one.port);
    all
}

/// Address, port and number of a row's socket, if it listens.
fn row(line: &str) -> Option<(IpAddr, u16, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = words.get(1)?.split_once(':')?;
    // Each word of four bytes as the machine has it.
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::from(word(0)?),
        _ => {
            let mut bytes = [0; 16];
            for (n, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(8 * n)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
    };
    let socket = words.get(9)?.parse().ok()?;
    (words.get(3) == Some(&LISTEN)).then_some((address, u16::from_str_radix(port, 16).ok()?, socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::until;
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn what_listens_is_found_with_where() {
        let own = std::process::id();
        let leader = group(own.into()).expect("we have a group");
        let everywhere = TcpListener::bind("0.0.0.0:0").expect("a port");
        let here = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = |listener: &TcpListener| listener.local_addr().expect("its address").port();
        let all = of_group(leader);
        for (listener, loopback) in [(&everywhere, false), (&here, true)] {
            let it = Listening { port: port(listener), loopback };
            assert!(all.contains(&it), "{it:?} in {all:?}");
        }
        let gone = port(&here);
        drop(here);
        // A program that another test starts has it too until it executes.
        until(|| !of_group(leader).iter().any(|one| one.port == gone && one.loopback));
        assert_eq!(in_network_of(own.into()), [], "the network is ours");
        assert_eq!(in_network_of(-1), []);
    }

    #[test]
    fn a_leader_that_has_ended_hides_nothing_of_its_group() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 &"]).stdout(OwnedFd::from(listener.try_clone().expect("a file")));
        let mut leader = shell.process_group(0).spawn().expect("a shell");
        drop(shell);
        let pid = leader.id() as i32;
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&leader)), ended).expect("its end");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let all = of_group(pid);
        kill_process_group(Pid::from_child(&leader), Signal::KILL).expect("killed");
        leader.wait().expect("its end");
        assert_eq!(all, [Listening { port, loopback: true }]);
    }

    #[test]
    fn rows_are_read_and_others_are_none() {
        let six =
            "1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 77 1";
        assert_eq!(row(six), Some(("::1".parse().unwrap(), 8080, 77)));
        let four = "0: 0B00007F:A1B2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0";
        assert_eq!(row(four), Some((ENGINES_OWN, 0xA1B2, 12_345)));
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        for other in [head, "", "0: x", &four.replace(" 0A ", " 01 "), "0: é0007F:1 0 0A 0 0 0 0 0 9"] {
            assert_eq!(row(other), None, "{other}");
        }
    }
}
