//! Tests of the decoder, with the frames of a client written by hand.

mod bounds;
mod messages;
mod parts;
mod violations;

use peerbroker_core::vocabulary::CloseReason;
use std::sync::Arc;

use super::*;
use peerbroker_limits::Quota;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const MAX: usize = 100_000;

const TOO_BIG: Result<(), Disconnect> = Err(Disconnect::ByServer(CloseReason::TooBig));
const TRY_AGAIN_LATER: Result<(), Disconnect> = Err(Disconnect::ByServer(CloseReason::TryAgainLater));
const NOT_UTF8: Result<(), Disconnect> = Err(Disconnect::ByServer(CloseReason::NotUtf8));
const BROKEN: Result<(), Disconnect> = Err(PROTOCOL);

/// An owned [`SocketEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Part(Vec<u8>, Fragment),
    Fragment,
}

fn text(text: &str) -> Got {
    Got::Text(text.to_owned())
}

fn got(event: SocketEvent<'_>) -> Got {
    match event {
        SocketEvent::Text(text) => Got::Text(text.to_owned()),
        SocketEvent::Binary(bytes) => Got::Binary(bytes.to_vec()),
        SocketEvent::Ping(payload) => Got::Ping(payload.to_vec()),
        SocketEvent::Pong => Got::Pong,
        SocketEvent::Part { bytes, place, .. } => Got::Part(bytes.to_vec(), place),
        SocketEvent::Fragment => Got::Fragment,
    }
}

/// The encoding of the payload length (RFC 6455, section 5.2).
#[derive(Clone, Copy, Debug)]
enum Width {
    Seven,
    Sixteen,
    SixtyFour,
}

impl Width {
    const ALL: [Width; 3] = [Width::Seven, Width::Sixteen, Width::SixtyFour];

    fn fits(self, len: usize) -> bool {
        match self {
            Width::Seven => len < 126,
            Width::Sixteen => len < 1 << 16,
            Width::SixtyFour => true,
        }
    }

    fn least(len: usize) -> Self {
        Self::ALL.into_iter().find(|width| width.fits(len)).unwrap()
    }
}

/// A header without its mask.
fn head(first: u8, width: Width, len: u64) -> Vec<u8> {
    match width {
        Width::Seven => vec![first, MASKED | len as u8],
        Width::Sixteen => [&[first, MASKED | 126][..], &(len as u16).to_be_bytes()].concat(),
        Width::SixtyFour => [&[first, MASKED | 127][..], &len.to_be_bytes()].concat(),
    }
}

/// A header with its mask.
fn header(first: u8, len: usize) -> Vec<u8> {
    [head(first, Width::least(len), len as u64), MASK.to_vec()].concat()
}

fn frame_in(width: Width, first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, width, payload.len() as u64);
    bytes.extend(mask);
    // Byte by byte, unlike the decoder.
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    bytes
}

/// `first` is FIN, the reserved bits and the opcode.
fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    frame_in(Width::least(payload.len()), first, MASK, payload)
}

fn whole(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FIN | opcode, payload)
}

fn limits(max_message_bytes: usize, quota: &Arc<Quota>) -> MessageLimits {
    MessageLimits { max_message_bytes, unfinished: Arc::clone(quota), permit: None }
}

fn decoder(max_message_bytes: usize, quota: &Arc<Quota>) -> Decoder {
    Decoder::new(limits(max_message_bytes, quota))
}

fn feed(decoder: &mut Decoder, bytes: &[u8]) -> (Vec<Got>, Result<(), Disconnect>) {
    let mut events = Vec::new();
    let ended = decoder.feed(&mut bytes.to_vec(), &mut |event| {
        events.push(got(event));
        Flow::Continue(())
    });
    (events, ended)
}

/// Decodes bytes in pieces of a given size.
fn decode_in(size: usize, bytes: &[u8]) -> (Vec<Got>, Result<(), Disconnect>) {
    let quota = Quota::new(usize::MAX);
    let mut decoder = decoder(MAX, &quota);
    let mut events = Vec::new();
    let mut ended = Ok(());
    for piece in bytes.chunks(size) {
        let some = feed(&mut decoder, piece);
        events.extend(some.0);
        ended = some.1;
        if ended.is_err() {
            assert_eq!(
                feed(&mut decoder, &whole(opcode::TEXT, "x")),
                (vec![], ended),
                "nothing is read after that"
            );
            break;
        }
    }
    drop(decoder);
    assert_eq!(quota.used(), 0, "all is given back");
    (events, ended)
}

/// Decodes bytes, and checks that the result is the same at once and byte by byte.
fn decode(bytes: &[u8]) -> (Vec<Got>, Result<(), Disconnect>) {
    let at_once = decode_in(bytes.len().max(1), bytes);
    assert_eq!(decode_in(1, bytes), at_once, "byte by byte");
    at_once
}
