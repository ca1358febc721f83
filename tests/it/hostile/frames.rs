//! HTTP/2 and protobuf written by hand: what no library would send.

use crate::wire::connect;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

pub fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

/// A header block: nothing indexed, nothing compressed.
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127);
        [&[text.len() as u8], text.as_bytes()].concat()
    };
    headers.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The headers of a gRPC call.
pub fn call_head(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let path = format!("/cluster.ClusterService/{method}");
    let head = [(":method", "POST"), (":scheme", "http"), (":path", &*path), (":authority", "x"), ("te", "trailers")];
    block(&[&head[..], &[("content-type", "application/grpc")], more].concat())
}

/// A gRPC message in its frame.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// A body in DATA frames that any peer takes.
pub fn data(stream: u32, body: &[u8], flags: u8) -> Vec<u8> {
    let count = body.chunks(16_000).count().max(1);
    let mut all = Vec::new();
    for n in 0..count {
        let piece = body.chunks(16_000).nth(n).unwrap_or_default();
        all.extend(frame(DATA, if n + 1 == count { flags } else { 0 }, stream, piece));
    }
    all
}

pub fn varint(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n > 127 {
        bytes.push(n as u8 | 128);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

/// Fields of a protobuf message.
pub fn number(field: u64, n: u64) -> Vec<u8> {
    [varint(field << 3), varint(n)].concat()
}

pub fn double(field: u64, n: f64) -> Vec<u8> {
    [varint(field << 3 | 1), n.to_le_bytes().to_vec()].concat()
}

pub fn text(field: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A message's numbers and texts, by field; of one that comes twice the last.
pub fn parse(mut bytes: &[u8]) -> std::collections::BTreeMap<u64, (u64, Vec<u8>)> {
    fn take(bytes: &mut &[u8]) -> u64 {
        let (mut n, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            n |= u64::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                return n;
            }
        }
    }
    let mut fields = std::collections::BTreeMap::new();
    while !bytes.is_empty() {
        let key = take(&mut bytes);
        let value = match key & 7 {
            0 => (take(&mut bytes), Vec::new()),
            2 => {
                let length = take(&mut bytes) as usize;
                let (text, rest) = bytes.split_at(length);
                bytes = rest;
                (0, text.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.insert(key >> 3, value);
    }
    fields
}

/// One end of a connection.
pub struct Peer(pub TcpStream);

pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub body: Vec<u8>,
}

impl Peer {
    /// A client's, after the preface.
    pub fn dial(to: SocketAddr) -> Peer {
        let mut peer = Peer(connect(to));
        peer.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        peer
    }

    /// The same once the other end has said how much it takes, which is more than it must.
    pub fn settled(to: SocketAddr) -> Peer {
        let mut peer = Peer::dial(to);
        while peer.next().expect("its settings and its window").kind != WINDOW {}
        peer
    }

    /// Whether it was taken.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// The next frame; settings and pings are answered on the way. `None` when the connection has ended.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let came = self.read()?;
            match (came.kind, came.flags & ACK) {
                (SETTINGS, 0) => drop(self.send(&frame(SETTINGS, ACK, 0, &[]))),
                (PING, 0) => drop(self.send(&frame(PING, ACK, 0, &came.body))),
                _ => return Some(came),
            }
        }
    }

    fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let mut body = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut body).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
        Some(Frame { kind: head[3], flags: head[4], stream, body })
    }

    /// Sends a call with one message on a stream; its headers alone where there is none.
    pub fn ask(&mut self, stream: u32, method: &str, more: &[(&str, &str)], said: Option<&[u8]>) -> bool {
        let head = frame(HEADERS, END_HEADERS, stream, &call_head(method, more));
        self.send(&head) && said.is_none_or(|said| self.send(&data(stream, &message(said), END_STREAM)))
    }

    /// The message a stream is answered with; `None` where it ends without one.
    pub fn answer(&mut self, stream: u32) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let frame = self.next()?;
            if frame.stream != stream {
                continue;
            }
            if frame.kind == DATA {
                body.extend(frame.body);
            }
            let whole = body.get(1..5).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
            if let Some(said) = whole.and_then(|length| body.get(5..5 + length)) {
                return Some(said.to_vec());
            }
            if frame.kind == RESET || (frame.kind != WINDOW && frame.flags & END_STREAM != 0) {
                return None;
            }
        }
    }
}
