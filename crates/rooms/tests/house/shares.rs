//! Limits of a key that one address fills, and what another address gets then. Those with a flag are in
//! `tests/api/limits/shares.rs`.

use peerbroker_config::Limits;
use peerbroker_core::vocabulary::{RoomName, RoomRefusal};
use peerbroker_rooms::{
    MAX_ROOMS_OF_KEY, MAX_STATE_OF_KEY, MAX_WATCHED, MAX_WATCHED_OF_KEY, Requester, Rooms, StateWrite,
};
use peerbroker_router::IdLease;

use crate::House;
use crate::clients::{peer, register_from};
use crate::socket::Socket;

/// Does as much as it can with new clients of an address, each of which does this up to `most` times. Returns
/// the number, and the last refusal.
fn fill(
    house: &House,
    host: u8,
    most: usize,
    act: impl Fn(&Rooms, &mut Requester<'_>, &str) -> Result<(), RoomRefusal>,
) -> (usize, RoomRefusal, Vec<IdLease>) {
    let mut leases = Vec::new();
    let mut done = 0;
    for client in 0.. {
        let id = format!("c{host}-{client}");
        let address = Some([192, 0, 2, host].into());
        let lease = register_from(address, &house.realm, &id, "t", &mut Socket::open().outbox(1 << 20));
        leases.push(lease.expect("a lease"));
        let refused = (0..most).find_map(|number| {
            let name = format!("{id}-{number}");
            let acted = house.request(&leases[client], |rooms, requester| act(rooms, requester, &name));
            done += usize::from(acted.is_ok());
            acted.err()
        });
        if let Some(refusal) = refused.filter(|refusal| *refusal != RoomRefusal::TooManyRooms) {
            return (done, refusal, leases);
        }
    }
    unreachable!("a limit")
}

#[test]
fn an_address_leaves_half_of_the_watched_ids_of_a_key() {
    let house = House::for_clients(100_000, Limits::default());
    let fill = |host| {
        fill(&house, host, MAX_WATCHED, |rooms, requester, id| rooms.watch(requester, &[peer(id)], 10))
    };
    let (first, refusal, _clients) = fill(1);
    assert_eq!((first, refusal), (MAX_WATCHED_OF_KEY / 2, RoomRefusal::KeyTooManyWatched));
    assert_eq!(fill(2).0, MAX_WATCHED_OF_KEY / 4);
}

#[test]
fn an_address_leaves_half_of_the_rooms_of_a_key() {
    let house = House::for_clients(100_000, Limits::default());
    let join = |rooms: &Rooms, requester: &mut Requester<'_>, name: &str| {
        rooms.join(requester, RoomName::parse(name).expect("a name"), None, 10)
    };
    let (first, refusal, clients) = fill(&house, 1, 17, join);
    assert_eq!(refusal, RoomRefusal::KeyTooManyRooms);
    // Four of each are free.
    let counted = first - 4 * clients.len();
    assert!(counted.abs_diff(MAX_ROOMS_OF_KEY / 2) <= 16, "{counted}");
    let (second, _, clients) = fill(&house, 2, 17, join);
    let counted = second - 4 * clients.len();
    assert!(counted.abs_diff(MAX_ROOMS_OF_KEY / 4) <= 16, "{counted}");
}

#[test]
fn an_address_leaves_half_of_the_states_of_a_key() {
    const VALUE: usize = 6000;
    let house = House::for_clients(100_000, Limits::default());
    let value = format!("\"{}\"", "x".repeat(VALUE - 2));
    let write = |rooms: &Rooms, requester: &mut Requester<'_>, name: &str| {
        let room = requester.peer.id().as_str().to_owned();
        rooms.join(requester, RoomName::parse(&room).expect("a name"), None, 10)?;
        rooms.write(requester, &room, StateWrite { name, value: Some(&value), seen: None })
    };
    let (first, refusal, _clients) = fill(&house, 1, 10, write);
    assert_eq!(refusal, RoomRefusal::KeyStateFull);
    // Without the 192 and the name of each.
    let most = MAX_STATE_OF_KEY / 2;
    assert!((most * 9 / 10..=most).contains(&(first * VALUE)), "{first}");
    let (second, ..) = fill(&house, 2, 10, write);
    assert!((most * 9 / 20..=most / 2).contains(&(second * VALUE)), "{second}");
}
