//! A worker of the first CARES, played by the test: it knows the first fields alone, and serves ExecuteFunction.

use crate::client::{self, Invoke};
use crate::clock;
use crate::net::Socket;
use crate::orchestrator::{self, Running};
use crate::rpc::{self, Channel};
use crate::rt::{self, Sender};
use crate::types::{FunctionSpec, Mode, Node};
use crate::wire::proto::cluster_service_client::ClusterServiceClient;
use crate::wire::proto::cluster_service_server::{ClusterService, ClusterServiceServer};
use crate::wire::proto::{self, FunctionRequest, FunctionResult, NodeInfo, NodeMetrics};
use async_io::Async;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::{Request, Response, Status, Streaming};

/// Far longer than anything takes: only a fault reaches it.
const LIMIT: Duration = Duration::from_secs(20);

struct Bench {
    running: Option<Running>,
    client: client::Orchestrator,
    grpc: String,
    _dir: TempDir,
}

impl Bench {
    fn start() -> Bench {
        let dir = TempDir::new().unwrap();
        let running = orchestrator::start(&super::config(dir.path())).unwrap();
        let client = client::Orchestrator::new(&format!("http://{}", running.http)).unwrap();
        Bench { grpc: running.grpc.to_string(), client, running: Some(running), _dir: dir }
    }

    fn register(&self, name: &str, change: impl FnOnce(&mut FunctionSpec)) {
        let mut spec = FunctionSpec { name: name.into(), image: "hello-world".into(), ..Default::default() };
        change(&mut spec);
        self.client.register(&spec).unwrap();
    }

    /// Status, content type and text.
    fn call(&self, name: &str) -> (u16, String, String) {
        let body = client::Body::Bytes(b"not passed on".to_vec());
        let answer = self.client.invoke(name, Invoke { body, ..Default::default() }).unwrap();
        let kind = answer.header("content-type").unwrap_or_default().to_string();
        (answer.status, kind, std::io::read_to_string(answer.reader).unwrap())
    }

    fn wait_for_node(&self, what: &str, is_so: impl Fn(&Node) -> bool) -> Node {
        let end = Instant::now() + LIMIT;
        loop {
            let nodes = self.client.nodes().unwrap();
            if let Some(node) = nodes.iter().find(|n| is_so(n)) {
                return node.clone();
            }
            assert!(Instant::now() < end, "{what}: {nodes:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// The machine's side of ExecuteFunction, and what it was asked.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<(String, String)>>>);

type Nothing<T> = futures_lite::stream::Empty<Result<T, Status>>;

#[tonic::async_trait]
impl ClusterService for Runs {
    async fn join_cluster(&self, _: Request<NodeInfo>) -> Result<Response<proto::Acknowledgement>, Status> {
        Err(Status::unimplemented(""))
    }

    type HeartbeatStream = Nothing<proto::OrchestratorCommand>;

    async fn heartbeat(&self, _: Request<Streaming<NodeMetrics>>) -> Result<Response<Self::HeartbeatStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn execute_function(&self, request: Request<FunctionRequest>) -> Result<Response<FunctionResult>, Status> {
        let FunctionRequest { docker_image, function_name } = request.into_inner();
        self.0.lock().unwrap().push((docker_image.clone(), function_name.clone()));
        let (output, error) = match function_name.as_str() {
            "fails" => (String::new(), "exit code 3".to_string()),
            "hangs" => std::future::pending().await,
            _ => (format!("ran {docker_image} as {function_name}"), String::new()),
        };
        Ok(Response::new(FunctionResult { success: error.is_empty(), output, error }))
    }

    type FetchBundleStream = Nothing<proto::BundleChunk>;

    async fn fetch_bundle(
        &self,
        _: Request<proto::BundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        Err(Status::unimplemented(""))
    }

    type FetchImageStream = Nothing<proto::BundleChunk>;

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

/// Serves it; answers where, and stops when the sender closes.
fn serve(runs: Runs) -> (String, Sender<()>) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap().to_string();
    let (stop, stopped) = rt::bounded(1);
    rt::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = ClusterServiceServer::new(runs.clone());
            let stopped = stopped.clone();
            rt::spawn(async move {
                let stopped = async move {
                    let _ = stopped.recv().await; // closed
                };
                let _ = rpc::serve(
                    Socket::over(stream.into_inner().unwrap()).unwrap(),
                    service,
                    |_| Ok(()),
                    || true,
                    stopped,
                )
                .await;
            });
        }
    });
    (address, stop)
}

/// Joins and heartbeats as the first CARES did: no session, no name, no slots. The connection ends with what it returns.
fn join(bench: &Bench, node_id: &str, address: &str) -> Sender<NodeMetrics> {
    let node_id = node_id.to_string();
    rt::block_on(async {
        let channel = Channel::over(Socket::connect(&bench.grpc, LIMIT).await.unwrap(), &bench.grpc).await.unwrap();
        let mut client = ClusterServiceClient::new(channel);
        let info = NodeInfo {
            node_id: node_id.clone(),
            address: address.into(),
            hostname: "old".into(),
            timestamp: clock::unix_ms() as i64,
            ..Default::default()
        };
        let ack = client.join_cluster(info).await.unwrap().into_inner();
        assert!(ack.success && !ack.cluster_id.is_empty(), "{ack:?}");
        let (beats, outgoing) = rt::bounded(4);
        let beat = NodeMetrics {
            node_id,
            cpu_usage: 12.5,
            memory_usage: 50.0,
            timestamp: clock::unix_ms() as i64,
            status: "active".into(),
            ..Default::default()
        };
        beats.try_send(beat).unwrap();
        let commands = client.heartbeat(outgoing).await.unwrap().into_inner();
        rt::spawn(async move {
            let mut commands = commands;
            while let Ok(Some(_)) = commands.message().await {}
        });
        beats
    })
}

#[test]
fn a_worker_of_the_first_cares_joins_and_runs_images_as_jobs() {
    let bench = Bench::start();
    let runs = Runs::default();
    let (address, _stop) = serve(runs.clone());
    let _beats = join(&bench, "Worker_1.Old", &format!("http://{address}"));
    let node = bench.wait_for_node("it is called at its address", |n| n.reach == "first-generation");
    assert_eq!((node.name.as_str(), node.slots, node.job_slots), ("worker-1-old", 4, 4));
    assert_eq!((node.engines, node.cpu_percent), (vec!["docker".to_string()], Some(12.5)));

    bench.register("hello", |_| {});
    bench.register("job", |f| f.mode = Some(Mode::Job));
    bench.register("fails", |_| {});
    let text = "text/plain; charset=utf-8".to_string();
    for name in ["hello", "job", "hello"] {
        assert_eq!(bench.call(name), (200, text.clone(), format!("ran hello-world as {name}")));
    }
    let (status, _, body) = bench.call("fails");
    assert!(status == 502 && body.contains("function_failed") && body.contains("exit code 3"), "{status} {body}");

    // what the old protocol has no words for is not sent as less than it is
    bench.register("http", |f| f.mode = Some(Mode::Http));
    bench.register("env", |f| f.env = Some([("A".to_string(), "1".to_string())].into()));
    bench.register("command", |f| f.command = Some(vec!["true".into()]));
    for name in ["http", "env", "command"] {
        let (status, _, body) = bench.call(name);
        assert!(status == 503 && body.contains("first CARES"), "{name}: {status} {body}");
    }
    bench.register("large", |f| f.memory_mb = Some(1));
    assert_eq!(bench.call("large").0, 503);
    assert_eq!(runs.0.lock().unwrap().len(), 4);
    let node = bench.wait_for_node("its calls are counted", |n| n.succeeded + n.failed == 4);
    assert_eq!((node.succeeded, node.failed, node.running), (3, 1, 0));
}

#[test]
fn calls_end_with_the_membership_of_such_a_worker() {
    let bench = Bench::start();
    let runs = Runs::default();
    let (address, _stop) = serve(runs.clone());
    let beats = join(&bench, "n1", &address);
    bench.wait_for_node("it is called at its address", |n| n.reach == "first-generation");
    bench.register("hangs", |_| {});
    let (status, body) = std::thread::scope(|scope| {
        let call = scope.spawn(|| bench.call("hangs"));
        bench.wait_for_node("the call runs", |n| n.running == 1 && !runs.0.lock().unwrap().is_empty());
        beats.close();
        let (status, _, body) = call.join().unwrap();
        (status, body)
    });
    assert!(status == 502 && body.contains("node_lost"), "{status} {body}");
    bench.wait_for_node("it is disconnected", |n| n.status == "disconnected" && n.reach == "none");

    let beats = join(&bench, "n1", &address);
    bench.wait_for_node("it is back", |n| n.reach == "first-generation");
    bench.register("hello", |_| {});
    assert_eq!(bench.call("hello").0, 200);
    drop(beats);
}

#[test]
fn an_address_where_nothing_listens_is_named() {
    let bench = Bench::start();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _beats = join(&bench, "___", &free);
    let node = bench.wait_for_node("it is called at its address", |n| n.reach == "first-generation");
    assert_eq!(node.name, "node");
    bench.register("hello", |_| {});
    let (status, _, body) = bench.call("hello");
    assert!(status == 502 && body.contains("function_not_started") && body.contains(&free), "{status} {body}");
}
