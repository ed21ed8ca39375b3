//! A command of a guest that waits for other nodes of the cluster.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use crate::directory::{CallAlias, HostedRoom, RoomError};
use crate::node::{Guests, HeldName, Holding, Joined, Membership};
use crate::wire::{ConnId, PeerId};

/// How long a client waits for other nodes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A command that waits, and what its client has sent behind it.
pub(super) struct Waiting {
    /// The command.
    pub(super) text: String,
    answer: Pin<Box<dyn Future<Output = Answer>>>,
    /// Texts of the same read: nothing is read while a command waits.
    pub(super) backlog: VecDeque<String>,
}

/// What a command waits for.
pub(super) enum Answer {
    /// A room with a code that no other node has.
    Opened(Result<Hosting, Trouble>),
    /// A name in a room of another node.
    Joined(Joined),
    /// An alias that other nodes can find.
    Introduced(CallAlias, Box<HeldName>),
}

/// Why there is no room.
pub(super) enum Trouble {
    /// This node can open none.
    Room(RoomError),
    /// The other nodes cannot be asked.
    Unavailable,
}

/// A host's room.
pub(super) struct Hosting {
    pub(super) room: HostedRoom,
    /// In a cluster: dropped with the room.
    pub(super) _code: Option<HeldName>,
}

impl Waiting {
    pub(super) fn new(text: &str, answer: impl Future<Output = Answer> + 'static) -> Box<Self> {
        Box::new(Waiting { text: text.to_owned(), answer: Box::pin(answer), backlog: VecDeque::new() })
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        self.answer.as_mut().poll(cx)
    }
}

/// Opens a room for a host, with a code that no other node has.
pub(super) async fn open_room(
    membership: Arc<Membership>,
    guests: Arc<Guests>,
    host: PeerId,
    connection: ConnId,
) -> Answer {
    let open = async {
        loop {
            let room = guests.rooms.create(&host).map_err(Trouble::Room)?;
            let (code, claimed) = membership.hold_room(&guests.realm, room.code(), &host, connection);
            match claimed.await {
                Holding::Taken => {}
                Holding::Unavailable if !membership.allows_unclaimed() => {
                    return Err(Trouble::Unavailable);
                }
                Holding::Granted | Holding::Unavailable => return Ok(Hosting { room, _code: Some(code) }),
            }
        }
    };
    Answer::Opened(timeout(PATIENCE * 2, open).await.unwrap_or(Err(Trouble::Unavailable)))
}

/// Makes an alias known to other nodes. If they cannot be asked, it is made known later.
pub(super) async fn introduce(
    membership: Arc<Membership>,
    guests: Arc<Guests>,
    alias: CallAlias,
    guest: PeerId,
    connection: ConnId,
) -> Answer {
    let (held, claimed) = membership.hold_alias(&guests.realm, alias.id(), &guest, connection);
    claimed.await;
    Answer::Introduced(alias, Box::new(held))
}
