//! A client of RxDB's replication: a member of rooms, which signals other members. It gets a new id each time that it connects.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::admission::{Admitted, ClientSource, Rejection, admit_without_credentials};
use super::handler::{Context, ProtocolHandler, note_ignored, part};
use crate::node::{Node, Tenant};
use crate::transport::Disconnect;
use peerbroker_broker::protocols::room_codes;
use peerbroker_broker::protocols::rxdb::{self, Command, Signal};
use peerbroker_broker::rooms::{Parting, Requester};
use peerbroker_broker::router::{Departure, IdLease, PeerHandle};
use peerbroker_core::wire::{Frame, MessageKind, PeerId, RealmKind, Refusal, RoomName, RoomRefusal};

/// It has the tenant of its key.
pub(crate) struct RxDb(Arc<Tenant>);

impl ProtocolHandler for RxDb {
    async fn enter(node: &Node, query: &str, source: &ClientSource) -> Result<(Admitted, Self), Rejection> {
        let realm = |tenant: &Arc<Tenant>| Arc::clone(tenant.hub(RealmKind::RxDb).realm());
        let admitted = admit_without_credentials(node, query, source, realm).await;
        let (admitted, tenant) =
            admitted.map_err(|reason| Rejection { id: None, ..Rejection::of(reason, query) })?;
        Ok((admitted, RxDb(tenant)))
    }

    fn tenant(&self) -> &Tenant {
        &self.0
    }

    fn greeting(id: &PeerId) -> Option<Frame> {
        Some(rxdb::init(id.as_str()))
    }

    /// The protocol has no such frame, and its clients ignore this one: it is for people who look.
    fn refusal(refusal: Refusal) -> Frame {
        room_codes::error(&refusal.text())
    }

    fn on_room(&mut self, context: &mut Context<'_>) {
        if let Some(rooms) = self.0.existing_hub(RealmKind::RxDb) {
            rooms.catch_up(context.peer, context.flushes);
        }
    }

    fn depart(self, lease: IdLease, end: Disconnect) -> Option<Departure> {
        let departure = part(lease, end)?;
        if let Some(rooms) = self.0.existing_hub(RealmKind::RxDb) {
            rooms.departed(&departure.peer, Parting::ForGood);
        }
        Some(departure)
    }

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        match rxdb::decode(text) {
            Some(Command::Join(room)) => return self.join(&room, context),
            Some(Command::Signal(signal)) => forward(&signal, text, context),
            Some(Command::Ping) => {}
            None => note_ignored(context.peer),
        }
        ControlFlow::Continue(())
    }
}

impl RxDb {
    /// The protocol has no answer for what is refused. A client that joins too fast loses its connection: RxDB comes back after a pause, and
    /// joins again.
    fn join(&self, room: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        let &mut Context { peer, node, ref mut flushes } = context;
        let most = self.0.policy().settings().room_members;
        let joined = RoomName::measured(room).map_err(RoomRefusal::InvalidRoom).and_then(|room| {
            self.0.hub(RealmKind::RxDb).join(
                &mut Requester { peer, request: None, flushes },
                room,
                None,
                most,
            )
        });
        let Err(refusal) = joined else { return ControlFlow::Continue(()) };
        if let Some(limit) = refusal.ending().limit {
            node.events().limit_hit(limit, Some(self.0.key()), peer.address());
        }
        match refusal {
            RoomRefusal::TooFast | RoomRefusal::KeyTooFast => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Forwards a signal as its sender has written it. One that names another sender is dropped.
fn forward(Signal { from, to, kind }: &Signal<'_>, text: &str, context: &mut Context<'_>) {
    let peer: &PeerHandle = context.peer;
    if **from == *peer.id().as_str() {
        context.send(to, MessageKind::Call, Frame::of_text(text), (*kind).into());
    }
}
