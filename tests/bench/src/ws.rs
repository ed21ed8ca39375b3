//! The part of RFC 6455 that a load generator and a yardstick need: unfragmented frames.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

pub const TEXT: OpCode = OpCode::Data(Data::Text);
pub const BINARY: OpCode = OpCode::Data(Data::Binary);
pub const CLOSE: OpCode = OpCode::Control(Control::Close);
pub const PING: OpCode = OpCode::Control(Control::Ping);
pub const PONG: OpCode = OpCode::Control(Control::Pong);

/// The handshake key of all clients of the load generator, and the response to it. Constant, so that
/// neither the load generator nor the yardstick spends time on a hash.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// Not zero, so that servers really have to unmask.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The head of the first frame in `bytes`, and where its payload is, if that frame is complete.
pub fn whole_frame(bytes: &[u8]) -> Option<(FrameHeader, std::ops::Range<usize>)> {
    let mut cursor = Cursor::new(bytes);
    let (header, len) = FrameHeader::parse(&mut cursor).ok()??;
    let start = cursor.position() as usize;
    let end = start + len as usize;
    (bytes.len() >= end).then_some((header, start..end))
}

/// A frame as clients send it: masked.
pub fn client_frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    push_header(&mut frame, opcode, payload.len(), Some(MASK));
    let start = frame.len();
    frame.extend_from_slice(payload);
    unmask(&mut frame[start..], MASK);
    frame
}

/// Appends a frame as servers send it; the payload comes in parts.
pub fn push_server_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[&[u8]]) {
    let len = payload.iter().map(|part| part.len()).sum();
    out.reserve(len + 10);
    push_header(out, opcode, len, None);
    payload.iter().for_each(|part| out.extend_from_slice(part));
}

fn push_header(out: &mut Vec<u8>, opcode: OpCode, len: usize, mask: Option<[u8; 4]>) {
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    header.format(len as u64, out).expect("a Vec takes every byte");
}

/// Masks or unmasks, eight bytes at a time.
pub fn unmask(payload: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d].into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// The start of a frame whose rest has not come yet. Empty, it owns no memory.
#[derive(Default)]
pub struct Inbox(Vec<u8>);

impl Inbox {
    /// Shows `understand` the input behind what is left of the input before. It returns how many bytes it
    /// used.
    pub fn take<T>(&mut self, input: &mut [u8], understand: impl FnOnce(&mut [u8]) -> (usize, T)) -> T {
        if self.0.is_empty() {
            let (used, result) = understand(input);
            self.0.extend_from_slice(&input[used..]);
            return result;
        }
        self.0.extend_from_slice(input);
        let (used, result) = understand(&mut self.0);
        self.0.drain(..used);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        result
    }
}

/// The position after the head of an HTTP message, if all of it is there.
pub fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4)
}
