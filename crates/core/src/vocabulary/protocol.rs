//! The protocols that the server offers, with their names, numbers and addresses. `protocols` of the broker
//! has all else of them.

use super::tables::{labels, numbers};

labels! {
    /// A protocol that the server offers. The labels are those of `--dialects`.
    pub enum Dialect {
        /// PeerJS, also over HTTP.
        PeerJs = "peerjs",
        /// Room codes.
        RoomCodes = "room_codes",
        /// One-to-one calls.
        Calls = "calls",
        /// Topics: the protocols of y-webrtc and of Trystero's own relay.
        Topics = "topics",
        /// Nostr, as Trystero uses it unless told otherwise.
        Nostr = "nostr" if feature = "nostr",
        /// Rooms of RxDB's replication.
        RxDb = "rxdb",
        /// The tracker of WebTorrent. Off by default.
        Tracker = "tracker",
        /// Rooms of Matchbox. Off by default.
        Matchbox = "matchbox",
    }
}

/// The address of the WebSockets of a protocol, below the mount path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// The mount path itself. Several protocols meet there.
    Root,
    /// The mount path and this segment.
    Segment(&'static str),
    /// The mount path, this segment and the name of a room, or nothing behind it.
    Room(&'static str),
}

impl Dialect {
    /// The labels of those that this build leaves out, each by the feature of its name.
    pub const LEFT_OUT: &[&str] = &[
        #[cfg(not(feature = "nostr"))]
        "nostr",
    ];

    /// The address to which its clients connect, the realm in which they find each other, and whether the
    /// server offers it unless `--dialects` says otherwise.
    #[inline]
    const fn row(self) -> (Address, RealmKind, bool) {
        match self {
            Dialect::PeerJs => (Address::Segment("peerjs"), RealmKind::PeerJs, true),
            Dialect::RoomCodes | Dialect::Calls | Dialect::Topics => (Address::Root, RealmKind::Guests, true),
            #[cfg(feature = "nostr")]
            Dialect::Nostr => (Address::Root, RealmKind::Guests, true),
            // Strangers could use a tracker that is open to the Internet.
            Dialect::Tracker => (Address::Root, RealmKind::Guests, false),
            Dialect::RxDb => (Address::Segment("rxdb"), RealmKind::RxDb, true),
            // For native games.
            Dialect::Matchbox => (Address::Room("matchbox"), RealmKind::Matchbox, false),
        }
    }

    /// The address of its WebSockets.
    #[inline]
    pub const fn address(self) -> Address {
        self.row().0
    }

    /// The realm of its clients.
    #[inline]
    pub const fn realm(self) -> RealmKind {
        self.row().1
    }

    /// True if the server offers it unless `--dialects` says otherwise.
    pub const fn is_on_by_default(self) -> bool {
        self.row().2
    }
}

labels! {
    /// The clients that find each other within a key.
    pub enum RealmKind {
        /// PeerJS clients. They choose their ids.
        PeerJs = "peerjs",
        /// Clients of room codes and calls. The broker chooses their ids.
        Guests = "guest",
        /// Clients of RxDB's replication. The broker chooses their ids.
        RxDb = "rxdb",
        /// Peers of Matchbox. The broker chooses their ids.
        Matchbox = "matchbox",
    }
}

numbers!(RealmKind: PeerJs = 0, Guests = 1, RxDb = 4, Matchbox = 5);

impl RealmKind {
    /// True if its clients choose their ids and tokens. For others the broker chooses new ones each time, so
    /// none of them can come back.
    pub const fn has_own_ids(self) -> bool {
        matches!(self, RealmKind::PeerJs)
    }
}

labels! {
    /// A kind of names that clients hold beside their ids: at most one client of a key on all nodes has a
    /// name. The labels are those in Redis.
    pub enum NameKind {
        /// The code of a room.
        RoomCode = "room",
        /// The alias of a guest that can be called.
        Alias = "alias",
        /// The right to open groups of Matchbox.
        Group = "group",
        /// The place of a pipe.
        Pipe = "pipe",
    }
}

numbers!(NameKind: RoomCode = 2, Alias = 3, Group = 6, Pipe = 7);

// Nodes number them together with the realms.
const _: () = {
    let mut kinds = NameKind::ALL.as_slice();
    while let [kind, rest @ ..] = kinds {
        assert!(RealmKind::of_number(kind.number()).is_none(), "a realm has this number");
        kinds = rest;
    }
};

impl NameKind {
    /// The realm of the clients that hold such names, whether they use them before the other nodes can be
    /// asked, and whether others send them messages by such a name.
    const fn row(self) -> (RealmKind, bool, bool) {
        match self {
            NameKind::RoomCode => (RealmKind::Guests, true, false),
            NameKind::Alias => (RealmKind::Guests, true, true),
            NameKind::Group => (RealmKind::Matchbox, false, false),
            // Its ends are clients of no realm. Those that know each other by it mostly are of this one.
            NameKind::Pipe => (RealmKind::PeerJs, true, false),
        }
    }

    /// The realm of the clients that hold such names.
    pub const fn realm(self) -> RealmKind {
        self.row().0
    }

    /// True if `--cluster_degraded allow` lets clients use such a name before the other nodes can be asked.
    pub const fn may_be_unclaimed(self) -> bool {
        self.row().1
    }

    /// True if others send messages to a client by such a name.
    pub const fn is_address(self) -> bool {
        self.row().2
    }
}
