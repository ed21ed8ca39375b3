//! One client: the handshake, OPEN unless it is a guest, and then messages, which are counted.

use std::io;
use std::net::{Shutdown, SocketAddr};

use crate::link::Link;
use crate::ws::{self, Inbox};

pub struct Peer {
    pub(super) link: Link,
    pub(super) phase: Phase,
    pub(super) leaving: bool,
    is_guest: bool,
    /// False if it has stopped reading.
    pub reads: bool,
    inbox: Inbox,
    outbox: Vec<u8>,
    sent: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for the response to the handshake.
    Upgrading,
    /// Waits for OPEN.
    Greeting,
    Open,
    /// The server has ended the connection.
    Gone,
}

impl Peer {
    pub(super) fn new(link: Link, id: &str, server: SocketAddr) -> Self {
        Peer::at(&format!("/peerjs?key=peerjs&id={id}&token=t{id}&version=1.5.5"), link, server)
    }

    /// A client that is open without OPEN.
    pub(super) fn guest(link: Link, server: SocketAddr) -> Self {
        Peer { is_guest: true, ..Peer::at("/", link, server) }
    }

    fn at(path: &str, link: Link, server: SocketAddr) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://localhost\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
            ws::KEY
        );
        Peer {
            link,
            phase: Phase::Upgrading,
            leaving: false,
            is_guest: false,
            reads: true,
            inbox: Inbox::default(),
            outbox: request.into_bytes(),
            sent: 0,
        }
    }

    /// Appends a frame to its output.
    pub fn queue(&mut self, frame: &[u8]) {
        self.outbox.extend_from_slice(frame);
    }

    pub fn send(&mut self, frame: &[u8]) {
        self.queue(frame);
        self.flush();
    }

    /// Bytes that it has not sent yet.
    pub fn backlog(&self) -> usize {
        self.outbox.len() - self.sent
    }

    /// Sends what the kernel takes now.
    pub fn flush(&mut self) {
        while self.sent < self.outbox.len() {
            match self.link.write(&self.outbox[self.sent..]) {
                Ok(0) => break,
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not connected yet, or full. The next read notices a broken connection.
                Err(_) => return,
            }
        }
        self.outbox.clear();
        self.sent = 0;
        let _ = self.link.flush();
    }

    pub(super) fn leave(&mut self, with_a_close_frame: bool) {
        self.leaving = true;
        if with_a_close_frame {
            self.send(&ws::client_frame(ws::CLOSE, &1001_u16.to_be_bytes()));
        } else {
            let _ = self.link.stream.shutdown(Shutdown::Write);
        }
    }

    /// Reads all available input and returns the number of messages.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> usize {
        let mut messages = 0;
        loop {
            match self.link.read(scratch) {
                Ok(0) => self.phase = Phase::Gone,
                Ok(count) => {
                    messages += self.take(&mut scratch[..count]);
                    if count == scratch.len() || !self.link.short_read_is_last() {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {}
                Err(_) => self.phase = Phase::Gone,
            }
            break;
        }
        self.flush();
        messages
    }

    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let mut inbox = std::mem::take(&mut self.inbox);
        let messages = inbox.take(bytes, |bytes| self.understand(bytes));
        self.inbox = inbox;
        messages
    }

    /// Returns the number of consumed bytes and the number of messages in them.
    fn understand(&mut self, bytes: &[u8]) -> (usize, usize) {
        let mut used = 0;
        let mut messages = 0;
        if self.phase == Phase::Upgrading {
            let Some(end) = ws::end_of_head(bytes) else { return (0, 0) };
            let accepted = bytes.starts_with(b"HTTP/1.1 101");
            self.phase = match self.is_guest {
                _ if !accepted => Phase::Gone,
                true => Phase::Open,
                false => Phase::Greeting,
            };
            used = end;
        }
        while let Some((header, at)) = ws::whole_frame(&bytes[used..]) {
            let payload = &bytes[used..][at.clone()];
            used += at.end;
            match (header.opcode, self.phase) {
                (ws::TEXT, Phase::Greeting) if payload == br#"{"type":"OPEN"}"# => self.phase = Phase::Open,
                (ws::TEXT, Phase::Open) => messages += 1,
                (ws::PING, _) => self.queue(&ws::client_frame(ws::PONG, payload)),
                // The server's close frame, or its answer to ours. Its EOF follows.
                (ws::CLOSE, _) if self.leaving => {
                    let _ = self.link.stream.shutdown(Shutdown::Write);
                }
                _ => self.phase = Phase::Gone,
            }
        }
        (used, messages)
    }
}
