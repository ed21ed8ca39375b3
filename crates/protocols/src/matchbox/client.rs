//! A client that speaks Matchbox: a peer of a room, or of a group of those that come to it one after another.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::advice::{other_room, parameters};
use super::groups::{GroupKind, GroupPlace, Groups, Opening, name_of};
use super::{CLIENT_SERVER, HOSTED, MatchboxRooms, Signal, UNNAMED, advice, host_of};
use crate::client::{Answer, Ask, Context, Description, FirstInVain, Message, Protocol};
use crate::key_state::KeyState;
use crate::names::{Claimed, Hold, SeatState, Seated};
use crate::query;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{
    CloseReason, Frame, InvalidName, MessageKind, NameKind, PeerId, RealmKind, Refusal, RoomName, RoomRefusal,
};
use peerbroker_rooms::{Change, MemberView, RoomFrames};
use peerbroker_router::{Departure, Disconnect};

/// The end of the name of a room with `next=0`. No client can name it.
const UNFILLED: &str = "/0";

/// Pause before the next attempt to take a place, or to join the room of a group.
const RETRY: Duration = Duration::from_millis(100);

/// Most attempts to join the room of a group from which somebody has just gone.
const MAX_JOINS: u32 = 100;

/// Leases for which a client waits for a place: the giver of the last one may have to die, and its right with
/// it.
const PATIENCE: u32 = 2;

/// A peer and its room.
pub struct Matchbox {
    /// The room of its path.
    room: RoomName,
    /// The size of the groups of its room, if it has some. 0 if nothing fills them.
    size: Option<usize>,
    /// Its search for a place in a group, while it has none.
    search: Option<Search>,
    /// Its place in a group.
    place: Option<TakenPlace>,
    /// The attempts to join the room of its group.
    joins: u32,
    /// True if it knows its id.
    is_introduced: bool,
    in_vain: FirstInVain,
}

/// A place in a group, on this node or another one.
struct TakenPlace {
    /// The room of the group.
    room: RoomName,
    /// The state of the group.
    state: watch::Receiver<SeatState>,
    /// Dropping it frees the place, unless the group is full.
    _hold: Hold,
}

/// A search for a place among all nodes.
struct Search {
    /// The time at which the client gives up.
    until: Instant,
    step: Step,
}

enum Step {
    /// The node that gives places is asked for one.
    Take,
    /// No node gives places, so the client claims the right to.
    Claim(Opening),
    /// The client tries again after a pause.
    Pause,
}

impl Matchbox {
    /// The room of the group in which it has a place.
    pub fn group(&self) -> Option<&RoomName> {
        self.place.as_ref().map(|place| &place.room)
    }

    /// True while others may come to its group.
    pub fn is_open(&self) -> bool {
        self.place.as_ref().is_some_and(|place| *place.state.borrow() == SeatState::Open)
    }

    /// The groups of its room that have a size.
    fn kind(&self, size: usize) -> GroupKind {
        (self.room.clone(), size)
    }

    /// Tells the operator if clients wait in a room that has the same name, and other parameters in its
    /// address.
    fn report_others(&self, context: &Context<'_, '_>) {
        let room = self.room.as_str();
        // Its parameter is told already.
        if room.ends_with(UNFILLED) {
            return;
        }
        let name = room.strip_suffix(HOSTED).unwrap_or(room);
        let groups: Arc<Groups> = context.key.part();
        let of_size = |room: &String| {
            let sizes = RoomName::measured(room).map(|room| groups.open_sizes(&room)).unwrap_or_default();
            let is_other = |size: &usize| room != self.room.as_str() || Some(*size) != self.size;
            sizes.into_iter().find(is_other).map(|size| parameters(room, Some(size)))
        };
        let is_alike = room == name && self.size.is_none();
        let is_mesh = !is_alike && context.key.rooms(Self::REALM).contains(name);
        let of_mesh = is_mesh.then(|| parameters(name, None));
        let others =
            of_mesh.or_else(|| [name.to_owned(), format!("{name}{HOSTED}")].iter().find_map(of_size));
        if let Some(others) = others {
            context.mistake(|| other_room(name, &parameters(room, self.size), &others));
        }
    }

    /// Looks for a place in a group of a size.
    fn seek(&mut self, size: usize, context: &mut Context<'_, '_>) {
        self.joins = 0;
        let patience = context.key.lease().map_or(Duration::ZERO, |lease| lease * PATIENCE);
        let until = context.now() + patience;
        self.take(size, until, context);
    }

    /// Takes a place in the only open group that the nodes have, or opens one.
    fn take(&mut self, size: usize, until: Instant, context: &mut Context<'_, '_>) {
        let kind = self.kind(size);
        let groups: Arc<Groups> = context.key.part();
        let client = context.peer.id();
        let here = if context.key.is_clustered() {
            groups.take(&kind, client)
        } else {
            groups.take_or_open(&kind, client, None)
        };
        if let Some(place) = here {
            return self.enter(place.into(), context);
        }
        let name = name_of(&kind);
        context.ask(Ask::Seat { kind: NameKind::Group, name, wanted: Some(String::new()) });
        self.search = Some(Search { until, step: Step::Take });
    }

    /// The next step of its search, after an answer.
    fn search(&mut self, size: usize, search: Search, answer: Answer, context: &mut Context<'_, '_>) {
        let Search { until, step } = search;
        match (step, answer) {
            (Step::Take, Answer::Seated(Seated::In { seat, told, state })) => {
                if let Ok(room) = RoomName::measured(&told)
                    && *state.borrow() != SeatState::Lost
                {
                    return self.enter(TakenPlace { room, state, _hold: Box::new(seat) }, context);
                }
            }
            (Step::Take, Answer::Seated(Seated::Nowhere | Seated::Unavailable)) => {
                let kind = self.kind(size);
                let groups: Arc<Groups> = context.key.part();
                if let Some(opening) = groups.begin(&kind) {
                    context.ask(Ask::Hold(NameKind::Group, name_of(&kind)));
                    self.search = Some(Search { until, step: Step::Claim(opening) });
                    return;
                }
            }
            (Step::Claim(opening), Answer::Held(Claimed::Granted, right)) => {
                if let Some(place) = opening.open(context.peer.id(), right) {
                    return self.enter(place.into(), context);
                }
            }
            (Step::Pause, _) if context.now() < until => return self.take(size, until, context),
            (Step::Pause, _) => return self.give_up(context),
            _ => {}
        }
        context.ask(Ask::Sleep(RETRY));
        self.search = Some(Search { until, step: Step::Pause });
    }

    fn enter(&mut self, place: TakenPlace, context: &mut Context<'_, '_>) {
        self.place = Some(place);
        self.join_group(context);
    }

    /// Joins the room of its group. From then on it hears how the group ends.
    fn join_group(&mut self, context: &mut Context<'_, '_>) {
        let Some(TakenPlace { room, state, .. }) = &self.place else { return };
        let room = room.clone();
        let state = state.clone();
        if self.join(room, context) {
            self.joins = 0;
            context.ask(Ask::SeatEnd(state));
        }
    }

    /// Joins a room, and tells the client its id before. A client that has its id is in its room.
    fn join(&mut self, room: RoomName, context: &mut Context<'_, '_>) -> bool {
        if !std::mem::replace(&mut self.is_introduced, true) {
            let assigned = super::id_assigned(context.peer.id().as_str());
            context.reply(assigned);
        }
        let key = context.key;
        let most = key.data().settings.room_members;
        let size = self.size.filter(|size| (1..=most).contains(size));
        let joined =
            key.rooms(Self::REALM).join(&mut context.requester(None), room, None, size.unwrap_or(most));
        let Err(refusal) = joined else { return true };
        if refusal == RoomRefusal::Full && size.is_some() {
            // Somebody has left the group, and is still in its room.
            self.joins += 1;
            if self.joins < MAX_JOINS {
                context.ask(Ask::Sleep(RETRY));
            } else {
                self.give_up(context);
            }
            return false;
        }
        context.limit_hit(refusal.ending().limit);
        // Writes the id in front of the close frame.
        context.flushes.flush();
        context.dismiss(CloseReason::RoomFull);
        false
    }

    fn give_up(&mut self, context: &mut Context<'_, '_>) {
        self.place = None;
        context.dismiss(CloseReason::NoPlace);
    }

    /// The group has ended, so its peers take other places. One that is known to be full stays together,
    /// whatever happens to the nodes.
    fn leave_group(&mut self, context: &mut Context<'_, '_>) {
        let Some(size) = self.size else { return };
        let Some(room) = self.place.as_ref().map(|place| place.room.clone()) else { return };
        let rooms = context.key.rooms(Self::REALM);
        let mut others: BTreeSet<PeerId> = rooms.members(room.as_str()).into_iter().collect();
        if others.len() >= size {
            return;
        }
        // An error means that it is not there.
        let _ = rooms.leave(&mut context.requester(None), room.as_str());
        others.extend(rooms.members(room.as_str()));
        let own = context.peer.id();
        let host = host_of(room.as_str());
        let is_told =
            |other: &PeerId| host.is_none_or(|host| [own, other].iter().any(|id| id.as_str() == host));
        // For its client, the others leave.
        for other in others.iter().filter(|other| *other != own && is_told(other)) {
            if let Some(frame) =
                MatchboxRooms.changed(Change::Left, room.as_str(), MemberView::of_id(other.as_str()))
            {
                context.reply(frame);
            }
        }
        // The place is free before the next one is sought.
        self.place = None;
        self.seek(size, context);
    }
}

impl From<GroupPlace> for TakenPlace {
    fn from(place: GroupPlace) -> Self {
        TakenPlace { room: place.room().clone(), state: place.state(), _hold: Box::new(place) }
    }
}

impl Protocol for Matchbox {
    const REALM: RealmKind = RealmKind::Matchbox;
    const ROOMS: &'static dyn RoomFrames = &MatchboxRooms;
    const HEARTBEAT: Option<&'static str> = Some(super::KEEP_ALIVE);

    /// With `next`, it wants a place in a group of that size; with a host, in the one of that.
    fn new(_key: &Arc<KeyState>, query: &str, _address: Option<IpAddr>) -> Result<Self, InvalidName> {
        let [room, next, topology] = query::values(query, [query::ROOM, "next", "topology"]);
        let room: &str = if room.is_empty() { UNNAMED } else { &room };
        // As in the reference, any other text is none.
        let next: Option<usize> = next.parse().ok();
        let (room, size) = match next {
            _ if topology == CLIENT_SERVER => (format!("{room}{HOSTED}"), Some(next.unwrap_or(0))),
            // Nothing fills it, so it is a room like others.
            Some(0) => (format!("{room}{UNFILLED}"), None),
            _ => (room.to_owned(), next),
        };
        let room = RoomName::measured(&room)?;
        let in_vain = FirstInVain::default();
        Ok(Matchbox { room, size, search: None, place: None, joins: 0, is_introduced: false, in_vain })
    }

    fn odd_parameter(query: &str) -> Option<(String, String)> {
        advice::odd_parameter(query)
    }

    /// Names with a slash are those of groups.
    fn is_room(name: &str) -> bool {
        name.is_empty() || (RoomName::of_topic(name).is_ok() && !name.contains('/'))
    }

    /// Matchbox reads ids as UUIDs.
    fn new_id() -> Result<PeerId, InvalidName> {
        PeerId::parse(&Uuid::new_v4().to_string())
    }

    /// The protocol has no such event: its clients log it.
    fn refusal(refusal: Refusal, _: Option<&str>) -> Option<Frame> {
        Some(super::error(&refusal.text()))
    }

    /// Only now: a client that is refused takes no place.
    fn on_open(&mut self, context: &mut Context<'_, '_>) {
        self.report_others(context);
        match self.size {
            Some(size) => self.seek(size, context),
            None => _ = self.join(self.room.clone(), context),
        }
    }

    fn on_text<'t>(&mut self, text: &'t str, context: &mut Context<'_, 't>) {
        if let Some(Signal { receiver, kind, data }) = super::decode(text)
            && let Ok(receiver) = Uuid::parse_str(&receiver)
        {
            let frame = super::signal(context.peer.id().as_str(), data);
            context.send(receiver.to_string(), MessageKind::Signal, kind, frame);
        } else {
            context.effects.push(self.in_vain.effect(text));
        }
    }

    /// Nothing in the protocol is binary.
    fn on_binary(&mut self, _bytes: &[u8], context: &mut Context<'_, '_>) -> bool {
        context.effects.push(self.in_vain.effect(""));
        true
    }

    fn on_answer(&mut self, answer: Answer, context: &mut Context<'_, '_>) {
        match (self.search.take(), self.size, answer) {
            (Some(search), Some(size), answer) => self.search(size, search, answer, context),
            (_, _, Answer::Slept) => self.join_group(context),
            (_, _, Answer::SeatEnd(SeatState::Lost)) => self.leave_group(context),
            _ => {}
        }
    }

    fn waits(&self) -> bool {
        !self.is_introduced
    }

    fn kept_bytes(&self) -> usize {
        0
    }

    fn release(&mut self) {}

    /// A client that comes back has another id. Its place is free before the others hear that it has left.
    fn departed(self, departure: Option<&Departure>, _end: Disconnect, key: &Arc<KeyState>) {
        drop(self);
        if let Some(departure) = departure {
            key.leave_rooms(Self::REALM, &departure.peer);
        }
    }

    fn description<'m>(message: &'m Message<'_>) -> Description<'m> {
        Description::in_frame(message)
    }

    fn answered(_kind: MessageKind, _frame: &str) -> Option<Option<Cow<'_, str>>> {
        Some(None)
    }
}
