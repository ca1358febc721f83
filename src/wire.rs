//! The messages of `proto/`, and what both ends must agree on beside them.

/// Generated from `proto/cluster.proto`.
#[allow(clippy::doc_markdown, missing_docs)]
pub mod proto {
    tonic::include_proto!("cluster");
}

/// What a worker sends first on a link, before the ticket: gRPC's first byte is `P`, so one port serves both.
pub const LINK_PREFACE: &[u8; 10] = b"CARESLINK1";

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
/// In the answer to a revision that was sent: how its image is run.
pub const HEADER_MODE: &str = "cares-mode";
pub const MODE_HTTP: &str = "http";
pub const MODE_JOB: &str = "job";
/// Present when both logs tell this call's story.
pub const HEADER_STORY: &str = "cares-story";
/// In a request: the protocol its caller wants to go on with; in the answer: the one its function switched to. From then
/// on both bodies are that protocol's bytes (HTTP/2 has no 101).
pub const HEADER_UPGRADE: &str = "cares-upgrade";
/// In a worker's answer, when it is not the function's own: one of `Outcome`'s words. The body says why.
pub const HEADER_OUTCOME: &str = "cares-outcome";

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
