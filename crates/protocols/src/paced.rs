//! Clients that publish faster than they may: they are read later. Their protocols have no answer for
//! publications that are lost, and clients do not repeat them.

use std::time::Duration;

use crate::client::{Ask, Context};
use peerbroker_core::vocabulary::Limit;

/// Shortest pause of a client whose publications come too fast. After one that many share, one of them goes
/// on at a time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// Longest pause until it is checked again if that was enough: others of its key may have paid.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A command that waits until its client has paid for earlier ones.
pub(crate) struct Paced<C> {
    pub(crate) command: C,
    pub(crate) text: String,
}

impl<C> Paced<C> {
    pub(crate) fn kept_bytes(&self) -> usize {
        self.text.len()
    }
}

/// Has a client pause that owes for its earlier publications. Returns the limit that it has exceeded, or
/// `None` if it may go on.
pub(crate) fn pause(context: &mut Context<'_, '_>) -> Option<Limit> {
    let rooms = context.key.existing_rooms(context.peer.realm().kind())?;
    let (limit, time) = rooms.owed(context.peer)?;
    context.ask(Ask::Sleep(time.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)));
    Some(limit)
}
