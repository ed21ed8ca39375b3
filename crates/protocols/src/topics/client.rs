//! A client that subscribes to topics and publishes.

use std::borrow::Cow;

use super::{TopicCommand, advice};
use crate::client::{Answer, Context, Effect, Publication};
use crate::key_state::KeyState;
use crate::paced::{Paced, pause};
use peerbroker_core::vocabulary::{RealmKind, RoomName, RoomRefusal};
use peerbroker_router::PeerHandle;

/// A client's part in topics. Its subscriptions are memberships of topics.
#[derive(Debug, Default)]
pub struct Subscriber;

/// A command that waits.
pub(crate) type Pending = Paced<TopicCommand<'static>>;

impl Subscriber {
    pub(crate) fn on_command<'t>(
        &mut self,
        command: TopicCommand<'t>,
        text: &'t str,
        context: &mut Context<'_, 't>,
    ) -> Option<Pending> {
        if let Some(limit) = pause(context) {
            context.limit_hit(limit);
            return Some(Paced { command: command.into_owned(), text: text.to_owned() });
        }
        handle(command, text.into(), context);
        None
    }

    /// The pause is over.
    pub(crate) fn on_answer(
        &mut self,
        pending: Pending,
        _answer: Answer,
        context: &mut Context<'_, '_>,
    ) -> Option<Pending> {
        if pause(context).is_some() {
            return Some(pending);
        }
        handle(pending.command, pending.text.into(), context);
        None
    }

    /// True if the client hears a topic.
    #[cold]
    pub(crate) fn is_subscribed(context: &Context<'_, '_>) -> bool {
        let Context { peer, key, .. } = context;
        let rooms = key.existing_rooms(RealmKind::Guests).zip(peer.proof());
        rooms.is_some_and(|(rooms, (token, _))| {
            !rooms.rooms_of(peer.id(), &token, Some(peer.connection())).is_empty()
        })
    }

    /// Ends the subscriptions of a client that is gone. If it comes back, it has another id, and subscribes
    /// again.
    pub(crate) fn departed(peer: &PeerHandle, key: &KeyState) {
        key.leave_rooms(RealmKind::Guests, peer);
    }
}

/// Does what a command says. The protocols have no answer for what is refused.
fn handle<'t>(command: TopicCommand<'t>, text: Cow<'t, str>, context: &mut Context<'_, 't>) {
    match command {
        TopicCommand::Subscribe(topics) => {
            context.charge_list(topics.len());
            let rooms = context.key.rooms(RealmKind::Guests);
            let most = context.key.data().settings.room_members;
            let mut mistake = None;
            for topic in topics {
                let name = RoomName::of_topic(&topic).map_err(RoomRefusal::InvalidRoom);
                let joined = name.and_then(|name| rooms.join(&mut context.requester(None), name, None, most));
                let Err(refusal) = joined else { continue };
                context.limit_hit(refusal.ending().limit);
                // One of a list is enough: each costs far more than its bytes.
                if mistake.is_none() {
                    mistake = advice::refused(&topic, refusal);
                }
            }
            if let Some(mistake) = mistake {
                context.mistake(|| mistake);
            }
        }
        TopicCommand::Unsubscribe(topics) => {
            context.charge_list(topics.len());
            let Some(rooms) = context.key.existing_rooms(RealmKind::Guests) else { return };
            // One to which it is not subscribed needs nothing.
            for topic in topics {
                let _ = rooms.leave(&mut context.requester(None), &topic);
            }
        }
        TopicCommand::Publish(topic) => {
            let frame = super::publication;
            let publication = Publication { topic, others: Vec::new(), text, frame, read: None };
            context.effects.push(Effect::Publish(publication))
        }
        TopicCommand::Ping => context.reply(super::pong()),
    }
}
