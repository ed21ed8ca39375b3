//! Pipes whose ends do the steps of their connections one by one, as threads of a server may mix them.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use peerbroker::config::Limits;
use peerbroker::protocols::pipes::{Attach, PipeEnd, PipeTurn, Pipes, Reserved};
use peerbroker::router::{Disconnect, Outbox};
use peerbroker::vocabulary::{CloseReason, EndId, NORMAL, PipeId};

use crate::House;

const ONE: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAg";

fn reserve(house: &House, end: &str) -> (Attach, Reserved) {
    let pipe = PipeId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let attach = Attach { pipe, end: EndId::parse(end).unwrap(), address: None };
    let key = house.broker.tenant("peerjs").unwrap();
    let Ok(reserved) = pipes(house).reserve(&key, &attach) else { panic!("{end} gets no place") };
    (attach, reserved)
}

fn connect(house: &House, end: &str) -> PipeEnd {
    let (attach, reserved) = reserve(house, end);
    reserved.connect(&attach, Outbox::default())
}

fn pipes(house: &House) -> Arc<Pipes> {
    house.broker.tenant("peerjs").unwrap().part()
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
