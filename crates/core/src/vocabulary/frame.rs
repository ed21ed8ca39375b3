//! Frames from the server to a client, as they go over the wire.

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "every buffer begins with HEADROOM bytes, except raw ones, which start at 0"
    )
)]

use super::expected;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A whole server-to-client WebSocket frame, encoded once: header and payload in one piece.
///
/// The dialect writes a message straight into its frame, which is never copied again, even if it is queued
/// first.
#[derive(Debug)]
pub struct Frame {
    // The header is right-aligned in the first HEADROOM bytes, because its length is known only
    // when the payload is there.
    buf: Buffer,
    start: u8,
    /// `None` for bytes that are no frame.
    opcode: Option<Opcode>,
}

/// The bytes of a frame.
#[derive(Debug)]
enum Buffer {
    /// For one client, as nearly all are.
    Own(Vec<u8>),
    Shared(Arc<Shared>),
}

/// Bytes that several frames share.
#[derive(Debug)]
struct Shared {
    bytes: Vec<u8>,
    /// The number of queues in which one of the frames waits.
    queues: AtomicUsize,
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        match self {
            Buffer::Own(bytes) => bytes,
            Buffer::Shared(shared) => &shared.bytes,
        }
    }
}

/// The opcode of a frame (RFC 6455, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

/// The place of a fragment in its message. One that is both first and last is the whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Nothing of the message was in front of it.
    pub is_first: bool,
    /// Nothing of it follows.
    pub is_last: bool,
}

impl Fragment {
    /// The whole message, or a control frame.
    pub const WHOLE: Fragment = Fragment { is_first: true, is_last: true };
}

/// A frame among raw bytes. A text is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FrameIn<'a> {
    Text(&'a [u8]),
    Binary(Fragment, &'a [u8]),
    Close(&'a [u8]),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
}

/// See [`Frame::frames_in`].
#[derive(Debug)]
pub struct FramesIn<'a> {
    rest: &'a [u8],
}

impl<'a> FramesIn<'a> {
    /// The bytes behind the frames that were taken.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for FramesIn<'a> {
    type Item = FrameIn<'a>;

    fn next(&mut self) -> Option<FrameIn<'a>> {
        let (first, len, rest) = match *self.rest {
            [first, 127, a, b, c, d, e, f, g, h, ref rest @ ..] => {
                (first, usize::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h])).ok()?, rest)
            }
            [first, 126, a, b, ref rest @ ..] => (first, usize::from(u16::from_be_bytes([a, b])), rest),
            [first, len, ref rest @ ..] => (first, usize::from(len), rest),
            _ => return None,
        };
        let (payload, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        const TEXT: u8 = Opcode::Text as u8;
        const CLOSE: u8 = Opcode::Close as u8;
        const PING: u8 = Opcode::Ping as u8;
        const PONG: u8 = Opcode::Pong as u8;
        Some(match first & !FIN {
            TEXT => FrameIn::Text(payload),
            CLOSE => FrameIn::Close(payload),
            PING => FrameIn::Ping(payload),
            PONG => FrameIn::Pong(payload),
            opcode => FrameIn::Binary(
                Fragment { is_first: opcode == Opcode::Binary as u8, is_last: first & FIN != 0 },
                payload,
            ),
        })
    }
}

const HEADROOM: usize = 10;
const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
/// In the second byte, beside the length.
const MASKED: u8 = 0x80;

/// Appends the header of a frame, without the key of its mask.
fn append_header(raw: &mut Vec<u8>, opcode: Opcode, place: Fragment, len: usize, masked: u8) {
    let first = if place.is_first { opcode as u8 } else { CONTINUATION };
    raw.push(if place.is_last { FIN | first } else { first });
    match len {
        len @ 0..126 => raw.push(masked | len as u8),
        len @ 126..0x1_0000 => {
            raw.push(masked | 126);
            raw.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            raw.push(masked | 127);
            raw.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

impl Frame {
    /// A text message. `write` appends it to the buffer; `capacity` is its approximate length in bytes.
    pub fn text(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Frame::message(Opcode::Text, capacity, write)
    }

    /// A message, of text or binary. `write` and `capacity` are those of [`text`](Self::text).
    pub fn message(opcode: Opcode, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut buf = Vec::with_capacity(HEADROOM + capacity);
        buf.resize(HEADROOM, 0);
        write(&mut buf);
        Frame::seal(buf, opcode)
    }

    /// A text message of this text.
    pub fn of_text(text: &str) -> Self {
        Frame::text(text.len(), |frame| frame.extend_from_slice(text.as_bytes()))
    }

    /// A ping without a payload.
    pub fn ping() -> Self {
        Frame::control(Opcode::Ping, &[])
    }

    /// The answer to a ping: returns its payload, at most 125 bytes of it.
    pub fn pong(payload: &[u8]) -> Self {
        Frame::control(Opcode::Pong, payload)
    }

    /// A close frame, with or without code and reason (at most 123 bytes of it).
    pub fn close(close: Option<(u16, &str)>) -> Self {
        let mut payload = Vec::new();
        if let Some((code, reason)) = close {
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(reason.as_bytes());
        }
        Frame::control(Opcode::Close, &payload)
    }

    /// Bytes that are sent unchanged, before the first frame: the answer to the handshake.
    pub fn raw(bytes: Vec<u8>) -> Self {
        Frame { buf: Buffer::Own(bytes), start: 0, opcode: None }
    }

    /// A copy of the frame for another client. All copies share the bytes.
    #[inline]
    pub fn share(&mut self) -> Self {
        let shared = match mem::replace(&mut self.buf, Buffer::Own(Vec::new())) {
            Buffer::Own(bytes) => Arc::new(Shared { bytes, queues: AtomicUsize::new(0) }),
            Buffer::Shared(shared) => shared,
        };
        self.buf = Buffer::Shared(Arc::clone(&shared));
        Frame { buf: Buffer::Shared(shared), ..*self }
    }

    /// Notes that the frame waits in one more queue. Returns the bytes that it adds to what waits: none if it
    /// shares those of a frame that waits already.
    pub fn enter_queue(&self) -> usize {
        match &self.buf {
            Buffer::Shared(shared) if shared.queues.fetch_add(1, Ordering::Relaxed) > 0 => 0,
            _ => self.len(),
        }
    }

    /// Notes that the frame has left a queue. Returns the bytes that do not wait any more.
    pub fn leave_queue(&self) -> usize {
        match &self.buf {
            Buffer::Shared(shared) if shared.queues.fetch_sub(1, Ordering::Relaxed) > 1 => 0,
            _ => self.len(),
        }
    }

    /// Appends a part of a binary message to bytes that are sent as [`raw`](Self::raw) ones: a frame of its
    /// own, for which nobody has to know the message's length (RFC 6455, section 5.4).
    pub fn append_fragment(raw: &mut Vec<u8>, payload: &[u8], place: Fragment) {
        append_header(raw, Opcode::Binary, place, payload.len(), 0);
        raw.extend_from_slice(payload);
    }

    /// Appends any frame as a client sends it to a server, with a mask. The key of the mask is zeros: it is
    /// for two nodes, between which nobody looks for HTTP (RFC 6455, section 10.3).
    pub fn append_masked(raw: &mut Vec<u8>, opcode: Opcode, payload: &[u8], place: Fragment) {
        append_header(raw, opcode, place, payload.len(), MASKED);
        raw.extend_from_slice(&[0; 4]);
        raw.extend_from_slice(payload);
    }

    /// The whole frames at the beginning of raw bytes, for a transport that does not send bytes: the reverse
    /// of [`append_fragment`](Self::append_fragment).
    pub fn frames_in(raw: &[u8]) -> FramesIn<'_> {
        FramesIn { rest: raw }
    }

    fn control(opcode: Opcode, payload: &[u8]) -> Self {
        let payload = payload.get(..125).unwrap_or(payload);
        let mut buf = vec![0; HEADROOM];
        buf.extend_from_slice(payload);
        Frame::seal(buf, opcode)
    }

    fn seal(mut buf: Vec<u8>, opcode: Opcode) -> Self {
        let len = buf.len() - HEADROOM;
        // The last two bytes of this are a medium length, and its last byte is a short one.
        buf[2..HEADROOM].copy_from_slice(&(len as u64).to_be_bytes());
        let (start, first) = match len {
            0..126 => (8, len as u8),
            126..0x1_0000 => (6, 126),
            _ => (0, 127),
        };
        buf[start] = FIN | opcode as u8;
        buf[start + 1] = first;
        Frame { buf: Buffer::Own(buf), start: start as u8, opcode: Some(opcode) }
    }

    /// Header and payload, as they go over the wire.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf[usize::from(self.start)..]
    }

    /// The payload, for a transport that writes headers itself. Empty for raw bytes.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        let payload = || expected(self.buf.get(HEADROOM..).ok_or(self.buf.len()), "a frame with a header");
        self.opcode.map(|_| payload()).unwrap_or_default()
    }

    /// The opcode. Raw bytes have none.
    #[inline]
    pub fn opcode(&self) -> Option<Opcode> {
        self.opcode
    }

    /// Bytes on the wire.
    #[inline]
    pub fn len(&self) -> usize {
        self.buf.len() - usize::from(self.start)
    }

    /// Never true: a frame has a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_fits_the_length_of_the_payload() {
        for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let frame = Frame::text(len, |out| out.resize(out.len() + len, b'x'));
            assert_eq!(frame.len(), header + len);
            assert_eq!(frame.payload().len(), len);
            assert_eq!(frame.as_bytes()[0], 0x81);
            assert_eq!(frame.opcode(), Some(Opcode::Text));
        }
    }

    #[test]
    fn raw_bytes_have_neither_opcode_nor_payload_whatever_they_look_like() {
        let frame = Frame::raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec());
        assert_eq!((frame.opcode(), frame.payload()), (None, [].as_slice()));
    }

    #[test]
    fn a_fragment_has_the_header_of_its_place_and_length() {
        for (len, is_first, is_last, header) in [
            (0, true, true, &b"\x82\x00"[..]),
            (125, true, false, b"\x02\x7d"),
            (126, false, false, b"\x00\x7e\x00\x7e"),
            (65_535, false, true, b"\x80\x7e\xff\xff"),
            (65_536, true, true, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let mut raw = b"before".to_vec();
            Frame::append_fragment(&mut raw, &vec![b'x'; len], Fragment { is_first, is_last });
            assert_eq!(raw, [b"before", header, &vec![b'x'; len]].concat(), "{len}");
            raw.extend_from_slice(b"\x80\x01y");
            let last = Fragment { is_first: false, is_last: true };
            let payload = vec![b'x'; len];
            let frames =
                [FrameIn::Binary(Fragment { is_first, is_last }, &payload), FrameIn::Binary(last, b"y")];
            assert!(Frame::frames_in(&raw[6..]).eq(frames), "{len}");
        }
    }

    #[test]
    fn whole_frames_are_taken_from_raw_bytes() {
        let mut raw = Vec::new();
        for frame in [Frame::of_text("é"), Frame::ping(), Frame::pong(b"p"), Frame::close(Some((1001, "")))]
        {
            raw.extend_from_slice(frame.as_bytes());
        }
        let mut frames = Frame::frames_in(&raw[..raw.len() - 1]);
        let whole: Vec<FrameIn<'_>> = frames.by_ref().collect();
        let expected = [FrameIn::Text("é".as_bytes()), FrameIn::Ping(b""), FrameIn::Pong(b"p")];
        assert_eq!((whole.as_slice(), frames.rest()), (&expected[..], &b"\x88\x02\x03"[..]));
        assert_eq!(Frame::frames_in(&raw).last(), Some(FrameIn::Close(b"\x03\xe9")));
    }

    #[test]
    fn a_shared_frame_is_the_same_at_the_same_place() {
        let mut frame = Frame::of_text("to many");
        let shared = [frame.share(), frame.share()];
        for one in &shared {
            assert_eq!((one.as_bytes(), one.opcode()), (frame.as_bytes(), Some(Opcode::Text)));
            assert_eq!(one.as_bytes().as_ptr(), frame.as_bytes().as_ptr());
        }
    }

    #[test]
    fn bytes_that_frames_share_wait_once() {
        let mut frame = Frame::of_text("to many");
        let len = frame.len();
        assert_eq!((frame.enter_queue(), frame.leave_queue()), (len, len));
        let others = [frame.share(), frame.share()];
        assert_eq!(others.each_ref().map(Frame::enter_queue), [len, 0]);
        assert_eq!(frame.enter_queue(), 0);
        assert_eq!(others.each_ref().map(Frame::leave_queue), [0, 0]);
        assert_eq!((frame.leave_queue(), frame.enter_queue()), (len, len));
    }

    #[test]
    fn a_control_frame_is_never_longer_than_the_protocol_allows() {
        assert_eq!(Frame::pong(&[7; 300]).payload().len(), 125);
        assert_eq!(Frame::close(Some((1001, "bye"))).payload(), b"\x03\xe9bye");
        assert_eq!(Frame::close(None).payload(), b"");
    }
}
