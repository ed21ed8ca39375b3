//! The room codes of a key, with their hosts and players. They lead to ids of peers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use rand::seq::IndexedRandom as _;
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::names::{self, GivenSeat, Hold, NameHolder, Names};
use peerbroker_config::LiveConfig;
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::{AddressPrefix, PeerId, expected, numbers};

/// The error of an operation in the room of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomCodeError {
    /// There is no such room, or it has ended.
    NoRoom,
    /// There is no such player in the room.
    NoPlayer,
    /// The room has reached its limit of players.
    Full,
    /// The limit of rooms is reached.
    TooMany,
    /// The host of the room was lost, and may come back.
    HostAway,
}

numbers!(RoomCodeError: NoRoom = 0, NoPlayer = 1, Full = 2, TooMany = 3, HostAway = 4);

impl From<RoomCodeError> for Problem {
    fn from(error: RoomCodeError) -> Self {
        match error {
            RoomCodeError::NoRoom | RoomCodeError::HostAway => Problem::WrongRoom,
            RoomCodeError::NoPlayer => Problem::NoPlayer,
            RoomCodeError::Full => Problem::RoomFull,
            RoomCodeError::TooMany => Problem::TooManyRooms,
        }
    }
}

/// Letters of a room code, unless nearly all such codes are taken.
const CODE_LETTERS: usize = 4;
/// Taken codes in a row after which one letter more is used.
const TRIES: usize = 8;
/// The longest possible code. Longer texts are not looked up.
const MAX_CODE_BYTES: usize = 16;

/// The room codes of one key. They only lead to peers, whose messages go through their realm.
pub struct RoomCodes {
    config: LiveConfig,
    clock: Clock,
    last_number: AtomicU64,
    rooms: DashMap<String, CodedRoom>,
    /// The codes of the rooms of each address.
    of_address: DashMap<AddressPrefix, HashSet<String>>,
}

struct CodedRoom {
    /// Identifies the room: codes are reused, numbers are not.
    number: u64,
    host: PeerId,
    /// The address of its host.
    address: Option<AddressPrefix>,
    /// Its host was lost: the room ends at this time, unless the host comes back.
    ends: Option<Instant>,
    hold: Option<Hold>,
    players: HashMap<String, Player>,
    /// Names of players that left before the start, the latest last. At most as many as the limit of players.
    left: VecDeque<String>,
    started: bool,
    /// The time at which a player last joined or was answered, or the room started.
    used: Instant,
}

struct Player {
    /// `None` if the player is away and may come back.
    peer: Option<PeerId>,
    generation: u64,
}

/// A host's hold on its room. Dropping it removes the room.
pub struct HostedRoom {
    rooms: Arc<RoomCodes>,
    code: String,
    number: u64,
    /// The room stays when this is dropped.
    is_kept: bool,
}

/// A player's hold on its name. Dropping it frees the name, or, once the room has started, keeps it
/// for when the player comes back.
pub struct PlayerName {
    rooms: Arc<RoomCodes>,
    code: String,
    number: u64,
    name: String,
    generation: u64,
}

/// The name and the host of a player whose room is on another node, as that node tells them.
#[derive(Serialize, Deserialize)]
pub(super) struct Admitted {
    pub(super) name: String,
    pub(super) host: String,
}

/// The result of a join.
pub enum Seating {
    /// The player has this name, and this is the host.
    In(PlayerName, PeerId),
    /// The peer that has the name. If it does not live any more, the player is to get the name.
    Held(PeerId),
}

impl RoomCodes {
    /// No room yet.
    pub fn new(config: LiveConfig, clock: Clock) -> Self {
        let rooms = DashMap::new();
        let of_address = DashMap::new();
        RoomCodes { config, clock, last_number: AtomicU64::new(0), rooms, of_address }
    }

    /// A number that was never used before.
    fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Opens a room with a new code, for a host at this address.
    pub fn create(
        self: &Arc<Self>,
        host: &PeerId,
        address: Option<IpAddr>,
    ) -> Result<HostedRoom, RoomCodeError> {
        // The rule of `Places`: an address leaves more than it has.
        let free = self.config.load().limits.room_codes.saturating_sub(self.rooms.len());
        let codes_of = |address| self.of_address.get(&address).map_or(0, |codes| codes.len());
        if free <= AddressPrefix::of_remote(address).map_or(0, codes_of) {
            return Err(RoomCodeError::TooMany);
        }
        let number = self.next_number();
        let address = address.map(AddressPrefix::of);
        for tries in 0.. {
            let code = random("ABCDEFGHIJKLMNOPQRSTUVWXYZ", CODE_LETTERS + tries / TRIES);
            if let Entry::Vacant(vacant) = self.rooms.entry(code.clone()) {
                let players = HashMap::new();
                let left = VecDeque::new();
                let used = self.clock.now();
                let host = host.clone();
                let ends = None;
                let hold = None;
                let started = false;
                vacant.insert(CodedRoom { number, host, address, ends, hold, players, left, started, used });
                if let Some(address) = address {
                    self.of_address.entry(address).or_default().insert(code.clone());
                }
                return Ok(HostedRoom { rooms: Arc::clone(self), code, number, is_kept: false });
            }
        }
        Err(RoomCodeError::TooMany)
    }

    /// The code of the room of an address, if it has only one.
    fn only_code(&self, address: AddressPrefix) -> Option<String> {
        let codes = self.of_address.get(&address)?;
        codes.iter().next().filter(|_| codes.len() == 1).cloned()
    }

    /// Gives a host that comes back its room, as it was. A reloaded page cannot prove that it is the host.
    /// Its address is the proof, if no other room is from there.
    pub fn reopen(
        self: &Arc<Self>,
        host: &PeerId,
        address: Option<IpAddr>,
    ) -> Option<(HostedRoom, Option<Hold>)> {
        let code = self.only_code(AddressPrefix::of(address?))?;
        let now = self.clock.now();
        let mut room = self.rooms.get_mut(&code)?;
        room.ends.take_if(|ends| now < *ends)?;
        room.host = host.clone();
        room.used = now;
        let number = room.number;
        let hold = room.hold.take();
        drop(room);
        Some((HostedRoom { rooms: Arc::clone(self), code, number, is_kept: false }, hold))
    }

    /// True if there is a room with this code, in any case of letters.
    pub fn contains(&self, code: &str) -> bool {
        self.code(code).is_some_and(|code| self.rooms.contains_key(&code))
    }

    /// True if the host of a room was lost, and may come back.
    pub fn is_waiting(&self, code: &str) -> bool {
        self.rooms.get(code).is_some_and(|room| room.ends.is_some())
    }

    /// The number of rooms.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// True if there is no room.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Takes a name in a room, and returns the host as well. Until the room starts, a name whose holder lives
    /// is made longer until it is free. After that, only known names get in, and the player that had the name
    /// before loses it.
    pub fn join(
        self: &Arc<Self>,
        code: &str,
        name: &str,
        player: &PeerId,
        holder: &NameHolder,
    ) -> Result<Seating, RoomCodeError> {
        let code = self.code(code).ok_or(RoomCodeError::NoRoom)?;
        let mut room = self.rooms.get_mut(&code).ok_or(RoomCodeError::NoRoom)?;
        let generation = self.next_number();
        let mut name = name.to_owned();
        if room.ends.is_some() {
            return Err(RoomCodeError::HostAway);
        }
        let held_by = room.players.get(&name).and_then(|held| held.peer.clone());
        let is_gone =
            matches!((holder, &held_by), (NameHolder::Gone(gone), Some(held_by)) if gone == held_by);
        if room.started || is_gone {
            if !room.players.contains_key(&name) {
                return Err(RoomCodeError::NoPlayer);
            }
        } else if let (NameHolder::Unasked, Some(other)) =
            (holder, held_by.filter(|held_by| held_by != player))
        {
            return Ok(Seating::Held(other));
        } else if room.players.len() >= self.config.load().limits.room_code_players {
            return Err(RoomCodeError::Full);
        } else {
            while room.players.contains_key(&name) {
                name += &random("abcdefghijklmnopqrstuvwxyz0123456789", 1);
            }
        }
        room.players.insert(name.clone(), Player { peer: Some(player.clone()), generation });
        room.used = self.clock.now();
        let playing = PlayerName { rooms: Arc::clone(self), code, number: room.number, name, generation };
        Ok(Seating::In(playing, room.host.clone()))
    }

    /// Removes the rooms that were idle for too long, and those whose host did not come back.
    pub fn sweep(&self) {
        let timeout = self.config.load().limits.room_code_timeout;
        let now = self.clock.now();
        let is_over = |room: &CodedRoom| {
            now.saturating_since(room.used) >= timeout || room.ends.is_some_and(|ends| ends <= now)
        };
        let over =
            self.rooms.iter().filter(|room| is_over(room)).map(|room| (room.key().clone(), room.number));
        let over: Vec<(String, u64)> = over.collect();
        over.iter().for_each(|(code, number)| self.remove(code, *number));
    }

    fn remove(&self, code: &str, number: u64) {
        let removed = self.rooms.remove_if(code, |_, room| room.number == number);
        if let Some(address) = removed.and_then(|(_, room)| room.address) {
            self.of_address.remove_if_mut(&address, |_, codes| codes.remove(code) && codes.is_empty());
        }
    }

    /// The normalized code; `None` if no room of any node can have it. Keyboards of phones add blanks.
    pub fn code(&self, code: &str) -> Option<String> {
        let code: String = code.split_whitespace().collect();
        let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        (is_code && code.len() <= MAX_CODE_BYTES).then(|| code.to_ascii_uppercase())
    }

    fn with<R>(
        &self,
        code: &str,
        number: u64,
        act: impl FnOnce(&mut CodedRoom) -> R,
    ) -> Result<R, RoomCodeError> {
        let mut room = self.rooms.get_mut(code).filter(|room| room.number == number);
        Ok(act(room.as_mut().ok_or(RoomCodeError::NoRoom)?))
    }
}

impl Names for RoomCodes {
    fn seat(
        self: Arc<Self>,
        name: &str,
        wanted: &str,
        client: &PeerId,
        holder: &NameHolder,
    ) -> Result<names::Seating, u8> {
        match self.join(name, wanted, client, holder) {
            Ok(Seating::Held(holder)) => Ok(names::Seating::Held(holder)),
            Ok(Seating::In(playing, host)) => {
                let admitted = Admitted { name: playing.name().to_owned(), host: host.as_str().to_owned() };
                let told = expected(serde_json::to_string(&admitted), "a seat");
                Ok(names::Seating::Given(Box::new(playing), told))
            }
            Err(error) => Err(error.number()),
        }
    }
}

impl GivenSeat for PlayerName {
    /// A name that nobody uses is in nobody's way.
    fn doubt(self: Box<Self>) -> Option<Box<dyn GivenSeat>> {
        Some(self)
    }
}

impl CodedRoom {
    /// Frees a name and remembers it, because the host may still answer it.
    fn give_up(&mut self, name: &str, most: usize) {
        self.left.retain(|left| left != name);
        self.left.extend(self.players.remove_entry(name).map(|(name, _)| name));
        let excess = self.left.len().saturating_sub(most);
        self.left.drain(..excess);
    }
}

impl HostedRoom {
    /// The code that leads to the room.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The host was lost, and may come back: the room waits for that, and keeps `hold`. A room that its host
    /// could not [reopen](RoomCodes::reopen) is removed, so an address has one that waits at most.
    pub fn wait_for_host(mut self, hold: Option<Hold>) {
        let rooms = Arc::clone(&self.rooms);
        let reclaim = rooms.config.load().limits.reclaim_timeout;
        let ends = rooms.clock.now() + reclaim;
        let address = rooms.with(&self.code, self.number, |room| room.address).ok().flatten();
        let is_only = address.and_then(|address| rooms.only_code(address)).is_some();
        self.is_kept = is_only && !reclaim.is_zero();
        if self.is_kept {
            let _ = rooms.with(&self.code, self.number, |room| {
                room.ends = Some(ends);
                room.hold = hold;
            });
        }
    }

    /// The player of a name; `None` if that player has left.
    pub fn player(&self, name: &str) -> Result<Option<PeerId>, RoomCodeError> {
        let now = self.rooms.clock.now();
        self.rooms.with(&self.code, self.number, |room| {
            room.used = now;
            match room.players.get(name) {
                Some(player) => Ok(player.peer.clone()),
                None if room.left.iter().any(|left| left == name) => Ok(None),
                None => Err(RoomCodeError::NoPlayer),
            }
        })?
    }

    /// From now on only players that are known get in.
    pub fn start(&self) -> Result<(), RoomCodeError> {
        let now = self.rooms.clock.now();
        self.rooms.with(&self.code, self.number, |room| {
            room.used = now;
            room.started = true;
        })
    }
}

impl Drop for HostedRoom {
    fn drop(&mut self) {
        if !self.is_kept {
            self.rooms.remove(&self.code, self.number);
        }
    }
}

impl PlayerName {
    /// The active name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if the room is still there.
    pub fn is_room_open(&self) -> bool {
        self.rooms.with(&self.code, self.number, |_| ()).is_ok()
    }
}

impl Drop for PlayerName {
    fn drop(&mut self) {
        let most = self.rooms.config.load().limits.room_code_players;
        let _ = self.rooms.with(&self.code, self.number, |room| match room.players.get_mut(&self.name) {
            // Another player has the name now.
            Some(player) if player.generation != self.generation => {}
            Some(mine) if room.started => mine.peer = None,
            Some(_) => room.give_up(&self.name, most),
            None => {}
        });
    }
}

/// Random text.
fn random(alphabet: &str, len: usize) -> String {
    let mut rng = rand::rng();
    let letters = alphabet.as_bytes();
    (0..len).filter_map(|_| letters.choose(&mut rng)).map(|letter| char::from(*letter)).collect()
}
