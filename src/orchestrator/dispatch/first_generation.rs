//! Workers of the first CARES, called at the address they joined with: they run an image by its name and answer with its
//! output. The old protocol carries no body, no command and no environment.

use super::{NoOutput, WHY_BYTES, cut};
use crate::clock;
use crate::cluster::{Node, NodeKey, Reach, Revision};
use crate::lock::lock;
use crate::net::{Cutter, Socket};
use crate::orchestrator::state::State;
use crate::rpc::Channel;
use crate::wire::proto::{self, cluster_service_client::ClusterServiceClient};
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::Code;
use tonic::codegen::Service;

/// To connect and to be greeted.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// An answer comes in one piece and is held whole: enough for text, and a thousand at once still fit in memory.
const OUTPUT_BYTES: usize = 4 << 20;
/// The connections to them, one a node.
#[derive(Default)]
pub struct FirstGeneration {
    kept: Mutex<HashMap<NodeKey, Arc<Kept>>>,
}

struct Kept {
    session: u64,
    channel: Channel,
    /// Ends the calls on it too.
    cutter: Mutex<Option<Cutter>>,
}

impl FirstGeneration {
    /// Runs a revision's image as a job and waits for its output.
    pub async fn run(&self, state: &State, node: NodeKey, revision: &Revision) -> Result<String, NoOutput> {
        let there = |n: &Node| n.reach == Reach::FirstGeneration;
        let found = state.read(|c| c.node(node).filter(|n| there(n)).map(|n| (n.spec.address.clone(), n.session)));
        let Some((address, session)) = found else {
            return Err(NoOutput::NotNow("its node is not connected".into()));
        };
        let kept = self.connection(node, session, &address).await.map_err(NoOutput::NotNow)?;
        if !state.read(|c| c.node(node).is_some_and(|n| there(n) && n.session == session)) {
            self.close(node, session); // it went while the connection was made
            return Err(NoOutput::NotNow("its node went away".into()));
        }
        let mut client = ClusterServiceClient::new(kept.channel.clone()).max_decoding_message_size(OUTPUT_BYTES);
        let request = proto::FunctionRequest {
            docker_image: revision.image.clone(),
            function_name: revision.function.to_string(),
        };
        let result = match client.execute_function(request).await {
            Ok(result) => result.into_inner(),
            Err(status) => return Err(told(&address, &status)),
        };
        match result.success {
            true => Ok(result.output),
            false if result.error.is_empty() => Err(NoOutput::Failed("its node gave no reason".into())),
            false => Err(NoOutput::Failed(cut(result.error, WHY_BYTES))),
        }
    }

    /// Ends the connection of a node's session, or of one before it, and the calls on it.
    pub fn close(&self, node: NodeKey, session: u64) {
        let mut all = lock(&self.kept);
        if all.get(&node).is_some_and(|kept| kept.session <= session) {
            let kept = all.remove(&node);
            drop(all);
            drop(kept.and_then(|kept| lock(&kept.cutter).take()));
        }
    }

    async fn connection(&self, node: NodeKey, session: u64, address: &str) -> Result<Arc<Kept>, String> {
        let kept = lock(&self.kept).get(&node).filter(|kept| kept.serves(session)).cloned();
        if let Some(kept) = kept
            && poll_fn(|cx| kept.channel.clone().poll_ready(cx)).await.is_ok()
        {
            return Ok(kept);
        }
        let authority = authority(address);
        let failed = |why: &str| {
            format!("its node, a worker of the first CARES, cannot be reached at the address it gave, {address}: {why}")
        };
        let connecting = async {
            let socket = Socket::connect(authority, CONNECT_LIMIT).await.map_err(|e| failed(&e.to_string()))?;
            let cutter = socket.cutter().map_err(|e| failed(&e.to_string()))?;
            let channel = Channel::over(socket, authority).await.map_err(|s| failed(s.message()))?;
            Ok(Arc::new(Kept { session, channel, cutter: Mutex::new(Some(cutter)) }))
        };
        let made =
            clock::timeout(CONNECT_LIMIT, connecting).await.unwrap_or_else(|| Err(failed("no answer in time")))?;
        let mut all = lock(&self.kept);
        if let Some(kept) = all.get(&node).filter(|kept| kept.serves(session)) {
            return Ok(kept.clone()); // another call was faster
        }
        all.insert(node, made.clone());
        Ok(made)
    }
}

impl Kept {
    fn serves(&self, session: u64) -> bool {
        self.session == session && !self.channel.is_closed()
    }
}

/// What a call's end by gRPC alone means.
fn told(address: &str, status: &tonic::Status) -> NoOutput {
    let why = cut(status.message().to_string(), WHY_BYTES);
    match status.code() {
        Code::Unimplemented => NoOutput::NotSent(format!("what listens at its address, {address}, runs no functions")),
        Code::Unavailable => NoOutput::Broken(format!("its connection broke: {why}")),
        code => NoOutput::Failed(format!("its node answered '{code}': {why}")),
    }
}

/// The first CARES' addresses were URLs or bare.
fn authority(address: &str) -> &str {
    address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/')
}
