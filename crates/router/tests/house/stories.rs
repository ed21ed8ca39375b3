//! Tests of single behaviours.

mod bounds;
mod elsewhere;
mod expiry;
mod handover;
mod holders;
mod liveness;
mod losses;
mod operator;
mod slow_reader;
mod streams;
mod wanted;
mod writing;

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::CloseReason;
use peerbroker_events::Count;
use peerbroker_router::{Departure, Outbox};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::House;
use crate::socket::{HANDSHAKE, Heard, Socket};

/// Handshake and OPEN, as bytes on the wire.
const OPENING: usize = HANDSHAKE.len() + 6;

fn house() -> House {
    House::new(Limits::default())
}

fn house_with(set: impl FnOnce(&mut Limits)) -> House {
    let mut limits = Limits::default();
    set(&mut limits);
    House::new(limits)
}

/// A socket that takes the opening and `behind` more bytes.
fn blocked(behind: usize) -> Socket {
    Socket::with_room(OPENING + behind)
}

fn closed(why: CloseReason) -> Heard {
    Heard::Close(why.ending().code)
}

fn last(socket: &Socket) -> Option<Heard> {
    socket.heard().pop()
}

/// The messages a client got, without OPEN.
fn messages(socket: &Socket) -> Vec<String> {
    let texts = socket.texts();
    assert_eq!(texts.first().map(String::as_str), Some("OPEN"));
    texts[1..].to_vec()
}

fn flush(parting: &Departure) {
    parting.peer.with_last_outbox(Outbox::flush).expect("it is still there");
}

fn asked(probe: Option<oneshot::Receiver<()>>) -> oneshot::Receiver<()> {
    probe.expect("not too many ask")
}

fn is_pending(probe: &mut oneshot::Receiver<()>) -> bool {
    matches!(probe.try_recv(), Err(TryRecvError::Empty))
}

fn slow_readers(house: &House) -> u64 {
    house.counters().total(Count::Closed(CloseReason::SlowReader))
}
