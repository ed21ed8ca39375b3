//! A client at the root: the host of a room, a player, a caller, a subscriber, a peer of swarms, or all of
//! these.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crate::client::{Answer, Context, Description, FirstInVain, Lost, Message, Protocol, Published};
use crate::key_state::KeyState;
use crate::root::{self, Guests, Parts, Pending, RootCommand};
use crate::topics::{self, Subscriber, Topics};
use crate::{json, mistakes, tracker};
use peerbroker_core::vocabulary::{Frame, InvalidName, MessageKind, RealmKind, Refusal};
use peerbroker_rooms::RoomFrames;
use peerbroker_router::{Departure, Disconnect};

/// A client at the root. Its id is one that we choose; others find it by a room code, an alias, a topic or a
/// swarm.
pub struct Guest {
    guests: Arc<Guests>,
    parts: Parts,
    in_vain: FirstInVain,
    /// The command that waits for an answer.
    pending: Option<Box<Pending>>,
}

impl Protocol for Guest {
    const REALM: RealmKind = RealmKind::Guests;
    const ROOMS: &'static dyn RoomFrames = &Topics;
    const FIRST_TEXT_TELLS: bool = true;

    fn new(key: &Arc<KeyState>, _query: &str, _address: Option<IpAddr>) -> Result<Self, InvalidName> {
        Ok(Guest {
            guests: key.part(),
            parts: Parts::default(),
            in_vain: FirstInVain::default(),
            pending: None,
        })
    }

    fn refusal(refusal: Refusal, first: Option<&str>) -> Option<Frame> {
        let text = refusal.text();
        match first.map(root::decode) {
            #[cfg(feature = "nostr")]
            Some(RootCommand::Nostr(_)) => Some(crate::nostr::notice(&text)),
            // A frame without a topic is none of theirs.
            Some(RootCommand::Topics(_)) => None,
            _ => Some(json::error(&text)),
        }
    }

    fn in_vain(why: &str) -> Option<Frame> {
        Some(json::error(why))
    }

    fn on_text<'t>(&mut self, text: &'t str, context: &mut Context<'_, 't>) {
        let command = root::decode(text);
        let dialects = context.key.router().live_config().load().dialects;
        if !command.dialect().is_some_and(|dialect| dialects.has(dialect)) {
            return context.effects.push(self.in_vain.effect(text));
        }
        match command {
            #[cfg(feature = "nostr")]
            RootCommand::Nostr(crate::nostr::NostrCommand::Invalid(_)) if self.in_vain.is_first() => {
                context.effects.push(crate::client::Effect::InVain(text));
            }
            // Its first message: y-webrtc subscribes before.
            RootCommand::Topics(topics::TopicCommand::Ping)
                if context.peer.is_new()
                    && !Subscriber::is_subscribed(context)
                    && self.in_vain.is_first() =>
            {
                context.mistake(|| mistakes::lost_ping(dialects));
            }
            _ => {}
        }
        let pending = self.parts.on_command(command, text, &self.guests, context);
        self.pending = pending.map(Box::new);
    }

    fn on_answer(&mut self, answer: Answer, context: &mut Context<'_, '_>) {
        let Some(pending) = self.pending.take() else { return };
        let pending = self.parts.on_answer(*pending, answer, &self.guests, context);
        self.pending = pending.map(Box::new);
    }

    fn on_lost(&mut self, _lost: Lost<'_>, context: &mut Context<'_, '_>) {
        // Only room codes want to know.
        self.parts.room_codes.on_lost(context);
    }

    fn waits(&self) -> bool {
        self.pending.is_some()
    }

    fn kept_bytes(&self) -> usize {
        self.pending.as_deref().map_or(0, Pending::kept_bytes)
    }

    fn release(&mut self) {
        self.pending = None;
        self.parts.room_codes.release();
        self.parts.calls.release();
        self.parts.tracker.release();
    }

    fn departed(self, departure: Option<&Departure>, end: Disconnect, key: &Arc<KeyState>) {
        if let Some(departure) = departure {
            Subscriber::departed(&departure.peer, key);
        }
        self.parts.room_codes.departed(departure, end);
    }

    fn description<'m>(message: &'m Message<'_>) -> Description<'m> {
        let Description { text, .. } = Description::in_frame(message);
        let connection = if message.kind == MessageKind::Swarm { tracker::answered(text) } else { None };
        Description { text, connection }
    }

    fn published(text: &str) -> Option<Published<'_>> {
        topics::signal(text)
    }

    fn answered(kind: MessageKind, frame: &str) -> Option<Option<Cow<'_, str>>> {
        Some(match kind {
            MessageKind::Swarm => tracker::answered(frame),
            MessageKind::Room => topics::signal(frame).map(|signal| signal.from),
            _ => None,
        })
    }
}
