//! Takes the processor from a container and gives it back: by its cgroup's freezer where this worker may write it, which
//! takes a fraction of a millisecond, else by the engine's pause, which takes ten. Must never write to a cgroup that is
//! not the container's own.

use super::Shared;
use super::answers::Container;
use super::held::Held;
use super::request::container_path;
use super::wire::{Verb, WireError};
use crate::rt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For the engine's answers: it waits for the kernel.
const LIMIT: Duration = Duration::from_secs(10);

/// How a container is frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A file of its cgroup, and what stops and starts it.
    Cgroup { file: PathBuf, freeze: &'static str, thaw: &'static str },
    /// The engine does it.
    Pause,
}

/// Freezes it; by the engine when its cgroup cannot be written.
pub async fn freeze(shared: &Shared, held: &Held) -> Result<(), String> {
    let way = match held.way() {
        Some(way) => way,
        None => look(shared, held).await?,
    };
    held.frozen_by(way.clone());
    if let Way::Cgroup { file, freeze, .. } = &way {
        match write(file.clone(), freeze).await {
            Ok(()) => return Ok(()),
            Err(why) => log::debug!("container {} is paused by its engine: {}: {why}", held.container, file.display()),
        }
        held.frozen_by(Way::Pause);
    }
    pause(shared, held, "pause").await
}

/// Undoes it; no failure when there is nothing to undo.
pub async fn thaw(shared: &Shared, held: &Held) -> Result<(), String> {
    match held.frozen() {
        None => return Ok(()),
        Some(Way::Cgroup { file, thaw, .. }) => match write(file, thaw).await {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(why.to_string()),
            _ => {} // without its cgroup it has ended
        },
        Some(Way::Pause) => pause(shared, held, "unpause").await?,
    }
    held.is_thawed();
    Ok(())
}

/// The same for one whose freezing nobody here remembers: an earlier worker may have.
pub async fn thaw_leftover(shared: &Shared, held: &Held, found: &Container) {
    let thawed = match found.state.paused {
        true => pause(shared, held, "unpause").await,
        false => match way(&held.container, found.state.pid) {
            Way::Cgroup { file, thaw, .. } => write(file, thaw).await.map_err(|error| error.to_string()),
            Way::Pause => Ok(()),
        },
    };
    if let Err(why) = thawed {
        log::warn!("container {} cannot be woken: {why}", held.container);
    }
}

/// Its first process as this machine numbers it; `None` where that number is another's here.
pub async fn pid(shared: &Shared, held: &Held) -> Option<i64> {
    let answer = shared.wire.call(Verb::Get, &container_path(&held.container, "/json"), None, LIMIT).await.ok()?;
    let pid = serde_json::from_str::<Container>(&answer).ok()?.state.pid;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups.contains(&held.container).then_some(pid)
}

async fn look(shared: &Shared, held: &Held) -> Result<Way, String> {
    let answer = shared.wire.call(Verb::Get, &container_path(&held.container, "/json"), None, LIMIT).await;
    let answer = answer.map_err(|error| format!("its engine does not say where it is: {error:?}"))?;
    let found: Container = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    Ok(way(&held.container, found.state.pid))
}

fn way(container: &str, pid: i64) -> Way {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let found = cgroup(Path::new("/sys/fs/cgroup"), &groups, container);
    found.filter(|way| matches!(way, Way::Cgroup { file, .. } if file.exists())).unwrap_or(Way::Pause)
}

/// The freezer in a process's list of groups. One that does not bear the container's id is someone else's: the number
/// means another process here, or the engine shares a group among its containers.
fn cgroup(root: &Path, groups: &str, container: &str) -> Option<Way> {
    let group = |of: &str| {
        let path = groups.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(of)?.strip_prefix(":/"))?;
        let own = container.len() >= 12 && path.rsplit('/').next()?.contains(container);
        (own && !path.split('/').any(|part| part == "..")).then(|| path.to_string())
    };
    if let Some(path) = group("freezer") {
        let file = root.join("freezer").join(path).join("freezer.state");
        return Some(Way::Cgroup { file, freeze: "FROZEN", thaw: "THAWED" });
    }
    let path = group("")?;
    Some(Way::Cgroup { file: root.join(path).join("cgroup.freeze"), freeze: "1", thaw: "0" })
}

async fn write(file: PathBuf, text: &'static str) -> std::io::Result<()> {
    rt::unblock(move || {
        std::fs::OpenOptions::new().write(true).open(file).and_then(|mut f| {
            use std::io::Write;
            f.write_all(text.as_bytes())
        })
    })
    .await
}

async fn pause(shared: &Shared, held: &Held, verb: &str) -> Result<(), String> {
    match shared.wire.call(Verb::Post, &container_path(&held.container, &format!("/{verb}")), None, LIMIT).await {
        Ok(_) => Ok(()),
        // It is so already, or has ended.
        Err(WireError::Refused(304 | 404 | 409, _)) => Ok(()),
        Err(WireError::Refused(_, said)) if said.contains("is not paused") || said.contains("already paused") => Ok(()),
        Err(error) => Err(format!("its engine could not {verb} it: {error:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_of_its_own_is_a_way() {
        let id = "e2aecf634ba4b76ced18d963b47f981b3f387f3c7914ab505661ebed8587ecb8";
        let file = |groups: &str| match cgroup(Path::new("/c"), groups, id) {
            Some(Way::Cgroup { file, freeze, .. }) => format!("{} {freeze}", file.display()),
            other => format!("{other:?}"),
        };
        let one = format!("7:blkio:/docker/{id}\n6:freezer:/docker/{id}\n0::/\n");
        assert_eq!(file(&one), format!("/c/freezer/docker/{id}/freezer.state FROZEN"));
        let two = format!("0::/system.slice/docker-{id}.scope\n");
        assert_eq!(file(&two), format!("/c/system.slice/docker-{id}.scope/cgroup.freeze 1"));
        let foreign = [
            "6:freezer:/\n0::/\n".to_string(),
            "0::/user.slice/session-1.scope\n".into(),
            format!("0::/docker/{id}/init\n"),
            format!("0::/../../docker-{id}.scope\n"),
            String::new(),
        ];
        for groups in foreign {
            assert_eq!(file(&groups), "None", "{groups}");
        }
    }
}
