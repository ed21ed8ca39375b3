//! WebSocket frames as a client writes and reads them (RFC 6455, section 5).

pub mod opcode {
    pub const CONTINUATION: u8 = 0x0;
    pub const TEXT: u8 = 0x1;
    pub const BINARY: u8 = 0x2;
    pub const CLOSE: u8 = 0x8;
    pub const PING: u8 = 0x9;
    pub const PONG: u8 = 0xA;
}

pub const FIN: u8 = 0x80;
pub const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame that the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn opcode(&self) -> u8 {
        self.first & 0xF
    }

    /// Removes one complete frame from the front of `bytes`.
    pub fn take(bytes: &mut Vec<u8>) -> Option<Frame> {
        let &first = bytes.first()?;
        let &second = bytes.get(1)?;
        assert_eq!(second & MASKED, 0, "a server's frames are not masked");
        let (len, header) = match second {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 10),
            short => (u64::from(short), 2),
        };
        let end = header + usize::try_from(len).unwrap();
        let payload = bytes.get(header..end)?.to_vec();
        bytes.drain(..end);
        Some(Frame { first, payload })
    }
}

/// A masked frame; `first` is the first byte: FIN, reserved bits and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, MASKED, payload.len() as u64);
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A masked text frame.
pub fn text(text: &str) -> Vec<u8> {
    frame(FIN | opcode::TEXT, text.as_bytes())
}

/// A masked close frame.
pub fn close(code: Option<u16>, reason: &[u8]) -> Vec<u8> {
    let code = code.map(u16::to_be_bytes);
    let payload: Vec<u8> = code.iter().flatten().chain(reason).copied().collect();
    frame(FIN | opcode::CLOSE, &payload)
}

/// A frame without a mask, which only a broken client sends.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, 0, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes
}

/// The first two bytes and the length, without the masking key.
pub fn header(first: u8, masked: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..126 => bytes.push(masked | len as u8),
        126..65_536 => {
            bytes.push(masked | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend_from_slice(&len.to_be_bytes());
        }
    }
    bytes
}
