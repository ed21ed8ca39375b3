#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "each index was compared with the length just before")
)]

use std::ops::ControlFlow;

use super::unfinished::Unfinished;
use super::{Bounds, Disconnect, Event, message};
use crate::wire::CloseReason;

/// Turns a client's bytes into [`Event`]s (RFC 6455, section 5).
///
/// A message that is one frame and came with one read is handed over out of the buffer it was read into,
/// unmasked in place. The payload of any other goes straight to where its message is put together.
pub(crate) struct Decoder {
    bounds: Bounds,
    /// An incomplete header, or an incomplete control frame.
    partial: Vec<u8>,
    message: Option<Box<Message>>,
    /// Nothing is read after that.
    ended: Option<Disconnect>,
}

/// An unfinished message.
struct Message {
    text: bool,
    payload: Unfinished,
    /// The frame that is coming.
    frame: Option<Frame>,
}

struct Frame {
    fin: bool,
    /// Begins with the byte for the next byte of payload.
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
const PROTOCOL: Disconnect = Disconnect::Violation(CloseReason::ProtocolError);

type OnEvent<'a> = &'a mut dyn FnMut(Event<'_>) -> ControlFlow<()>;

impl Decoder {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Decoder { bounds, partial: Vec::new(), message: None, ended: None }
    }

    /// Decodes what was read.
    pub(crate) fn feed(&mut self, mut input: &mut [u8], on_event: OnEvent<'_>) -> Result<(), Disconnect> {
        if let Some(ended) = self.ended {
            return Err(ended);
        }
        while !input.is_empty() {
            match self.step(input, on_event) {
                Ok((taken, ControlFlow::Continue(()))) => input = &mut input[taken..],
                Ok((_, ControlFlow::Break(()))) => break,
                Err(ended) => {
                    self.partial = Vec::new();
                    self.message = None;
                    self.ended = Some(ended);
                    return Err(ended);
                }
            }
        }
        Ok(())
    }

    /// Decodes one frame, or a part of one. Says how many bytes that was.
    fn step(
        &mut self,
        input: &mut [u8],
        on_event: OnEvent<'_>,
    ) -> Result<(usize, ControlFlow<()>), Disconnect> {
        if let Some(message) = self.message.as_mut().filter(|message| message.frame.is_some()) {
            let taken = message.receive(input, self.bounds.max_message_bytes)?;
            return Ok((taken, self.end_frame(on_event)?));
        }
        if !self.partial.is_empty() {
            return self.complete_partial(input, on_event);
        }
        let Some(header) = self.header(input)? else {
            self.partial.extend_from_slice(input);
            return Ok((input.len(), ControlFlow::Continue(())));
        };
        let end = header.header_len + header.payload_len;
        match input.get_mut(header.header_len..end) {
            Some(payload) if header.is_control() => Ok((end, control(&header, payload, on_event)?)),
            Some(payload) if header.fin && self.message.is_none() => {
                unmask(payload, header.mask);
                Ok((end, message(header.opcode == opcode::TEXT, payload, on_event)?))
            }
            None if header.is_control() => {
                self.partial.extend_from_slice(input);
                Ok((input.len(), ControlFlow::Continue(())))
            }
            _ => Ok((header.header_len, self.begin_frame(&header, on_event)?)),
        }
    }

    /// Moves input behind what is incomplete: as much as is known to belong to it.
    fn complete_partial(
        &mut self,
        input: &[u8],
        on_event: OnEvent<'_>,
    ) -> Result<(usize, ControlFlow<()>), Disconnect> {
        // Until a header is whole, its rest comes byte by byte.
        let wanted = match self.header(&self.partial)? {
            Some(header) => header.header_len + header.payload_len - self.partial.len(),
            None => 1,
        };
        let taken = wanted.min(input.len());
        self.partial.extend_from_slice(&input[..taken]);
        let flow = match self.header(&self.partial)? {
            Some(header) if !header.is_control() => {
                self.partial = Vec::new();
                self.begin_frame(&header, on_event)?
            }
            Some(header) if header.header_len + header.payload_len == self.partial.len() => {
                let mut frame = std::mem::take(&mut self.partial);
                control(&header, &mut frame[header.header_len..], on_event)?
            }
            _ => ControlFlow::Continue(()),
        };
        Ok((taken, flow))
    }

    /// Reads a header and finds what is wrong with it before its payload comes.
    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Disconnect> {
        let begun = self.message.as_ref().map_or(0, |message| message.payload.len());
        let header = Header::parse(bytes, self.bounds.max_message_bytes - begun)?;
        let fits = |header: &Header| {
            header.is_control() || (header.opcode == opcode::CONTINUATION) == self.message.is_some()
        };
        if header.as_ref().is_none_or(fits) { Ok(header) } else { Err(PROTOCOL) }
    }

    fn begin_frame(&mut self, header: &Header, on_event: OnEvent<'_>) -> Result<ControlFlow<()>, Disconnect> {
        let quota = &self.bounds.unfinished;
        let message = self.message.get_or_insert_with(|| {
            let (text, payload) = (header.opcode == opcode::TEXT, Unfinished::new(quota));
            Box::new(Message { text, payload, frame: None })
        });
        let &Header { fin, mask, payload_len: missing, .. } = header;
        message.frame = Some(Frame { fin, mask, missing });
        self.end_frame(on_event)
    }

    /// If the frame is whole, goes on; if the message is whole, hands it over.
    fn end_frame(&mut self, on_event: OnEvent<'_>) -> Result<ControlFlow<()>, Disconnect> {
        let whole = |frame: &mut Frame| frame.missing == 0;
        let frame = self.message.as_mut().and_then(|message| message.frame.take_if(whole));
        match self.message.take_if(|_| frame.as_ref().is_some_and(|frame| frame.fin)) {
            Some(whole) => message(whole.text, whole.payload.bytes(), on_event),
            None if frame.is_some() => Ok(on_event(Event::Fragment)),
            None => Ok(ControlFlow::Continue(())),
        }
    }
}

impl Message {
    /// Takes what came of the frame.
    fn receive(&mut self, input: &[u8], max: usize) -> Result<usize, Disconnect> {
        let Some(frame) = &mut self.frame else { return Ok(0) };
        let most = if frame.fin { self.payload.len() + frame.missing } else { max };
        let taken = frame.missing.min(input.len());
        unmask(self.payload.push(&input[..taken], most)?, frame.mask);
        frame.mask.rotate_left(taken % 4);
        frame.missing -= taken;
        Ok(taken)
    }
}

fn control(
    header: &Header,
    payload: &mut [u8],
    on_event: OnEvent<'_>,
) -> Result<ControlFlow<()>, Disconnect> {
    unmask(payload, header.mask);
    match header.opcode {
        opcode::PING => Ok(on_event(Event::Ping(payload))),
        opcode::PONG => Ok(on_event(Event::Pong)),
        _ => Err(closed(payload)),
    }
}

/// A bad close frame is one as well: no other is waited for.
fn closed(payload: &[u8]) -> Disconnect {
    Disconnect::Closed(match payload {
        [] => None,
        [high, low, reason @ ..] => match u16::from_be_bytes([*high, *low]) {
            1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(reason).is_err() => {
                CloseReason::NotUtf8.ending().code
            }
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Some(code),
            _ => CloseReason::ProtocolError.ending().code,
        },
        [_] => CloseReason::ProtocolError.ending().code,
    })
}

fn is_control(opcode: u8) -> bool {
    opcode & 0x8 != 0
}

impl Header {
    fn is_control(&self) -> bool {
        is_control(self.opcode)
    }

    /// `None` if more bytes are needed. What is wrong in a header is found before its payload comes.
    fn parse(bytes: &[u8], max: usize) -> Result<Option<Self>, Disconnect> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let reserved = first & 0x70 != 0;
        let masked = second & 0x80 != 0;
        let short = usize::from(second & 0x7F);
        let control = is_control(opcode);
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
            _ => return Err(Disconnect::Violation(CloseReason::TooBig)),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::limits::Quota;

    const MASK: [u8; 4] = [1, 2, 3, 4];
    const TOO_BIG: Result<(), Disconnect> = Err(Disconnect::Violation(CloseReason::TooBig));
    const TRY_AGAIN_LATER: Result<(), Disconnect> = Err(Disconnect::Violation(CloseReason::TryAgainLater));

    /// As 16 bits wide as need be.
    fn header(first: u8, len: usize) -> Vec<u8> {
        let len = u16::try_from(len).unwrap().to_be_bytes();
        [&[first, 0x80 | 126][..], &len, &MASK].concat()
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        unmask(&mut payload, MASK);
        [header(first, payload.len()), payload].concat()
    }

    fn decoder(max_message_bytes: usize, quota: &Arc<Quota>) -> Decoder {
        Decoder::new(Bounds { max_message_bytes, unfinished: Arc::clone(quota) })
    }

    fn feed(decoder: &mut Decoder, bytes: &[u8]) -> (Vec<String>, Result<(), Disconnect>) {
        let mut events = Vec::new();
        let ended = decoder.feed(&mut bytes.to_vec(), &mut |event| {
            events.push(format!("{event:?}"));
            ControlFlow::Continue(())
        });
        (events, ended)
    }

    #[test]
    fn the_same_comes_out_however_the_bytes_come_in() {
        let quota = Quota::new(0);
        let bytes = [
            frame(0x81, "plain".as_bytes()),
            frame(0x01, "in é".as_bytes()),
            [&[0x89, 0x84][..], &MASK, &[b'p' ^ 1, b'i' ^ 2, b'n' ^ 3, b'g' ^ 4]].concat(),
            frame(0x00, b""),
            frame(0x80, b" parts"),
            frame(0x02, &[0; 300]),
            frame(0x80, &[1; 301]),
            frame(0x82, b""),
        ]
        .concat();
        let (whole, ended) = feed(&mut decoder(1000, &quota), &bytes);
        assert_eq!((whole.len(), ended), (8, Ok(())));
        for size in 1..bytes.len() {
            let (mut decoder, mut events) = (decoder(1000, &quota), Vec::new());
            for chop in bytes.chunks(size) {
                let (some, ended) = feed(&mut decoder, chop);
                assert_eq!(ended, Ok(()));
                events.extend(some);
            }
            assert_eq!(events, whole, "in pieces of {size}");
            assert!(decoder.partial.is_empty() && decoder.message.is_none(), "nothing is kept");
        }
    }

    #[test]
    fn the_sum_of_fragments_is_checked_before_the_payload_comes() {
        let mut decoder = decoder(1000, &Quota::new(0));
        assert_eq!(feed(&mut decoder, &frame(0x01, &[b'x'; 600])).1, Ok(()));
        assert_eq!(feed(&mut decoder, &frame(0x00, &[b'x'; 399])).1, Ok(()));
        assert_eq!(feed(&mut decoder, &header(0x00, 2)).1, TOO_BIG);
        assert!(decoder.message.is_none(), "nothing is kept");
        assert_eq!(feed(&mut decoder, &frame(0x81, b"x")), (vec![], TOO_BIG), "nothing is read after that");
    }

    #[test]
    fn a_frame_out_of_order_is_refused_before_its_payload_comes() {
        let mut stray = decoder(1000, &Quota::new(0));
        assert_eq!(feed(&mut stray, &header(0x80, 600)).1, Err(PROTOCOL));
        let mut within = decoder(1000, &Quota::new(0));
        assert_eq!(feed(&mut within, &[frame(0x01, b"x"), header(0x81, 600)].concat()).1, Err(PROTOCOL));
    }

    #[test]
    fn what_is_unfinished_is_charged_once_and_given_back() {
        let quota = Quota::new(100_000);
        let mut one = decoder(60_000, &quota);
        // A frame that is not whole, behind one that is.
        feed(&mut one, &frame(0x01, &[b'x'; 30_000])).1.unwrap();
        feed(&mut one, &[header(0x00, 30_000), vec![b'x'; 29_000]].concat()).1.unwrap();
        let used = quota.used();
        assert!(
            (43_000..=44_000).contains(&used),
            "{used} of 59,000 and none twice, without the first 16 KiB"
        );
        let mut others: Vec<_> = (0..3).map(|_| decoder(60_000, &quota)).collect();
        let refused = others.iter_mut().filter_map(|other| {
            let ended = feed(other, &[header(0x82, 60_000), vec![0; 50_000]].concat()).1;
            (ended == TRY_AGAIN_LATER).then_some(())
        });
        assert_eq!(refused.count(), 2);
        // Small messages come through all the same, in whatever pieces.
        let mut small = decoder(60_000, &quota);
        for byte in frame(0x81, &[b'x'; 10_000]) {
            feed(&mut small, &[byte]).1.unwrap();
        }
        drop(others);
        assert_eq!(quota.used(), used);
        let (events, ended) = feed(&mut one, &[vec![b'x'; 1000], frame(0x80, b"")].concat());
        assert_eq!((events.len(), ended), (2, Ok(())));
        assert_eq!(quota.used(), 0);
    }
}
