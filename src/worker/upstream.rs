//! The way to the orchestrator, for what a worker lacks: bundles, images, what to log in to registries with, and functions
//! it was not told of. Keeps nothing.

use super::engine::{Pieces, Supply};
use crate::lock::lock;
use crate::rpc::Channel;
use crate::wire::proto::{self, Revision, cluster_service_client::ClusterServiceClient};
use crate::{bundle, rt};
use futures_lite::StreamExt;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

/// What asks an orchestrator.
pub type Client = ClusterServiceClient<Channel>;

/// The way, while there is one.
pub struct Upstream {
    node: String,
    client: Mutex<Option<Client>>,
}

impl Upstream {
    /// For the node of this id.
    pub fn of(node: &str) -> Self {
        Upstream { node: node.into(), client: Mutex::default() }
    }

    /// It is this connection from now on.
    pub fn set(&self, client: Option<Client>) {
        *lock(&self.client) = client;
    }

    fn client(&self) -> Result<Client, String> {
        let client = lock(&self.client).clone();
        client.ok_or_else(|| "this worker is not connected to its orchestrator".into())
    }

    /// What a function is now, as the orchestrator knows it; `Ok(None)`: there is none.
    pub async fn find_function(&self, name: &str) -> Result<Option<Revision>, String> {
        match self.client()?.find_function(proto::FunctionQuery { function: name.into() }).await {
            Ok(found) => Ok(Some(found.into_inner())),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(format!("its orchestrator does not say what '{name}' is: {}", status.message())),
        }
    }

    /// Writes a bundle's zip to a file.
    pub async fn fetch(&self, digest: &str, into: PathBuf) -> Result<(), String> {
        let request = proto::BundleRequest { digest: digest.into() };
        let mut chunks = self.client()?.fetch_bundle(request).await.map_err(|s| s.message().to_string())?.into_inner();
        let mut file = rt::unblock(move || File::create(into)).await.map_err(|e| e.to_string())?;
        let mut bytes = 0;
        while let Some(chunk) = chunks.next().await {
            let data = chunk.map_err(|s| s.message().to_string())?.data;
            bytes += data.len() as u64;
            if bytes > bundle::MAX_ZIP_BYTES {
                return Err(format!("it is larger than {} bytes, as no bundle may be", bundle::MAX_ZIP_BYTES));
            }
            file = rt::unblock(move || file.write_all(&data).map(|()| file)).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Supply for Upstream {
    async fn login(&self, registry: &str) -> Option<String> {
        let query = proto::RegistryQuery { node_id: self.node.clone(), registry: registry.into() };
        match self.client().ok()?.registry_login(query).await {
            Ok(login) => Some(std::mem::take(&mut login.into_inner().auth)),
            Err(status) if status.code() == tonic::Code::NotFound => None,
            Err(status) => {
                log::warn!("What to log in to {registry} with is not to be had: {}", status.message());
                None
            }
        }
    }

    async fn image(&self, image: &str, has: Vec<String>) -> Result<Option<Pieces>, String> {
        let request = proto::ImageRequest { node_id: self.node.clone(), image: image.into(), has };
        match self.client()?.fetch_image(request).await {
            Ok(chunks) => {
                let chunks = chunks.into_inner().map(|chunk| match chunk {
                    Ok(chunk) => Ok(chunk.data),
                    Err(status) => Err(status.message().to_string()),
                });
                Ok(Some(Box::pin(chunks)))
            }
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(status.message().to_string()),
        }
    }
}
