//! A client that speaks Matchbox: a peer of a room, or of a group of those that come to it one after another.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{self, Poll};

use uuid::Uuid;

use super::admission::{Admitted, ClientSource, Rejection, admit_without_credentials, values};
use super::handler::{Context, ProtocolHandler, part};
use crate::node::{GroupMember, GroupStep, Node, Tenant};
use crate::transport::Disconnect;
use peerbroker_broker::protocols::matchbox::{self, HOSTED, Signal};
use peerbroker_broker::rooms::{Parting, Requester};
use peerbroker_broker::router::{Departure, IdLease};
use peerbroker_core::wire::{
    CloseReason, Frame, InvalidName, MessageKind, PeerId, RealmKind, Refusal, RoomName, RoomRefusal,
};

/// The parameter of a query that has the room. Clients have it in their path.
const ROOM: &str = "room";

/// The topology of rooms in which the first peer is the host.
const CLIENT_SERVER: &str = "client_server";

/// The name of the room of those that name none. No client can name it.
const UNNAMED: &str = "/";

/// A peer and its room.
pub(crate) struct Matchbox {
    tenant: Arc<Tenant>,
    /// The room of its path.
    room: RoomName,
    /// The size of the groups of its room, if it has some. 0 if nothing fills them.
    size: Option<usize>,
    /// Its part in a group, once it is registered.
    group: Option<Box<GroupMember>>,
    /// True if it knows its id.
    is_introduced: bool,
}

impl Matchbox {
    /// True if a client may name a room so, or not at all. Names with a slash are those of groups.
    pub(crate) fn is_room(name: &str) -> bool {
        name.is_empty() || (RoomName::of_topic(name).is_ok() && !name.contains('/'))
    }

    /// The query of a client with the room of its path. Of repeated parameters the last counts.
    pub(crate) fn query(query: &str, room: &str) -> String {
        form_urlencoded::Serializer::new(query.to_owned()).append_pair(ROOM, room).finish()
    }

    /// A peer that has sent this query. With `next`, it wants a place in a group of that size; with a host, in the one of that.
    fn of_query(tenant: Arc<Tenant>, query: &str) -> Result<Self, InvalidName> {
        let [room, next, topology] = values(query, [ROOM, "next", "topology"]);
        let room: &str = if room.is_empty() { UNNAMED } else { &room };
        // As in the reference, any other text is none.
        let next: Option<usize> = next.parse().ok();
        let (room, size) = match next {
            _ if topology == CLIENT_SERVER => (format!("{room}{HOSTED}"), Some(next.unwrap_or(0))),
            // Nothing fills it, so it is a room like others.
            Some(0) => (format!("{room}/0"), None),
            _ => (room.to_owned(), next),
        };
        let (room, group, is_introduced) = (RoomName::measured(&room)?, None, false);
        Ok(Matchbox { tenant, room, size, group, is_introduced })
    }

    /// Joins a room, and tells the client its id before. A client that has its id is in its room.
    fn join(&mut self, room: RoomName, context: &mut Context<'_>) {
        if !std::mem::replace(&mut self.is_introduced, true) {
            context.reply(matchbox::id_assigned(context.peer.id().as_str()));
        }
        let &mut Context { peer, node, ref mut flushes } = context;
        let most = self.tenant.policy().settings().room_members;
        let size = self.group.as_ref().map(|group| group.size()).filter(|size| (1..=most).contains(size));
        let requester = &mut Requester { peer, request: None, flushes };
        let hub = self.tenant.hub(RealmKind::Matchbox);
        let Err(refusal) = hub.join(requester, room, None, size.unwrap_or(most)) else { return };
        if let (RoomRefusal::Full, Some(_), Some(group)) = (refusal, size, &mut self.group) {
            // Somebody has left it, and is still in the room.
            return group.join_later();
        }
        if let Some(limit) = refusal.ending().limit {
            node.events().limit_hit(limit, Some(self.tenant.key()), peer.address());
        }
        // Writes the id in front of the close frame.
        flushes.clear();
        peer.dismiss(CloseReason::RoomFull);
    }
}

/// Gives a client an id as Matchbox reads it: a UUID.
fn named(admitted: Admitted) -> Result<Admitted, Refusal> {
    let id = PeerId::parse(&Uuid::new_v4().to_string()).map_err(Refusal::InvalidId)?;
    Ok(Admitted { id, ..admitted })
}

impl ProtocolHandler for Matchbox {
    async fn enter(node: &Node, query: &str, source: &ClientSource) -> Result<(Admitted, Self), Rejection> {
        let realm = |tenant: &Arc<Tenant>| Arc::clone(tenant.hub(RealmKind::Matchbox).realm());
        let admitted = match admit_without_credentials(node, query, source, realm).await {
            Ok((admitted, tenant)) => match named(admitted) {
                Ok(admitted) => {
                    Matchbox::of_query(tenant, query).map(|peer| (admitted, peer)).map_err(Refusal::InvalidId)
                }
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        admitted.map_err(|reason| Rejection { id: None, ..Rejection::of(reason, query) })
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The protocol has no such event: its clients log it.
    fn refusal(refusal: Refusal) -> Frame {
        matchbox::error(&refusal.text())
    }

    /// Only now: a client that is refused takes no place.
    fn on_open(&mut self, context: &mut Context<'_>) {
        let room = self.room.clone();
        match self.size {
            Some(size) => {
                let id = context.peer.id().clone();
                let group = GroupMember::new(context.node, &self.tenant, (room, size), id);
                self.group = Some(Box::new(group));
            }
            None => self.join(room, context),
        }
    }

    fn poll_pending(&mut self, cx: &mut task::Context<'_>, context: &mut Context<'_>) -> Poll<()> {
        while let Some(group) = &mut self.group
            && let Poll::Ready(step) = group.poll_step(cx)
        {
            match step {
                GroupStep::Join(room) => self.join(room, context),
                GroupStep::Leave(room) => group.leave(context.peer, room.as_str(), context.flushes),
                GroupStep::GiveUp => context.peer.dismiss(CloseReason::NoPlace),
            }
        }
        if self.is_introduced {
            return Poll::Ready(());
        }
        // We do not read meanwhile, so silence proves nothing.
        context.peer.heard_unprobed();
        Poll::Pending
    }

    fn on_room(&mut self, context: &mut Context<'_>) {
        if let Some(rooms) = self.tenant.existing_hub(RealmKind::Matchbox) {
            rooms.catch_up(context.peer, context.flushes);
        }
    }

    /// A client that comes back has another id. Its place is free before the others hear that it has left.
    fn depart(self, lease: IdLease, end: Disconnect) -> Option<Departure> {
        let departure = part(lease, end)?;
        drop(self.group);
        if let Some(rooms) = self.tenant.existing_hub(RealmKind::Matchbox) {
            rooms.departed(&departure.peer, Parting::ForGood);
        }
        Some(departure)
    }

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        if let Some(Signal { receiver, kind, data }) = matchbox::decode(text)
            && let Ok(receiver) = Uuid::parse_str(&receiver)
        {
            let frame = matchbox::signal(context.peer.id().as_str(), data);
            context.send(&receiver.to_string(), MessageKind::Call, frame, kind.into());
        }
        ControlFlow::Continue(())
    }

    fn on_binary(&mut self, _bytes: &[u8], _context: &mut Context<'_>) -> Option<ControlFlow<()>> {
        Some(ControlFlow::Continue(()))
    }
}
