//! A direction between two nodes: packets in order, in numbered batches.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use super::packet::{self, Packet};
use peerbroker_core::vocabulary::NodeId;
use peerbroker_router::MESSAGES;

/// Most bytes of one batch, about.
const BATCH_BYTES: usize = 256 * 1024;

/// Most bytes of messages that wait to be sent to one node. Further messages to peers stay in the queues of
/// their recipients, and those to rooms are refused.
const LINK_BYTES: usize = 8 * 1024 * 1024;

/// Part of the free room that one source may fill: there is always room for the others, and they wait for
/// little of it.
const SHARE: usize = 8;

/// Most bytes with news about members of rooms. A node that cannot be told of a change needs the whole list,
/// so they have more room than messages.
const NEWS_BYTES: usize = 2 * LINK_BYTES;

/// A list of members leaves the rest of the room to changes and messages.
const LIST_BYTES: usize = LINK_BYTES / 4;

/// Batches without a packet that follow the last packet. If the last batch is lost, the reader notices it by
/// them, and not by a message much later, which it would take for lost too.
const CLOSING_BATCHES: u8 = 2;

/// A batch with a number so far ahead does not belong to the link: nobody sends as many while its reader
/// reads none.
const MAX_LEAP: u64 = 1 << 20;

/// The source of messages: a client that sends to others, or a room with all its members. Its key, and its id
/// or name.
pub(crate) type Source<'a> = (&'a str, &'a str);

/// The packets that wait for another node.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    last_number: u64,
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// The bytes of messages of each source, by its digest, in all pieces but the first: usually there is no
    /// other one.
    of_sources: HashMap<u64, usize>,
    digests: RandomState,
    /// The size of the last batch. The next one gets as much memory at once, because the load is often the
    /// same.
    last_len: usize,
    /// The number of batches without a packet that have followed.
    closing: u8,
    /// Messages have found no room since little waited.
    is_full: bool,
}

/// A batch whose header is not filled in yet.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// Its part of [`Outbound::of_sources`].
    of_sources: Vec<(u64, usize)>,
}

/// The number of the last batch that came from another node.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    last_number: u64,
}

/// The relation of a batch to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next batch.
    Next,
    /// A batch that came before: its writer did not know.
    Repeated,
    /// At least one before it is lost.
    Gap,
    /// A batch whose number is none of this link.
    Foreign,
}

impl Outbound {
    /// True if there is room for a message of a source to a node.
    pub(crate) fn has_room(&mut self, to: NodeId, source: Source<'_>) -> bool {
        if self.pieces.len() < 2 {
            return true;
        }
        let of_source = self.of_sources.get(&self.digests.hash_one(source)).copied().unwrap_or_default();
        let has_room = of_source < LINK_BYTES.saturating_sub(self.bytes) / SHARE;
        if !has_room && !std::mem::replace(&mut self.is_full, true) {
            log::debug!(target: MESSAGES, "the link to the node {to} is full: messages wait or are refused");
        }
        has_room
    }

    /// True if there is room for a change of members of rooms.
    pub(crate) fn has_room_for_news(&self) -> bool {
        self.bytes < NEWS_BYTES
    }

    /// True if there is room for more of a list of members of rooms.
    pub(crate) fn has_room_for_list(&self) -> bool {
        self.bytes < LIST_BYTES
    }

    /// Adds a message.
    pub(crate) fn push_message(&mut self, source: Source<'_>, packet: &Packet<'_>) {
        let bytes = self.push(packet);
        if self.pieces.len() > 1
            && let Some(piece) = self.pieces.back_mut()
        {
            let digest = self.digests.hash_one(source);
            *self.of_sources.entry(digest).or_default() += bytes;
            match piece.of_sources.last_mut() {
                Some((last, sum)) if *last == digest => *sum += bytes,
                _ => piece.of_sources.push((digest, bytes)),
            }
        }
    }

    /// Adds a packet, and returns its bytes. Packets other than messages and news are few, and always have
    /// room.
    pub(crate) fn push(&mut self, packet: &Packet<'_>) -> usize {
        self.closing = 0;
        if self.pieces.back().is_none_or(|piece| piece.bytes.len() >= BATCH_BYTES) {
            let mut bytes = Vec::with_capacity(self.last_len);
            bytes.resize(packet::HEADER, 0);
            self.pieces.push_back(Piece { bytes, of_sources: Vec::new() });
        }
        let Some(Piece { bytes, .. }) = self.pieces.back_mut() else { return 0 };
        let before = bytes.len();
        packet::write(packet, bytes);
        let written = bytes.len() - before;
        self.bytes += written;
        written
    }

    /// True if its bytes, and those of its sources, are those of its batches.
    pub(crate) fn is_counted_right(&self) -> bool {
        let bytes: usize = self.pieces.iter().map(|piece| piece.bytes.len() - packet::HEADER).sum();
        let mut of_sources = HashMap::new();
        for (source, bytes) in self.pieces.iter().flat_map(|piece| &piece.of_sources) {
            *of_sources.entry(*source).or_default() += *bytes;
        }
        bytes == self.bytes && of_sources == self.of_sources
    }

    /// The batches that were not sent.
    pub(crate) fn into_unsent(self) -> impl Iterator<Item = Vec<u8>> {
        self.pieces.into_iter().map(|piece| piece.bytes)
    }

    /// Adds a batch without a packet, if nothing was sent lately. Call it now and then.
    pub(crate) fn close(&mut self) {
        if self.pieces.is_empty() && self.last_number > 0 && self.closing < CLOSING_BATCHES {
            self.closing += 1;
            self.pieces.push_back(Piece { bytes: vec![0; packet::HEADER], of_sources: Vec::new() });
        }
    }

    /// The batches that closed it may be lost: others follow.
    pub(crate) fn reopen(&mut self) {
        self.closing = 0;
    }

    /// Takes out the next batch. It has to be sent until it is known to have arrived, before any later one.
    pub(crate) fn next_batch(&mut self, from: NodeId, to: NodeId) -> Option<Vec<u8>> {
        let Piece { bytes: mut batch, of_sources } = self.pieces.pop_front()?;
        for (source, bytes) in of_sources {
            if let Some(sum) = self.of_sources.get_mut(&source) {
                *sum = sum.saturating_sub(bytes);
                if *sum == 0 {
                    self.of_sources.remove(&source);
                }
            }
        }
        self.last_len = batch.len();
        self.bytes -= batch.len() - packet::HEADER;
        if self.pieces.len() < 2 && std::mem::take(&mut self.is_full) {
            log::debug!(target: MESSAGES, "the link to the node {to} has room again");
        }
        self.last_number += 1;
        packet::set_header(&mut batch, from, self.last_number);
        Some(batch)
    }
}

impl Inbound {
    /// Notes a batch. One that was repeated, or is foreign, has to be ignored.
    pub(crate) fn record(&mut self, number: u64) -> Arrival {
        let expected = self.last_number + 1;
        if number < expected {
            return Arrival::Repeated;
        }
        if number - expected > MAX_LEAP {
            return Arrival::Foreign;
        }
        self.last_number = number;
        if number == expected { Arrival::Next } else { Arrival::Gap }
    }
}

#[cfg(test)]
mod tests {
    use super::packet::Batch;
    use super::*;
    use peerbroker_core::vocabulary::Frame;

    #[test]
    fn batches_are_numbered_and_keep_the_order_of_packets() {
        let mut outbound = Outbound::default();
        let payload = Frame::of_text(&"x".repeat(BATCH_BYTES / 2));
        let key = key();
        for ticket in 0..5 {
            let to = packet::NameRef::new(
                &key,
                crate::Entity::Name(peerbroker_core::vocabulary::NameKind::RoomCode),
                "x",
            );
            let frame = (&payload).into();
            outbound.push(&Packet::Message { to, connection: 1, ticket, from: "y", kind: 0, frame });
        }
        let mut numbers = Vec::new();
        let mut tickets = Vec::new();
        while let Some(bytes) = outbound.next_batch(NodeId::new(1), NodeId::new(2)) {
            let batch = Batch::read(&bytes).unwrap();
            numbers.push(batch.number);
            tickets.extend(batch.packets().map(|packet| match packet {
                Packet::Message { ticket, .. } => ticket,
                other => panic!("{other:?}"),
            }));
        }
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(tickets, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_source_that_floods_leaves_most_of_the_link_to_others() {
        let mut outbound = Outbound::default();
        let key = key();
        let payload = Frame::of_text(&"x".repeat(16 * 1024));
        let fill = |outbound: &mut Outbound, source: &str| {
            let to = packet::NameRef::new(
                &key,
                crate::Entity::Name(peerbroker_core::vocabulary::NameKind::RoomCode),
                "x",
            );
            let connection = 1;
            let ticket = 1;
            let from = source;
            let kind = 0;
            let frame = (&payload).into();
            let before = outbound.bytes;
            while outbound.has_room(NodeId::new(2), ("k", source)) {
                let message = Packet::Message { to, connection, ticket, from, kind, frame };
                outbound.push_message(("k", source), &message);
            }
            assert!(outbound.is_counted_right());
            outbound.bytes - before
        };
        let floods: Vec<usize> = (0..8).map(|source| fill(&mut outbound, &source.to_string())).collect();
        assert!(floods.iter().all(|bytes| *bytes < LINK_BYTES / 6), "{floods:?}");
        assert!(outbound.has_room(NodeId::new(2), ("k", "another")));
        // Each batch that is sent makes room again, for all sources.
        while outbound.next_batch(NodeId::new(1), NodeId::new(2)).is_some() {
            assert!(outbound.is_counted_right());
        }
        assert!((0..8).all(|source| outbound.has_room(NodeId::new(2), ("k", &*source.to_string()))));
    }

    #[test]
    fn a_link_that_is_full_is_told_once_and_once_when_it_has_room_again() {
        let [own, other] = [1, 2].map(NodeId::new);
        let key = key();
        let kind = crate::Entity::Name(peerbroker_core::vocabulary::NameKind::RoomCode);
        let to = packet::NameRef::new(&key, kind, "x");
        let payload = Frame::of_text(&"x".repeat(BATCH_BYTES));
        let frame = (&payload).into();
        let message = Packet::Message { to, connection: 1, ticket: 1, from: "y", kind: 0, frame };
        let fill = |outbound: &mut Outbound| {
            while outbound.has_room(other, ("k", "a")) {
                outbound.push_message(("k", "a"), &message);
            }
        };
        let lines = testkit::log_lines::written(MESSAGES, || {
            let mut outbound = Outbound::default();
            for _ in 0..2 {
                fill(&mut outbound);
                fill(&mut outbound);
                while outbound.next_batch(own, other).is_some() {}
            }
        });
        let full = format!("the link to the node {other} is full: messages wait or are refused");
        let again = format!("the link to the node {other} has room again");
        assert_eq!(lines, [&full, &again, &full, &again].map(String::clone));
    }

    #[test]
    fn two_empty_batches_follow_the_last_one_with_packets() {
        let mut outbound = Outbound::default();
        outbound.close();
        assert!(outbound.next_batch(NodeId::new(1), NodeId::new(2)).is_none(), "nothing was said yet");
        outbound.push(&Packet::Reset);
        outbound.close();
        let batches: Vec<_> = (0..5)
            .map_while(|_| {
                let batch = outbound.next_batch(NodeId::new(1), NodeId::new(2));
                outbound.close();
                batch
            })
            .collect();
        let packets = batches.iter().map(|batch| Batch::read(batch).unwrap().packets().count());
        assert_eq!(packets.collect::<Vec<_>>(), [1, 0, 0]);
        outbound.push(&Packet::Reset);
        assert_eq!(
            Batch::read(&outbound.next_batch(NodeId::new(1), NodeId::new(2)).unwrap()).unwrap().number,
            4
        );
    }

    #[test]
    fn a_reader_notices_what_was_repeated_or_lost() {
        let mut inbound = Inbound::default();
        let arrivals = [1, 1, 2, 4, 3, 5].map(|number| inbound.record(number));
        use Arrival::{Foreign, Gap, Next, Repeated};
        assert_eq!(arrivals, [Next, Repeated, Next, Gap, Repeated, Next]);
        // One such number would make the reader deaf to all batches of the writer.
        let arrivals = [1 << 63, u64::MAX, 6, 6 + MAX_LEAP].map(|number| inbound.record(number));
        assert_eq!(arrivals, [Foreign, Foreign, Next, Gap]);
    }

    fn key() -> peerbroker_core::vocabulary::ApiKey {
        peerbroker_core::vocabulary::ApiKey::parse("k").unwrap()
    }
}
