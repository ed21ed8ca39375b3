//! A socket in memory. Its other end reads as much as the test says.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use peerbroker_core::vocabulary::Frame;
use peerbroker_router::{Outbox, Writer};

/// The input of the client of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    /// The answer to the handshake, before the first frame.
    Handshake,
    Text(String),
    Ping,
    Pong,
    /// The close code, if there was one.
    Close(Option<u16>),
}

/// A stand-in for the response to the handshake.
pub const HANDSHAKE: &[u8] = b"HTTP/1.1 101\r\n\r\n";

/// Clones share the socket.
#[derive(Clone)]
pub struct Socket(Arc<Mutex<Wire>>);

/// Called for each complete frame, with the socket locked.
type OnHeard = Box<dyn FnMut(&Heard) + Send>;

struct Wire {
    /// Bytes that the kernel still takes.
    room: usize,
    /// It has refused bytes.
    was_full: bool,
    broken: bool,
    /// The start of an incomplete frame.
    partial: Vec<u8>,
    heard: Vec<Heard>,
    on_heard: Option<OnHeard>,
}

impl Socket {
    /// A socket that takes everything.
    pub fn open() -> Self {
        Self::with_room(usize::MAX)
    }

    /// A socket that takes this many bytes and then blocks.
    pub fn with_room(room: usize) -> Self {
        let partial = Vec::new();
        let heard = Vec::new();
        Socket(Arc::new(Mutex::new(Wire {
            room,
            was_full: false,
            broken: false,
            partial,
            heard,
            on_heard: None,
        })))
    }

    pub fn on_heard(self, on_heard: impl FnMut(&Heard) + Send + 'static) -> Self {
        self.0.lock().unwrap().on_heard = Some(Box::new(on_heard));
        self
    }

    /// An outbox for this socket, as of the server's own transport.
    pub fn outbox(&self, limit: usize) -> Outbox {
        let mut outbox = Outbox::new(limit, Some(Box::new(self.clone())));
        outbox.push_opening(Frame::raw(HANDSHAKE.to_vec()));
        outbox
    }

    pub fn set_room(&self, room: usize) {
        self.0.lock().unwrap().room = room;
    }

    /// True if it has ever refused bytes.
    pub fn was_full(&self) -> bool {
        self.0.lock().unwrap().was_full
    }

    /// Makes every later write fail.
    pub fn break_off(&self) {
        self.0.lock().unwrap().broken = true;
    }

    /// All complete frames.
    pub fn heard(&self) -> Vec<Heard> {
        self.0.lock().unwrap().heard.clone()
    }

    /// All complete texts.
    pub fn texts(&self) -> Vec<String> {
        let texts = self.heard().into_iter().filter_map(|heard| match heard {
            Heard::Text(text) => Some(text),
            _ => None,
        });
        texts.collect()
    }

    /// Bytes of an incomplete frame.
    pub fn partial(&self) -> usize {
        self.0.lock().unwrap().partial.len()
    }
}

impl Writer for Socket {
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.lock().unwrap();
        if wire.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if wire.room == 0 {
            wire.was_full = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        assert!(bytes.iter().any(|slice| !slice.is_empty()), "an empty write");
        let mut taken = 0;
        for slice in bytes {
            let count = slice.len().min(wire.room);
            if wire.room != usize::MAX {
                wire.room -= count;
            }
            wire.partial.extend_from_slice(&slice[..count]);
            taken += count;
        }
        wire.read();
        Ok(taken)
    }
}

impl Wire {
    /// Turns the input into frames.
    fn read(&mut self) {
        loop {
            let (heard, len) = if self.heard.is_empty() {
                if self.partial.len() < HANDSHAKE.len() {
                    return;
                }
                assert!(self.partial.starts_with(HANDSHAKE), "a connection begins with its handshake");
                (Heard::Handshake, HANDSHAKE.len())
            } else {
                match frame(&self.partial) {
                    Some(frame) => frame,
                    None => return,
                }
            };
            self.partial.drain(..len);
            if let Some(on_heard) = &mut self.on_heard {
                on_heard(&heard);
            }
            self.heard.push(heard);
        }
    }
}

/// The first frame, if it is complete, and its length. These tests have no frames over 65,535 bytes.
fn frame(bytes: &[u8]) -> Option<(Heard, usize)> {
    let &first = bytes.first()?;
    let &second = bytes.get(1)?;
    let (header, len) = match second {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(header..header + len)?;
    let heard = match first {
        0x81 => Heard::Text(String::from_utf8(payload.to_vec()).expect("text is UTF-8")),
        0x88 => Heard::Close(payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]))),
        0x89 => Heard::Ping,
        0x8A => Heard::Pong,
        other => panic!("{other:#x} begins no frame"),
    };
    Some((heard, header + len))
}
