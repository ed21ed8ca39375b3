//! A guest that subscribes to topics and publishes.

use std::borrow::Cow;
use std::sync::Arc;

use super::handler::Context;
use crate::descriptions::{ANYBODY, MediaMessage};
use crate::node::Tenant;
use peerbroker_broker::protocols::simple_peer::Kind;
use peerbroker_broker::protocols::topics::{self, Command, Signal};
use peerbroker_broker::rooms::{Parting, Requester, Rooms};
use peerbroker_broker::router::PeerHandle;
use peerbroker_core::wire::{PeerId, RealmKind, RoomName, RoomRefusal};

/// Does what a command says. The protocols have no answer for what is refused.
pub(super) fn obey(tenant: &Arc<Tenant>, command: &Command<'_>, text: &str, context: &mut Context<'_>) {
    let note_refused = |context: &Context<'_>, done: Result<(), RoomRefusal>| {
        if let Some(limit) = done.err().and_then(|refusal| refusal.ending().limit) {
            context.node.events().limit_hit(limit, Some(tenant.key()), context.peer.address());
        }
    };
    if let Command::Subscribe(topics) | Command::Unsubscribe(topics) = command {
        context.charge_list(topics.len(), tenant.policy().settings().messages_per_second);
    }
    match command {
        Command::Subscribe(topics) => {
            let (hub, most) = (tenant.hub(RealmKind::Guests), tenant.policy().settings().room_members);
            for topic in topics {
                let topic = RoomName::of_topic(topic).map_err(RoomRefusal::InvalidRoom);
                let joined = topic.and_then(|topic| hub.join(&mut requester(context), topic, None, most));
                note_refused(context, joined);
            }
        }
        Command::Unsubscribe(topics) => {
            let Some(hub) = tenant.existing_hub(RealmKind::Guests) else { return };
            // One to which it is not subscribed needs nothing.
            topics.iter().for_each(|topic| _ = hub.leave(&mut requester(context), topic));
        }
        Command::Publish(topic) => {
            let Some(hub) = tenant.existing_hub(RealmKind::Guests) else { return };
            let Some(text) = prepare_for_relay(&hub, topic, text, context) else { return };
            let published = hub.publish(&mut requester(context), topic, &text);
            note_refused(context, published);
        }
        Command::Ping => context.reply(topics::pong()),
    }
}

fn requester<'a>(context: &'a mut Context<'_>) -> Requester<'a> {
    Requester { peer: context.peer, request: None, flushes: context.flushes }
}

/// A publication as its subscribers may have it: to an offer or answer of y-webrtc the relay adds its candidates. The id that its client
/// gives itself becomes the data of the subscription, so that all nodes know it.
fn prepare_for_relay<'a>(
    hub: &Rooms,
    topic: &str,
    text: &'a str,
    context: &mut Context<'_>,
) -> Option<Cow<'a, str>> {
    // The rest costs time, and most servers have no relay.
    if context.node.relay().is_none() {
        return Some(text.into());
    }
    let Some(Signal { from, to, kind }) = topics::signal(text) else { return Some(text.into()) };
    if PeerId::parse(&from).is_ok() {
        // One that is not subscribed has no name.
        let _ = hub.update(&mut requester(context), topic, Some(&topics::name(&from)));
    }
    let prepare = |to: &str, message: MediaMessage<'_>| {
        context.node.prepare_for_relay(context.peer, to, || message, text)
    };
    match (kind, to) {
        // Several subscribers may have used the name: the one that answers has it.
        (Kind::Offer, Some(to)) => prepare(ANYBODY, MediaMessage::Offer(Some(&to))),
        (Kind::Answer, Some(to)) => {
            let called = hub.members_with(topic, &topics::name(&to));
            let mut answers = called.iter().map(|to| prepare(to.as_str(), MediaMessage::Answer(Some(&from))));
            let relayed = answers.find(|text| matches!(text, Some(Cow::Owned(_))));
            relayed.unwrap_or_else(|| Some(text.into()))
        }
        (Kind::Candidate, _) => prepare(ANYBODY, MediaMessage::Candidate),
        _ => Some(text.into()),
    }
}

/// Ends the subscriptions of a client that is gone. If it comes back, it has another id, and subscribes again.
pub(super) fn depart(tenant: &Tenant, peer: &PeerHandle) {
    if let Some(topics) = tenant.existing_hub(RealmKind::Guests) {
        topics.departed(peer, Parting::ForGood);
    }
}
