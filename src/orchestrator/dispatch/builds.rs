//! Builds on a node: the order on its link, and what it says meanwhile.

use super::link::{Links, control_request, why};
use crate::body::Body;
use crate::cluster::NodeKey;
use crate::link::Unanswered;
use crate::wire::proto::{self, BuildWord, build_word::What};
use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::Method;
use prost::Message;

/// A word as a worker sends it: a line of the log, or a piece of a zip.
const WORD_BYTES: usize = 1 << 20;

/// What a node says of a build. Dropped, it ends the build there.
pub struct Words {
    body: Body,
    held: BytesMut,
}

impl Links {
    /// Begins a build there. `Err`: it was not begun, or nothing is known of it.
    pub async fn build(&self, node: NodeKey, order: &proto::Build) -> Result<Words, String> {
        let request = control_request(Method::POST, "/builds", Body::full(order.encode_to_vec()))?;
        match self.send(node, request).await {
            Ok(answer) if answer.status().is_success() => Ok(Words { body: answer.into_body(), held: BytesMut::new() }),
            Ok(answer) => Err(why(answer).await),
            Err(Unanswered::NotSent(_, why) | Unanswered::Broken(why)) => Err(why),
        }
    }

    /// Has a node remove what builds of a function have left there, which is deleted.
    pub async fn forget_builds(&self, node: NodeKey, function: &str) {
        let Ok(request) = control_request(Method::DELETE, &format!("/builds/caches/{function}"), Body::Empty) else {
            return;
        };
        let _ = self.send(node, request).await; // one that is away never uses it again, and gives it up for others
    }
}

impl Words {
    /// The next one; the last is the end. `Err`: nothing more will come.
    pub async fn next(&mut self) -> Result<What, String> {
        loop {
            if let Some(word) = self.whole()? {
                match word.what {
                    Some(what) => return Ok(what),
                    None => continue, // a later version's
                }
            }
            match self.body.frame().await {
                Some(Ok(frame)) => frame.into_data().into_iter().for_each(|data| self.held.extend_from_slice(&data)),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("it said no more".into()),
            }
        }
    }

    fn whole(&mut self) -> Result<Option<BuildWord>, String> {
        let mut rest = &self.held[..];
        let bytes = match prost::decode_length_delimiter(&mut rest) {
            Ok(bytes) if bytes > WORD_BYTES => return Err(format!("it said {bytes} bytes at once")),
            Ok(bytes) => bytes,
            Err(_) if self.held.len() < 10 => return Ok(None), // more of the length is to come
            Err(error) => return Err(error.to_string()),
        };
        if rest.len() < bytes {
            return Ok(None);
        }
        let head = self.held.len() - rest.len();
        self.held.advance(head);
        let word = BuildWord::decode(self.held.split_to(bytes)).map_err(|error| error.to_string())?;
        Ok(Some(word))
    }
}
