//! A guest that subscribes to topics and publishes.

use std::sync::Arc;

use super::handler::Context;
use crate::dialect::topics::{self, Command};
use crate::node::Tenant;
use crate::rooms::{Parting, Requester};
use crate::router::PeerHandle;
use crate::wire::{RealmKind, RoomName, RoomRefusal};

/// Does what a command says. The protocols have no answer for what is refused.
pub(super) fn obey(tenant: &Arc<Tenant>, command: &Command<'_>, text: &str, context: &mut Context<'_>) {
    let &mut Context { peer, node, ref mut flushes } = context;
    let requester = &mut Requester { peer, request: None, flushes };
    let note_refused = |done: Result<(), RoomRefusal>| {
        if let Some(limit) = done.err().and_then(|refusal| refusal.ending().limit) {
            node.events().limit_hit(limit, Some(tenant.key()), peer.address());
        }
    };
    match command {
        Command::Subscribe(names) => {
            let (topics, most) = (tenant.hub(RealmKind::Guests), tenant.policy().settings().room_members);
            for name in names {
                let name = RoomName::of_topic(name).map_err(RoomRefusal::InvalidRoom);
                note_refused(name.and_then(|name| topics.join(requester, name, None, most)));
            }
        }
        Command::Unsubscribe(names) => {
            let Some(topics) = tenant.existing_hub(RealmKind::Guests) else { return };
            // One to which it is not subscribed needs nothing.
            names.iter().for_each(|name| _ = topics.leave(requester, name));
        }
        Command::Publish(topic) => {
            let Some(topics) = tenant.existing_hub(RealmKind::Guests) else { return };
            note_refused(topics.publish(requester, topic, text));
        }
        Command::Ping => context.reply(topics::pong()),
    }
}

/// Ends the subscriptions of a client that is gone. If it comes back, it has another id, and subscribes again.
pub(super) fn depart(tenant: &Tenant, peer: &PeerHandle) {
    if let Some(topics) = tenant.existing_hub(RealmKind::Guests) {
        topics.departed(peer, Parting::ForGood);
    }
}
