//! Decodes the frames of a client (RFC 6455), and keeps its unfinished message.

#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "each index was compared with the length just before")
)]

#[cfg(test)]
mod tests;

use super::message_buffer::{MessageBuffer, MessageLimits};
use super::{Flow, OnEvent, SocketEvent, message};
use peerbroker_core::vocabulary::{CloseReason, Fragment, is_close_code};
use peerbroker_router::Disconnect;

/// Turns a client's bytes into [`SocketEvent`]s (RFC 6455, section 5).
///
/// A message in one frame and one read is unmasked in the read buffer and passed on without a copy. Payloads
/// of other messages are copied to a `MessageBuffer`.
pub struct Decoder {
    limits: MessageLimits,
    /// Boxed: most clients are idle, or send each message at once.
    unfinished: Option<Box<Unfinished>>,
    /// The decoder reads nothing after this.
    ended: Option<Disconnect>,
}

/// Input that is kept for the next read.
#[derive(Default)]
struct Unfinished {
    /// Parts of messages are passed on as they come, and nothing is kept of them. Such a decoder always has
    /// this struct.
    in_parts: bool,
    /// An incomplete header, or an incomplete control frame.
    partial: Vec<u8>,
    message: Option<PartialMessage>,
    /// The input behind the event at which the receiver stopped.
    unread: Option<Unread>,
}

/// Input that is not decoded yet.
struct Unread {
    input: MessageBuffer,
    /// The number of bytes that are decoded already.
    taken: usize,
}

/// An unfinished message.
struct PartialMessage {
    text: bool,
    /// Empty if the message is passed on in parts.
    payload: MessageBuffer,
    /// Bytes of its payload so far.
    len: usize,
    /// A part of it was passed on.
    has_begun: bool,
    /// The frame whose payload is incomplete.
    frame: Option<Frame>,
}

struct Frame {
    fin: bool,
    /// Rotated so that its first byte is for the next byte of payload.
    mask: [u8; 4],
    missing: usize,
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
const PROTOCOL: Disconnect = Disconnect::ByServer(CloseReason::ProtocolError);

impl Decoder {
    /// Decodes messages up to these limits.
    pub fn new(limits: MessageLimits) -> Self {
        Decoder { limits, unfinished: None, ended: None }
    }

    /// Passes on messages of several frames, or of several reads, in parts, as [`SocketEvent::Part`]: for
    /// connections whose messages are not read here.
    pub fn in_parts(mut self) -> Self {
        self.unfinished().in_parts = true;
        self
    }

    /// True if it passes on parts of messages.
    pub fn is_in_parts(&self) -> bool {
        self.unfinished.as_ref().is_some_and(|unfinished| unfinished.in_parts)
    }

    /// Begins with these bytes.
    pub fn with_input(mut self, input: &[u8]) -> Self {
        if !input.is_empty() {
            self.ended = self.keep(input).err();
        }
        self
    }

    /// Decodes the bytes of one read. [`resume`](Self::resume) must have returned `None`.
    pub fn feed(&mut self, input: &mut [u8], on_event: OnEvent<'_>) -> Result<(), Disconnect> {
        if let Some(ended) = self.ended {
            return Err(ended);
        }
        let decoded = self.decode(input, on_event);
        let kept = decoded.and_then(|taken| match input.get(taken..) {
            None | Some([]) => Ok(()),
            Some(rest) => self.keep(rest),
        });
        self.settle(kept)
    }

    /// Goes on with the input of an earlier read, if the receiver stopped before its end.
    // Inline, because nearly always nothing is unfinished.
    #[inline]
    pub fn resume(&mut self, on_event: OnEvent<'_>) -> Option<Result<(), Disconnect>> {
        if self.unfinished.is_none() { None } else { self.resume_unfinished(on_event) }
    }

    fn resume_unfinished(&mut self, on_event: OnEvent<'_>) -> Option<Result<(), Disconnect>> {
        let unfinished = self.unfinished.as_mut()?;
        if self.ended.is_none() && unfinished.unread.is_none() {
            return None;
        }
        let resumed = self.ended.map_or_else(|| self.go_on(on_event), Err);
        Some(self.settle(resumed))
    }

    fn go_on(&mut self, on_event: OnEvent<'_>) -> Result<(), Disconnect> {
        let Some(mut unread) = self.unfinished().unread.take() else { return Ok(()) };
        unread.taken += self.decode(&mut unread.input.bytes_mut()[unread.taken..], on_event)?;
        if unread.taken < unread.input.bytes().len() {
            self.unfinished().unread = Some(unread);
        }
        Ok(())
    }

    /// Decodes input until the receiver stops, and returns the number of bytes.
    fn decode(&mut self, mut input: &mut [u8], on_event: OnEvent<'_>) -> Result<usize, Disconnect> {
        let len = input.len();
        while !input.is_empty() {
            let (taken, flow) = self.step(input, on_event)?;
            input = &mut input[taken..];
            if flow.is_break() {
                break;
            }
        }
        Ok(len - input.len())
    }

    /// Keeps input for [`resume`](Self::resume).
    fn keep(&mut self, input: &[u8]) -> Result<(), Disconnect> {
        let unfinished = self.unfinished.get_or_insert_default();
        let input = MessageBuffer::copy(input, &self.limits)?;
        unfinished.unread = Some(Unread { input, taken: 0 });
        Ok(())
    }

    fn settle(&mut self, decoded: Result<(), Disconnect>) -> Result<(), Disconnect> {
        match decoded {
            Ok(()) => drop(self.unfinished.take_if(|unfinished| unfinished.is_empty())),
            Err(ended) => {
                self.unfinished = None;
                self.ended = Some(ended);
            }
        }
        decoded
    }

    /// Decodes one frame, or a part of one, and returns its size in bytes.
    fn step(&mut self, input: &mut [u8], on_event: OnEvent<'_>) -> Result<(usize, Flow), Disconnect> {
        if let Some(unfinished) = &mut self.unfinished {
            let message = unfinished.message.as_mut();
            if let Some(message) = message.filter(|message| message.frame.is_some()) {
                if unfinished.in_parts {
                    return Ok(self.pass_part(input, on_event));
                }
                let taken = message.receive(input, self.limits.max_message_bytes)?;
                return Ok((taken, self.end_frame(on_event)?));
            }
            if !unfinished.partial.is_empty() {
                return self.complete_partial(input, on_event);
            }
        }
        let Some(header) = self.header(input)? else {
            self.unfinished().partial.extend_from_slice(input);
            return Ok((input.len(), Flow::Continue(())));
        };
        let end = header.header_len + header.payload_len;
        match input.get_mut(header.header_len..end) {
            Some(payload) if header.is_control() => Ok((end, control(&header, payload, on_event)?)),
            Some(payload) if header.fin && self.message().is_none() => {
                unmask(payload, header.mask);
                let text = header.opcode == opcode::TEXT;
                Ok((end, message(text, payload, on_event)?))
            }
            None if header.is_control() => {
                self.unfinished().partial.extend_from_slice(input);
                Ok((input.len(), Flow::Continue(())))
            }
            _ => Ok((header.header_len, self.begin_frame(&header, on_event)?)),
        }
    }

    fn unfinished(&mut self) -> &mut Unfinished {
        self.unfinished.get_or_insert_default()
    }

    fn message(&self) -> Option<&PartialMessage> {
        self.unfinished.as_ref()?.message.as_ref()
    }

    /// Appends input to the incomplete header or control frame: as many bytes as certainly belong to it.
    fn complete_partial(&mut self, input: &[u8], on_event: OnEvent<'_>) -> Result<(usize, Flow), Disconnect> {
        let mut partial = std::mem::take(&mut self.unfinished().partial);
        // The length of a header is known only when it is complete, so append byte by byte.
        let wanted = match self.header(&partial)? {
            Some(header) => header.header_len + header.payload_len - partial.len(),
            None => 1,
        };
        let taken = wanted.min(input.len());
        partial.extend_from_slice(&input[..taken]);
        let flow = match self.header(&partial)? {
            Some(header) if !header.is_control() => self.begin_frame(&header, on_event)?,
            Some(header) if header.header_len + header.payload_len == partial.len() => {
                control(&header, &mut partial[header.header_len..], on_event)?
            }
            _ => {
                self.unfinished().partial = partial;
                Flow::Continue(())
            }
        };
        Ok((taken, flow))
    }

    /// Parses a header and checks it before its payload arrives.
    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Disconnect> {
        let begun = self.message().map_or(0, |message| message.len);
        let header =
            Header::parse(bytes, self.limits.max_message_bytes - begun).map_err(|ended| match bytes {
                // A close frame of more than 125 bytes. No valid one follows it, so none may be waited for.
                [0x88, 0xFE | 0xFF, ..] => Disconnect::Closed(CloseReason::ProtocolError.ending().code),
                _ => ended,
            })?;
        let fits = |header: &Header| {
            header.is_control() || (header.opcode == opcode::CONTINUATION) == self.message().is_some()
        };
        if header.as_ref().is_none_or(fits) { Ok(header) } else { Err(PROTOCOL) }
    }

    fn begin_frame(&mut self, header: &Header, on_event: OnEvent<'_>) -> Result<Flow, Disconnect> {
        let limits = &self.limits;
        let unfinished = self.unfinished.get_or_insert_default();
        let message = unfinished.message.get_or_insert_with(|| {
            let text = header.opcode == opcode::TEXT;
            let payload = MessageBuffer::new(limits);
            PartialMessage { text, payload, len: 0, has_begun: false, frame: None }
        });
        let &Header { fin, mask, payload_len: missing, .. } = header;
        message.frame = Some(Frame { fin, mask, missing });
        match unfinished.in_parts {
            // A frame without a payload is a part too: it may be the last.
            true if missing == 0 => Ok(self.pass_part(&mut [], on_event).1),
            true => Ok(Flow::Continue(())),
            false => self.end_frame(on_event),
        }
    }

    /// Passes on the part of the unfinished frame that is in `input`, and returns its size in bytes.
    fn pass_part(&mut self, input: &mut [u8], on_event: OnEvent<'_>) -> (usize, Flow) {
        let unfinished = self.unfinished();
        let Some(message) = &mut unfinished.message else { return (0, Flow::Continue(())) };
        let Some(frame) = &mut message.frame else { return (0, Flow::Continue(())) };
        let taken = frame.missing.min(input.len());
        let part = &mut input[..taken];
        unmask(part, frame.mask);
        frame.mask.rotate_left(taken % 4);
        frame.missing -= taken;
        let is_whole = frame.missing == 0;
        let place = Fragment { is_first: !message.has_begun, is_last: is_whole && frame.fin };
        message.has_begun = true;
        message.len += taken;
        let text = message.text;
        if is_whole {
            message.frame = None;
        }
        if place.is_last {
            unfinished.message = None;
        }
        (taken, on_event(SocketEvent::Part { text, bytes: part, place }))
    }

    /// Ends the frame if it is complete, and passes the message on if that is complete too.
    fn end_frame(&mut self, on_event: OnEvent<'_>) -> Result<Flow, Disconnect> {
        let whole = |frame: &mut Frame| frame.missing == 0;
        let unfinished = self.unfinished();
        let frame = unfinished.message.as_mut().and_then(|message| message.frame.take_if(whole));
        match unfinished.message.take_if(|_| frame.as_ref().is_some_and(|frame| frame.fin)) {
            Some(whole) => message(whole.text, whole.payload.bytes(), on_event),
            None if frame.is_some() => Ok(on_event(SocketEvent::Fragment)),
            None => Ok(Flow::Continue(())),
        }
    }
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        let Unfinished { in_parts, partial, message, unread } = self;
        !in_parts && partial.is_empty() && message.is_none() && unread.is_none()
    }
}

impl PartialMessage {
    /// Appends the part of the frame that is in `input`, and returns its size in bytes.
    fn receive(&mut self, input: &[u8], max: usize) -> Result<usize, Disconnect> {
        let Some(frame) = &mut self.frame else { return Ok(0) };
        let max_len = if frame.fin { self.len + frame.missing } else { max };
        let taken = frame.missing.min(input.len());
        unmask(self.payload.push(&input[..taken], max_len)?, frame.mask);
        frame.mask.rotate_left(taken % 4);
        frame.missing -= taken;
        self.len += taken;
        Ok(taken)
    }
}

fn control(header: &Header, payload: &mut [u8], on_event: OnEvent<'_>) -> Result<Flow, Disconnect> {
    unmask(payload, header.mask);
    match header.opcode {
        opcode::PING => Ok(on_event(SocketEvent::Ping(payload))),
        opcode::PONG => Ok(on_event(SocketEvent::Pong)),
        _ => Err(closed(payload)),
    }
}

/// An invalid close frame closes the connection as well.
fn closed(payload: &[u8]) -> Disconnect {
    Disconnect::Closed(match payload {
        [] => None,
        [high, low, reason @ ..] => match u16::from_be_bytes([*high, *low]) {
            code if !is_close_code(code) => CloseReason::ProtocolError.ending().code,
            _ if std::str::from_utf8(reason).is_err() => CloseReason::NotUtf8.ending().code,
            code => Some(code),
        },
        [_] => CloseReason::ProtocolError.ending().code,
    })
}

impl Header {
    fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }

    /// Returns `None` if more bytes are needed. Checks the header before its payload arrives.
    fn parse(bytes: &[u8], max: usize) -> Result<Option<Self>, Disconnect> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let fin = first & 0x80 != 0;
        let opcode = first & 0x0F;
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
            _ => return Err(Disconnect::ByServer(CloseReason::TooBig)),
        };
        let &[a, b, c, d, ..] = rest else { return Ok(None) };
        Ok(Some(Header { fin, opcode, mask: [a, b, c, d], header_len: 6 + length_len, payload_len }))
    }
}

/// Unmasks the payload, eight bytes at a time.
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
