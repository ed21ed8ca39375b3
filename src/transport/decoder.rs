#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "each index was compared with the length just before")
)]

use std::ops::ControlFlow;

use super::{Disconnect, Event, close_code};

/// Turns a client's bytes into [`Event`]s (RFC 6455, section 5).
///
/// Whole frames are handed over out of the buffer they were read into, unmasked in place. Only an
/// incomplete frame, and the fragments of an unfinished message, are kept.
#[derive(Default)]
pub(super) struct Decoder {
    partial: Vec<u8>,
    fragments: Option<Box<Fragments>>,
}

struct Fragments {
    text: bool,
    payload: Vec<u8>,
}

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    header_len: usize,
    payload_len: usize,
}

mod opcode {
    pub(super) const CONTINUATION: u8 = 0x0;
    pub(super) const TEXT: u8 = 0x1;
    pub(super) const BINARY: u8 = 0x2;
    pub(super) const CLOSE: u8 = 0x8;
    pub(super) const PING: u8 = 0x9;
    pub(super) const PONG: u8 = 0xA;
}

const MAX_CONTROL_PAYLOAD: usize = 125;
const PROTOCOL: Disconnect = Disconnect::Violation(close_code::PROTOCOL);

type OnEvent<'a> = &'a mut dyn FnMut(Event<'_>) -> ControlFlow<()>;

impl Decoder {
    /// Decodes what was read. `max` is the most bytes of a message.
    pub(super) fn feed(
        &mut self,
        mut input: &mut [u8],
        max: usize,
        on_event: OnEvent<'_>,
    ) -> Result<(), Disconnect> {
        while !self.partial.is_empty() && !input.is_empty() {
            let taken = self.complete_partial(input, max)?;
            input = &mut input[taken..];
            if let Some(header) = self.whole_partial(max)? {
                let mut frame = std::mem::take(&mut self.partial);
                let payload = &mut frame[header.header_len..];
                if self.frame(&header, payload, max, on_event)?.is_break() {
                    return Ok(());
                }
            }
        }
        while let Some(header) = Header::parse(input, max)? {
            let end = header.header_len + header.payload_len;
            if input.len() < end {
                break;
            }
            let (frame, rest) = input.split_at_mut(end);
            let payload = &mut frame[header.header_len..];
            let flow = self.frame(&header, payload, max, on_event)?;
            input = rest;
            if flow.is_break() {
                return Ok(());
            }
        }
        self.partial.extend_from_slice(input);
        Ok(())
    }

    /// Moves input behind the incomplete frame: as much as is known to belong to it.
    fn complete_partial(&mut self, input: &[u8], max: usize) -> Result<usize, Disconnect> {
        // A header is not longer than this; until it is whole, its rest comes byte by byte.
        let wanted = match Header::parse(&self.partial, max)? {
            Some(header) => header.header_len + header.payload_len - self.partial.len(),
            None => 1,
        };
        let taken = wanted.min(input.len());
        self.partial.extend_from_slice(&input[..taken]);
        Ok(taken)
    }

    fn whole_partial(&self, max: usize) -> Result<Option<Header>, Disconnect> {
        let header = Header::parse(&self.partial, max)?;
        Ok(header.filter(|header| header.header_len + header.payload_len == self.partial.len()))
    }

    fn frame(
        &mut self,
        header: &Header,
        payload: &mut [u8],
        max: usize,
        on_event: OnEvent<'_>,
    ) -> Result<ControlFlow<()>, Disconnect> {
        unmask(payload, header.mask);
        match header.opcode {
            opcode::PING => Ok(on_event(Event::Ping(payload))),
            opcode::PONG => Ok(on_event(Event::Pong)),
            opcode::CLOSE => Err(closed(payload)),
            opcode::CONTINUATION => {
                let Some(mut fragments) = self.fragments.take() else {
                    return Err(PROTOCOL);
                };
                if fragments.payload.len() + payload.len() > max {
                    return Err(Disconnect::Violation(close_code::TOO_BIG));
                }
                fragments.payload.extend_from_slice(payload);
                if header.fin {
                    return message(fragments.text, &fragments.payload, on_event);
                }
                self.fragments = Some(fragments);
                Ok(ControlFlow::Continue(()))
            }
            _ if self.fragments.is_some() => Err(PROTOCOL),
            opcode => {
                let text = opcode == opcode::TEXT;
                if header.fin {
                    return message(text, payload, on_event);
                }
                self.fragments = Some(Box::new(Fragments { text, payload: payload.to_vec() }));
                Ok(ControlFlow::Continue(()))
            }
        }
    }
}

fn message(text: bool, payload: &[u8], on_event: OnEvent<'_>) -> Result<ControlFlow<()>, Disconnect> {
    if !text {
        return Ok(on_event(Event::Binary(payload)));
    }
    match std::str::from_utf8(payload) {
        Ok(text) => Ok(on_event(Event::Text(text))),
        Err(_) => Err(Disconnect::Violation(close_code::NOT_UTF8)),
    }
}

/// A bad close frame is one as well: no other is waited for.
fn closed(payload: &[u8]) -> Disconnect {
    Disconnect::Closed(match payload {
        [] => None,
        [high, low, reason @ ..] => match u16::from_be_bytes([*high, *low]) {
            1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(reason).is_err() => {
                Some(close_code::NOT_UTF8)
            }
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Some(code),
            _ => Some(close_code::PROTOCOL),
        },
        [_] => Some(close_code::PROTOCOL),
    })
}

impl Header {
    /// `None` if more bytes are needed. What is wrong in a header is found before its payload comes.
    fn parse(bytes: &[u8], max: usize) -> Result<Option<Self>, Disconnect> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let reserved = first & 0x70 != 0;
        let masked = second & 0x80 != 0;
        let short = usize::from(second & 0x7F);
        let control = opcode & 0x8 != 0;
        let known = matches!(opcode, opcode::CONTINUATION..=opcode::BINARY | opcode::CLOSE..=opcode::PONG);
        if reserved || !masked || !known || control && (!fin || short > MAX_CONTROL_PAYLOAD) {
            return Err(PROTOCOL);
        }
        let (payload_len, rest, length_len) = match (short, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest, 2),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest, 8)
            }
            (126 | 127, _) => return Ok(None),
            (short, rest) => (short as u64, rest, 0),
        };
        if payload_len >> 63 == 1 {
            return Err(PROTOCOL);
        }
        let payload_len = match usize::try_from(payload_len) {
            Ok(len) if len <= max || control => len,
            _ => return Err(Disconnect::Violation(close_code::TOO_BIG)),
        };
        let &[a, b, c, d, ..] = rest else {
            return Ok(None);
        };
        Ok(Some(Header { fin, opcode, mask: [a, b, c, d], header_len: 6 + length_len, payload_len }))
    }
}

/// Undoes the mask in wide words: eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
