//! What other nodes are given of this one's images, as the orchestrator asks. Decides nothing: the orchestrator says who
//! may have which.

use super::pool::Pool;
use crate::body::{self, Body};
use crate::wire::{self, proto};
use futures_lite::StreamExt;
use prost::Message;

/// Whether the image of a query, `name=` and its name, is here.
pub async fn holds(pool: &Pool, query: &str) -> Result<bool, String> {
    let name = query.strip_prefix("name=").ok_or("the query names no image")?;
    pool.engines.containers()?.holds(name).await.map_err(|e| e.to_string())
}

/// The digest that the image of such a query has at its registry.
pub async fn digest(pool: &Pool, query: &str) -> Result<String, String> {
    let name = query.strip_prefix("name=").ok_or("the query names no image")?;
    pool.engines.containers()?.digest(name).await.map_err(|e| e.to_string())
}

/// An image's archive, as a `proto::ImageRequest` asks for it.
pub async fn save(pool: &Pool, request: Body) -> Result<Body, String> {
    let bytes =
        body::collect(request, wire::IMAGE_REQUEST_BYTES).await.map_err(|_| "the request did not come whole")?;
    let request = proto::ImageRequest::decode(bytes).map_err(|_| "the request cannot be read")?;
    let pieces = pool.engines.containers()?.save(&request.image, request.has).await.map_err(|e| e.to_string())?;
    Ok(Body::unfold(pieces, |mut pieces| async move {
        let piece = pieces.next().await?;
        let piece = piece.map_err(|why| {
            log::warn!("Image {why}");
            why.into()
        });
        Some((piece, pieces))
    }))
}
