//! Membership: join, heartbeat, links, and again from the start when the connection breaks.

use super::membership::Standing;
use super::pool::Notice;
use super::{Worker, link};
use crate::auth::JOIN_TOKEN;
use crate::lanes::{self, Task};
use crate::net::Socket;
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

/// To connect and to be answered.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
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
/// Characters of an unknown command that are logged.
const COMMAND_SHOWN: usize = 80;

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
        worker.pool.fetch_from(None);
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
    let socket = match Socket::connect(address, CONNECT_LIMIT).await {
        Ok(socket) => socket,
        Err(error) => {
            return End::Broken(format!("cannot reach the orchestrator at {address}: {error}. Is it running?"));
        }
    };
    let strange = |why: &str| {
        End::Broken(format!("{address} does not answer as an orchestrator's gRPC port ({why}); its default is 50051"))
    };
    let here = socket.local_ip();
    let channel = match Channel::over(socket, address).await {
        Ok(channel) => channel.with(worker.join_token.as_ref()),
        Err(status) => return strange(status.message()),
    };
    let mut client = ClusterServiceClient::new(channel);
    let mut info = worker.identity.join(worker.pool.engines.state(), worker.pool.report());
    info.address = reachable(info.address, here);
    let ack = match clock::timeout(JOIN_LIMIT, client.join_cluster(info)).await {
        Some(Ok(ack)) => ack.into_inner(),
        Some(Err(status)) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => {
            let why = status.message();
            return End::Refused(format!(
                "the orchestrator at {address} refused this worker: {why}. Give it a {JOIN_TOKEN} with the scope worker: \
                 --join-token-file FILE, or CARES_JOIN_TOKEN"
            ));
        }
        Some(Err(status)) => return strange(status.message()),
        None => return strange("no answer"),
    };
    if !ack.success {
        return End::Refused(format!("the orchestrator at {address} refused this worker: {}", ack.message));
    }
    let first_generation = ack.link_ticket.is_empty();
    worker.pool.fetch_from(Some(client.clone()).filter(|_| !first_generation));
    let links = if first_generation { 0 } else { ack.links.clamp(1, LINKS_MAX) };
    let _links: Vec<Task<()>> =
        (0..links).map(|n| lanes::on(n as usize, link::keep(worker.clone(), ack.link_ticket.clone()))).collect();
    let every = match ack.heartbeat_ms {
        0 => HEARTBEAT_UNSAID,
        ms => Duration::from_millis(u64::from(ms.clamp(100, 60_000))),
    };
    let mut heart = Heart { worker, session: ack.session, first_generation, leaving: false, drained: false };
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
    log::info!("Joined cluster {} at {address} as '{}' ({})", ack.cluster_id, worker.name, worker.id);
    if first_generation {
        let calls = match worker.legacy {
            true => "it calls this worker at the address of --legacy-grpc-addr",
            false => "it can have nothing run here unless this worker is started with --legacy-grpc-addr",
        };
        log::info!("That is an orchestrator of the first CARES: it has no links; {calls}");
    }
    *bound = AGAIN_FIRST;
    let first_time = !worker.membership.ever_joined();
    worker.membership.join(&ack.cluster_id);
    if first_time {
        let _ = first.try_send(Ok(())); // its one message
    }
    heart.live(every, beats, commands, noticed, leaving).await
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
                    next = clock::now() + every;
                    Vec::new()
                }
                Woken::Noticed(notice) => vec![notice],
                Woken::Command(Some(Ok(command))) => {
                    let kind = command.command_type;
                    match KNOWN_COMMANDS.contains(&kind.as_str()) {
                        true => log::info!("The orchestrator says: {kind}"),
                        false => {
                            let kind: String = kind.chars().take(COMMAND_SHOWN).collect();
                            log::warn!(
                                "The orchestrator says '{}', which this worker does not know: ignored",
                                kind.escape_debug()
                            );
                            continue;
                        }
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
        let mut instances = Vec::new();
        for notice in notices {
            match notice {
                Notice::Instance(state) => instances.push(state),
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
        }
    }
}
