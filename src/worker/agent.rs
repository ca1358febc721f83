//! Membership: join, heartbeat, links, and again from the start when the connection breaks.

use super::membership::Standing;
use super::passport::{self, Refused};
use super::pool::Notice;
use super::{Worker, link};
use crate::auth::JOIN_TOKEN;
use crate::lanes::{self, Task};
use crate::rpc::Channel;
use crate::rt::{self, Receiver, Sender};
use crate::wire::proto::cluster_service_client::ClusterServiceClient;
use crate::wire::{self, proto};
use crate::{clock, ids};
use futures_lite::{StreamExt, future};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Request, Streaming};

/// To be answered.
const JOIN_LIMIT: Duration = Duration::from_secs(10);
/// Waits between tries: random up to a bound that doubles, so that workers do not all come back at once.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_LAST: Duration = Duration::from_secs(5);
/// A leaving worker looks this often whether its calls have ended.
const LEAVING_EVERY: Duration = Duration::from_millis(100);
/// For the orchestrator to take note that this worker left.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);
/// Links at most, whatever is asked for.
const LINKS_MAX: u32 = 16;
/// Between heartbeats to an orchestrator of the first CARES, which does not say how many it wants: as ours does.
const HEARTBEAT_UNSAID: Duration = Duration::from_secs(1);
/// What it is told when a percent cannot be read: neither best nor worst, as less than 0 means nothing to it.
const UNKNOWN_PERCENT: f64 = 50.0;
/// All that an orchestrator may say; ours or an older one.
const KNOWN_COMMANDS: [&str; 5] = ["drain", "drained", "resume", "stop_instance", "forget"];
/// Characters of an unknown command that are logged; and of what it says of itself.
const COMMAND_SHOWN: usize = 80;
const MESSAGE_SHOWN: usize = 400;
/// Commands between two beats that are logged: far more than one of ours says.
const COMMANDS_LOGGED: u32 = 16;

/// Why a session ended or never was.
enum End {
    /// Left on purpose.
    Left,
    /// The orchestrator will not have this worker.
    Refused(String),
    /// Worth another try.
    Broken(String),
}

/// Runs until told to leave, which is when `leaving` closes, and all calls have ended; or until refused at first.
pub async fn run(
    worker: Arc<Worker>,
    noticed: Receiver<Notice>,
    leaving: Receiver<()>,
    first: Sender<Result<(), String>>,
) {
    let mut bound = AGAIN_FIRST;
    worker.pool.engines.known().await; // so that the first join is complete
    loop {
        let end = session(&worker, &noticed, &leaving, &first, &mut bound).await;
        worker.pool.upstream.set(None);
        let why = match end {
            End::Left => return worker.membership.set(Standing::Ended { why: None }),
            End::Refused(why) if !worker.membership.ever_joined() => {
                worker.membership.set(Standing::Ended { why: Some(why.clone()) });
                let _ = first.try_send(Err(why)); // its one message
                return;
            }
            End::Refused(why) | End::Broken(why) => why,
        };
        let wait = Duration::from_millis(ids::random_below(bound.as_millis() as u64) + 50);
        log::warn!("{why}; trying again in {:.1} s", wait.as_secs_f64());
        worker.membership.set(Standing::Waiting { why, until_ms: clock::now_ms() + wait.as_millis() as u64 });
        bound = (bound * 2).min(AGAIN_LAST);
        let left = future::or(
            async {
                clock::after(wait).await;
                false
            },
            async {
                let _ = leaving.recv().await;
                true
            },
        );
        if left.await {
            return worker.membership.set(Standing::Ended { why: None });
        }
        worker.membership.set(Standing::Connecting);
    }
}

async fn session(
    worker: &Arc<Worker>,
    noticed: &Receiver<Notice>,
    leaving: &Receiver<()>,
    first: &Sender<Result<(), String>>,
    bound: &mut Duration,
) -> End {
    let address = &worker.orchestrator;
    let dialled = async {
        worker.passport.prepare(worker).await?;
        worker.passport.dial(address).await
    };
    let socket = match dialled.await {
        Ok(socket) => socket,
        Err(Refused::Now(why)) => return End::Broken(why),
        Err(Refused::Always(why)) => return End::Refused(why),
    };
    let strange = |why: &str| {
        End::Broken(format!("{address} does not answer as an orchestrator's gRPC port ({why}); its default is 50051"))
    };
    let here = socket.local_ip();
    let channel = match Channel::over(socket, address).await {
        Ok(channel) => channel.with(worker.passport.token().as_ref()),
        Err(status) => return strange(status.message()),
    };
    let mut client = ClusterServiceClient::new(channel);
    let mut info = worker.identity.join(worker.pool.engines.state(), worker.pool.report(), worker.pool.tasks.report());
    info.address = reachable(info.address, here);
    let ack = match clock::timeout(JOIN_LIMIT, client.join_cluster(info)).await {
        Some(Ok(ack)) => ack.into_inner(),
        Some(Err(status)) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => {
            let why = status.message();
            let fix = match why.contains(JOIN_TOKEN) {
                true => String::new(), // it says so itself
                false => format!(
                    ". Give it a {JOIN_TOKEN} with the scope worker: --join-token-file FILE, or CARES_JOIN_TOKEN"
                ),
            };
            return End::Refused(format!("the orchestrator at {address} refused this worker: {why}{fix}"));
        }
        Some(Err(status)) => return strange(status.message()),
        None => return strange("no answer"),
    };
    if !ack.success {
        let why = shown(&ack.message, MESSAGE_SHOWN);
        return End::Refused(format!("the orchestrator at {address} refused this worker: {why}"));
    }
    let cluster = shown(&ack.cluster_id, COMMAND_SHOWN);
    let first_generation = ack.link_ticket.is_empty();
    worker.pool.upstream.set(Some(client.clone()).filter(|_| !first_generation));
    let links = if first_generation { 0 } else { ack.links.clamp(1, LINKS_MAX) };
    let _links: Vec<Task<()>> =
        (0..links).map(|n| lanes::on(n as usize, link::keep(worker.clone(), ack.link_ticket.clone()))).collect();
    let every = match ack.heartbeat_ms {
        0 => HEARTBEAT_UNSAID,
        ms => Duration::from_millis(u64::from(ms.clamp(100, 60_000))),
    };
    let mut heart = Heart { worker, session: ack.session, first_generation, leaving: false, drained: false, logged: 0 };
    let (beats, outgoing) = rt::bounded(16);
    if beats.try_send(heart.beat(Vec::new()).await).is_err() {
        return End::Broken("the first heartbeat was not taken".into());
    }
    let mut beating = Request::new(outgoing);
    if let Ok(ticket) = ack.link_ticket.parse() {
        beating.metadata_mut().insert(wire::HEADER_TICKET, ticket);
    }
    let commands = match clock::timeout(JOIN_LIMIT, client.heartbeat(beating)).await {
        Some(Ok(commands)) => commands.into_inner(),
        Some(Err(status)) => return strange(status.message()),
        None => return strange("no answer to the first heartbeat"),
    };
    log::info!("Joined cluster {cluster} at {address} as '{}' ({})", worker.name, worker.id);
    if first_generation {
        let calls = match worker.legacy {
            true => "it calls this worker at the address of --legacy-grpc-addr",
            false => "it can have nothing run here unless this worker is started with --legacy-grpc-addr",
        };
        log::info!("That is an orchestrator of the first CARES: it has no links; {calls}");
    }
    let _renewal = rt::spawn_scoped(passport::renew(worker.clone(), client.clone()));
    *bound = AGAIN_FIRST;
    let first_time = !worker.membership.ever_joined();
    worker.membership.join(&cluster);
    if first_time {
        let _ = first.try_send(Ok(())); // its one message
    }
    heart.live(every, beats, commands, noticed, leaving).await
}

/// The beginning of what somebody else said, on one line.
fn shown(text: &str, most: usize) -> String {
    crate::output::one_line(&text.chars().take(most).collect::<String>())
}

/// An address that listens everywhere is told as the one this machine has on the way to the orchestrator.
fn reachable(address: String, here: Option<IpAddr>) -> String {
    match (address.parse::<SocketAddr>(), here) {
        (Ok(all), Some(here)) if all.ip().is_unspecified() => SocketAddr::new(here, all.port()).to_string(),
        _ => address,
    }
}

/// One session's heartbeat.
struct Heart<'a> {
    worker: &'a Arc<Worker>,
    session: u64,
    /// Of the first CARES: it tells nobody to go, and knows only percents.
    first_generation: bool,
    leaving: bool,
    /// The orchestrator has heard that it leaves and has all answers: a call that was on its way has come by then.
    drained: bool,
    /// Commands since the last beat.
    logged: u32,
}

enum Woken {
    Time,
    Noticed(Notice),
    Command(Option<Result<proto::OrchestratorCommand, tonic::Status>>),
    Leave,
}

impl Heart<'_> {
    async fn live(
        &mut self,
        every: Duration,
        beats: Sender<proto::NodeMetrics>,
        mut commands: Streaming<proto::OrchestratorCommand>,
        noticed: &Receiver<Notice>,
        leaving: &Receiver<()>,
    ) -> End {
        let mut next = clock::now() + every;
        loop {
            let left = self.leaving;
            let woken = {
                let time = async {
                    clock::at(next).await;
                    Woken::Time
                };
                let ended = async {
                    match noticed.recv().await {
                        Ok(notice) => Woken::Noticed(notice),
                        Err(_) => future::pending().await,
                    }
                };
                let command = async { Woken::Command(commands.next().await) };
                let leave = async {
                    if left {
                        return future::pending().await;
                    }
                    let _ = leaving.recv().await;
                    Woken::Leave
                };
                future::or(future::or(command, ended), future::or(leave, time)).await
            };
            let ended = match woken {
                Woken::Time => {
                    self.logged = 0;
                    next = clock::now() + every;
                    Vec::new()
                }
                Woken::Noticed(notice) => vec![notice],
                Woken::Command(Some(Ok(command))) => {
                    let kind = command.command_type;
                    self.logged += 1;
                    let known = KNOWN_COMMANDS.contains(&kind.as_str());
                    match self.logged <= COMMANDS_LOGGED {
                        true if known => log::info!("The orchestrator says: {kind}"),
                        true => {
                            let kind = shown(&kind, COMMAND_SHOWN);
                            log::warn!("The orchestrator says '{kind}', which this worker does not know: ignored");
                        }
                        false => {} // it says the like all the time
                    }
                    if !known {
                        continue;
                    }
                    self.drained |= self.leaving && kind == "drained";
                    if !self.drained {
                        continue;
                    }
                    Vec::new()
                }
                Woken::Command(Some(Err(status))) => {
                    return End::Broken(format!("the connection to the orchestrator broke: {}", status.message()));
                }
                Woken::Command(None) => return End::Broken("the orchestrator closed the connection".into()),
                Woken::Leave => {
                    log::info!("Leaving: no new calls, waiting for {} to end", self.worker.pool.in_flight());
                    self.leaving = true;
                    self.worker.membership.set(Standing::Leaving);
                    self.drained = self.first_generation; // there, nobody would say so
                    Vec::new()
                }
            };
            let beat = self.beat(ended).await;
            if beats.try_send(beat).is_err() {
                return End::Broken("the orchestrator takes no heartbeats".into());
            }
            if self.leaving {
                if self.drained && self.worker.pool.in_flight() == 0 {
                    beats.close(); // what was said is still sent, and then the stream ends
                    let goodbye = async { while let Some(Ok(_)) = commands.next().await {} };
                    clock::timeout(GOODBYE_LIMIT, goodbye).await;
                    return End::Left;
                }
                next = clock::now() + LEAVING_EVERY;
            }
        }
    }

    async fn beat(&mut self, notices: Vec<Notice>) -> proto::NodeMetrics {
        let vitals = self.worker.vitals.read();
        let mut engines = None;
        let (mut instances, mut tasks) = (Vec::new(), Vec::new());
        for notice in notices {
            match notice {
                Notice::Instance(state) => instances.push(state),
                Notice::Tasks => tasks = self.worker.pool.tasks.take_changed(),
                Notice::Engines => engines = Some(self.worker.pool.engines.state()),
            }
        }
        let unknown = if self.first_generation { UNKNOWN_PERCENT } else { -1.0 };
        proto::NodeMetrics {
            node_id: self.worker.id.clone(),
            cpu_usage: vitals.cpu_percent.unwrap_or(unknown),
            memory_usage: vitals.memory_percent.unwrap_or(unknown),
            timestamp: clock::unix_ms() as i64,
            status: if self.leaving { "leaving" } else { "active" }.into(),
            session: self.session,
            instances,
            engines,
            tasks,
            pulls: self.worker.pool.engines.pulls(),
            disk_used_bytes: self.worker.disk_used(),
        }
    }
}
