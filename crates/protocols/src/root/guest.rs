//! A client at the root: the host of a room, a player, a caller, a subscriber, a peer of swarms, or all of
//! these.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crate::calls::{self, Caller};
use crate::client::{Answer, Context, Description, Effect, FirstInVain, Lost, Message, Protocol, Published};
use crate::json;
use crate::key_state::KeyState;
use crate::mistakes;
use crate::nostr::{self, Listener};
use crate::room_codes::{self, Player};
use crate::root::{self, Command, Guests};
use crate::topics::{self, Subscriber, Topics};
use crate::tracker::{self, Announcer};
use peerbroker_core::vocabulary::{Frame, InvalidName, MessageKind, RealmKind, Refusal};
use peerbroker_rooms::RoomFrames;
use peerbroker_router::{Departure, Disconnect};

/// A client at the root. Its id is one that we choose; others find it by a room code, an alias, a topic or a
/// swarm.
pub struct Guest {
    guests: Arc<Guests>,
    room_codes: Player,
    calls: Caller,
    tracker: Announcer,
    nostr: Listener,
    in_vain: FirstInVain,
    /// The command that waits for an answer.
    pending: Option<Box<Pending>>,
}

enum Pending {
    RoomCodes(room_codes::Pending),
    Calls(calls::Pending),
    Topics(topics::Pending),
    Tracker(tracker::Pending),
    Nostr(nostr::Pending),
}

impl Guest {
    fn wait(&mut self, pending: Option<Pending>) {
        self.pending = pending.map(Box::new);
    }
}

impl Protocol for Guest {
    const REALM: RealmKind = RealmKind::Guests;
    const ROOMS: &'static dyn RoomFrames = &Topics;

    fn new(key: &Arc<KeyState>, _query: &str, _address: Option<IpAddr>) -> Result<Self, InvalidName> {
        Ok(Guest {
            guests: key.part(),
            room_codes: Player::default(),
            calls: Caller::default(),
            tracker: Announcer::default(),
            nostr: Listener::default(),
            in_vain: FirstInVain::default(),
            pending: None,
        })
    }

    fn refusal(refusal: Refusal) -> Frame {
        json::error(&refusal.text())
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
        if let Command::Nostr(nostr::Command::Invalid(_)) = command
            && self.in_vain.is_first()
        {
            context.effects.push(Effect::InVain(text));
        }
        let guests = &self.guests;
        let pending = match command {
            Command::RoomCodes(command) => {
                self.room_codes.on_command(command, &guests.room_codes, context).map(Pending::RoomCodes)
            }
            // Its first message: y-webrtc subscribes before.
            Command::Topics(topics::Command::Ping)
                if context.peer.is_new()
                    && !Subscriber::is_subscribed(context)
                    && self.in_vain.is_first() =>
            {
                context.mistake(|| mistakes::lost_ping(dialects));
                Subscriber::on_command(topics::Command::Ping, text.into(), context).map(Pending::Topics)
            }
            Command::Topics(command) => {
                Subscriber::on_command(command, text.into(), context).map(Pending::Topics)
            }
            Command::Tracker(command) => {
                self.tracker.on_command(command, &guests.swarms, context).map(Pending::Tracker)
            }
            Command::Nostr(command) => {
                self.nostr.on_command(command, text, &guests.filters, context).map(Pending::Nostr)
            }
            Command::Calls(command) => {
                self.calls.on_command(command, &guests.aliases, context).map(Pending::Calls)
            }
            Command::Ignored => None,
        };
        self.wait(pending);
    }

    fn on_answer(&mut self, answer: Answer, context: &mut Context<'_, '_>) {
        let Some(pending) = self.pending.take() else { return };
        let guests = &self.guests;
        let pending = match *pending {
            Pending::RoomCodes(pending) => self
                .room_codes
                .on_answer(pending, answer, &guests.room_codes, context)
                .map(Pending::RoomCodes),
            Pending::Topics(pending) => Subscriber::on_answer(pending, context).map(Pending::Topics),
            Pending::Tracker(pending) => {
                self.tracker.on_answer(pending, answer, &guests.swarms, context).map(Pending::Tracker)
            }
            Pending::Nostr(pending) => {
                self.nostr.on_answer(pending, &guests.filters, context).map(Pending::Nostr)
            }
            Pending::Calls(pending) => {
                self.calls.on_answer(pending, answer, &guests.aliases, context);
                None
            }
        };
        self.wait(pending);
    }

    fn on_lost(&mut self, _lost: Lost<'_>, context: &mut Context<'_, '_>) {
        // Only room codes want to know.
        self.room_codes.on_lost(context);
    }

    fn waits(&self) -> bool {
        self.pending.is_some()
    }

    fn kept_bytes(&self) -> usize {
        match self.pending.as_deref() {
            Some(Pending::RoomCodes(pending)) => pending.kept_bytes(),
            Some(Pending::Topics(pending)) => pending.kept_bytes(),
            Some(Pending::Tracker(pending)) => pending.kept_bytes(),
            Some(Pending::Nostr(pending)) => pending.kept_bytes(),
            Some(Pending::Calls(_)) | None => 0,
        }
    }

    fn release(&mut self) {
        self.pending = None;
        self.room_codes.release();
        self.calls.release();
        self.tracker.release();
    }

    fn departed(self, departure: Option<&Departure>, end: Disconnect, key: &Arc<KeyState>) {
        if let Some(departure) = departure {
            Subscriber::departed(&departure.peer, key);
        }
        self.room_codes.departed(departure, end);
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
