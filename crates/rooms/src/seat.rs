//! Seats: the order in which the members of a room have come, and a small number for each.

use serde::{Deserialize, Serialize};

/// The place of a member in its room. The host is the willing member with the least [`since`](Self::since),
/// and of two the one with the smaller id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Time at which it joined, in ms since 1970, and later than that of all members that its node knew.
    pub since: u64,
    /// From 1: the smallest that was free. Two members have the same one only until their nodes have told
    /// each other.
    pub number: u32,
    /// True if the member does not want to be host.
    pub never_host: bool,
}

/// The seat that a member asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatWish {
    /// The number that it had before, which it gets if it is free.
    pub number: Option<u32>,
    /// True if the member does not want to be host.
    pub never_host: bool,
    /// If the room is new, only its host may write the state.
    pub only_host_writes: bool,
}

impl SeatWish {
    /// The seat for a member that has none, of `most`, at a time in ms since 1970.
    pub(super) fn grant(self, seats: &[Seat], most: usize, unix_millis: u64) -> Seat {
        let latest = seats.iter().map(|seat| seat.since).max().unwrap_or(0);
        let is_seat =
            |number: &u32| usize::try_from(*number).is_ok_and(|number| (1..=most).contains(&number));
        let is_free = |number: &u32| seats.iter().all(|seat| seat.number != *number);
        let wanted = self.number.filter(is_seat).filter(is_free);
        Seat {
            since: unix_millis.max(latest + 1),
            number: wanted.unwrap_or_else(|| free_number(seats)),
            never_host: self.never_host,
        }
    }
}

/// The smallest number that is free.
pub(super) fn free_number(seats: &[Seat]) -> u32 {
    let mut taken: Vec<u32> = seats.iter().map(|seat| seat.number).collect();
    taken.sort_unstable();
    taken.into_iter().fold(1, |free, number| if number == free { free + 1 } else { free })
}
