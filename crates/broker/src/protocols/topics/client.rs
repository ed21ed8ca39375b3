//! A client that subscribes to topics and publishes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Command;
use crate::protocols::client::{Ask, Context, Effect, Publication};
use crate::protocols::key_state::KeyState;
use crate::rooms::{Parting, Rooms};
use crate::router::PeerHandle;
use peerbroker_core::wire::{RealmKind, RoomName, RoomRefusal};

/// Shortest pause of a client whose publications come too fast. After one that many share, one of them goes on at a time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// Longest pause until it is checked again if that was enough: others of its key may have paid.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A client's part in topics. Its subscriptions are members of the hub.
#[derive(Debug)]
pub struct Subscriber;

/// A command of a client that owes for its earlier publications waits until they are paid.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pending {
    command: Command<'static>,
    text: String,
}

impl Pending {
    pub(crate) fn kept_bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn awaited(&self) -> Ask {
        Ask::Sleep(SHORTEST_PAUSE)
    }
}

impl Subscriber {
    pub(crate) fn on_command<'t>(
        command: Command<'t>,
        text: Cow<'t, str>,
        context: &mut Context<'_, 't>,
    ) -> Option<Pending> {
        // The protocols have no answer for publications that are lost, and their clients do not repeat them.
        if let Some(hub) = hub(context)
            && let Some((limit, time)) = hub.owed(context.peer)
        {
            context.limit_hit(limit);
            context.ask(Ask::Sleep(time.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)));
            return Some(Pending { command: command.into_owned(), text: text.into_owned() });
        }
        obey(command, text, context);
        None
    }

    /// The pause is over.
    pub(crate) fn on_answer(pending: Pending, context: &mut Context<'_, '_>) -> Option<Pending> {
        if let Some((_, time)) = hub(context).and_then(|hub| hub.owed(context.peer)) {
            context.ask(Ask::Sleep(time.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)));
            return Some(pending);
        }
        obey(pending.command, pending.text.into(), context);
        None
    }

    /// Ends the subscriptions of a client that is gone. If it comes back, it has another id, and subscribes again.
    pub(crate) fn departed(peer: &PeerHandle, key: &KeyState) {
        if let Some(topics) = key.existing_hub(RealmKind::Guests) {
            topics.departed(peer, Parting::ForGood);
        }
    }
}

fn hub(context: &Context<'_, '_>) -> Option<Arc<Rooms>> {
    context.key.existing_hub(RealmKind::Guests)
}

/// Does what a command says. The protocols have no answer for what is refused.
fn obey<'t>(command: Command<'t>, text: Cow<'t, str>, context: &mut Context<'_, 't>) {
    match command {
        Command::Subscribe(topics) => {
            context.charge_list(topics.len());
            let hub = context.key.hub(RealmKind::Guests);
            let most = context.key.room_members();
            for topic in topics {
                let topic = RoomName::of_topic(&topic).map_err(RoomRefusal::InvalidRoom);
                let joined =
                    topic.and_then(|topic| hub.join(&mut context.requester(None), topic, None, most));
                if let Some(limit) = joined.err().and_then(|refusal| refusal.ending().limit) {
                    context.limit_hit(limit);
                }
            }
        }
        Command::Unsubscribe(topics) => {
            context.charge_list(topics.len());
            let Some(hub) = hub(context) else { return };
            // One to which it is not subscribed needs nothing.
            for topic in topics {
                let _ = hub.leave(&mut context.requester(None), &topic);
            }
        }
        Command::Publish(topic) => context.effects.push(Effect::Publish(Publication { topic, text })),
        Command::Ping => context.reply(super::pong()),
    }
}
