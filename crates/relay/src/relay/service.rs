//! The work of each thread of a relay: it handles what comes to its ports, as datagrams or over TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dashmap::DashMap;
use parking_lot::Mutex;
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_media_api::Dropped;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::calls::Calls;
use super::endpoint::{Endpoint, Outgoing, Transport};
use super::offers::OfferId;
use super::session::CONSENT;
use crate::datapath::burst;
use crate::datapath::counters::TrafficCounters;
use crate::datapath::pace::Sender;
use crate::datapath::port::Port;
use crate::datapath::sockets::{self, Joined, Ports};
use crate::datapath::streams::{
    self, Connections, Crowded, Framed, Outbox, Passed, Protocol, Queued, Received,
};
use crate::datapath::stun::{COOKIE, is_channel, is_stun};
use crate::turn::{Ingress, Server as TurnServer};

/// Most TCP connections.
const MAX_CONNECTIONS: usize = 10_000;

/// Bytes that are read before the protocol of a client is known, a little more than that takes.
const GREETING: usize = 32;

/// Time for which a connection may be silent, and for which its client may read nothing.
const SILENT: Duration = Duration::from_millis(CONSENT);

/// The relay, as one of its threads has it.
#[derive(Clone)]
pub(super) struct Service {
    /// The UDP ports of the thread.
    pub(super) ports: Ports,
    pub(super) streams: Arc<Streams>,
    pub(super) calls: Arc<Calls>,
    /// Serves clients of TURN at these ports.
    pub(super) turn: Option<Arc<TurnServer>>,
    /// The counters of the thread.
    pub(super) counters: Arc<TrafficCounters>,
}

/// The TCP connections of all threads. A client that reads slowly loses datagrams, as it would on a slow
/// line.
pub(super) struct Streams {
    pub(super) connections: Connections,
    pub(super) outboxes: DashMap<Endpoint, Arc<Outbox>>,
}

impl sockets::Service for Service {
    fn receive(&self, port: &Arc<Port>, Joined { from: address, bytes, size }: Joined<'_>) {
        let from = Endpoint::new(address, Transport::Udp);
        let is_turn =
            |datagram: &[u8]| self.turn.as_ref().is_some_and(|turn| turn.take(port, address, datagram));
        let is_for_us = |datagram: &[u8]| is_stun(datagram) || self.turn.is_some() && is_channel(datagram);
        if !bytes.chunks(size).any(is_for_us) {
            self.forward(from, bytes, size);
            return;
        }
        for datagram in bytes.chunks(size) {
            if !is_turn(datagram) {
                self.handle(from, datagram);
            }
        }
    }

    fn record_full(&self, datagrams: u64) {
        self.counters.dropped(Dropped::Full, datagrams);
    }

    async fn serve(&self, stream: TcpStream, from: SocketAddr) {
        let read = BytesMut::with_capacity(GREETING);
        self.serve_at(Transport::Tcp, stream, from, read).await;
    }

    async fn keep_time(&self) {
        loop {
            self.calls.until_due().await;
            for check in self.calls.on_time() {
                self.send(check.to, &check.bytes, check.bytes.len());
            }
            // Datagrams that have come meanwhile are first.
            yield_now().await;
        }
    }
}

impl Service {
    /// Serves a connection until it ends, if there is a place for it. `read` has its first bytes.
    pub(super) async fn serve_at(
        &self,
        transport: Transport,
        mut stream: TcpStream,
        from: SocketAddr,
        read: BytesMut,
    ) {
        let Some(_place) = self.streams.connections.take_place(from, MAX_CONNECTIONS) else { return };
        let opened = self.calls.clock().now();
        let greeting = timeout(OfCall::TO_PROVE, greeting(&mut stream, read)).await;
        let Ok(Some((language, read))) = greeting else { return };
        match (language, &self.turn) {
            (Spoken::Framed, _) => {
                self.serve_call(stream.split(), Endpoint::new(from, transport), opened, read).await;
            }
            (Spoken::Turn, Some(turn)) => turn.serve_counted(stream, read, from, Ingress::Tcp).await,
            // The TURN server has TLS at its own port.
            (Spoken::Turn | Spoken::Other, _) => {}
        }
    }

    /// Serves a client of a call on a connection that was `opened` then. `read` has its first bytes.
    pub(super) async fn serve_call(
        &self,
        stream: (impl AsyncRead, impl AsyncWrite),
        from: Endpoint,
        opened: Instant,
        read: BytesMut,
    ) {
        let outbox = Outbox::of::<OfCall<'_>>();
        self.streams.outboxes.insert(from, Arc::clone(&outbox));
        let connection = OfCall { service: self, from, outbox: &outbox, answers: Mutex::default() };
        // An error ends it, as its end does.
        let _ = streams::serve(&connection, stream, &outbox, opened, read).await;
    }

    /// Handles one datagram of a client.
    fn handle(&self, from: Endpoint, datagram: &[u8]) -> Option<Passed> {
        if !is_stun(datagram) {
            return self.forward(from, datagram, datagram.len().max(1));
        }
        for Outgoing { to, bytes, is_own } in self.calls.on_stun(&self.counters, from, datagram) {
            if is_own {
                self.send(to, &bytes, bytes.len());
            } else {
                self.relay(to, &bytes, bytes.len(), 1);
            }
        }
        None
    }

    fn forward(&self, from: Endpoint, bytes: &[u8], size: usize) -> Option<Passed> {
        let packets = bytes.len().div_ceil(size) as u64;
        let route = self.calls.route(from, packets, bytes.len());
        let to = route.inspect_err(|why| self.counters.dropped(*why, packets)).ok()?;
        Some(Passed { to: to.address(), crowded: self.relay(to, bytes, size, packets) })
    }

    /// Sends datagrams of one client to the other, and counts them.
    fn relay(&self, to: Endpoint, bytes: &[u8], size: usize, packets: u64) -> Crowded {
        let (lost, crowded) = self.send(to, bytes, size);
        self.counters.passed(packets.saturating_sub(lost as u64), bytes.len().saturating_sub(lost * size));
        crowded
    }

    /// Sends datagrams of `size` bytes, the last of which may be shorter. Returns the number of those that
    /// had no room, or of older ones that made room for them.
    fn send(&self, to: Endpoint, bytes: &[u8], size: usize) -> (usize, Crowded) {
        let address = to.address();
        let datagrams = || bytes.chunks(size.max(1));
        let mut crowded = None;
        let lost = match to.transport {
            Transport::Tcp | Transport::BrokerTcp => {
                let outbox = self.streams.outboxes.get(&to).map(|outbox| Arc::clone(&outbox));
                let queue = |datagram| match outbox.as_ref().and_then(|outbox| send_frame(datagram, outbox)) {
                    Some(queued) => {
                        crowded = queued.crowded;
                        queued.dropped
                    }
                    None => 1,
                };
                datagrams().map(queue).sum()
            }
            Transport::Udp => {
                // From the port of the recipient's family.
                let port = self.ports.iter().find(|port| port.sends(address.is_ipv4()));
                port.map_or_else(|| datagrams().count(), |port| burst::send_all(port, address, bytes, size))
            }
        };
        self.counters.dropped(Dropped::Full, lost as u64);
        (lost, crowded)
    }
}

/// The connection of a client of a call.
struct OfCall<'a> {
    service: &'a Service,
    from: Endpoint,
    outbox: &'a Arc<Outbox>,
    /// The offer that its client is about to answer.
    answers: Mutex<Option<OfferId>>,
}

impl Drop for OfCall<'_> {
    fn drop(&mut self) {
        // Its client may have opened another one at the same address.
        let is_own = |_: &Endpoint, outbox: &Arc<Outbox>| Arc::ptr_eq(outbox, self.outbox);
        if self.service.streams.outboxes.remove_if(&self.from, is_own).is_some() {
            self.service.calls.leave(self.from);
        }
    }
}

impl Protocol for OfCall<'_> {
    const TO_PROVE: Duration = Duration::from_secs(5);
    const TO_READ: Duration = SILENT;
    const MAX_WRITE: usize = sockets::UNSENT;

    fn first(bytes: &[u8]) -> io::Result<Option<Framed>> {
        let Some((length, after)) = bytes.split_first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        // Empty frames would be packets of nothing (RFC 4571, section 2): no browser sends them.
        if !(1..=MAX_FRAME).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let end = LENGTH + length;
        Ok((after.len() >= length).then_some(Framed { message: LENGTH..end, end }))
    }

    fn receive(&self, datagram: &[u8]) -> Option<Received> {
        let from = self.from;
        let calls = &self.service.calls;
        let rate = calls.rate_of(from);
        let sender = rate.map_or(Sender::Unverified, |bytes_per_second| Sender::Client { bytes_per_second });
        let mut answers = self.answers.lock();
        if sender == Sender::Unverified && answers.is_none() {
            *answers = calls.keep_early_check(from, datagram);
        }
        drop(answers);
        Some(Received { sender, passed: self.service.handle(from, datagram) })
    }

    fn clock(&self) -> &Clock {
        self.service.calls.clock()
    }

    fn ask_again_at(&self, silent_since: Instant) -> Option<Instant> {
        let end = silent_since.plus_millis(CONSENT);
        let now = self.clock().now();
        let calls = &self.service.calls;
        let next = if calls.is_client(self.from) {
            Some(end)
        } else {
            // Browsers check from the moment that they have an offer, and never open a second connection. A
            // page that waits for all candidates answers seconds later; from then on its client has time once
            // more.
            let mut answers = self.answers.lock();
            let offer = answers.take();
            *answers = offer.filter(|offer| calls.offers.waits(offer));
            offer.map(|_| end.min(now + Self::TO_PROVE))
        };
        next.filter(|next| *next > now)
    }
}

/// Returns the protocol that a client speaks, and the bytes that were `read` to know it. `None` if it ends
/// before.
async fn greeting(stream: &mut TcpStream, mut read: BytesMut) -> Option<(Spoken, BytesMut)> {
    loop {
        if let Some(language) = spoken(&read) {
            return Some((language, read));
        }
        // As much as there is room for.
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return None;
        }
    }
}

/// Longest frame: browsers send what fits into a packet.
const MAX_FRAME: usize = 1600;

/// Bytes of the length in front of a frame.
const LENGTH: usize = 2;

/// True if a connection may begin with a frame, by its first byte: TLS (RFC 8446, section 5.1) and methods of
/// HTTP begin with larger ones.
pub(super) fn may_be_frame(first: u8) -> bool {
    usize::from(first) <= MAX_FRAME >> u8::BITS
}

/// The protocol that a client speaks on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    /// STUN, and later datagrams, with their length in front.
    Framed,
    /// STUN without, as clients of a TURN server do (RFC 8656).
    Turn,
    /// TLS, or a protocol that is not known here.
    Other,
}

/// Returns the protocol that a client speaks, from its first 8 bytes. `None` if there are too few of them.
fn spoken(first: &[u8]) -> Option<Spoken> {
    let [half @ .., _, _] = COOKIE;
    // TLS first: as a length, it would be that of a frame that is too long.
    match *first {
        [0x16, ..] => Some(Spoken::Other),
        [_, _, _, _, a, b, c, d, ..] if [a, b, c, d] == COOKIE => Some(Spoken::Turn),
        [_, _, _, _, _, _, a, b, ..] if [a, b] == half => Some(Spoken::Framed),
        [_, _, _, _, _, _, _, _, ..] => Some(Spoken::Other),
        _ => None,
    }
}

/// Adds a datagram to the bytes that are written next.
fn send_frame(datagram: &[u8], outbox: &Arc<Outbox>) -> Option<Queued> {
    let length = u16::try_from(datagram.len()).ok()?;
    Some(outbox.send(&[&length.to_be_bytes(), datagram]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_client_speaks() {
        let stun = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        let framed = [0, 20, 0, 1, 0, 0, 0x21, 0x12];
        let allocate = [0, 3, 0, 8, 0x21, 0x12, 0xA4, 0x42];
        for (first, expected) in [
            (&framed[..], Some(Spoken::Framed)),
            (&stun, Some(Spoken::Turn)),
            (&allocate, Some(Spoken::Turn)),
            (&[0x16], Some(Spoken::Other)),
            (b"GET / HT", Some(Spoken::Other)),
            (&framed[..7], None),
            (&[], None),
        ] {
            assert_eq!(spoken(first), expected, "{first:?}");
        }
    }

    #[test]
    fn neither_tls_nor_http_begins_like_a_frame() {
        let framed = [0, 20, 0, 1, 0, 0, 0x21, 0x12];
        assert!(may_be_frame(framed[0]) && may_be_frame(6));
        for first in [7, 0x16, b'\r', b'\n', b'C', b'G', b'O', b'P'] {
            assert!(!may_be_frame(first), "{first}");
        }
    }

    #[test]
    fn a_frame_that_is_empty_or_too_long_ends_it() {
        assert_eq!(OfCall::first(&[0, 1, 7, 6]).unwrap(), Some(Framed { message: 2..3, end: 3 }));
        assert_eq!(OfCall::first(&[6]).unwrap(), None);
        assert!(OfCall::first(&[6, 65]).is_err());
        assert!(OfCall::first(&[0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn frames_are_found_however_they_are_cut(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1600), 0..6),
            cuts in prop::collection::vec(1usize..2000, 1..20)
        ) {
            let outbox = Outbox::of::<OfCall<'_>>();
            prop_assert!(datagrams.iter().all(|datagram| send_frame(datagram, &outbox).is_some()));
            let stream = std::mem::take(&mut *outbox.waiting.lock());
            let mut unread = Vec::new();
            let mut found = Vec::new();
            let mut cuts = cuts.iter().cycle();
            let mut left = &stream[..];
            while !left.is_empty() {
                let (now, later) = left.split_at((*cuts.next().unwrap()).min(left.len()));
                unread.extend_from_slice(now);
                while let Some(Framed { message, end }) = OfCall::first(&unread).unwrap() {
                    found.push(unread[message].to_vec());
                    unread.drain(..end);
                }
                left = later;
            }
            prop_assert_eq!(found, datagrams);
            prop_assert!(unread.is_empty());
        }
    }
}
