//! A client that publishes events and subscribes to them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::event::{Heard, Mark, SignedEvent};
use super::filter::Filter;
use super::{
    FREE_FILTER_BYTES, MAX_FILTER_BYTES, MAX_FILTER_BYTES_OF_KEY, MAX_FILTERS, MAX_ID, MAX_PLACES,
    MAX_SUBSCRIPTIONS, NostrCommand, message,
};
use crate::client::{Answer, Context, Effect, Publication};
use crate::json;
use crate::key_state::{KeyPart, KeyState};
use crate::paced::{Paced, pause};
use peerbroker_core::vocabulary::{AddressPrefix, Frame, Limit, RealmKind, RoomName, RoomRefusal};
use peerbroker_limits::{Quota, QuotaShare};
use peerbroker_rooms::{OwnFrames, OwnMessage, Read};

/// A client's part in Nostr. It is a member of a room for each of the places at which it finds events.
#[derive(Default)]
pub struct Listener(Option<Arc<Subscriptions>>);

/// The subscriptions of one client, which also decide what it hears in its rooms.
struct Subscriptions(Mutex<Kept>);

struct Kept {
    /// The number of a subscription is its index. One that has ended leaves its number to another one.
    all: Vec<Option<Subscription>>,
    /// The places at which filters find events.
    places: BTreeMap<Mark, FilteredRoom>,
    /// Of the bytes of its key.
    share: QuotaShare,
}

/// A place at which a client finds events.
struct FilteredRoom {
    room: RoomName,
    filters: Vec<FilterNumber>,
}

/// The numbers of a subscription and of one of its filters.
type FilterNumber = (usize, usize);

/// A command that waits.
pub(crate) type Pending = Paced<Action>;

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// JSON text.
    id: String,
    filters: Box<[Filter]>,
    /// Filters and the places that they name.
    pairs: usize,
    /// The bytes that are charged: of their text, or half of those that they take, if these are more.
    bytes: usize,
}

/// The places that a subscription needs: their rooms, and the numbers of the filters that name them.
pub(crate) type Wanted = Vec<(Mark, String, Vec<usize>)>;

/// The effect of a command that is known to be right.
#[derive(Debug)]
pub(crate) enum Action {
    /// Tell those that find the event at its places.
    Publish(Heard),
    /// Replace the subscription with this id, or add it.
    Subscribe(Subscription, Wanted),
    /// End the subscription with this id.
    Close(String),
}

/// The messages that a signature costs: to check it takes as long as to handle so many.
const SIGNATURE: usize = 20;

/// The bytes of a text that cost as much as a message: they are read, written and hashed.
const BYTES: usize = 250;

/// The values of filters that cost as much as a message, besides their bytes: they are hashed and sorted.
const VALUES: usize = 16;

/// The comparisons of an event with filters that cost as much as a delivery.
const COMPARISONS: usize = 64;

/// Longest id that is repeated in an answer, as JSON text.
const MAX_REPEATED: usize = 1024;

/// The bytes of the filters of all clients of a key.
pub struct Filters(pub Arc<Quota>);

impl KeyPart for Filters {
    fn new(_key: &Arc<KeyState>) -> Self {
        Filters(Quota::fixed(MAX_FILTER_BYTES_OF_KEY, FREE_FILTER_BYTES))
    }

    fn is_idle(&self) -> bool {
        // A client that has filters holds a share.
        Arc::strong_count(&self.0) == 1
    }
}

impl Listener {
    pub(crate) fn on_command<'t>(
        &mut self,
        command: NostrCommand<'t>,
        text: &'t str,
        context: &mut Context<'_, 't>,
    ) -> Option<Pending> {
        context.charge_list(text.len() / BYTES);
        let command = check(command, text, context).map_err(|answer| context.reply(answer)).ok()?;
        if let Some(limit) = pause(context) {
            context.limit_hit(limit);
            return Some(Paced { command, text: text.to_owned() });
        }
        self.act(command, text.into(), context);
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
        self.act(pending.command, pending.text.into(), context);
        None
    }

    fn act<'t>(&mut self, action: Action, text: Cow<'t, str>, context: &mut Context<'_, 't>) {
        match action {
            Action::Publish(event) => {
                let mut places = event.rooms.keys().cloned();
                if let Some(first) = places.next() {
                    let others = places.collect();
                    let read: Read = Some(Box::new(Some(event)));
                    context.effects.push(Effect::Publish(Publication {
                        topic: first.into(),
                        others,
                        text,
                        frame: |_, text, _| Frame::of_text(text),
                        read,
                    }));
                }
            }
            Action::Subscribe(subscription, wanted) => {
                let new = || {
                    let filters = &context.key.part::<Filters>().0;
                    let share = filters.share(AddressPrefix::of_remote(context.peer.address()));
                    Arc::new(Subscriptions(Mutex::new(Kept {
                        all: Vec::new(),
                        places: BTreeMap::new(),
                        share,
                    })))
                };
                let subscriptions = Arc::clone(self.0.get_or_insert_with(new));
                subscriptions.subscribe(subscription, &wanted, context);
            }
            Action::Close(id) => {
                if let Some(subscriptions) = &self.0 {
                    subscriptions.end(&id, context);
                }
            }
        }
    }
}

/// Tells a client something in words.
pub fn notice(reason: &str) -> Frame {
    message("NOTICE", &[], Some(reason))
}

/// The id of an event or a subscription in an answer, as JSON text. `None` if it is no text, or a long one.
fn repeated(id: Option<&str>) -> Option<&str> {
    id.filter(|id| id.starts_with('"') && id.len() <= MAX_REPEATED)
}

/// Checks a command of a text. An error is the answer that tells its client of a fault.
fn check(command: NostrCommand<'_>, whole: &str, context: &mut Context<'_, '_>) -> Result<Action, Frame> {
    match command {
        NostrCommand::Event(text) => {
            let Some(event) = SignedEvent::parse(text) else {
                let fault =
                    "invalid: an event has id, pubkey, created_at, kind, up to 250 tags, content and sig";
                let id = repeated(json::member_of(text, "id"));
                return Err(id.map_or_else(|| notice(fault), |id| message("OK", &[id, "false"], Some(fault))));
            };
            context.charge_list(SIGNATURE);
            let id = serde_json::Value::from(&*event.id).to_string();
            if let Some(fault) = event.fault() {
                return Err(message("OK", &[&id, "false"], Some(fault)));
            }
            context.reply(message("OK", &[&id, "true"], Some("")));
            let event = Heard::of(&event, text, whole);
            context.charge_list(event.rooms.len());
            Ok(Action::Publish(event))
        }
        NostrCommand::Request(id, texts) => {
            let closed = |reason: &str| match repeated(Some(id)) {
                Some(id) => message("CLOSED", &[id], Some(reason)),
                None => notice(reason),
            };
            let id = subscription_id(id)
                .ok_or_else(|| closed("invalid: the id of a subscription is a text of 1 to 64 characters"))?;
            if texts.is_empty() || texts.len() > MAX_FILTERS {
                return Err(closed("invalid: a subscription has 1 to 16 filters"));
            }
            subscription(id, &texts, context).map_err(|reason| closed(&reason))
        }
        // Ids that are written in different ways may be the same.
        NostrCommand::Close(id) => Ok(Action::Close(subscription_id(id).unwrap_or_default())),
        NostrCommand::Invalid(reason) => Err(notice(reason)),
    }
}

/// The id of a subscription, as JSON text that is the same for the same id.
fn subscription_id(text: &str) -> Option<String> {
    let id = json::short_string(text, MAX_ID)?;
    let is_id = !id.is_empty() && id.chars().count() <= MAX_ID;
    is_id.then(|| serde_json::Value::from(id).to_string())
}

/// Reads the filters of a subscription, and charges for them. An error is the reason for its client.
fn subscription(
    id: String,
    texts: &[&str],
    context: &mut Context<'_, '_>,
) -> Result<Action, Cow<'static, str>> {
    let mut filters = Vec::new();
    let mut values = 0;
    let mut places: BTreeMap<Mark, (String, Vec<usize>)> = BTreeMap::new();
    for (number, text) in texts.iter().enumerate() {
        let (filter, found) = Filter::parse(text, &mut values)?;
        for place in found {
            let (_, those) = places.entry(place.mark()).or_insert_with(|| (place.to_string(), Vec::new()));
            if those.last() != Some(&number) {
                those.push(number);
            }
        }
        filters.push(filter);
    }
    let pairs = places.values().map(|(_, filters)| filters.len()).sum();
    context.charge_list(values / VALUES + pairs);
    let invalid = |why| format!("invalid: {}", RoomRefusal::InvalidRoom(why).text());
    for (room, _) in places.values() {
        RoomName::measured(room).map_err(invalid)?;
    }
    let of_filters: usize = filters.iter().map(Filter::bytes).sum();
    let of_places = |(room, filters): &(String, Vec<usize>)| {
        size_of::<(Mark, FilteredRoom)>() + room.len() + filters.len() * size_of::<FilterNumber>()
    };
    let of_places: usize = places.values().map(of_places).sum();
    let kept = size_of::<Option<Subscription>>() + id.len() + of_filters + of_places;
    let sent: usize = texts.iter().map(|text| text.len()).sum();
    let bytes = sent.max(kept / 2);
    let wanted = places.into_iter().map(|(mark, (room, filters))| (mark, room, filters)).collect();
    Ok(Action::Subscribe(Subscription { id, filters: filters.into(), pairs, bytes }, wanted))
}

impl Subscriptions {
    /// Adds a subscription, or replaces the one with its id, and answers. A place that has no room for it now
    /// is left out, and its client is told by a NOTICE: Trystero uses a relay never again that has sent
    /// CLOSED.
    fn subscribe(
        self: &Arc<Self>,
        subscription: Subscription,
        wanted: &Wanted,
        context: &mut Context<'_, '_>,
    ) {
        let id = subscription.id.clone();
        // Those that only the one before needs are left first: there may be no room for both.
        let left = self.0.lock().forsake(&id, wanted);
        leave(left, context);
        let fits = self.0.lock().check(&subscription);
        if let Err(full) = fits {
            self.end(&id, context);
            return match full {
                Full::Client => {
                    let reason = "error: too many subscriptions, or too long ones";
                    context.reply(message("CLOSED", &[&id], Some(reason)));
                }
                Full::Key => {
                    context.limit_hit(Limit::KeyFilterBytes);
                    context.reply(notice("error: the clients of the key have too long filters"));
                }
            };
        }
        let (joined, refused) = self.join(wanted, context);
        self.0.lock().set(&id, Some(subscription), joined, wanted);
        if let Some(refusal) = refused {
            context.reply(notice(&format!("error: {}", refusal.text())));
        }
        context.reply(message("EOSE", &[&id], None));
    }

    /// Ends the subscription with an id, if there is one.
    fn end(&self, id: &str, context: &mut Context<'_, '_>) {
        let left = {
            let kept = &mut *self.0.lock();
            let left = kept.forsake(id, &Wanted::new());
            kept.set(id, None, Vec::new(), &Wanted::new());
            left
        };
        leave(left, context);
    }

    /// Joins the rooms of places that are not known yet. Also returns why one could not be joined.
    fn join(
        self: &Arc<Self>,
        wanted: &Wanted,
        context: &mut Context<'_, '_>,
    ) -> (Vec<(Mark, RoomName)>, Option<RoomRefusal>) {
        let frames: Arc<dyn OwnFrames> = Arc::clone(self) as _;
        let rooms = context.key.rooms(RealmKind::Guests);
        let most = context.key.data().settings.room_members;
        let mut joined = Vec::new();
        let mut refused = None;
        for (mark, room, _) in wanted {
            if self.0.lock().places.contains_key(mark) {
                continue;
            }
            let name = RoomName::measured(room).map_err(RoomRefusal::InvalidRoom);
            let is_joined = name.and_then(|name| {
                rooms.join_with_own_frames(&mut context.requester(None), name.clone(), &frames, most)?;
                Ok(name)
            });
            match is_joined {
                Ok(name) => joined.push((*mark, name)),
                Err(refusal) => {
                    context.limit_hit(refusal.ending().limit);
                    refused = Some(refusal);
                }
            }
        }
        (joined, refused)
    }
}

/// Leaves rooms.
fn leave(left: Vec<RoomName>, context: &mut Context<'_, '_>) {
    if let Some(rooms) = context.key.existing_rooms(RealmKind::Guests) {
        for room in left {
            // One that it is not in any more needs nothing.
            let _ = rooms.leave(&mut context.requester(None), room.as_str());
        }
    }
}

/// The limit that has no room for a subscription.
enum Full {
    Client,
    Key,
}

impl Kept {
    /// The number of the subscription with an id, or a free one.
    fn number(&self, id: &str) -> usize {
        let is_its = |of: &Option<Subscription>| of.as_ref().is_some_and(|of| of.id == id);
        let its = self.all.iter().position(is_its);
        its.or_else(|| self.all.iter().position(Option::is_none)).unwrap_or(self.all.len())
    }

    /// Removes the places that only the subscription with an id needs, and that are not wanted now. Returns
    /// their rooms.
    fn forsake(&mut self, id: &str, wanted: &Wanted) -> Vec<RoomName> {
        let number = self.number(id);
        let is_forsaken = |mark: &Mark, place: &mut FilteredRoom| {
            place.filters.iter().all(|filter| filter.0 == number)
                && wanted.binary_search_by_key(mark, |wanted| wanted.0).is_err()
        };
        self.places.extract_if(.., is_forsaken).map(|(_, place)| place.room).collect()
    }

    /// Says which limit has no room for a subscription in the place of the one with its id.
    fn check(&mut self, new: &Subscription) -> Result<(), Full> {
        let others = self.all.iter().flatten().filter(|other| other.id != new.id);
        let all: Vec<&Subscription> = others.chain([new]).collect();
        let bytes: usize = all.iter().map(|subscription| subscription.bytes).sum();
        let pairs: usize = all.iter().map(|subscription| subscription.pairs).sum();
        if all.len() > MAX_SUBSCRIPTIONS || bytes > MAX_FILTER_BYTES || pairs > MAX_PLACES {
            return Err(Full::Client);
        }
        self.share.set(bytes).map_err(|_| Full::Key)
    }

    /// Sets the subscription with an id, or ends it.
    fn set(&mut self, id: &str, new: Option<Subscription>, joined: Vec<(Mark, RoomName)>, wanted: &Wanted) {
        let number = self.number(id);
        for place in self.places.values_mut() {
            place.filters.retain(|filter| filter.0 != number);
        }
        let joined =
            joined.into_iter().map(|(mark, room)| (mark, FilteredRoom { room, filters: Vec::new() }));
        self.places.extend(joined);
        for (mark, _, filters) in wanted {
            if let Some(place) = self.places.get_mut(mark) {
                place.filters.extend(filters.iter().map(|filter| (number, *filter)));
            }
        }
        match self.all.get_mut(number) {
            Some(place) => *place = new,
            None => self.all.extend(new.map(Some)),
        }
        let bytes = self.all.iter().flatten().map(|subscription| subscription.bytes).sum();
        // No more than before, or than was checked.
        let _ = self.share.set(bytes);
    }
}

impl OwnFrames for Subscriptions {
    fn of(&self, room: &str, message: &Frame, read: &mut Read) -> OwnMessage {
        let read = read.get_or_insert_with(|| Box::new(Heard::read(message)));
        let Some(Some(event)) = read.downcast_ref::<Option<Heard>>() else { return OwnMessage::default() };
        let text = message.payload().get(event.text.clone()).unwrap_or_default();
        let kept = &*self.0.lock();
        let places = || event.rooms.iter().filter_map(|(name, mark)| Some((name, kept.places.get(mark)?)));
        // An event may be at several places of a client, which hears it at the first one.
        if places().next().is_none_or(|(first, _)| first != room) {
            return OwnMessage::default();
        }
        let mut filters: Vec<FilterNumber> =
            places().flat_map(|(_, place)| place.filters.iter().copied()).collect();
        filters.sort_unstable();
        filters.dedup();
        let mut frames = Vec::new();
        let mut comparisons = 0;
        for of_one in filters.chunk_by(|one, other| one.0 == other.0) {
            let number = of_one.first().map_or(0, |first| first.0);
            let Some(subscription) = kept.all.get(number).and_then(Option::as_ref) else { continue };
            let mut those = of_one.iter().filter_map(|(_, filter)| subscription.filters.get(*filter));
            if those.any(|filter| filter.fits(event, &mut comparisons)) {
                frames.push(heard(&subscription.id, text));
            }
        }
        OwnMessage { frames, search: comparisons / COMPARISONS }
    }

    fn max_rooms(&self) -> usize {
        MAX_PLACES
    }
}

/// Tells a subscriber of an event. Both are JSON text.
fn heard(id: &str, event: &[u8]) -> Frame {
    Frame::text(id.len() + event.len() + 16, |out| {
        for part in [br#"["EVENT","#, id.as_bytes(), b",", event, b"]"] {
            out.extend_from_slice(part);
        }
    })
}
