//! `/cluster`: which cluster this is, and how a machine joins it.

use crate::clock;
use crate::http::openapi::{Answer, Content, Operation};
use crate::http::problem::Problem;
use crate::http::route::Reply;
use crate::orchestrator::Orchestrator;
use crate::tls::Validity;
use crate::types::Cluster;
use crate::version::VERSION;

/// What the document says of this.
pub const GET: Operation = Operation {
    id: "getCluster",
    tag: "cluster",
    summary: "Which cluster this is, and how a machine joins it",
    answers: &[Answer::of(200, "The cluster.").with(&[Content::json::<Cluster>()])],
    ..Operation::NONE
};

/// `GET /cluster`
pub fn get(app: &Orchestrator) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &view(app)))
}

/// The cluster, as all that tell of it do.
pub fn view(app: &Orchestrator) -> Cluster {
    Cluster {
        id: app.cluster_id.clone(),
        http_addr: app.http.to_string(),
        grpc_addr: app.grpc.to_string(),
        join_command: app.join_command(),
        version: VERSION.into(),
        started_at: clock::rfc3339(app.started_unix_ms),
        https: app.pair.is_some(),
        https_until: app.pair.as_ref().and_then(|pair| pair.validity()).map(until),
        nodes_until: Some(until(app.identities.port.validity())),
        registry: app.registry.place().map(str::to_string),
        registry_plain: app.registry.place().is_some() && app.registry.is_plain(),
    }
}

fn until(validity: Validity) -> String {
    clock::rfc3339(validity.expires_unix_ms())
}
