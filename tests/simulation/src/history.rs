//! The events of a run, in their order.

use std::collections::BTreeMap;
use std::fmt;

use peerbroker_protocols::tracker::Counts;

/// A client's connection, numbered in the order of the attempts.
pub type Conn = usize;

/// Milliseconds of virtual time.
pub type Millis = u64;

// Some fields are only shown.
#[derive(Clone, Debug)]
#[allow(dead_code)]
pub enum What {
    /// A client has its id. Its node is the last number.
    Opened {
        conn: Conn,
        id: &'static str,
        token: u8,
        node: usize,
    },
    Refused {
        conn: Conn,
        id: &'static str,
        why: &'static str,
    },
    /// A connection has ended: by its client, by its broker, or with its node.
    Ended {
        conn: Conn,
        why: &'static str,
    },
    /// A client has sent the message of this number.
    Sent {
        conn: Conn,
        to: &'static str,
        number: u32,
        waits: bool,
    },
    Received {
        conn: Conn,
        from: String,
        number: u32,
    },
    /// A client heard that its messages to this id are lost.
    Expired {
        conn: Conn,
        to: String,
    },
    /// A member of a room has set its data, or has left the room (`None`).
    Set {
        conn: Conn,
        room: &'static str,
        data: Option<String>,
    },
    /// A member of a room has sent the message of this number to all, or to one, and it was accepted.
    Told {
        conn: Conn,
        room: &'static str,
        to: Option<&'static str>,
        number: u32,
    },
    /// A client got a frame of a room.
    Heard {
        conn: Conn,
        text: String,
    },
    /// A client has announced the torrent.
    Announced {
        conn: Conn,
        event: &'static str,
        left: usize,
    },
    /// A member of the swarm got the offer of another one.
    Offered {
        conn: Conn,
        from: Conn,
    },
    /// A peer of Matchbox has done or heard this.
    Grouped {
        conn: Conn,
        what: String,
    },
    /// Something was done to a node, or to the backplane (`None`).
    Fault {
        node: Option<usize>,
        what: String,
    },
    /// The state of a node contradicts itself.
    Contradiction {
        node: usize,
        what: String,
    },
    /// All faults have ended.
    Healed,
    /// Messages that are sent after this event have to arrive.
    Settled,
}

#[derive(Default)]
pub struct History {
    pub events: Vec<(Millis, What)>,
    /// Messages whose outcome the nodes gave up on learning.
    pub in_doubt: u64,
    /// Bytes that still wait at the end.
    pub queued: usize,
    /// The members of each room at the end, as each node knows them.
    pub members: Vec<BTreeMap<&'static str, Vec<String>>>,
    /// The members of the swarm at the end, each with true if it has the whole torrent.
    pub swarm: BTreeMap<Conn, bool>,
    /// The number of them, as each node knows it.
    pub swarms: Vec<Counts>,
    /// True if nodes refuse new clients in an outage, so that no outage is an excuse for two owners.
    pub is_strict: bool,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, what) in &self.events {
            writeln!(f, "{at:>7} {what:?}")?;
        }
        writeln!(f, "in doubt: {}, queued: {}", self.in_doubt, self.queued)
    }
}
