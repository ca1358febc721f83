//! A started process and all it started: waits for its end, ends it, and lets nothing of its group outlive it. Must
//! never signal a group whose number may already belong to someone else.

use super::super::output::LastWords;
use super::super::{Control, Exit, Listening, listening};
use super::vfork::Child;
use crate::clock;
use crate::lock::lock;
use crate::rt::{self, Receiver, Sender};
use crate::sandbox::cgroup::Cgroup;
use rustix::process::{Signal, WaitStatus, kill_process_group};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// After the end, what is still in the pipes is read; who left the group and holds them open is not waited for.
const DRAIN_LIMIT: Duration = Duration::from_millis(250);
/// Should the system not tell how it ended (it always does).
const UNKNOWN: Exit = Exit::Code(-1);

/// A process group, by its leader.
pub struct Group {
    leader: Child,
    state: Mutex<State>,
    /// Holds also what left the group.
    cgroup: Option<Arc<Cgroup>>,
}

#[derive(Default)]
struct State {
    /// From here on the system may give the number to another group.
    reaped: bool,
    exit: Option<Exit>,
}

impl Group {
    /// The group of a child that has just executed, and so leads its own session.
    pub fn new(leader: Child, cgroup: Option<Arc<Cgroup>>) -> Arc<Group> {
        Arc::new(Group { leader, state: Mutex::default(), cgroup })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Signals all of the group, unless it has ended.
    fn signal(&self, signal: Signal) {
        let state = self.lock();
        if !state.reaped {
            let _ = kill_process_group(self.leader.pid, signal);
            drop(state);
            if signal == Signal::KILL {
                self.kill_hidden();
            }
        }
    }

    /// What left the process group, but not the control group.
    fn kill_hidden(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }

    /// Waits until the leader has ended and kills the rest.
    async fn reap(&self) -> Exit {
        self.leader.ended().await;
        let mut state = self.lock();
        // The leader's number is still taken (it is a zombie), so the group's is.
        let _ = kill_process_group(self.leader.pid, Signal::KILL);
        state.reaped = true;
        self.leader.reap().map_or(UNKNOWN, exit)
    }
}

fn exit(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => UNKNOWN,
    }
}

/// Looks after a started process until its end; then `held` (its folder, its port, …) is let go.
pub fn keep<H: Send + 'static>(
    group: Arc<Group>,
    drained: Receiver<()>,
    last_words: Arc<LastWords>,
    held: H,
) -> ProcessControl {
    let (gone, ended): (Sender<()>, _) = rt::bounded(1);
    let control = ProcessControl { group: group.clone(), ended, last_words };
    rt::spawn(async move {
        let mut exit = group.reap().await;
        group.kill_hidden();
        if !exit.success() && group.cgroup.as_ref().is_some_and(|cgroup| cgroup.ran_out_of_memory()) {
            exit = Exit::OutOfMemory;
        }
        // Nothing is ever sent: it ends when the last reader of the output drops its end.
        let _ = clock::timeout(DRAIN_LIMIT, drained.recv()).await;
        drop(held);
        group.lock().exit = Some(exit);
        drop(gone);
    });
    control
}

/// Waits for a process and ends it; dropping it kills the group.
pub struct ProcessControl {
    group: Arc<Group>,
    /// Closed at the end.
    ended: Receiver<()>,
    last_words: Arc<LastWords>,
}

impl Drop for ProcessControl {
    fn drop(&mut self) {
        self.group.signal(Signal::KILL);
    }
}

#[async_trait::async_trait]
impl Control for ProcessControl {
    async fn ended(&self) -> Exit {
        let _ = self.ended.recv().await;
        self.group.lock().exit.unwrap_or(UNKNOWN)
    }

    async fn stop(&self, grace: Duration) -> Exit {
        self.group.signal(Signal::TERM);
        // What is frozen only sees it once it goes on.
        self.group.signal(Signal::CONT);
        if let Some(exit) = clock::timeout(grace, self.ended()).await {
            return exit;
        }
        self.group.signal(Signal::KILL);
        self.ended().await
    }

    /// By signal: a cgroup of its own would cost every start more than any freeze saves.
    async fn freeze(&self) -> Result<(), String> {
        self.group.signal(Signal::STOP);
        Ok(())
    }

    async fn thaw(&self) -> Result<(), String> {
        self.group.signal(Signal::CONT);
        Ok(())
    }

    fn last_words(&self) -> String {
        self.last_words.text()
    }

    async fn listening(&self) -> Vec<Listening> {
        let leader = self.group.leader.pid;
        rt::unblock(move || listening::of_group(leader.as_raw_nonzero().get())).await
    }
}
