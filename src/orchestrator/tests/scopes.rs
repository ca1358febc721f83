//! Who may ask an orchestrator what: every route with every scope, and workers.

use crate::auth::{Secret, hash};
use crate::cluster::Command;
use crate::http::scope_tests;
use crate::net::Socket;
use crate::orchestrator::{self, Orchestrator, Running};
use crate::rpc::Channel;
use crate::wire::proto::cluster_service_client::ClusterServiceClient;
use crate::wire::proto::{
    BundleRequest, EnrollRequest, FunctionQuery, ImageRequest, NodeInfo, NodeMetrics, RegistryQuery,
};
use crate::{rt, wire};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tonic::{Code, Request};

fn start() -> (Running, TempDir) {
    let dir = TempDir::new().unwrap();
    (orchestrator::start(&super::config(dir.path())).unwrap(), dir)
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
        let who = crate::auth::Who::new(scope, vec![scope.parse().unwrap()], None);
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

#[test]
fn who_joined_before_the_door_was_closed_asks_on_over_that_connection_alone() {
    let (running, _dir) = start();
    let mut inside = client(&running, "");
    let (mut beside, mut idle) = (client(&running, ""), client(&running, ""));
    rt::block_on(async {
        let ack = inside.join_cluster(joining("a", "s")).await.unwrap().into_inner();
        assert!(ack.success, "{ack:?}");
        assert!(idle.join_cluster(joining("a", "guessed")).await.is_ok_and(|ack| !ack.into_inner().success));
        let gate = running.app.tokens.gate();
        gate.add((hash(b"boss"), Arc::new(crate::auth::Who::new("boss", vec!["admin".parse().unwrap()], None))));
        let asked = async |client: &mut ClusterServiceClient<Channel>| {
            let bundle = client.fetch_bundle(BundleRequest { digest: "none".into() }).await.err();
            let function = client.find_function(FunctionQuery { function: "none".into() }).await.err();
            let query = RegistryQuery { node_id: "a".into(), registry: "none".into() };
            let login = client.registry_login(query).await.err();
            let wanted = ImageRequest { node_id: "a".into(), image: "cares/none:1".into(), has: Vec::new() };
            let image = client.fetch_image(wanted).await.err();
            let refused = [bundle, function, login, image].map(|s| s.expect("none of these is there").code());
            let outside = refused[0] == Code::Unauthenticated;
            assert!(refused.iter().all(|code| (*code == Code::Unauthenticated) == outside), "{refused:?}");
            !outside
        };
        assert!(asked(&mut inside).await);
        for outside in [&mut beside, &mut idle] {
            assert!(!asked(outside).await);
        }
        // It stays what it is: no other node, no new session, no certificate.
        for id in ["a", "b"] {
            let joined = inside.join_cluster(joining(id, "s")).await.err().map(|s| s.code());
            assert_eq!(joined, Some(Code::Unauthenticated));
        }
        let enrolled = inside.enroll(EnrollRequest { node_id: "a".into(), ..Default::default() }).await;
        assert_eq!(enrolled.err().map(|s| s.code()), Some(Code::Unauthenticated));
        // And no longer than its session.
        let node = running.app.state.read(|c| c.find_node("a").map(|n| n.key)).unwrap();
        let why = "a test".into();
        running.app.state.apply(Command::Disconnect { node, session: ack.session, why }).unwrap();
        assert!(!asked(&mut inside).await);
    });
    running.stop();
}
