//! Who may ask an orchestrator what: every route with every scope, and workers.

use crate::auth::{Secret, hash};
use crate::config::{Env, OrchestratorConfig};
use crate::http::scope_tests;
use crate::net::Socket;
use crate::orchestrator::{self, Orchestrator, Running};
use crate::rpc::Channel;
use crate::wire::proto::cluster_service_client::ClusterServiceClient;
use crate::wire::proto::{BundleRequest, NodeInfo, NodeMetrics};
use crate::{cli, rt, wire};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tonic::{Code, Request};

fn start() -> (Running, TempDir) {
    let dir = TempDir::new().unwrap();
    let any = Some("127.0.0.1:0".to_string());
    let data_dir = Some(dir.path().display().to_string());
    let flags = cli::Orchestrator { http_addr: any.clone(), grpc_addr: any, data_dir, ..Default::default() };
    (orchestrator::start(&OrchestratorConfig::new(&flags, &Env(&|_| None)).unwrap()).unwrap(), dir)
}

#[test]
fn every_route_asks_for_its_scope() {
    let (running, _dir) = start();
    scope_tests::check::<Orchestrator>(running.http, running.app.tokens.gate());
    running.stop();
}

fn client(running: &Running, token: &str) -> ClusterServiceClient<Channel> {
    let address = running.grpc.to_string();
    rt::block_on(async {
        let socket = Socket::connect(&address, Duration::from_secs(20)).await.unwrap();
        let channel = Channel::over(socket, &address).await.unwrap();
        ClusterServiceClient::new(channel.with(Secret::new(token).ok().as_ref()))
    })
}

fn joining(id: &str, secret: &str) -> NodeInfo {
    let (node_id, name, version) = (id.into(), id.into(), "1".into());
    NodeInfo { node_id, name, version, slots: 1, node_secret: secret.into(), ..Default::default() }
}

#[test]
fn every_call_of_a_worker_asks_for_its_scope() {
    let (running, _dir) = start();
    let gate = running.app.tokens.gate();
    for scope in ["admin", "deploy", "invoke", "read", "worker"] {
        let who = crate::auth::Who { name: scope.into(), scopes: vec![scope.parse().unwrap()], expires_unix_ms: None };
        gate.add((hash(scope.as_bytes()), Arc::new(who)));
    }
    for (token, code) in [
        ("", Some(Code::Unauthenticated)),
        ("wrong", Some(Code::Unauthenticated)),
        ("deploy", Some(Code::PermissionDenied)),
        ("invoke", Some(Code::PermissionDenied)),
        ("read", Some(Code::PermissionDenied)),
        ("worker", None),
        ("admin", None),
    ] {
        let mut client = client(&running, token);
        rt::block_on(async {
            let joined = client.join_cluster(joining("a", "s")).await;
            assert_eq!(joined.err().map(|s| s.code()), code, "{token}");
            let beat = futures_lite::stream::once(NodeMetrics { node_id: "nobody".into(), ..Default::default() });
            let beaten = client.heartbeat(beat).await.err().map(|s| s.code());
            assert_eq!(beaten, code.or(Some(Code::NotFound)), "{token}");
            let fetched = client.fetch_bundle(BundleRequest { digest: "none".into() }).await.err().map(|s| s.code());
            assert_eq!(fetched, code.or(Some(Code::NotFound)), "{token}");
        });
    }
    running.stop();
}

#[test]
fn no_worker_speaks_for_another() {
    let (running, _dir) = start();
    let mut client = client(&running, "");
    rt::block_on(async {
        let mut join = async |secret| client.join_cluster(joining("a", secret)).await.unwrap().into_inner();
        let ack = join("its own").await;
        assert!(ack.success, "{ack:?}");
        for other in ["", "guessed"] {
            let refused = join(other).await;
            assert!(!refused.success && refused.link_ticket.is_empty(), "{refused:?}");
            assert!(refused.message.contains("does not have its secret"), "{}", refused.message);
        }
        let mut beat = async |ticket: &str| {
            let beat = NodeMetrics { node_id: "a".into(), session: ack.session, ..Default::default() };
            let mut request = Request::new(futures_lite::stream::once(beat));
            request.metadata_mut().insert(wire::HEADER_TICKET, ticket.parse().unwrap());
            client.heartbeat(request).await.map(drop).map_err(|status| status.code())
        };
        assert_eq!(beat("").await, Err(Code::PermissionDenied));
        assert_eq!(beat(&"0".repeat(32)).await, Err(Code::PermissionDenied));
        assert_eq!(beat(&ack.link_ticket).await, Ok(()));
        let kept = running.app.state.read(|c| c.find_node("a").map(|n| n.spec.digest.clone())).unwrap();
        assert_eq!(kept, hash(b"its own"));
    });
    running.stop();
}
