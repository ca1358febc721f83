//! `/log`: what this program itself told, of an orchestrator or a worker; in `cares up` both are one program.

use super::logs::Wanted;
use crate::body::Body;
use crate::clock;
use crate::http::openapi::{Answer, Content, FOLLOW, FORMAT, Operation, TAIL_OF_A_LOG};
use crate::http::problem::Problem;
use crate::http::route::Streamed;
use crate::logging;
use crate::ring::{Follower, Next};
use crate::types::LogRecord;
use bytes::Bytes;
use hyper::Response;
use std::time::Duration;

/// Silence after which an empty line is sent, so that proxies keep the stream.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What the document says of this.
pub const OWN: Operation = Operation {
    id: "getOwnLog",
    tag: "program",
    summary: "What the program itself told",
    parameters: &[TAIL_OF_A_LOG, FOLLOW, FORMAT],
    answers: &[Answer::of(200, "Lines.").with(&[Content::Text, Content::lines::<LogRecord>()])],
    ..Operation::NONE
};

/// `GET /log?tail=N&follow=true&format=text|json`
pub async fn own(asked: Streamed) -> Result<Response<Body>, Problem> {
    let wanted = Wanted::of(&asked.query)?;
    let (follower, last) = logging::own().tail(wanted.tail);
    let reader = Reader { follower, until: (!wanted.follow).then_some(last), json: wanted.json };
    Ok(wanted.answer(Body::unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Some((Ok(piece), reader))
    })))
}

struct Reader {
    follower: Follower<LogRecord>,
    /// The last line wanted; `None`: as long as there are new ones.
    until: Option<u64>,
    json: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if self.until.is_some_and(|last| self.follower.after() >= last) {
            return None;
        }
        let entries = match clock::timeout(KEEPALIVE, self.follower.next()).await {
            Some(Next::Entries(entries)) => entries,
            Some(Next::Missed(count)) if !self.json => {
                return Some(format!("({count} lines are no longer kept)\n").into());
            }
            Some(Next::Missed(_)) | None => return Some(Bytes::from_static(b"\n")), // the ids tell what is missing
        };
        let lines = entries.iter().filter(|(id, _)| self.until.is_none_or(|last| *id <= last));
        let written = |record: &LogRecord| match self.json {
            true => serde_json::to_string(record).unwrap_or_default() + "\n",
            false => logging::text(record),
        };
        Some(lines.map(|(_, record)| written(record)).collect::<String>().into())
    }
}
