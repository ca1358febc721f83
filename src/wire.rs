//! The messages of `proto/`, and what both ends must agree on beside them.

use prost::Message;
use std::marker::PhantomData;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Generated from `proto/cluster.proto`.
#[allow(clippy::doc_markdown, missing_docs)]
pub mod proto {
    tonic::include_proto!("cluster");
}

impl std::fmt::Debug for proto::Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (secret)", self.name)
    }
}

impl std::fmt::Debug for proto::RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Nothing of them stays in memory that is given back.
impl Drop for proto::Secret {
    fn drop(&mut self) {
        crate::hidden::wipe(&mut self.value);
    }
}

/// gRPC's messages in protobuf, with buffers as small as ours are: tonic's own take 16 KiB for each stream from the start,
/// and an orchestrator has one open for every node.
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Codec(PhantomData)
    }
}

/// Of a message's buffer: what it takes at once, and what is collected before it is sent.
const MESSAGE_BYTES: usize = 512;
const SENT_AT_ONCE_BYTES: usize = 32 * 1024;

impl<T: Message + 'static, U: Message + Default + 'static> tonic::codec::Codec for Codec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(MESSAGE_BYTES, SENT_AT_ONCE_BYTES))
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(MESSAGE_BYTES, SENT_AT_ONCE_BYTES))
    }
}

/// What a worker sends first on a link, before the ticket: gRPC's first byte is `P`, so one port serves both.
pub const LINK_PREFACE: &[u8; 10] = b"CARESLINK1";

/// Of what a node is told of an image it is to send: some thousands of layers that the receiver has.
pub const IMAGE_REQUEST_BYTES: usize = 1 << 20;

/// Length of a link ticket in bytes (hex digits).
pub const TICKET_BYTES: usize = 32;

/// Requests on a link are for the worker itself when they are addressed to this authority ...
pub const CONTROL: &str = "control";
/// ... for an instance with this one; its id is in `HEADER_INSTANCE` ...
pub const INSTANCE: &str = "instance";
/// ... and start a job with this one; what to run is in `HEADER_FUNCTION` and `HEADER_REVISION`.
pub const JOB: &str = "job";

/// Every header of ours begins with this; from callers and functions they are dropped.
pub const HEADER_PREFIX: &str = "cares-";
pub const HEADER_INSTANCE: &str = "cares-instance";
pub const HEADER_FUNCTION: &str = "cares-function";
pub const HEADER_REVISION: &str = "cares-revision";
/// Of an attempt of an asynchronous call: its own id, where `X-Call-Id` is the same at each.
pub const HEADER_CALL: &str = "cares-call";
/// Of a job: how many bytes of `proto::Secrets` come before its body.
pub const HEADER_SECRETS: &str = "cares-secrets";
/// A function's secrets are no more than these, each no more than `SECRET_BYTES`.
pub const SECRETS_MAX: usize = 32;
pub const SECRET_BYTES: usize = 64 << 10;
/// All of a function's secrets, with their names.
pub const SECRETS_BYTES: usize = SECRETS_MAX * (SECRET_BYTES + 1024);
/// In the answer to a revision that was sent: how its image is run.
pub const HEADER_MODE: &str = "cares-mode";
pub const MODE_HTTP: &str = "http";
pub const MODE_JOB: &str = "job";
/// With a heartbeat: the ticket of its session.
pub const HEADER_TICKET: &str = "cares-ticket";
/// A line of a function's log, as a worker sends it.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct NumberedLine {
    /// Always increasing on its node; 0 from workers that give none.
    #[serde(default)]
    pub number: u64,
    #[serde(flatten)]
    pub line: crate::types::LogLine,
}

/// Present when both logs tell this call's story.
pub const HEADER_STORY: &str = "cares-story";
/// In a request: the protocol its caller wants to go on with; in the answer: the one its function switched to. From then
/// on both bodies are that protocol's bytes (HTTP/2 has no 101).
pub const HEADER_UPGRADE: &str = "cares-upgrade";
/// In a worker's answer, when it is not the function's own: one of `Outcome`'s words. The body says why.
pub const HEADER_OUTCOME: &str = "cares-outcome";

/// Of a refusal: what it was refused for passes, as that all slots are taken. An older orchestrator takes it for any other.
pub const HEADER_PASSING: &str = "cares-passing";

/// Why an answer is not the function's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was started: may be tried elsewhere.
    Refused,
    /// Nothing was started, because the instance has ended or takes no connections.
    Gone,
    /// The worker does not know the revision: send it and try again.
    UnknownRevision,
    /// The function failed: crashed, gave no valid answer, exited with an error.
    Failed,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Refused => "refused",
            Outcome::Gone => "gone",
            Outcome::UnknownRevision => "unknown-revision",
            Outcome::Failed => "failed",
        }
    }

    pub fn of(word: &str) -> Option<Self> {
        [Outcome::Refused, Outcome::Gone, Outcome::UnknownRevision, Outcome::Failed]
            .into_iter()
            .find(|o| o.word() == word)
    }
}

/// Both ends of a link: how much of one body may be under way unread; it is what a stalled reader costs.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// And of all bodies together. More than all streams of a link can have, so that those whose readers stall never use up
/// the others' share.
pub const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// One frame of a body: larger ones mean fewer reads and writes, smaller ones let others in between sooner.
pub const FRAME_BYTES: u32 = 64 << 10;
/// Calls on one link at once; slots bound them earlier.
pub const STREAMS_PER_LINK: u32 = 4_096;
const _: () = assert!(STREAM_WINDOW_BYTES as u64 * STREAMS_PER_LINK as u64 <= CONNECTION_WINDOW_BYTES as u64);

#[cfg(test)]
mod tests;
