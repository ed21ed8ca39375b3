//! A client that speaks Matchbox: a peer of a room, or of a group of those that come to it one after another.

use std::ops::ControlFlow;
use std::sync::Arc;

use arc_swap::Guard;
use uuid::Uuid;

use super::admission::{Admitted, ClientSource, Rejection, admit_without_credentials, values};
use super::handler::{Context, ProtocolHandler, part};
use crate::dialect::matchbox::{self, HOSTED, Signal};
use crate::keys::Policy;
use crate::node::{Node, Place, Tenant};
use crate::rooms::{Parting, Requester};
use crate::router::{Departure, IdLease};
use crate::transport::Disconnect;
use crate::wire::{
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
    /// Its place in a group, if it asks for one.
    place: Option<Place>,
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

    /// A peer with this id. With `next` in its query, it takes a place in a group of that size; with a host, in the one of that.
    async fn of_query(
        node: &Node,
        tenant: Arc<Tenant>,
        query: &str,
        id: &PeerId,
    ) -> Result<Self, InvalidName> {
        let [room, next, topology] = values(query, [ROOM, "next", "topology"]);
        let mut room = RoomName::of_topic(if room.is_empty() { UNNAMED } else { &room })?;
        // As in the reference, any other text is none.
        let mut size = next.parse().ok();
        if topology == CLIENT_SERVER {
            (room, size) = (RoomName::measured(&format!("{room}{HOSTED}"))?, size.or(Some(0)));
        }
        let place = match size {
            Some(size) => Some(Place::take(node, &tenant, &room, size, id).await?),
            None => None,
        };
        Ok(Matchbox { tenant, room, place })
    }

    /// Joins the room, or its group.
    fn join(&self, requester: &mut Requester<'_>) -> Result<(), RoomRefusal> {
        let room = self.place.as_ref().map_or(&self.room, Place::room).clone();
        let most = self.tenant.policy().settings().room_members;
        self.tenant.hub(RealmKind::Matchbox).join(requester, room, None, most)
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
                    let peer = Matchbox::of_query(node, tenant, query, &admitted.id).await;
                    peer.map(|peer| (admitted, peer)).map_err(Refusal::InvalidId)
                }
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        admitted.map_err(|reason| Rejection { id: None, ..Rejection::of(reason, query) })
    }

    fn policy(&self) -> Guard<Arc<Policy>> {
        self.tenant.policy()
    }

    /// The protocol has no such event: its clients log it.
    fn refusal(refusal: Refusal) -> Frame {
        matchbox::error(&refusal.text())
    }

    fn on_open(&mut self, context: &mut Context<'_>) {
        // No greeting, which is written before this: a client that has its id has its place, too.
        context.reply(matchbox::id_assigned(context.peer.id().as_str()));
        let &mut Context { peer, node, ref mut flushes } = context;
        let joined = self.join(&mut Requester { peer, request: None, flushes });
        if let Err(refusal) = joined {
            if let Some(limit) = refusal.ending().limit {
                node.events().limit_hit(limit, Some(self.tenant.key()), peer.address());
            }
            // Writes the id in front of the close frame.
            flushes.clear();
            peer.dismiss(CloseReason::RoomFull);
        }
    }

    fn on_room(&mut self, context: &mut Context<'_>) {
        if let Some(rooms) = self.tenant.existing_hub(RealmKind::Matchbox) {
            rooms.catch_up(context.peer, context.flushes);
        }
    }

    /// A client that comes back has another id. Its place is free before the others hear that it has left.
    fn depart(self, lease: IdLease, end: Disconnect) -> Option<Departure> {
        let departure = part(lease, end)?;
        drop(self.place);
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
