//! One direction between two nodes: packets in order, in numbered batches.

use std::collections::VecDeque;

use super::packet::{self, Packet};
use crate::wire::NodeId;

/// Most bytes of one batch, about.
const BATCH_BYTES: usize = 256 * 1024;

/// Most bytes of messages that wait to be sent to one node. Further messages stay in the queues of their recipients.
const LINK_BYTES: usize = 8 * 1024 * 1024;

/// Batches without a packet that follow the last packet. If the last batch is lost, the reader notices it by them, and
/// not by a message much later, which it would take for lost too.
const CLOSING_BATCHES: u8 = 2;

/// The packets that wait for another node.
#[derive(Debug, Default)]
pub struct Outbound {
    last_number: u64,
    /// Batches whose headers are not filled in yet.
    pub(super) pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The size of the last batch. The next one gets as much memory at once, because the load is often the same.
    last_len: usize,
    /// The number of batches without a packet that have followed.
    closing: u8,
}

/// The number of the last batch that came from another node.
#[derive(Debug, Default)]
pub struct Inbound {
    last_number: u64,
}

/// The relation of a batch to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one.
    Next,
    /// It came before: its writer did not know.
    Repeated,
    /// At least one before it is lost.
    Gap,
}

impl Outbound {
    /// True if there is room for a message.
    pub fn has_room(&self) -> bool {
        self.bytes < LINK_BYTES
    }

    /// Adds a packet. Packets other than messages are few, and always have room.
    pub fn push(&mut self, packet: &Packet<'_>) {
        self.closing = 0;
        if self.pieces.back().is_none_or(|piece| piece.len() >= BATCH_BYTES) {
            let mut piece = Vec::with_capacity(self.last_len);
            piece.resize(packet::HEADER, 0);
            self.pieces.push_back(piece);
        }
        if let Some(piece) = self.pieces.back_mut() {
            let before = piece.len();
            packet::write(packet, piece);
            self.bytes += piece.len() - before;
        }
    }

    /// Adds a batch without a packet, if nothing was sent lately. Call it now and then.
    pub fn close(&mut self) {
        if self.pieces.is_empty() && self.last_number > 0 && self.closing < CLOSING_BATCHES {
            self.closing += 1;
            self.pieces.push_back(vec![0; packet::HEADER]);
        }
    }

    /// The batches that closed it may be lost: others follow.
    pub fn reopen(&mut self) {
        self.closing = 0;
    }

    /// Takes out the next batch. It has to be sent until it is known to have arrived, before any later one.
    pub fn next_batch(&mut self, from: NodeId) -> Option<Vec<u8>> {
        let mut batch = self.pieces.pop_front()?;
        self.last_len = batch.len();
        self.bytes -= batch.len() - packet::HEADER;
        self.last_number += 1;
        packet::set_header(&mut batch, from, self.last_number);
        Some(batch)
    }
}

impl Inbound {
    /// Notes a batch. One that was repeated has to be ignored.
    pub fn note(&mut self, number: u64) -> Arrival {
        let expected = self.last_number + 1;
        if number < expected {
            return Arrival::Repeated;
        }
        self.last_number = number;
        if number == expected { Arrival::Next } else { Arrival::Gap }
    }
}

#[cfg(test)]
mod tests {
    use super::packet::Batch;
    use super::*;

    #[test]
    fn batches_are_numbered_and_keep_the_order_of_packets() {
        let mut outbound = Outbound::default();
        let (payload, key) = ("x".repeat(BATCH_BYTES / 2), key());
        for ticket in 0..5 {
            let to = packet::NameRef::new(&key, crate::cluster::Entity::Room, "x");
            outbound.push(&Packet::Message {
                to,
                connection: 1,
                ticket,
                from: "y",
                kind: 0,
                payload: payload.as_bytes(),
            });
        }
        let (mut numbers, mut tickets) = (Vec::new(), Vec::new());
        while let Some(bytes) = outbound.next_batch(NodeId::new(1)) {
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
    fn two_empty_batches_follow_the_last_one_with_packets() {
        let mut outbound = Outbound::default();
        outbound.close();
        assert!(outbound.next_batch(NodeId::new(1)).is_none(), "nothing was said yet");
        outbound.push(&Packet::Reset);
        outbound.close();
        let batches: Vec<_> = (0..5)
            .map_while(|_| {
                let batch = outbound.next_batch(NodeId::new(1));
                outbound.close();
                batch
            })
            .collect();
        let packets = batches.iter().map(|batch| Batch::read(batch).unwrap().packets().count());
        assert_eq!(packets.collect::<Vec<_>>(), [1, 0, 0]);
        outbound.push(&Packet::Reset);
        assert_eq!(Batch::read(&outbound.next_batch(NodeId::new(1)).unwrap()).unwrap().number, 4);
    }

    #[test]
    fn a_reader_notices_what_was_repeated_or_lost() {
        let mut inbound = Inbound::default();
        let arrivals = [1, 1, 2, 4, 3, 5].map(|number| inbound.note(number));
        use Arrival::{Gap, Next, Repeated};
        assert_eq!(arrivals, [Next, Repeated, Next, Gap, Repeated, Next]);
    }

    fn key() -> crate::wire::ApiKey {
        crate::wire::ApiKey::parse("k").unwrap()
    }
}
