//! A client that publishes events and subscribes to them.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::event::SignedEvent;
use super::filter::Filter;
use super::{Command, MAX_FILTER_BYTES, MAX_FILTERS, MAX_ID, MAX_PLACES, MAX_SUBSCRIPTIONS, list, message};
use crate::protocols::client::{Context, Effect, Publication};
use crate::protocols::json;
use crate::protocols::names::Hold;
use crate::protocols::paced::{Paced, pause};
use crate::rooms::OwnFrames;
use peerbroker_core::vocabulary::{Frame, RealmKind, RoomName, RoomRefusal};

/// A client's part in Nostr. It is a member of a room for each of the places at which it finds events.
#[derive(Debug, Default)]
pub struct Listener(Option<Arc<Subscriptions>>);

/// The subscriptions of one client, which also decide what it hears in its rooms.
#[derive(Debug, Default)]
struct Subscriptions(Mutex<Vec<Subscription>>);

/// The subscriptions of a listener that is written down.
pub(crate) type Frozen = Vec<Subscription>;

/// A command that waits.
pub(crate) type Pending = Paced<Action>;

/// A subscription.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// As its client has written it: JSON text.
    id: String,
    filters: Vec<Filter>,
    bytes: usize,
}

/// The effect of a command that is known to be right.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Tell those that find events at these places.
    Publish(Vec<String>),
    /// Replace the subscription with this id, or add it.
    Subscribe(Subscription),
    /// End the subscription with this id.
    Close(String),
}

/// The messages that a signature costs: to check it takes as long as to handle so many.
const SIGNATURE: usize = 20;

/// The bytes of a text that cost as much as a message: they are read, written and hashed.
const BYTES: usize = 250;

impl Listener {
    pub(crate) fn on_command<'t>(
        &mut self,
        command: Command<'t>,
        text: &'t str,
        context: &mut Context<'_, 't>,
    ) -> Option<Pending> {
        context.charge_list(text.len() / BYTES);
        let command = check(command, context).map_err(|answer| context.reply(answer)).ok()?;
        if let Some(limit) = pause(context) {
            context.limit_hit(limit);
            return Some(Paced { command, text: text.to_owned() });
        }
        self.act(command, text.into(), context);
        None
    }

    /// The pause is over.
    pub(crate) fn on_answer(&mut self, pending: Pending, context: &mut Context<'_, '_>) -> Option<Pending> {
        if pause(context).is_some() {
            return Some(pending);
        }
        self.act(pending.command, pending.text.into(), context);
        None
    }

    fn act<'t>(&mut self, action: Action, text: Cow<'t, str>, context: &mut Context<'_, 't>) {
        match action {
            Action::Publish(places) => {
                for place in places {
                    let publication = Publication { topic: place.into(), text: text.clone() };
                    context.effects.push(Effect::Publish(publication));
                }
            }
            Action::Subscribe(subscription) => {
                let id = subscription.id.clone();
                let changed = self.change(&id, Some(subscription), context);
                let closed = |reason: Cow<'_, str>| message("CLOSED", &[&id], Some(&reason));
                context.reply(changed.map_or_else(closed, |()| message("EOSE", &[&id], None)));
            }
            // Leaving is not refused.
            Action::Close(id) => drop(self.change(&id, None, context)),
        }
    }

    /// Replaces the subscription with an id, adds it or ends it. Without room for it, there is none.
    fn change(
        &mut self,
        id: &str,
        new: Option<Subscription>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Cow<'static, str>> {
        let subscriptions = self.0.get_or_insert_default();
        let before = subscriptions.places();
        subscriptions.replace(id, new);
        let mut after = subscriptions.places();
        let joined = subscriptions.check(after.len());
        let joined = joined.and_then(|()| subscriptions.join(after.difference(&before), context));
        let mut left = before;
        if joined.is_err() {
            left.append(&mut after);
            subscriptions.replace(id, None);
            after = subscriptions.places();
        }
        if let Some(rooms) = context.key.existing_rooms(RealmKind::Guests) {
            for place in left.difference(&after) {
                let _ = rooms.leave(&mut context.requester(None), place);
            }
        }
        joined
    }

    pub(crate) fn freeze(self, held: &mut VecDeque<Hold>) -> Option<Frozen> {
        let subscriptions = self.0?;
        let state = subscriptions.0.lock().clone();
        held.push_back(Box::new(subscriptions));
        Some(state)
    }

    pub(crate) fn thaw(frozen: Option<Frozen>, held: &mut VecDeque<Hold>) -> Option<Self> {
        let Some(state) = frozen else { return Some(Listener::default()) };
        let subscriptions = *held.pop_front()?.downcast::<Arc<Subscriptions>>().ok()?;
        *subscriptions.0.lock() = state;
        Some(Listener(Some(subscriptions)))
    }
}

/// Checks a command. An error is the answer that tells its client of a fault.
fn check(command: Command<'_>, context: &mut Context<'_, '_>) -> Result<Action, Frame> {
    let notice = |reason| message("NOTICE", &[], Some(reason));
    match command {
        Command::Event(text) => {
            let event = SignedEvent::parse(text).ok_or_else(|| notice("invalid: not an event"))?;
            context.charge_list(SIGNATURE);
            let id = serde_json::Value::from(&*event.id).to_string();
            if let Some(fault) = event.fault() {
                return Err(message("OK", &[&id, "false"], Some(fault)));
            }
            context.reply(message("OK", &[&id, "true"], Some("")));
            let places: BTreeSet<String> = event.places().map(|place| place.to_string()).collect();
            context.charge_list(places.len());
            Ok(Action::Publish(places.into_iter().collect()))
        }
        Command::Request(id, texts) => {
            let is_id = |id: &str| !id.is_empty() && id.chars().count() <= MAX_ID;
            if !json::short_string(id, MAX_ID).is_some_and(|id| is_id(&id)) {
                return Err(notice("invalid: the id of a subscription is a text of 1 to 64 characters"));
            }
            let closed = |reason| message("CLOSED", &[id], Some(reason));
            if texts.len() > MAX_FILTERS {
                return Err(closed("invalid: a subscription has at most 16 filters"));
            }
            let filters: Vec<Filter> =
                texts.iter().map(|text| Filter::parse(text)).collect::<Result<_, _>>().map_err(closed)?;
            context.charge_list(filters.iter().flat_map(Filter::places).count());
            let bytes = texts.iter().map(|text| text.len()).sum();
            Ok(Action::Subscribe(Subscription { id: id.to_owned(), filters, bytes }))
        }
        Command::Close(id) => Ok(Action::Close(id.to_owned())),
        Command::Invalid(reason) => Err(notice(reason)),
    }
}

impl Subscriptions {
    fn replace(&self, id: &str, new: Option<Subscription>) {
        let all = &mut *self.0.lock();
        all.retain(|subscription| subscription.id != id);
        all.extend(new);
    }

    /// The places at which their events are found, as names of rooms.
    fn places(&self) -> BTreeSet<String> {
        let all = self.0.lock();
        let filters = all.iter().flat_map(|subscription| &subscription.filters);
        filters.flat_map(Filter::places).map(|place| place.to_string()).collect()
    }

    /// Says why there are too many.
    fn check(&self, places: usize) -> Result<(), Cow<'static, str>> {
        let all = self.0.lock();
        let bytes: usize = all.iter().map(|subscription| subscription.bytes).sum();
        if all.len() > MAX_SUBSCRIPTIONS || bytes > MAX_FILTER_BYTES || places > MAX_PLACES {
            return Err("error: too many subscriptions, or too long ones".into());
        }
        Ok(())
    }

    fn join<'p>(
        self: &Arc<Self>,
        places: impl Iterator<Item = &'p String>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Cow<'static, str>> {
        let frames: Arc<dyn OwnFrames> = Arc::clone(self) as _;
        let rooms = context.key.rooms(RealmKind::Guests);
        let most = context.key.settings().room_members();
        for place in places {
            let name = RoomName::measured(place).map_err(RoomRefusal::InvalidRoom);
            let joined = name.and_then(|name| {
                rooms.join_with_own_frames(&mut context.requester(None), name, &frames, most)
            });
            if let Err(refusal) = joined {
                context.limit_hit(refusal.ending().limit);
                return Err(format!("error: {}", refusal.text()).into());
            }
        }
        Ok(())
    }
}

impl OwnFrames for Subscriptions {
    fn of(&self, room: &str, frame: &Frame) -> Vec<Frame> {
        // A client of topics may publish to a room of this name. Its frames are objects.
        let elements = std::str::from_utf8(frame.payload()).ok().and_then(list).unwrap_or_default();
        let Some((text, event)) = elements.get(1).and_then(|text| Some((text, SignedEvent::parse(text)?)))
        else {
            return Vec::new();
        };
        let all = self.0.lock();
        let hears = |subscription: &&Subscription| {
            let fitting = || subscription.filters.iter().filter(|filter| filter.fits(&event));
            // An event may be at several places of a subscription: it is heard at the first one.
            let place =
                event.places().find(|place| fitting().flat_map(Filter::places).any(|of| of == *place));
            place.is_some_and(|place| place.to_string() == room)
        };
        all.iter()
            .filter(hears)
            .map(|subscription| message("EVENT", &[&subscription.id, text], None))
            .collect()
    }

    fn max_rooms(&self) -> usize {
        MAX_PLACES
    }
}
