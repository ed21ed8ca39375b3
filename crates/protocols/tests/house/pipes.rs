//! Pipes whose ends do the steps of their connections one by one, as threads of a server may mix them.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use peerbroker_config::{Limits, PipeLimits};
use peerbroker_core::vocabulary::{CloseReason, EndId, NORMAL, PeerId, PipeId};
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::pipes::{Attach, PipeEnd, PipeTurn, Pipes, Reserved};
use peerbroker_router::{Disconnect, Outbox};

use crate::House;

const ONE: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAg";

fn reserve(house: &House, end: &str) -> (Attach, Reserved) {
    let attach = Attach { pipe: pipe(0), end: EndId::parse(end).unwrap(), address: None };
    let Ok(reserved) = pipes(house).reserve(&house.key, &attach) else { panic!("{end} gets no place") };
    (attach, reserved)
}

fn pipe(number: u16) -> PipeId {
    let digits = (0..4).map(|at| char::from(b'A' + (number >> (4 * at)) as u8 % 16));
    PipeId::parse(&format!("{}{}A", "A".repeat(17), digits.collect::<String>())).unwrap()
}

/// The first end of a pipe, of this key and address, unless there are too many.
fn end_from(key: &Arc<KeyState>, address: u8, number: u16) -> Option<PipeEnd> {
    let address = Some([192, 0, 2, address].into());
    let attach = Attach { pipe: pipe(number), end: EndId::parse(ONE).unwrap(), address };
    let reserved = key.part::<Pipes>().reserve(key, &attach).ok()?;
    Some(reserved.connect(&attach, Outbox::default()))
}

/// A house with limits of pipes that a test needs.
fn house_with(change: impl Fn(&mut PipeLimits)) -> House {
    let house = House::new(Limits::default());
    house.router.live_config().update(|config| {
        let mut config = config.clone();
        change(&mut config.pipes);
        config
    });
    house
}

/// The time that an end waits after it has sent so many bytes.
fn wait_after(house: &House, end: &PipeEnd, bytes: usize) -> Duration {
    end.charge(bytes, 0, house.router.clock().now()).map(|pause| pause.time).unwrap_or_default()
}

fn connect(house: &House, end: &str) -> PipeEnd {
    let (attach, reserved) = reserve(house, end);
    reserved.connect(&attach, Outbox::default())
}

fn pipes(house: &House) -> Arc<Pipes> {
    house.key.part()
}

/// The reason for which the broker ends a connection, if it does.
fn ended(end: &PipeEnd) -> Option<CloseReason> {
    match end.turn(&mut Context::from_waker(Waker::noop()), |_, _| Poll::Ready(Ok(()))) {
        PipeTurn::Over(Disconnect::ByServer(reason)) => Some(reason),
        _ => None,
    }
}

#[test]
fn an_end_whose_pipe_ends_before_it_is_connected_hears_that() {
    let house = House::new(Limits::default());
    let one = connect(&house, ONE);
    let (attach, reserved) = reserve(&house, OTHER);
    one.leave(Disconnect::Closed(Some(NORMAL)));
    let other = reserved.connect(&attach, Outbox::default());
    assert_eq!(ended(&other), Some(CloseReason::PipeLeft));
}

#[test]
fn a_connection_that_learns_late_of_the_end_of_its_pipe_leaves_the_next_one_alone() {
    let house = House::new(Limits::default());
    let [one, other] = [ONE, OTHER].map(|end| connect(&house, end));
    one.leave(Disconnect::Closed(Some(NORMAL)));
    let again = connect(&house, OTHER);
    assert_eq!(ended(&other), Some(CloseReason::PipeLeft));
    other.leave(Disconnect::ByServer(CloseReason::PipeLeft));
    assert_eq!((ended(&again), pipes(&house).reports(2).len()), (None, 1));
    house.pass(30_000);
    assert_eq!(ended(&again), Some(CloseReason::PipeAlone));
}

#[test]
fn an_end_whose_pipe_turns_out_to_be_on_another_node_is_nowhere_twice() {
    let house = House::new(Limits::default());
    let (_, seeks) = reserve(&house, ONE);
    assert!(seeks.is_new());
    // Its client has waited long enough, and opens another connection; and another one.
    let again = connect(&house, ONE);
    let (attach, late) = reserve(&house, ONE);
    assert!(seeks.give_back().is_ok(), "the other end has not come here");
    let late = late.connect(&attach, Outbox::default());
    assert_eq!([ended(&again), ended(&late)], [Some(CloseReason::PipeBroken); 2], "they come back");
    assert_eq!(pipes(&house).reports(2).len(), 0);
    let (_, seeks) = reserve(&house, ONE);
    assert!(seeks.is_new(), "to be sought once more");
}

#[test]
fn above_a_rate_of_a_key_or_of_all_others_do_not_wait() {
    let house = house_with(|limits| {
        limits.total_bytes_per_second = 2000;
    });
    let other = house.another("other");
    let crowd: Vec<_> = (0..99).map(|number| end_from(&house.key, 1, number).expect("a place")).collect();
    for end in &crowd {
        wait_after(&house, end, 1000);
    }
    assert_eq!(wait_after(&house, &crowd[0], 0), Duration::from_secs(60));
    let others = [(&house.key, 2), (&other, 1), (&other, 2)]
        .map(|(key, address)| end_from(key, address, 200 + u16::from(address)).expect("a place"));
    for round in 0..50 {
        house.pass(100);
        for other in &others {
            assert_eq!(wait_after(&house, other, 10), Duration::ZERO, "{round}");
        }
        for end in &crowd {
            wait_after(&house, end, 100);
        }
    }
}

#[test]
fn what_was_owed_is_owed_by_the_next_pipe_of_an_address() {
    let house = house_with(|limits| limits.total_bytes_per_second = 8000);
    let first = end_from(&house.key, 1, 1).expect("a place");
    assert_eq!(wait_after(&house, &first, 15_000), Duration::from_secs(5));
    first.leave(Disconnect::Closed(Some(NORMAL)));
    drop(first);
    let next = end_from(&house.key, 1, 2).expect("a place");
    let other = end_from(&house.key, 2, 3).expect("a place");
    assert_eq!([&next, &other].map(|end| wait_after(&house, end, 0)), [5, 0].map(Duration::from_secs));
}

#[test]
fn an_address_leaves_pipes_of_a_key_and_of_all_to_others() {
    let of = |key: &Arc<KeyState>, address: u8| -> Vec<PipeEnd> {
        (0..100).map_while(|number| end_from(key, address, 100 * u16::from(address) + number)).collect()
    };
    // An address has ten of these at most, and a key a hundred.
    let house = house_with(|limits| limits.total = 200);
    let [other, third] = ["other", "third"].map(|key| house.another(key));
    let crowds =
        |key, addresses: Range<u8>| -> Vec<_> { addresses.map(|address| of(key, address)).collect() };
    let _crowd = crowds(&house.key, 10..19);
    let [first, second] = [1, 2].map(|address| of(&house.key, address));
    assert_eq!([first.len(), second.len()], [5, 3]);
    let _others = crowds(&other, 20..29);
    let [first, second] = [3, 4].map(|address| of(&third, address));
    assert_eq!([first.len(), second.len()], [6, 3]);
}

#[test]
fn descriptions_of_one_client_or_address_leave_room_for_those_of_others() {
    let house = House::new(Limits::default());
    let pipes = pipes(&house);
    let mut numbers = 1..;
    for client in 0..50_u8 {
        let id = PeerId::parse(&format!("loud {client}")).unwrap();
        for number in numbers.by_ref().take(400) {
            pipes.expect(pipe(number), &id, Some([192, 0, 2, client % 6].into()));
        }
    }
    pipes.expect(pipe(0), &PeerId::parse("quiet").unwrap(), Some([192, 0, 2, 9].into()));
    assert!(pipes.is_expected(pipe(0)));
}
