//! The frames of a pipe, and records that are sealed in them: each once and in order.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::seal::{HEADER_BYTES, Key, TAG_BYTES};

const NEXT: u8 = 0;
const RECORD: u8 = 1;
const PING: u8 = 2;

const RECORD_HEAD: usize = 3;
/// The largest frame, and the most bytes of a message that one has.
pub(crate) const MAX_FRAME: usize = 65_536;
pub(crate) const MAX_PAYLOAD: usize = MAX_FRAME - HEADER_BYTES - TAG_BYTES - RECORD_HEAD;
/// The most bytes of records that a sender keeps.
const WINDOW: usize = 1 << 20;

/// The way in which the other end, or the broker, has broken the rules of a pipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// So many bytes are no frame.
    #[error("{0} bytes are no frame of a pipe")]
    Frame(usize),
    /// A record is missing, or comes twice.
    #[error("record {came} came where {expected} was expected")]
    Order {
        /// The number of the record.
        came: u64,
        /// The number that comes next.
        expected: u64,
    },
    /// The record with this number has another seal.
    #[error("record {0} is not what the other end has sealed")]
    Seal(u64),
    /// The other end acknowledges records that it cannot have.
    #[error("the other end expects record {0}, which it cannot")]
    Acknowledgement(u64),
}

/// The kind of a record. Of `Part`, another part follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Decision = 0,
    Open = 1,
    Text = 3,
    Binary = 4,
    Part = 5,
    Close = 6,
    End = 7,
}

/// A record, opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) channel: u16,
    pub(crate) payload: Bytes,
}

impl Record {
    fn read(mut plain: Bytes) -> Option<Self> {
        let kind = match plain.try_get_u8().ok()? {
            0 => Kind::Decision,
            1 => Kind::Open,
            3 => Kind::Text,
            4 => Kind::Binary,
            5 => Kind::Part,
            6 => Kind::Close,
            7 => Kind::End,
            _ => return None,
        };
        Some(Record { kind, channel: plain.try_get_u16().ok()?, payload: plain })
    }
}

/// A binary message of a pipe (docs/PROTOCOL.md).
#[derive(Debug)]
pub enum Frame {
    /// The records that an end has.
    Next {
        /// The number of the broker's latest OPEN.
        turn: u32,
        /// The number of the record that it expects.
        next: u64,
        /// True if it wants to hear the same of the other end.
        is_ping: bool,
    },
    /// A sealed record, with its header.
    Record(BytesMut),
}

impl Frame {
    /// Reads a message. Of a record, only the length is checked.
    pub fn read(bytes: Bytes) -> Result<Self, Broken> {
        let length = bytes.len();
        let least = HEADER_BYTES + RECORD_HEAD + TAG_BYTES;
        let mut read = bytes.clone();
        match read.try_get_u8() {
            Ok(kind @ (NEXT | PING)) => {
                let turn = read.try_get_u32();
                let next = read.try_get_u64();
                match (turn, next) {
                    (Ok(turn), Ok(next)) if read.is_empty() => {
                        Ok(Frame::Next { turn, next, is_ping: kind == PING })
                    }
                    _ => Err(Broken::Frame(length)),
                }
            }
            Ok(RECORD) if (least..=MAX_FRAME).contains(&length) => {
                drop(read);
                Ok(Frame::Record(BytesMut::from(bytes)))
            }
            _ => Err(Broken::Frame(length)),
        }
    }

    /// The bytes of a [`Frame::Next`].
    pub fn next(turn: u32, next: u64, is_ping: bool) -> Bytes {
        let kind = if is_ping { PING } else { NEXT };
        [&[kind][..], &turn.to_be_bytes(), &next.to_be_bytes()].concat().into()
    }
}

/// Keeps what is not acknowledged.
pub(crate) struct Sender {
    key: Key,
    counter: u64,
    kept: VecDeque<Bytes>,
    bytes: usize,
}

impl Sender {
    pub(crate) fn new(key: Key) -> Self {
        Sender { key, counter: 0, kept: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes + MAX_FRAME <= WINDOW
    }

    /// The frame of a record, which is kept until the other end has it.
    pub(crate) fn seal(&mut self, kind: Kind, channel: u16, payload: &[u8]) -> Option<Bytes> {
        let mut frame = Vec::with_capacity(HEADER_BYTES + RECORD_HEAD + payload.len() + TAG_BYTES);
        frame.push(RECORD);
        frame.extend_from_slice(&self.counter.to_be_bytes());
        frame.push(kind as u8);
        frame.extend_from_slice(&channel.to_be_bytes());
        frame.extend_from_slice(payload);
        self.key.seal(&mut frame)?;
        let frame = Bytes::from(frame);
        self.counter += 1;
        self.bytes += frame.len();
        self.kept.push_back(frame.clone());
        Some(frame)
    }

    /// The other end has all records before this one.
    pub(crate) fn acknowledge(&mut self, next: u64) -> Result<(), Broken> {
        let first = self.counter - self.kept.len() as u64;
        if !(first..=self.counter).contains(&next) {
            return Err(Broken::Acknowledgement(next));
        }
        for frame in self.kept.drain(..(next - first) as usize) {
            self.bytes -= frame.len();
        }
        Ok(())
    }

    /// The frames that the other end may not have.
    pub(crate) fn unacknowledged(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.kept.iter()
    }
}

/// Takes each record once.
pub(crate) struct Receiver {
    key: Key,
    /// The number of the record that comes next.
    pub(crate) next: u64,
}

impl Receiver {
    pub(crate) fn new(key: Key) -> Self {
        Receiver { key, next: 0 }
    }

    /// Opens a frame, if it is the next one and as its sender has sealed it.
    pub(crate) fn open(&mut self, mut frame: BytesMut) -> Result<Record, Broken> {
        let counter = frame.get(1..).and_then(|mut bytes| bytes.try_get_u64().ok());
        let came = counter.ok_or(Broken::Frame(frame.len()))?;
        if came != self.next {
            return Err(Broken::Order { came, expected: self.next });
        }
        let length = self.key.open(&mut frame).ok_or(Broken::Seal(came))?;
        frame.advance(HEADER_BYTES);
        frame.truncate(length);
        self.next += 1;
        Record::read(frame.freeze()).ok_or(Broken::Frame(length))
    }
}
