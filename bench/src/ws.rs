//! The part of RFC 6455 that a load generator and a yardstick need: unfragmented frames.

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// The handshake key of all clients of the load generator, and the response to it. Constant, so that
/// neither the load generator nor the yardstick spends time on a hash.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

// Not zero, so that servers really have to unmask.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    pub header_len: usize,
    pub payload_len: usize,
}

impl Header {
    /// `None` if more bytes are needed.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[first, second, ref rest @ ..] = bytes else { return None };
        let (payload_len, rest, length_len) = match (second & 0x7F, rest) {
            (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest, 2),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize, rest, 8)
            }
            (126 | 127, _) => return None,
            (short, rest) => (usize::from(short), rest, 0),
        };
        let (mask, mask_len) = match (second & 0x80 != 0, rest) {
            (false, _) => (None, 0),
            (true, [a, b, c, d, ..]) => (Some([*a, *b, *c, *d]), 4),
            (true, _) => return None,
        };
        Some(Header { opcode: first & 0x0F, mask, header_len: 2 + length_len + mask_len, payload_len })
    }

    /// Bytes of the whole frame.
    pub fn frame_len(&self) -> usize {
        self.header_len + self.payload_len
    }
}

/// The header of the first frame in `bytes`, if that frame is complete.
pub fn whole_frame(bytes: &[u8]) -> Option<Header> {
    Header::parse(bytes).filter(|header| bytes.len() >= header.frame_len())
}

/// A frame as clients send it: masked.
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    push_header(&mut frame, opcode, payload.len(), 0x80);
    frame.extend_from_slice(&MASK);
    let start = frame.len();
    frame.extend_from_slice(payload);
    unmask(&mut frame[start..], MASK);
    frame
}

/// Appends a frame as servers send it; the payload comes in parts.
pub fn push_server_frame(out: &mut Vec<u8>, opcode: u8, payload: &[&[u8]]) {
    let len = payload.iter().map(|part| part.len()).sum();
    out.reserve(len + 10);
    push_header(out, opcode, len, 0);
    for part in payload {
        out.extend_from_slice(part);
    }
}

fn push_header(out: &mut Vec<u8>, opcode: u8, len: usize, masked: u8) {
    out.push(0x80 | opcode);
    if len < 126 {
        out.push(masked | len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(masked | 126);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(masked | 127);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_frame_of_any_length_can_be_read_back() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut frame = client_frame(TEXT, &payload);
            let header = whole_frame(&frame).unwrap();
            assert_eq!((header.opcode, header.payload_len, header.frame_len()), (TEXT, len, frame.len()));
            assert_eq!(whole_frame(&frame[..frame.len() - 1]), None);
            unmask(&mut frame[header.header_len..], header.mask.unwrap());
            assert_eq!(frame[header.header_len..], payload);
        }
    }

    #[test]
    fn a_server_frame_joins_its_parts() {
        let mut out = Vec::new();
        push_server_frame(&mut out, TEXT, &[b"ab", b"c"]);
        assert_eq!(out, b"\x81\x03abc");
    }
}
