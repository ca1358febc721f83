//! `--legacy-grpc-addr`: an orchestrator of the first CARES has images run here. Remote execution for whoever reaches the
//! address, so it is off unless asked for. Serves ExecuteFunction and nothing else of the protocol.

use super::StartError;
use super::engine::{Kind, Running};
use super::job;
use super::pool::Pool;
use crate::body::Body;
use crate::net::{self, Socket};
use crate::rt::{self, Receiver};
use crate::wire::proto::cluster_service_server::{ClusterService, ClusterServiceServer};
use crate::wire::proto::{self, Revision};
use crate::{ids, names, rpc};
use async_io::Async;
use futures_lite::future;
use hyper::HeaderMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::{Request, Response, Status, Streaming};

/// What a gRPC client takes unless told otherwise is 4 MiB, frame and all.
pub(super) const OUTPUT_BYTES: usize = (4 << 20) - (16 << 10);
/// An image's and a function's name need far less.
const REQUEST_BYTES: usize = 16 << 10;

/// Opens the address; answers where that is.
pub fn bind(address: SocketAddr) -> Result<(Async<TcpListener>, SocketAddr), StartError> {
    let failed = |e: std::io::Error| StartError::Listen { flag: "--legacy-grpc-addr", address, why: e.to_string() };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    Ok((Async::new(listener).map_err(failed)?, at))
}

/// Serves until `stop` closes.
pub async fn listen(pool: Arc<Pool>, listener: Async<TcpListener>, stop: Receiver<()>) {
    if let Ok(at) = listener.get_ref().local_addr() {
        log::info!("An orchestrator of the first CARES can have images run at {at}");
    }
    while let Some((stream, _)) = net::accept(&listener, &stop).await {
        rt::spawn(connection(pool.clone(), stream, stop.clone()));
    }
}

async fn connection(pool: Arc<Pool>, stream: TcpStream, stop: Receiver<()>) {
    let Ok(socket) = Socket::over(stream) else { return };
    let service = ClusterServiceServer::new(Legacy { pool }).max_decoding_message_size(REQUEST_BYTES);
    let asked = Arc::new(AtomicBool::new(false));
    let told = asked.clone();
    let admit = move |_: &HeaderMap| {
        told.store(true, Ordering::Relaxed);
        Ok(())
    };
    let stopped = async move {
        let _ = stop.recv().await; // closed
    };
    if let Err(error) = rpc::serve(socket, service, admit, move || asked.load(Ordering::Relaxed), stopped).await {
        log::debug!("--legacy-grpc-addr: a connection ended: {error}");
    }
}

#[derive(Clone)]
struct Legacy {
    pool: Arc<Pool>,
}

type Nothing<T> = futures_lite::stream::Empty<Result<T, Status>>;

fn a_worker(it: &str) -> Status {
    Status::unimplemented(format!("this is a worker's address: {it}"))
}

#[tonic::async_trait]
impl ClusterService for Legacy {
    async fn join_cluster(&self, _: Request<proto::NodeInfo>) -> Result<Response<proto::Acknowledgement>, Status> {
        Err(a_worker("join at the orchestrator's"))
    }

    type HeartbeatStream = Nothing<proto::OrchestratorCommand>;

    async fn heartbeat(
        &self,
        _: Request<Streaming<proto::NodeMetrics>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        Err(a_worker("heartbeats go to the orchestrator's"))
    }

    async fn execute_function(
        &self,
        request: Request<proto::FunctionRequest>,
    ) -> Result<Response<proto::FunctionResult>, Status> {
        let proto::FunctionRequest { docker_image, function_name } = request.into_inner();
        let result = match run(&self.pool, docker_image, &function_name).await {
            Ok(output) => proto::FunctionResult { output, success: true, error: String::new() },
            Err(error) => proto::FunctionResult { output: String::new(), success: false, error },
        };
        Ok(Response::new(result))
    }

    type FetchBundleStream = Nothing<proto::BundleChunk>;

    async fn fetch_bundle(
        &self,
        _: Request<proto::BundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        Err(a_worker("bundles are the orchestrator's"))
    }

    type FetchImageStream = Nothing<proto::BundleChunk>;

    async fn fetch_image(&self, _: Request<proto::ImageRequest>) -> Result<Response<Self::FetchImageStream>, Status> {
        Err(a_worker("images are the orchestrator's to find"))
    }

    async fn registry_login(&self, _: Request<proto::RegistryQuery>) -> Result<Response<proto::RegistryAuth>, Status> {
        Err(a_worker("logins are the orchestrator's"))
    }

    async fn find_function(&self, _: Request<proto::FunctionQuery>) -> Result<Response<proto::Revision>, Status> {
        Err(a_worker("functions are the orchestrator's"))
    }

    async fn enroll(&self, _: Request<proto::EnrollRequest>) -> Result<Response<proto::EnrollReply>, Status> {
        Err(a_worker("certificates are the orchestrator's"))
    }
}

/// Runs an image as a job without input, to its end; it ends early when its caller goes away.
async fn run(pool: &Arc<Pool>, image: String, name: &str) -> Result<String, String> {
    let function = names::suggest_name(name).unwrap_or_else(|| "function".into()); // the first CARES took any
    if image.trim().is_empty() {
        return Err("docker_image is empty: name the image to run".into());
    }
    let _slot = pool.take_slot().ok_or("all slots of this node are taken: try again, or elsewhere")?;
    let revision = Revision { function, image, ..Default::default() };
    let not_here = |why| format!("image '{}' cannot be run on this node: {why}", revision.image);
    let runnable = pool.runnable(&revision).await.map_err(not_here)?;
    let id = format!("legacy-{}", ids::random_hex(8));
    let _job = pool.jobs.note(&id, &revision.function, None);
    log::info!("Function '{}': {id} runs image '{}'", revision.function, revision.image.escape_debug());
    let env = [("CARES_CALL_ID", id.clone())];
    let started = pool.launch(&id, &revision, &runnable, Kind::Job, &env, None).await;
    let killed = async {
        pool.killed().await;
        Err("its worker was told to end at once".to_string())
    };
    future::or(killed, output_of(started.map_err(|e| e.to_string())?)).await
}

/// What a job without input has written, as the first protocol carries it.
pub(super) async fn output_of(mut running: Running) -> Result<String, String> {
    let output = job::output_of(&mut running, Body::Empty, OUTPUT_BYTES).await.map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}
