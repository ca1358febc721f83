//! What `echo` says over a WebSocket (RFC 6455): every frame comes back, pings are answered, a close ends it. Holds one
//! frame at a time.

use crate::body::{Body, BoxError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::header::HeaderValue;

/// One frame's payload at most.
const FRAME_BYTES: u64 = 1 << 20;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
/// A close's reasons: the frame breaks the protocol, or is too big.
const BROKEN: u16 = 1002;
const TOO_BIG: u16 = 1009;

/// The answer to a handshake's key.
pub fn accept(key: &HeaderValue) -> HeaderValue {
    let digest = sha1(&[key.as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat());
    HeaderValue::from_str(&STANDARD.encode(digest)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The frames that answer those that come.
pub fn echo(said: Body) -> Body {
    Body::unfold(Some((said, BytesMut::new())), |state| async move {
        let (mut said, mut buffer) = state?;
        loop {
            match take(&mut buffer) {
                Ok(Some((first, payload))) => match first & 0xF {
                    PONG => {}
                    PING => return Some((Ok(frame(first & 0xF0 | PONG, &payload)), Some((said, buffer)))),
                    CLOSE => return Some((Ok(frame(first, &payload)), None)),
                    _ => return Some((Ok(frame(first, &payload)), Some((said, buffer)))),
                },
                Ok(None) => buffer.extend_from_slice(&more(&mut said).await?),
                Err(reason) => return Some((Ok(frame(0x80 | CLOSE, &reason.to_be_bytes())), None)),
            }
        }
    })
}

async fn more(said: &mut Body) -> Option<Bytes> {
    loop {
        let frame: Result<_, BoxError> = said.frame().await?;
        if let Ok(data) = frame.ok()?.into_data() {
            return Some(data);
        }
    }
}

/// The next frame's first byte and payload, unmasked; `None` while it is not here whole.
fn take(buffer: &mut BytesMut) -> Result<Option<(u8, BytesMut)>, u16> {
    let [first, second, ..] = buffer[..] else { return Ok(None) };
    let masked = second & 0x80 != 0;
    if !masked || first & 0x70 != 0 {
        return Err(BROKEN);
    }
    let (length, head) = match (second & 0x7F, buffer.len()) {
        (126, 4..) => (u64::from((&buffer[2..]).get_u16()), 4),
        (127, 10..) => ((&buffer[2..]).get_u64(), 10),
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(short), 2),
    };
    if length > FRAME_BYTES {
        return Err(TOO_BIG);
    }
    let (length, mask_ends) = (length as usize, head + 4);
    if buffer.len() < mask_ends + length {
        return Ok(None);
    }
    let head = buffer.split_to(mask_ends).split_off(head);
    let mut payload = buffer.split_to(length);
    payload.iter_mut().zip(head.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(Some((first, payload)))
}

/// A frame as a server sends it: not masked.
fn frame(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(first);
    match payload.len() {
        short @ 0..126 => frame.put_u8(short as u8),
        medium @ 126..0x1_0000 => {
            frame.put_u8(126);
            frame.put_u16(medium as u16);
        }
        long => {
            frame.put_u8(127);
            frame.put_u64(long as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// FIPS 180-4. The handshake asks for it, and nothing secret rests on it.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.put_u64(message.len() as u64 * 8);
    for block in padded.chunks(64) {
        let mut words = [0; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks(4)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        for n in 16..80 {
            words[n] = (words[n - 3] ^ words[n - 8] ^ words[n - 14] ^ words[n - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (n, word) in words.into_iter().enumerate() {
            let (mixed, constant) = match n {
                0..20 => (b & c | !b & d, 0x5A82_7999_u32),
                20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..60 => (b & c | b & d | c & d, 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6),
            };
            let next = [a.rotate_left(5), mixed, e, constant, word].into_iter().fold(0, u32::wrapping_add);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        state.iter_mut().zip([a, b, c, d, e]).for_each(|(sum, part)| *sum = sum.wrapping_add(part));
    }
    let mut digest = [0; 20];
    digest.chunks_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_accepts_as_the_standards_say() {
        let hex = |message: &[u8]| sha1(message).iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(long), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_are_taken_whole_and_nothing_else() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        for cut in 0..hello.len() {
            assert_eq!(take(&mut BytesMut::from(&hello[..cut])), Ok(None));
        }
        assert_eq!(take(&mut BytesMut::from(&hello[..])), Ok(Some((0x81, BytesMut::from("Hello")))));
        assert_eq!(take(&mut BytesMut::from(&[0x81, 5, 0][..])), Err(BROKEN));
        assert_eq!(take(&mut BytesMut::from(&[0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0][..])), Err(TOO_BIG));
        assert_eq!(frame(0x82, &[7; 200])[..4], [0x82, 126, 0, 200]);
    }
}
