//! One task's supervisor: run after run, until it ends. Keeps the disk a step ahead of what runs, so that a worker that is
//! killed leaves nothing that the next one does not know.

use super::super::engine::{Control, Exit, Isolation, Kind, Launch, Needs, Port, Running, Volume, hint};
use super::super::pool::Pool;
use super::super::runnable::Runnable;
use super::policy::{Ended, Verdict, judge};
use super::record::{Record, State};
use super::{health, logs};
use crate::clock;
use crate::rt::Receiver;
use crate::wire::proto;
use futures_lite::future;
use std::time::Duration;

/// Bytes of the last lines that are kept of a failed run.
const LAST_LINES: usize = 2_048;
/// Of a run that an earlier worker left and that is not there any more.
const LOST: &str = "its worker ended, and it with it";
/// A bundle's health command that is given up is ended at once.
const NO_GRACE: Duration = Duration::ZERO;

/// Why a run is over.
enum End {
    /// It was to be.
    Stopped,
    /// So is this worker: nothing is decided.
    Leaving,
    Exited(Exit, String),
    Failed(String, String),
    Lost,
}

/// Runs it until it ends or this worker does. `resumed`: an earlier worker may have left it running.
pub async fn supervise(pool: &Pool, id: &str, stop: Receiver<()>, mut resumed: bool) {
    loop {
        let Some(record) = pool.tasks.book().tasks.get(id).map(|entry| entry.record.clone()) else { return };
        let end = one(pool, &record, &stop, std::mem::take(&mut resumed)).await;
        let Some(wait) = settle(pool, id, end).await else { return };
        let waited = future::or(
            async {
                clock::after(wait).await;
                true
            },
            told(pool, &stop),
        );
        if !waited.await {
            let end = if stopped(&stop) { End::Stopped } else { End::Leaving };
            settle(pool, id, end).await;
            return;
        }
    }
}

/// Waits until it is to stop, or this worker ends.
async fn told(pool: &Pool, stop: &Receiver<()>) -> bool {
    let over = future::or(stop.recv(), pool.tasks.ending.1.recv());
    let killed = async {
        pool.killed().await;
        Ok(())
    };
    let _ = future::or(over, killed).await; // closed
    false
}

fn stopped(stop: &Receiver<()>) -> bool {
    stop.is_closed()
}

/// One run.
async fn one(pool: &Pool, record: &Record, stop: &Receiver<()>, resumed: bool) -> End {
    let left = async {
        // Processes end with their worker.
        let found = match resumed && record.is_container() {
            true => pool.tasks.found.take(&record.runs()).await,
            false => None,
        };
        match found {
            None if resumed && record.state() != State::Starting => Err(End::Lost),
            found => Ok(found),
        }
    };
    // Also one that is to stop: what is not known to be there cannot be ended.
    let leaving = async {
        let _ = pool.tasks.ending.1.recv().await;
        Err(End::Leaving)
    };
    let left = match future::or(left, leaving).await {
        Ok(None) if stopped(stop) => return End::Stopped,
        Ok(left) => left,
        Err(end) => return end,
    };
    let mut record = record.clone();
    if left.is_none() && resumed && record.is_container() {
        // What an earlier worker was only making is being removed: another run, under another name.
        record.restarts += 1;
        pool.tasks.edit(&record.task.id, |kept| kept.restarts = record.restarts);
        let _ = pool.tasks.keep(&record.task.id, false).await; // should it be lost, the run is found all the same
    }
    let record = &record;
    let started = async {
        match left {
            Some((run, running)) => {
                log::info!("Task {}: taking over {run}, which an earlier worker left", record.task.id);
                let number = run.rsplit('-').next().and_then(|number| number.parse().ok());
                pool.tasks.edit(&record.task.id, |record| record.restarts = number.unwrap_or(record.restarts));
                Ok((running, None))
            }
            None => start(pool, record).await.map(|(running, runnable)| (running, Some(runnable))),
        }
    };
    // What was found is not given up by a stop, but stopped.
    let given_up = async {
        told(pool, stop).await;
        Err(String::new())
    };
    let (running, runnable) = match future::or(started, given_up).await {
        Ok(started) => started,
        Err(_) if stopped(stop) => return End::Stopped,
        Err(why) if why.is_empty() => return End::Leaving,
        Err(why) => return End::Failed(why, String::new()),
    };
    let control = &*running.control;
    runs(pool, record, control).await;
    let ended = async { End::Exited(control.ended().await, String::new()) };
    let sick = async {
        match &record.task.health {
            Some(check) => End::Failed(watched(pool, record, check, control, runnable.as_ref()).await, String::new()),
            None => future::pending().await,
        }
    };
    let to_end = async {
        told(pool, stop).await;
        if stopped(stop) { End::Stopped } else { End::Leaving }
    };
    // First whether it has ended: an end that came before a stop is its own.
    let end = future::or(ended, future::or(sick, to_end)).await;
    let grace = Duration::from_millis(record.task.stop_grace_ms);
    let exit = match &end {
        End::Exited(..) => None,
        _ => Some(future::or(control.stop(grace), killed(pool, control)).await),
    };
    let words = last_lines(&control.last_words());
    match end {
        End::Exited(exit, _) => End::Exited(exit, words),
        End::Failed(why, _) => End::Failed(why, words),
        End::Stopped => {
            if let Some(Exit::Code(code)) = exit {
                pool.tasks.edit(&record.task.id, |record| record.exit_code = Some(code));
            }
            End::Stopped
        }
        other => other,
    }
}

/// Once everything is to be killed, a grace is over.
async fn killed(pool: &Pool, control: &dyn Control) -> Exit {
    pool.killed().await;
    control.stop(Duration::ZERO).await
}

async fn start(pool: &Pool, record: &Record) -> Result<(Running, Runnable), String> {
    pool.engines.known().await; // a worker that has just begun
    let task = &record.task;
    let revision = proto::Revision { image: task.image.clone(), ..Default::default() };
    let runnable = pool.runnable(&revision).await?;
    let _turn = pool.tasks.turn().await;
    let running = runnable.start(launch(pool, record, &runnable, Kind::Task, &task.command)).await;
    running.map(|running| (running, runnable)).map_err(|error| error.to_string())
}

fn launch(pool: &Pool, record: &Record, runnable: &Runnable, kind: Kind, command: &[String]) -> Launch {
    let task = &record.task;
    let number = |port: u32| u16::try_from(port).unwrap_or(0);
    let port = |port: &proto::TaskPort| Port {
        inside: number(port.container),
        host: number(port.host),
        udp: port.protocol == "udp",
    };
    let volume = |v: &proto::TaskVolume| Volume { name: v.name.clone(), path: v.path.clone(), read_only: v.read_only };
    let mut env: Vec<(String, String)> = Vec::with_capacity(task.env.len() + 4);
    if let Some(first) = task.ports.first() {
        env.push(("PORT".into(), first.container.to_string()));
    }
    env.extend(task.env.clone());
    env.push(("CARES_TASK_ID".into(), task.id.clone()));
    env.push(("CARES_ATTEMPT".into(), task.attempt.to_string()));
    // Without a limit for temporary files, they are what it writes.
    let tmp_bytes = if task.tmp_bytes == 0 { task.disk_bytes } else { task.tmp_bytes };
    Launch {
        id: record.run(),
        function: logs::name(&task.id),
        revision: 0,
        program: runnable.program(),
        command: command.to_vec(),
        env,
        memory_bytes: (task.memory_bytes > 0).then_some(task.memory_bytes),
        cpu: (task.cpu > 0.0).then_some(task.cpu),
        isolation: Isolation {
            open_files: task.open_files,
            all_syscalls: task.all_syscalls,
            ..Isolation::limits(task.pids, tmp_bytes)
        },
        kind,
        secrets: Default::default(), // of functions alone
        needs: Needs {
            ports: task.ports.iter().map(port).collect(),
            listen: Some(pool.tasks.listen),
            volumes: task.volumes.iter().map(volume).collect(),
            devices: task.devices.clone(),
            disk_bytes: (task.disk_bytes > 0).then_some(task.disk_bytes),
        },
    }
}

/// It runs: with which ports, and since when.
async fn runs(pool: &Pool, record: &Record, control: &dyn Control) {
    let port = |port: Port| proto::TaskPort {
        container: port.inside.into(),
        host: port.host.into(),
        protocol: if port.udp { "udp" } else { "tcp" }.into(),
    };
    let ports: Vec<proto::TaskPort> = control.ports().into_iter().map(port).collect();
    let id = &record.task.id;
    pool.tasks.edit(id, |record| {
        if record.state() == State::Starting {
            record.become_state(State::Running);
            record.started_ms = clock::unix_ms();
        }
        if !ports.is_empty() {
            record.ports = ports; // of one that has ended already none are known
        }
    });
    let _ = pool.tasks.keep(id, false).await; // should it be lost, the run is found all the same
    pool.tasks.changed(id);
}

/// Ends when it is sick.
async fn watched(
    pool: &Pool,
    record: &Record,
    check: &proto::HealthCheck,
    control: &dyn Control,
    runnable: Option<&Runnable>,
) -> String {
    let tell = |health| {
        pool.tasks.set_health(&record.task.id, health);
        pool.tasks.changed(&record.task.id);
    };
    let beside = || async {
        let runnable = runnable.ok_or("its engine cannot run a command inside it")?;
        let mut launch = launch(pool, record, runnable, Kind::Job, &check.command);
        launch.id.push_str("-check");
        for port in control.ports() {
            launch.env.push((format!("PORT_{}", port.inside), port.host.to_string()));
        }
        if let Some(first) = control.ports().first() {
            launch.env.push(("PORT".into(), first.host.to_string()));
        }
        let mut running = runnable.start(launch).await.map_err(|error| error.to_string())?;
        drop((running.stdin.take(), running.stdout.take()));
        let exit = running.control.ended().await;
        running.control.stop(NO_GRACE).await;
        Ok(match exit {
            Exit::Code(code) => code.into(),
            _ => -1,
        })
    };
    health::watch(check, control, tell, beside).await
}

/// Notes how a run ended and what follows: a wait and another run, or nothing.
async fn settle(pool: &Pool, id: &str, end: End) -> Option<Duration> {
    let now = clock::unix_ms();
    let stopping = pool.tasks.edit(id, |record| record.state() == State::Stopping)?;
    let end = match end {
        End::Exited(Exit::Code(code), _) if stopping => {
            pool.tasks.edit(id, |record| record.exit_code = Some(code));
            End::Stopped // it ended just before it was to
        }
        End::Exited(..) | End::Failed(..) | End::Lost if stopping => End::Stopped,
        end => end,
    };
    let (ended, why, code, words) = match end {
        End::Leaving => return None,
        End::Stopped => {
            finish(pool, id, |record| {
                record.become_state(State::Stopping);
                record.become_state(State::Stopped);
                record.reason = "it was told to stop".into();
            })
            .await;
            return None;
        }
        End::Exited(exit, words) => {
            let code = if let Exit::Code(code) = exit { Some(code) } else { None };
            (
                if exit.success() { Ended::Well } else { Ended::Badly },
                format!("it {exit}").replace("memory_mb", "memory"),
                code,
                words,
            )
        }
        End::Failed(why, words) => (Ended::Badly, why, None, words),
        End::Lost => (Ended::Interrupted, LOST.into(), None, String::new()),
    };
    pool.tasks.set_health(id, "");
    let verdict = pool.tasks.edit(id, |record| {
        if record.state() == State::Starting && ended == Ended::Well {
            record.become_state(State::Running); // it was over before that could be noted
        }
        record.exit_code = code;
        if ended != Ended::Well {
            record.last_lines = words.clone();
        }
        let verdict = judge(record, ended, now);
        if let Verdict::Again(wait) = verdict {
            record.become_state(State::Starting);
            record.restarts += 1;
            record.reason = format!("{why}; started again after {:.1} s", wait.as_secs_f64());
            record.ports = record.task.ports.clone();
        }
        verdict
    });
    match verdict? {
        Verdict::Again(wait) => {
            log::info!("Task {id}: {why}; it is started again in {:.1} s", wait.as_secs_f64());
            if let Err(error) = pool.tasks.keep(id, true).await {
                log::warn!("Task {id}: {error:?}");
            }
            pool.tasks.changed(id);
            Some(wait)
        }
        Verdict::Completed => {
            finish(pool, id, |record| {
                record.become_state(State::Completed);
                record.reason.clear();
            })
            .await;
            None
        }
        Verdict::Failed(more) => {
            log::warn!("Task {id} failed: {why}{more}");
            finish(pool, id, |record| {
                record.become_state(State::Failed);
                record.reason = format!("{why}{more}{}", hint(&record.last_lines));
            })
            .await;
            None
        }
    }
}

async fn finish(pool: &Pool, id: &str, change: impl FnOnce(&mut Record)) {
    pool.tasks.keep_log(id).await; // before it counts as ended: then it is asked for there
    pool.tasks.set_health(id, "");
    pool.tasks.edit(id, |record| {
        change(record);
        record.become_state(State::Stopped); // it was told to end while what it printed was being kept
        record.ended_ms = clock::unix_ms();
    });
    if let Err(error) = pool.tasks.keep(id, true).await {
        log::warn!("Task {id}: {error:?}: its end may be noted once more by this node's next worker");
    }
    pool.tasks.changed(id);
}

fn last_lines(words: &str) -> String {
    let words = words.trim_end();
    let from = (words.len().saturating_sub(LAST_LINES)..).find(|at| words.is_char_boundary(*at)).unwrap_or(words.len());
    words[from..].to_string()
}
