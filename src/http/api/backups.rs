//! `/backup` and `/restore`: all that the cluster keeps, out as one file and in again.

use crate::body::Body;
use crate::http::openapi::{Answer, Content, Operation};
use crate::http::problem::Problem;
use crate::http::route::{Reply, Streamed};
use crate::orchestrator::Orchestrator;
use crate::orchestrator::backups::{self, Failed};
use crate::orchestrator::bundles::Rejected;
use hyper::Response;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use std::sync::Arc;

/// What the document says of this.
pub const MAKE: Operation = Operation {
    id: "makeBackup",
    tag: "cluster",
    summary: "All that the cluster keeps, as one tar",
    answers: &[Answer::of(200, "The tar; the last file in it is a checksum.")
        .with(&[Content::Bytes("application/x-tar")])
        .headers(&["Content-Disposition"])],
    errors: &["backup_busy", "store_failed"],
    ..Operation::NONE
};

/// `GET /backup`
pub async fn make(app: Arc<Orchestrator>, _: Streamed) -> Result<Response<Body>, Problem> {
    let (head, chunks) = backups::make(app).await.map_err(failed)?;
    let body = Body::unfold(chunks, |chunks| async move {
        let chunk = chunks.recv().await.ok()?; // closed at the end
        Some((chunk.map_err(Into::into), chunks))
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    let day = head.created_at.split('T').next().unwrap_or_default();
    let name = format!("attachment; filename=\"cares-{}-{day}.tar\"", head.cluster);
    headers.extend(HeaderValue::from_str(&name).map(|name| (CONTENT_DISPOSITION, name)));
    Ok(response)
}

/// What the document says of this.
pub const RESTORE: Operation = Operation {
    id: "restoreBackup",
    tag: "cluster",
    summary: "Functions become those of a backup, all or nothing",
    body: &[Content::Bytes("application/x-tar")],
    answers: &[Answer::of(200, "All of it is on disk.").with(&[Content::json::<crate::types::Restored>()])],
    errors: &[
        "backup_busy",
        "invalid_backup",
        "invalid_bundle",
        "wrong_secret_key",
        "too_large",
        "body_timeout",
        "store_failed",
    ],
    ..Operation::NONE
};

/// `POST /restore`
pub async fn restore(app: Arc<Orchestrator>, asked: Streamed) -> Result<Response<Body>, Problem> {
    let restored = backups::restore(app, asked.request.into_body(), &asked.by).await.map_err(failed)?;
    Ok(Reply::json(200, &restored).into())
}

fn failed(failed: Failed) -> Problem {
    match failed {
        Failed::Busy => {
            let detail = "a backup is being made or restored: there can be one at a time";
            Problem::new(409, "backup_busy", detail).retry_after(5)
        }
        Failed::Upload(Rejected::TooLarge { limit }) => Problem::too_large("a backup", limit),
        Failed::Upload(rejected) => super::functions::rejected(rejected),
        Failed::Backup(error) => Problem::new(400, "invalid_backup", format!("{error}. Nothing was changed")),
        Failed::Secrets(error) => {
            let detail = format!("the backup holds secrets of another key: {error}. Nothing was changed");
            Problem::new(409, "wrong_secret_key", detail)
        }
        Failed::Store(error) => error.into(),
    }
}
