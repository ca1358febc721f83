//! An orchestrator of the first CARES, played by the test: it knows the first fields alone.

use crate::config::{Env, WorkerConfig};
use crate::net::Socket;
use crate::rpc::{self, Channel};
use crate::rt::{self, Receiver, Sender};
use crate::wire::proto::cluster_service_client::ClusterServiceClient;
use crate::wire::proto::cluster_service_server::{ClusterService, ClusterServiceServer};
use crate::wire::proto::{
    self, Acknowledgement, FunctionRequest, FunctionResult, NodeInfo, NodeMetrics, OrchestratorCommand,
};
use crate::worker::engine::docker::tests::engine_is_there;
use crate::worker::engine::{Control, Exit, Running};
use crate::worker::legacy::{OUTPUT_BYTES, output_of};
use crate::{cli, clock, worker};
use async_io::Async;
use futures_lite::StreamExt;
use std::net::TcpListener;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::{Code, Request, Response, Status, Streaming};

/// Far longer than anything takes: only a fault reaches it.
const LIMIT: Duration = Duration::from_secs(20);

/// What it was told.
#[derive(Clone)]
struct Old {
    joins: Sender<NodeInfo>,
    beats: Sender<NodeMetrics>,
}

type Messages<T> = Pin<Box<dyn futures_lite::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ClusterService for Old {
    async fn join_cluster(&self, request: Request<NodeInfo>) -> Result<Response<Acknowledgement>, Status> {
        let _ = self.joins.send(request.into_inner()).await;
        let welcome = Acknowledgement {
            success: true,
            message: "Joined".into(),
            cluster_id: "old-cluster".into(),
            ..Default::default()
        };
        Ok(Response::new(welcome))
    }

    type HeartbeatStream = Messages<OrchestratorCommand>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<NodeMetrics>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let (mut incoming, beats) = (request.into_inner(), self.beats.clone());
        let command = OrchestratorCommand { command_type: "scale_up\n".into(), payload: "x".into(), timestamp: 1 };
        let (commands, outgoing) = rt::bounded(1);
        commands.try_send(Ok(command)).unwrap(); // one this worker does not know
        rt::spawn(async move {
            while let Some(Ok(beat)) = incoming.next().await {
                let _ = beats.send(beat).await;
            }
            drop(commands);
        });
        Ok(Response::new(Box::pin(outgoing)))
    }

    async fn execute_function(&self, _: Request<FunctionRequest>) -> Result<Response<FunctionResult>, Status> {
        Err(Status::unimplemented(""))
    }

    type FetchBundleStream = Messages<proto::BundleChunk>;

    async fn fetch_bundle(
        &self,
        _: Request<proto::BundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        Err(Status::unimplemented(""))
    }

    type FetchImageStream = Messages<proto::BundleChunk>;

    async fn fetch_image(&self, _: Request<proto::ImageRequest>) -> Result<Response<Self::FetchImageStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn registry_login(&self, _: Request<proto::RegistryQuery>) -> Result<Response<proto::RegistryAuth>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn find_function(&self, _: Request<proto::FunctionQuery>) -> Result<Response<proto::Revision>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn enroll(&self, _: Request<proto::EnrollRequest>) -> Result<Response<proto::EnrollReply>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct Bench {
    address: String,
    joins: Receiver<NodeInfo>,
    beats: Receiver<NodeMetrics>,
    /// Connections taken so far.
    connections: Receiver<()>,
    dir: TempDir,
}

impl Bench {
    fn start() -> Bench {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
        let address = listener.get_ref().local_addr().unwrap().to_string();
        let (joined, joins) = rt::unbounded();
        let (beaten, beats) = rt::unbounded();
        let (connected, connections) = rt::unbounded();
        let old = Old { joins: joined, beats: beaten };
        rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connected.try_send(()).unwrap();
                let service = ClusterServiceServer::new(old.clone());
                rt::spawn(async move {
                    let never = std::future::pending();
                    let _ = rpc::serve(
                        Socket::over(stream.into_inner().unwrap()).unwrap(),
                        service,
                        |_| Ok(()),
                        || true,
                        never,
                    )
                    .await;
                });
            }
        });
        Bench { address, joins, beats, connections, dir: TempDir::new().unwrap() }
    }

    fn worker(&self, change: impl FnOnce(&mut cli::Worker)) -> worker::Running {
        let mut flags = cli::Worker {
            address: self.address.clone(),
            worker_addr: Some("127.0.0.1:0".into()),
            engine: cli::Engine::Process, // so that a machine with containers answers the same
            data_dir: Some(self.dir.path().display().to_string()),
            ..Default::default()
        };
        change(&mut flags);
        let running = worker::start(&WorkerConfig::new(&flags, &Env(&|_| None)).unwrap()).unwrap();
        rt::block_on(clock::timeout(LIMIT, running.joined())).expect("joins in time").expect("joins");
        running
    }
}

fn next<T>(received: &Receiver<T>) -> T {
    rt::block_on(clock::timeout(LIMIT, received.recv())).expect("in time").expect("something")
}

fn client(address: &str) -> ClusterServiceClient<Channel> {
    rt::block_on(async {
        let socket = Socket::connect(address, LIMIT).await.unwrap();
        ClusterServiceClient::new(Channel::over(socket, address).await.unwrap())
    })
}

#[test]
fn a_worker_joins_an_orchestrator_of_the_first_cares_and_heartbeats() {
    let bench = Bench::start();
    let worker = bench.worker(|_| {});
    let info = next(&bench.joins);
    assert_eq!((info.node_id.as_str(), info.address), (worker.id(), worker.http.to_string()));
    assert!(!info.hostname.is_empty() && info.timestamp > 0);
    let (first, began) = (next(&bench.beats), Instant::now());
    assert_eq!((first.node_id.as_str(), first.status.as_str(), first.session), (worker.id(), "active", 0));
    assert!((0.0..=100.0).contains(&first.cpu_usage) && (0.0..=100.0).contains(&first.memory_usage), "{first:?}");
    next(&bench.beats);
    next(&bench.beats);
    assert!(began.elapsed() >= Duration::from_millis(1_500), "once a second, and not more: {:?}", began.elapsed());
    let began = Instant::now();
    rt::block_on(worker.stop());
    assert!(began.elapsed() < Duration::from_secs(5), "it waits for no word that never comes: {:?}", began.elapsed());
    assert_eq!((bench.connections.len(), bench.joins.len()), (1, 0), "no links, and no second join");
}

#[test]
fn execute_function_is_served_at_its_own_address_only_when_asked_for() {
    let bench = Bench::start();
    let worker = bench.worker(|flags| flags.legacy_grpc_addr = Some("127.0.0.1:0".into()));
    let address = next(&bench.joins).address;
    assert_ne!(address, worker.http.to_string());
    let mut client = client(&address);
    let mut run = |image: &str, name: &str| {
        let request = FunctionRequest { docker_image: image.into(), function_name: name.into() };
        rt::block_on(client.execute_function(request)).unwrap().into_inner()
    };
    let result = run("no-such-image:1", "Hello World");
    assert!(!result.success && result.output.is_empty() && result.error.contains("no-such-image:1"), "{result:?}");
    let unknown = format!("bundle:sha256-{}", "0".repeat(64));
    let result = run(&unknown, "x");
    assert!(!result.success && !result.error.is_empty(), "{result:?}");
    let result = run("", "x");
    assert!(!result.success && result.error.contains("docker_image"), "{result:?}");
    let refused = rt::block_on(client.join_cluster(NodeInfo::default())).unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let refused = rt::block_on(client.fetch_bundle(proto::BundleRequest::default())).unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let refused = rt::block_on(client.heartbeat(futures_lite::stream::empty())).unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    rt::block_on(worker.stop());
}

#[test]
fn execute_function_runs_a_real_container_and_gives_its_output() {
    if !engine_is_there() {
        return;
    }
    let bench = Bench::start();
    let worker = bench.worker(|flags| {
        flags.engine = cli::Engine::Docker;
        flags.legacy_grpc_addr = Some("127.0.0.1:0".into());
    });
    let mut client = client(&next(&bench.joins).address);
    let mut run = |image: &str| {
        let request = FunctionRequest { docker_image: image.into(), function_name: "hello".into() };
        rt::block_on(clock::timeout(LIMIT, client.execute_function(request))).expect("in time").unwrap().into_inner()
    };
    let result = run("cares-test/env:1");
    assert!(result.success && result.output.contains("K_SERVICE=hello") && result.error.is_empty(), "{result:?}");
    let result = run("cares-test/fails:1");
    assert!(!result.success && result.output.is_empty() && result.error.contains("exited with code"), "{result:?}");
    rt::block_on(worker.stop());
}

/// A job that has ended.
struct Ended(Exit, &'static str);

#[tonic::async_trait]
impl Control for Ended {
    async fn ended(&self) -> Exit {
        self.0
    }

    async fn stop(&self, _: Duration) -> Exit {
        self.0
    }

    fn last_words(&self) -> String {
        self.1.into()
    }
}

#[test]
fn a_jobs_output_is_the_result_and_its_last_words_the_error() {
    let of = |stdout: Vec<u8>, exit, words| {
        let stdout = futures_lite::io::Cursor::new(stdout);
        let control = Box::new(Ended(exit, words));
        rt::block_on(output_of(Running { address: None, stdin: None, stdout: Some(Box::new(stdout)), control }))
    };
    assert_eq!(of(b"hello\n".to_vec(), Exit::Code(0), "noise"), Ok("hello\n".into()));
    assert_eq!(of(vec![b'a', 0xff], Exit::Code(0), ""), Ok("a\u{fffd}".into()));
    let error = of(b"half".to_vec(), Exit::Code(3), "no such file\n").unwrap_err();
    assert!(error.contains("exited with code 3") && error.contains("no such file"), "{error}");
    assert!(of(vec![b'x'; OUTPUT_BYTES], Exit::Code(0), "").is_ok());
    let error = of(vec![b'x'; OUTPUT_BYTES + 1], Exit::Code(0), "").unwrap_err();
    assert!(error.contains(&OUTPUT_BYTES.to_string()), "{error}");
}
