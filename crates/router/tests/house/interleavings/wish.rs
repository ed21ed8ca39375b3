//! Random wishes, and the steps that they become.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::IDS;
use crate::model::{ConnNo, Message};

/// A random wish. Connections are counted from the newest, among those that are not over.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Connect { id: usize, token: usize, room: usize },
    Send { from: usize, burst: Vec<(usize, usize, bool)> },
    Leave(usize),
    Die(usize),
    Vanish(usize),
    Notice(usize),
    End(usize),
    Hear(usize),
    Pong(usize),
    Room(usize, usize),
    Break(usize),
    Advance(u64),
    Sweep,
    Probe(usize),
}

/// A possible step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Connect {
        id: &'static str,
        token: &'static str,
        room: usize,
    },
    /// Several messages of one read: written once per recipient, after the last.
    Send {
        from: ConnNo,
        burst: Vec<Message>,
    },
    /// Its client leaves with a close frame.
    Leave(ConnNo),
    /// Its socket is found dead.
    Die(ConnNo),
    /// Its session is dropped, as by a panic.
    Vanish(ConnNo),
    /// Its session runs: it writes, and is told that it was dismissed.
    Notice(ConnNo),
    /// Its close is complete.
    End(ConnNo),
    Hear(ConnNo),
    /// A reply of the session to any frame.
    Pong(ConnNo),
    Room(ConnNo, usize),
    Break(ConnNo),
    Advance(u64),
    Sweep,
    Probe(&'static str, usize),
}

fn room() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(usize::MAX), 1 => Just(0), 3 => 1_usize..400]
}

pub(super) fn wish() -> impl Strategy<Value = Wish> {
    let conn = || 0..6_usize;
    let token = prop_oneof![3 => Just(0_usize), 1 => Just(1)];
    let message = (0..IDS.len(), select(vec![0_usize, 1, 40, 120, 130, 300]), prop::bool::weighted(0.8));
    prop_oneof![
        6 => (0..IDS.len(), token, room()).prop_map(|(id, token, room)| Wish::Connect { id, token, room }),
        10 => (conn(), vec(message, 1..5)).prop_map(|(from, burst)| Wish::Send { from, burst }),
        1 => conn().prop_map(Wish::Leave),
        1 => conn().prop_map(Wish::Die),
        1 => conn().prop_map(Wish::Vanish),
        2 => conn().prop_map(Wish::Notice),
        2 => conn().prop_map(Wish::End),
        1 => conn().prop_map(Wish::Hear),
        1 => conn().prop_map(Wish::Pong),
        4 => (conn(), room()).prop_map(|(conn, room)| Wish::Room(conn, room)),
        1 => conn().prop_map(Wish::Break),
        3 => select(vec![1_u64, 1000, 2999, 3000, 4999, 5000, 10_000, 19_999, 20_000, 60_000]).prop_map(Wish::Advance),
        3 => Just(Wish::Sweep),
        2 => (0..IDS.len()).prop_map(Wish::Probe),
    ]
}
