//! Room codes, names in rooms, and their lifetimes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use peerbroker_config::Limits;
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::names::NameHolder;
use peerbroker_protocols::room_codes::{HostedRoom, PlayerName, RoomCodeError, RoomCodes, Seating};
use peerbroker_protocols::root::Guests;

use crate::House;
use crate::clients::peer;

const ROOM: u64 = 10_000;

fn house_with(set: impl FnOnce(&mut Limits)) -> (House, Arc<RoomCodes>) {
    let mut limits = Limits { room_code_timeout: Duration::from_millis(ROOM), ..Limits::default() };
    set(&mut limits);
    let house = House::new(limits);
    let rooms = Arc::clone(&guests(&house.key).room_codes);
    (house, rooms)
}

fn guests(key: &Arc<KeyState>) -> Arc<Guests> {
    key.part()
}

fn rooms() -> (House, Arc<RoomCodes>) {
    house_with(|_| {})
}

fn host(rooms: &Arc<RoomCodes>) -> HostedRoom {
    rooms.create(&peer("host"), None).unwrap_or_else(|error| panic!("{error:?}"))
}

fn player(rooms: &Arc<RoomCodes>, hosting: &HostedRoom, name: &str) -> PlayerName {
    let joined = rooms.join(hosting.code(), name, &peer(name), &NameHolder::Alive);
    let Seating::In(playing, host) = joined.unwrap_or_else(|e| panic!("{e:?}")) else { panic!("it is held") };
    assert_eq!(host, peer("host"));
    playing
}

fn problem(rooms: &Arc<RoomCodes>, code: &str, name: &str) -> Option<RoomCodeError> {
    rooms.join(code, name, &peer("somebody"), &NameHolder::Unasked).err()
}

#[test]
fn a_room_is_there_for_as_long_as_its_hosting() {
    let (_house, rooms) = rooms();
    let hosting = host(&rooms);
    let code = hosting.code().to_owned();
    assert!(rooms.contains(&code) && rooms.contains(&code.to_lowercase()));
    assert_eq!((rooms.len(), rooms.is_empty()), (1, false));
    let playing = player(&rooms, &hosting, "anna");
    assert!(playing.is_room_open());
    drop(hosting);
    assert!(!rooms.contains(&code) && rooms.is_empty() && !playing.is_room_open());
    assert_eq!(problem(&rooms, &code, "bert"), Some(RoomCodeError::NoRoom));
}

#[test]
fn codes_have_one_letter_more_when_the_short_ones_run_short() {
    const SHORT_CODES: usize = 26 * 26 * 26 * 26;
    let (_house, rooms) = house_with(|limits| limits.room_codes = usize::MAX);
    let mut hostings = Vec::new();
    // Certain, because there is one room more than short codes. Likely at a third of them.
    let longer = (0..=SHORT_CODES).find_map(|_| {
        let hosting = host(&rooms);
        match hosting.code().len() {
            4 => hostings.push(hosting),
            _ => return Some(hosting),
        }
        None
    });
    let longer = longer.expect("a longer code");
    assert!(longer.code().len() == 5 && longer.code().bytes().all(|letter| letter.is_ascii_uppercase()));
    assert!(rooms.contains(longer.code()) && hostings.len() > SHORT_CODES / 20, "{} rooms", hostings.len());
    let codes: HashSet<&str> = hostings.iter().map(HostedRoom::code).collect();
    assert_eq!(codes.len(), hostings.len());
    drop(longer);
    drop(hostings);
    assert!(rooms.is_empty());
}

#[test]
fn no_more_rooms_than_the_limit() {
    let (_house, rooms) = house_with(|limits| limits.room_codes = 2);
    let one = host(&rooms);
    let _two = host(&rooms);
    assert_eq!(rooms.create(&peer("third"), None).err(), Some(RoomCodeError::TooMany));
    drop(one);
    let _three = host(&rooms);
    assert_eq!(rooms.create(&peer("fourth"), None).err(), Some(RoomCodeError::TooMany));
}

#[test]
fn no_room_at_all_with_a_limit_of_zero() {
    let (_house, rooms) = house_with(|limits| limits.room_codes = 0);
    assert_eq!(rooms.create(&peer("host"), None).err(), Some(RoomCodeError::TooMany));
}

#[test]
fn no_more_players_than_the_limit_and_those_away_count_once_it_has_started() {
    let (_house, rooms) = house_with(|limits| limits.room_code_players = 2);
    let hosting = host(&rooms);
    let anna = player(&rooms, &hosting, "anna");
    drop(player(&rooms, &hosting, "bert"));
    let bert = player(&rooms, &hosting, "bert");
    assert_eq!(problem(&rooms, hosting.code(), "cleo"), Some(RoomCodeError::Full));
    hosting.start().unwrap();
    drop(anna);
    assert_eq!(problem(&rooms, hosting.code(), "cleo"), Some(RoomCodeError::NoPlayer));
    let anna = player(&rooms, &hosting, "anna");
    assert_eq!(hosting.player("anna"), Ok(Some(peer("anna"))));
    drop((anna, bert));
}

#[test]
fn a_room_ages_from_when_something_last_happened() {
    let (house, rooms) = rooms();
    let hosting = host(&rooms);
    house.pass(ROOM - 1);
    let _anna = player(&rooms, &hosting, "anna");
    house.pass(ROOM - 1);
    hosting.player("anna").unwrap();
    house.pass(ROOM - 1);
    hosting.start().unwrap();
    house.pass(ROOM - 1);
    assert_eq!(problem(&rooms, hosting.code(), "stranger"), Some(RoomCodeError::NoPlayer));
    house.pass(1);
    assert!(rooms.is_empty());
    assert_eq!(hosting.start(), Err(RoomCodeError::NoRoom));
    assert_eq!(hosting.player("anna"), Err(RoomCodeError::NoRoom));
}

#[test]
fn the_host_of_a_removed_room_does_not_affect_a_new_room_with_the_same_code() {
    // Codes are random, so create rooms until this code comes again.
    let (house, rooms) = house_with(|limits| limits.room_codes = usize::MAX);
    let old: Vec<(HostedRoom, PlayerName)> = (0..200)
        .map(|_| {
            let hosting = host(&rooms);
            let playing = player(&rooms, &hosting, "anna");
            (hosting, playing)
        })
        .collect();
    house.pass(ROOM);
    assert!(rooms.is_empty());
    let codes: HashSet<String> = old.iter().map(|(hosting, _)| hosting.code().to_owned()).collect();
    let mut new = Vec::new();
    let again = loop {
        let hosting = host(&rooms);
        if codes.contains(hosting.code()) {
            break hosting;
        }
        new.push(hosting);
    };
    let (hosting, playing) = old.into_iter().find(|(hosting, _)| hosting.code() == again.code()).unwrap();
    let _anna = player(&rooms, &again, "anna");
    assert_eq!(hosting.player("anna"), Err(RoomCodeError::NoRoom));
    assert_eq!(hosting.start(), Err(RoomCodeError::NoRoom));
    assert!(!playing.is_room_open());
    drop((hosting, playing));
    assert_eq!(again.player("anna"), Ok(Some(peer("anna"))));
    let _bert = player(&rooms, &again, "bert");
}

#[test]
fn a_name_is_free_again_before_the_start_and_kept_after_it() {
    let (_house, rooms) = rooms();
    let hosting = host(&rooms);
    assert_eq!(hosting.player("anna"), Err(RoomCodeError::NoPlayer));
    drop(player(&rooms, &hosting, "anna"));
    assert_eq!(hosting.player("anna"), Ok(None));
    let anna = player(&rooms, &hosting, "anna");
    assert_eq!(anna.name(), "anna");
    let second = player(&rooms, &hosting, "anna");
    assert!(second.name().len() > 4 && second.name().starts_with("anna"), "{}", second.name());
    hosting.start().unwrap();
    drop(anna);
    assert_eq!(hosting.player("anna"), Ok(None));
    let _anna = player(&rooms, &hosting, "anna");
    assert_eq!(hosting.player("anna"), Ok(Some(peer("anna"))));
}

#[test]
fn only_the_current_holder_of_a_name_frees_it() {
    let (_house, rooms) = rooms();
    let hosting = host(&rooms);
    let old = player(&rooms, &hosting, "anna");
    hosting.start().unwrap();
    let new = player(&rooms, &hosting, "anna");
    drop(old);
    assert_eq!(hosting.player("anna"), Ok(Some(peer("anna"))));
    drop(new);
    assert_eq!(hosting.player("anna"), Ok(None));
}

#[test]
fn as_many_names_are_remembered_as_there_may_be_players() {
    let (_house, rooms) = house_with(|limits| limits.room_code_players = 3);
    let hosting = host(&rooms);
    for name in ["1", "2", "1", "3", "2", "4"] {
        drop(player(&rooms, &hosting, name));
    }
    assert_eq!(hosting.player("1"), Err(RoomCodeError::NoPlayer));
    for name in ["2", "3", "4"] {
        assert_eq!(hosting.player(name), Ok(None), "{name}");
    }
}

#[test]
fn an_id_to_be_called_under_leads_to_its_guest_until_it_is_given_up() {
    let (house, _rooms) = rooms();
    let aliases = &guests(&house.key).aliases;
    let first = aliases.add(peer("first"), &peer("guest"));
    let second = aliases.add(peer("second"), &peer("guest"));
    assert_eq!((aliases.guest("first"), aliases.guest("second")), (Some(peer("guest")), Some(peer("guest"))));
    drop(first);
    assert_eq!((aliases.guest("first"), aliases.guest("second")), (None, Some(peer("guest"))));
    assert_eq!((second.id(), aliases.guest("guest")), (&peer("second"), None));
}

#[test]
fn an_invalid_code_is_not_a_room() {
    let (_house, rooms) = rooms();
    let hosting = host(&rooms);
    for code in ["", " ", "é", "ſ", &"A".repeat(17), &"A".repeat(1 << 20), &format!("{}\0", hosting.code())]
    {
        assert!(!rooms.contains(code));
        assert_eq!(problem(&rooms, code, "anna"), Some(RoomCodeError::NoRoom));
    }
}

#[test]
fn rooms_of_two_keys_do_not_meet() {
    let (house, rooms) = rooms();
    let others = Arc::clone(&guests(&house.another("other")).room_codes);
    let hosting = host(&rooms);
    assert!(!others.contains(hosting.code()));
    assert_eq!(problem(&others, hosting.code(), "anna"), Some(RoomCodeError::NoRoom));
}
