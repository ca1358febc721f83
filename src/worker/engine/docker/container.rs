//! A started container: waits for its end, ends it, follows its log, and sees that it is removed whatever happens. Must
//! never leave one behind as long as the engine answers within [`REMOVE_FOR`].

use super::super::memory::Folder;
use super::super::output::LastWords;
use super::super::{Control, Exit, Listening, Port, Usage, listening};
use super::Shared;
use super::answers::{Created, Executed, Stats};
use super::frames::{Frames, Log};
use super::freeze;
use super::held::{Claim, Held};
use super::request::{container_path, encode};
use super::trouble;
use super::wire::{Verb, WireError};
use crate::clock;
use crate::rt::{self, Receiver, Sender};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// For the engine to kill and remove one: it waits for the kernel to let go.
const REMOVE_LIMIT: Duration = Duration::from_secs(60);
/// Tries to remove one while the engine is away; what is left then is removed when it is back (`adopt`).
const REMOVE_FOR: Duration = Duration::from_secs(600);
const REMOVE_AGAIN: Duration = Duration::from_secs(1);
/// What a stop may take longer than its grace.
const STOP_SLACK: Duration = Duration::from_secs(10);
/// After a stop, for the word of its end to come.
const WORD_LIMIT: Duration = Duration::from_secs(2);
/// After the end, for the rest of its output to come.
const DRAIN_LIMIT: Duration = Duration::from_millis(300);
/// For answers that need no work.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// The same of a task: nobody waits for its end, and its last lines are all there is to see.
const TASK_DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// For what it uses: an engine that has no "one-shot" measures for a second.
const USAGE_LIMIT: Duration = Duration::from_secs(5);
/// Before its log is asked for again, should the engine have broken off.
const LOG_AGAIN: Duration = Duration::from_millis(500);

/// A container that is removed when this is dropped.
pub struct Kept {
    shared: Arc<Shared>,
    pub held: Arc<Held>,
    claim: Option<Claim>,
    /// Its secret files.
    secrets: Option<Folder>,
}

impl Kept {
    pub fn new(shared: &Arc<Shared>, container: &str, claim: Claim, secrets: Option<Folder>) -> Kept {
        Kept { shared: shared.clone(), held: shared.shelf.hold(container), claim: Some(claim), secrets }
    }

    async fn remove(&self) -> Result<(), WireError> {
        remove(&self.shared, &self.held.container).await
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.held.is_ours();
        let (shared, held, claim) = (self.shared.clone(), self.held.clone(), self.claim.take());
        let secrets = self.secrets.take();
        rt::spawn(async move {
            let _ = freeze::thaw(&shared, &held).await; // what is frozen cannot end
            let until = clock::now() + REMOVE_FOR;
            while let Err(error) = remove(&shared, &held.container).await {
                if clock::now() > until {
                    log::warn!("container {} could not be removed: {error:?}", held.container);
                    break;
                }
                clock::after(REMOVE_AGAIN).await;
            }
            held.settle(Exit::Removed);
            shared.shelf.let_go(&held);
            drop(secrets);
            drop(claim); // from now on it would be a leftover
        });
    }
}

/// Removes a container, running or not; one that is gone already is as good.
pub async fn remove(shared: &Shared, container: &str) -> Result<(), WireError> {
    let path = container_path(container, "?force=1&v=1");
    match shared.wire.call(Verb::Delete, &path, None, REMOVE_LIMIT).await {
        // 409: it is being removed already.
        Ok(_) | Err(WireError::Refused(404 | 409, _)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Keeps what it prints, until its end. `since`: seconds since 1970 from which on; all when `None`.
pub fn follow(shared: &Arc<Shared>, held: &Arc<Held>, since: Option<u64>, mut log: Log) -> Receiver<()> {
    let (open, drained): (Sender<()>, _) = rt::bounded(1);
    let (shared, held, mut since) = (shared.clone(), held.clone(), since);
    rt::spawn(async move {
        loop {
            let from = since.map(|since| format!("&since={since}")).unwrap_or_default();
            let stamps = if log.is_stamped() { "&timestamps=1" } else { "" };
            let path = container_path(&held.container, &format!("/logs?follow=1&stdout=1&stderr=1{from}{stamps}"));
            let (mut chunks, mut frames) = (shared.wire.stream(Verb::Get, &path, None, None), Frames::default());
            while let Some(Ok(chunk)) = chunks.next().await {
                let mut bytes = &chunk[..];
                while let Some((stream, piece)) = frames.next(&mut bytes) {
                    log.add(stream, piece);
                }
            }
            // It ended, or the engine broke off: then what is printed from now on is asked for.
            since = Some(clock::unix_ms() / 1000);
            if clock::timeout(LOG_AGAIN, held.ended()).await.is_some() {
                break;
            }
        }
        drop(log);
        drop(open);
    });
    drained
}

/// Waits for a container and ends it; dropping it removes the container.
pub struct ContainerControl {
    pub kept: Kept,
    pub last_words: Arc<LastWords>,
    /// Closed when its log has been read to the end; `None` for a job, whose caller reads.
    pub drained: Option<Receiver<()>>,
    pub is_task: bool,
    /// A task's own address, where it can be reached there, and its ports.
    pub ip: Option<IpAddr>,
    pub ports: Vec<Port>,
}

impl ContainerControl {
    async fn exec(&self, command: &[String]) -> Result<i64, WireError> {
        let wire = &self.kept.shared.wire;
        let unreadable = |e: serde_json::Error| WireError::Broken(e.to_string());
        let path = container_path(&self.kept.held.container, "/exec");
        let body = json!({"Cmd": command, "AttachStdout": true, "AttachStderr": true}).to_string();
        let made = wire.call(Verb::Post, &path, Some(body), ASK_LIMIT).await?;
        let id = serde_json::from_str::<Created>(&made).map_err(unreadable)?.id;
        let body = json!({"Detach": false, "Tty": false}).to_string();
        let path = format!("/exec/{}/start", encode(&id));
        let mut output = wire.stream_with(Verb::Post, &path, None, Some(body), None);
        while output.next().await.transpose()?.is_some() {} // it ends with the command
        let answer = wire.call(Verb::Get, &format!("/exec/{}/json", encode(&id)), None, ASK_LIMIT).await?;
        Ok(serde_json::from_str::<Executed>(&answer).map_err(unreadable)?.exit_code)
    }
}

#[async_trait::async_trait]
impl Control for ContainerControl {
    async fn ended(&self) -> Exit {
        let exit = self.kept.held.ended().await;
        if let Some(drained) = &self.drained {
            // Nothing is ever sent: it closes.
            let limit = if self.is_task { TASK_DRAIN_LIMIT } else { DRAIN_LIMIT };
            let _ = clock::timeout(limit, drained.recv()).await;
        }
        exit
    }

    async fn stop(&self, grace: Duration) -> Exit {
        let held = &self.kept.held;
        if let Some(exit) = held.exit() {
            return exit; // its removal need not be waited for
        }
        held.is_ours();
        if let Err(why) = self.thaw().await {
            log::warn!("container {} cannot be woken to end: {why}", held.container);
        }
        if !grace.is_zero() {
            // The image's own stop signal, SIGTERM unless it says otherwise; then SIGKILL.
            let seconds = grace.as_secs_f64().ceil();
            let path = container_path(&held.container, &format!("/stop?t={seconds}"));
            let stopping = self.kept.shared.wire.call(Verb::Post, &path, None, grace + STOP_SLACK);
            // An engine that is lost tells so by the end; waiting out the grace would be for nothing.
            let lost = async {
                held.ended().await;
                // The answer comes after the event.
                clock::after(WORD_LIMIT).await;
                Ok(String::new())
            };
            if let Err(error) = futures_lite::future::or(stopping, lost).await {
                log::warn!("container {} did not stop: {error:?}", held.container);
            }
        }
        if let Err(error) = self.kept.remove().await {
            log::warn!("container {} is not yet removed: {error:?}", held.container);
        }
        let _ = clock::timeout(WORD_LIMIT, self.ended()).await;
        held.settle(Exit::Signal(9)); // unless it is known better
        held.exit().unwrap_or(Exit::Removed)
    }

    fn last_words(&self) -> String {
        self.last_words.text()
    }

    async fn freeze(&self) -> Result<(), String> {
        freeze::freeze(&self.kept.shared, &self.kept.held).await
    }

    async fn thaw(&self) -> Result<(), String> {
        freeze::thaw(&self.kept.shared, &self.kept.held).await
    }

    fn ports(&self) -> Vec<Port> {
        self.ports.clone()
    }

    fn address(&self, inside: u16) -> Option<SocketAddr> {
        if let Some(ip) = self.ip {
            return Some(SocketAddr::new(ip, inside));
        }
        let port = self.ports.iter().find(|port| port.inside == inside && !port.udp)?;
        Some(SocketAddr::from(([127, 0, 0, 1], port.host)))
    }

    async fn run_inside(&self, command: &[String]) -> Option<Result<i64, String>> {
        Some(
            self.exec(command)
                .await
                .map_err(|error| trouble::failed("run it", &self.kept.shared.socket, &error).to_string()),
        )
    }

    async fn listening(&self) -> Vec<Listening> {
        freeze::pid(&self.kept.shared, &self.kept.held).await.map_or_else(Vec::new, listening::in_network_of)
    }

    async fn usage(&self) -> Option<Usage> {
        let path = container_path(&self.kept.held.container, "/stats?stream=false&one-shot=true");
        let answer = self.kept.shared.wire.call(Verb::Get, &path, None, USAGE_LIMIT).await.ok()?;
        let stats: Stats = serde_json::from_str(&answer).ok()?;
        let cpu_time = Duration::from_nanos(stats.cpu_stats.cpu_usage.total_usage);
        Some(Usage { memory_bytes: stats.memory_bytes()?, cpu_time })
    }
}
