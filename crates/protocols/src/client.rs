//! A client of a protocol, as a value: it is given texts and answers, and says what they cause.
//!
//! A client opens no socket and waits for nothing; its time is the broker's clock. It changes the memory of
//! this node itself: its outbox, rooms, codes, swarms. All else it returns as [`Effect`]s, which the
//! session's loop does in one place. It [asks](Ask) for what takes time, and goes on with the [`Answer`].

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString as _};
use tokio::sync::watch;

use super::key_state::{KeyState, Spent};
use super::names::{Claimed, Hold, SeatState, Seated};
use super::signal::SignalKind;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{
    AppRefusal, CloseReason, DropReason, Frame, InvalidName, Limit, MessageKind, NameKind, PeerId, RealmKind,
    Refusal, RoomName, RoomRights, Token, expected,
};
use peerbroker_events::{ClientMistake, Event, Mistake};
use peerbroker_rooms::{Read, Requester, RoomFrames};
use peerbroker_router::{Departure, Disconnect, Flushes, PeerHandle};

/// A protocol: the state of one client of it, and the answers to the questions that all of them are asked.
/// Those without a default are the ones that cost most if they are forgotten.
pub trait Protocol: Sized + 'static {
    /// The realm of its clients.
    const REALM: RealmKind;

    /// The frames that the members of its rooms hear. A member that reads slowly gets the state of a room,
    /// and other clients lose messages.
    const ROOMS: &'static dyn RoomFrames;

    /// The text that only shows that a client is there: most texts are this one.
    const HEARTBEAT: Option<&'static str> = None;

    /// True if clients bring an id and a token. Others get an id.
    const HAS_CREDENTIALS: bool = false;

    /// True if a program that embeds the broker hears of its messages.
    const APP_HEARS: bool = false;

    /// True if clients can be told what becomes of a call.
    const HEARS_OF_CALLS: bool = false;

    /// A client of a key that has sent this query. It takes nothing that others may want: the client may
    /// still be refused.
    fn new(key: &Arc<KeyState>, query: &str, address: Option<IpAddr>) -> Result<Self, InvalidName>;

    /// True if a client may name a room so in its address, which is percent-decoded; empty if it names none.
    fn is_room(_name: &str) -> bool {
        false
    }

    /// A parameter of a client's address that has no effect, in words: the mistake, and the advice. `None` if
    /// there is none, or the parameters are not the protocol's own.
    fn odd_parameter(_query: &str) -> Option<(String, String)> {
        None
    }

    /// An id for a client that brings none.
    fn new_id() -> Result<PeerId, InvalidName> {
        fresh_id()
    }

    /// The first frame for a client that got this id.
    fn greeting(_id: &PeerId) -> Option<Frame> {
        None
    }

    /// True if only a client's first text tells its dialect. A refusal waits for that, and closes with a
    /// code, because some dialects have no frame for it.
    const FIRST_TEXT_TELLS: bool = false;

    /// Tells a client the reason of its refusal. `first` is its first text, if that
    /// [tells](Self::FIRST_TEXT_TELLS) its dialect, and has come. `None` if its dialect has no frame for it.
    fn refusal(refusal: Refusal, first: Option<&str>) -> Option<Frame>;

    /// Tells a client that its message has no effect, if the protocol has a frame for it.
    fn in_vain(_why: &str) -> Option<Frame> {
        None
    }

    /// Tells a client that it still waits for its id.
    fn waiting() -> Option<Frame> {
        None
    }

    /// The rooms in which the client with this token is under this id.
    fn rooms_of(_key: &KeyState, _id: &PeerId, _token: &Token) -> Vec<RoomName> {
        Vec::new()
    }

    /// True if a message of a room that waited for an id is for a client with these rights that is in these
    /// rooms; `None` means any room.
    fn may_hear(_rights: Option<&RoomRights>, _rooms: Option<&[RoomName]>, _message: &Frame) -> bool {
        false
    }

    /// A publication by which two members of a room connect. `None` for any other.
    fn published(_text: &str) -> Option<Published<'_>> {
        None
    }

    /// The client has got its id, and the greeting.
    fn on_open(&mut self, _context: &mut Context<'_, '_>) {}

    /// Handles one message.
    fn on_text<'t>(&mut self, text: &'t str, context: &mut Context<'_, 't>);

    /// Handles one binary message. False if it is to be read as text.
    fn on_binary(&mut self, _bytes: &[u8], _context: &mut Context<'_, '_>) -> bool {
        false
    }

    /// Goes on with the answer to what it has asked.
    fn on_answer(&mut self, _answer: Answer, _context: &mut Context<'_, '_>) {}

    /// A message that it has sent is lost.
    fn on_lost(&mut self, _lost: Lost<'_>, _context: &mut Context<'_, '_>) {}

    /// True if no message is read before the answer.
    fn waits(&self) -> bool;

    /// Bytes of a message that it keeps until the answer. They are charged to the quota of unfinished
    /// messages.
    fn kept_bytes(&self) -> usize;

    /// The client has closed the connection because its page goes away. It still has its id, so its last
    /// words are before those of the next holder.
    fn on_going_away(_context: &mut Context<'_, '_>) {}

    /// Gives up the names that others may want, before the id.
    fn release(&mut self);

    /// The client has given its id back. `None` if the broker took that away and told of its end before.
    fn departed(self, departure: Option<&Departure>, end: Disconnect, key: &Arc<KeyState>);

    /// The part of a message in which its session description is.
    fn description<'m>(message: &'m Message<'_>) -> Description<'m>;

    /// The name of the connection that an answer from another node is about, by the frame of its recipient.
    /// `None` if the message is no answer.
    fn answered(kind: MessageKind, frame: &str) -> Option<Option<Cow<'_, str>>>;

    /// The frame of a message with another text in the place of that part.
    fn with_description(_from: &PeerId, _message: &Message<'_>, text: &str) -> Frame {
        Frame::of_text(text)
    }
}

/// The text with a session description.
#[derive(Debug)]
pub struct Description<'m> {
    /// The text.
    pub text: &'m str,
    /// The name of the connection, as the relay tells several between two clients apart.
    pub connection: Option<Cow<'m, str>>,
}

impl<'m> Description<'m> {
    /// Somewhere in the frame, of a connection that has no name.
    pub fn in_frame(message: &'m Message<'_>) -> Self {
        let text = expected(std::str::from_utf8(message.frame.payload()), "a frame of the server");
        Description { text, connection: None }
    }
}

/// The surroundings of a client while it handles something.
pub struct Context<'a, 't> {
    /// Its connection.
    pub peer: &'a PeerHandle,
    /// The state that it shares with the other clients of its key.
    pub key: &'a Arc<KeyState>,
    /// Flushed once per read, so that a batch for one recipient is written together.
    pub flushes: &'a mut Flushes,
    /// The effects that the session's loop has still to do, in their order.
    pub effects: &'a mut Effects<'t>,
}

/// The effects of one text or answer, in their order. Nearly always there is one, or none.
#[derive(Debug, Default)]
pub struct Effects<'t> {
    first: Option<Effect<'t>>,
    others: Vec<Effect<'t>>,
}

impl<'t> Effects<'t> {
    /// Adds one.
    pub fn push(&mut self, effect: Effect<'t>) {
        if self.first.is_none() {
            self.first = Some(effect);
        } else {
            self.others.push(effect);
        }
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Does something with each.
    pub fn drain(&mut self, mut act: impl FnMut(Effect<'t>)) {
        if let Some(first) = self.first.take() {
            act(first);
        }
        for effect in std::mem::take(&mut self.others) {
            act(effect);
        }
    }
}

/// An effect that needs more than the memory of this node.
#[derive(Debug)]
pub enum Effect<'t> {
    /// Forwards a message to another client.
    Send(Message<'t>),
    /// Tells the subscribers of topics.
    Publish(Publication<'t>),
    /// Hands a message over to the app's server. Its answer comes later.
    App(AppRequest<'t>),
    /// Asks for what the client waits for. One question at a time.
    Ask(Ask),
    /// The message has no meaning in the protocol.
    Ignored,
    /// The message has no meaning in the protocol, and the operator is told of this text.
    InVain(&'t str),
    /// The client says goodbye.
    Leave,
}

/// Remembers that a client has sent a message in vain. The operator is told of the first one, so that others
/// cost nothing.
#[derive(Debug, Default)]
pub struct FirstInVain(bool);

impl FirstInVain {
    /// True for the first message.
    pub fn is_first(&mut self) -> bool {
        !std::mem::replace(&mut self.0, true)
    }

    /// The effect of a message in vain.
    pub fn effect<'t>(&mut self, text: &'t str) -> Effect<'t> {
        if self.is_first() { Effect::InVain(text) } else { Effect::Ignored }
    }
}

/// A message from one client to another.
#[derive(Debug)]
pub struct Message<'t> {
    /// The id of its recipient.
    pub to: Cow<'t, str>,
    /// Its kind.
    pub kind: MessageKind,
    /// Its meaning for a connection.
    pub signal: SignalKind,
    /// The frame that the recipient hears.
    pub frame: Frame,
    /// The payload of a PeerJS client, as its JSON text.
    pub payload: Option<&'t str>,
    /// True if the sender is told of its loss.
    pub is_told: bool,
}

/// A message that is lost.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'m> {
    /// The id of its recipient.
    pub to: &'m str,
    /// Its kind.
    pub kind: MessageKind,
    /// The reason.
    pub reason: DropReason,
}

/// A message to the subscribers of topics.
#[derive(Debug)]
pub struct Publication<'t> {
    /// The topic.
    pub topic: Cow<'t, str>,
    /// More topics, whose subscribers read the same text.
    pub others: Vec<String>,
    /// The text of the client.
    pub text: Cow<'t, str>,
    /// Writes the text as the subscribers of a topic hear it.
    pub frame: WriteFrame,
    /// The part that the protocol has read already, for the members of rooms.
    pub read: Read,
}

/// Writes the frame of a publication: of its topic, its text and the number of subscribers.
pub type WriteFrame = fn(&str, &str, usize) -> Frame;

/// A publication by which two members of a room connect.
#[derive(Debug)]
pub struct Published<'a> {
    /// The id that the sender gives itself in this room.
    pub from: Cow<'a, str>,
    /// The id of the only recipient that uses it, if there is one.
    pub to: Option<Cow<'a, str>>,
    /// Its kind.
    pub kind: SignalKind,
}

impl Published<'_> {
    /// The id that a client gives itself, as the data of its membership: all nodes know it.
    pub fn name(id: &str) -> String {
        serde_json::Value::from(id).to_string()
    }
}

/// A message to the app's server.
#[derive(Debug)]
pub struct AppRequest<'t> {
    /// The JSON text of the payload.
    pub payload: Option<&'t str>,
    /// The id that the client has given it, as JSON text. The answer repeats it.
    pub id: Result<Option<&'t str>, AppRefusal>,
}

/// A question that takes time.
pub enum Ask {
    /// Lets some time pass.
    Sleep(Duration),
    /// Asks the client with this id for a sign of life.
    IsAlive(PeerId),
    /// Claims a name for the client, among all nodes.
    Hold(NameKind, String),
    /// Takes a seat under a name that a client of another node holds.
    Seat {
        /// The kind of the name.
        kind: NameKind,
        /// The name.
        name: String,
        /// The seat, in the words of the protocol. `None` only asks if there is the name.
        wanted: Option<String>,
    },
    /// Waits until the state of a seat is not [`Open`](SeatState::Open) any more.
    SeatEnd(watch::Receiver<SeatState>),
}

/// The answer to a question.
pub enum Answer {
    /// The time has passed.
    Slept,
    /// True if the client lives.
    IsAlive(bool),
    /// The outcome of a claim, and the hold on the name: dropped with it.
    Held(Claimed, Hold),
    /// The outcome of the request for a seat.
    Seated(Seated),
    /// The state of the seat.
    SeatEnd(SeatState),
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ask::Sleep(time) => f.debug_tuple("Sleep").field(time).finish(),
            Ask::IsAlive(id) => f.debug_tuple("IsAlive").field(id).finish(),
            Ask::Hold(kind, name) => f.debug_tuple("Hold").field(kind).field(name).finish(),
            Ask::Seat { kind, name, wanted } => {
                f.debug_tuple("Seat").field(kind).field(name).field(wanted).finish()
            }
            Ask::SeatEnd(_) => f.write_str("SeatEnd"),
        }
    }
}

impl<'t> Context<'_, 't> {
    /// The time, by the broker's clock.
    pub fn now(&self) -> Instant {
        self.key.router().clock().now()
    }

    /// Sends a frame to this client.
    pub fn reply(&mut self, frame: Frame) {
        self.flushes.extend(self.peer.reply(frame));
    }

    /// Sends a message to another client of the realm, whose sender is not told if it is lost.
    pub fn send(&mut self, to: impl Into<Cow<'t, str>>, kind: MessageKind, signal: SignalKind, frame: Frame) {
        let message = Message { to: to.into(), kind, signal, frame, payload: None, is_told: false };
        self.effects.push(Effect::Send(message));
    }

    /// Sends a message to another client of the realm. The sender [hears](Protocol::on_lost) if it is lost.
    pub fn send_and_hear(
        &mut self,
        to: impl Into<Cow<'t, str>>,
        kind: MessageKind,
        signal: SignalKind,
        frame: Frame,
    ) {
        let message = Message { to: to.into(), kind, signal, frame, payload: None, is_told: true };
        self.effects.push(Effect::Send(message));
    }

    /// Asks for something to wait for.
    pub fn ask(&mut self, ask: Ask) {
        self.effects.push(Effect::Ask(ask));
    }

    /// Charges the elements of a list as messages. The message that has the list is charged already.
    pub fn charge_list(&self, elements: usize) {
        let frames = u32::try_from(elements).unwrap_or(u32::MAX);
        self.key.charge(self.peer, &Spent { frames, ..Spent::default() });
    }

    /// Tells the operator that the client is at a limit. A refusal may have no limit.
    pub fn limit_hit(&self, limit: impl Into<Option<Limit>>) {
        self.key.router().events().limit_hit(limit, Some(self.key.key()), self.peer.address());
    }

    /// Tells the operator of a mistake of the client: the words after "a client", and advice.
    pub fn mistake(&self, mistake: impl FnOnce() -> (String, String)) {
        report_mistake(self.key, self.peer, mistake);
    }

    /// Ends the connection.
    pub fn dismiss(&mut self, reason: CloseReason) {
        self.peer.dismiss(reason);
    }

    /// The client's part in a request about a room. The answer repeats the id of the request, as JSON text.
    pub fn requester<'r>(&'r mut self, request: Option<&'r str>) -> Requester<'r> {
        Requester { peer: self.peer, request, flushes: self.flushes }
    }
}

/// Tells the operator of a mistake of a client: the words after "a client", and advice.
pub fn report_mistake(key: &KeyState, peer: &PeerHandle, mistake: impl FnOnce() -> (String, String)) {
    key.router().events().emit(|| {
        let (what, hint) = mistake();
        let mistake = Mistake::InVain { what, hint, key: key.key().clone(), id: peer.id().clone() };
        Event::ClientMistake(Box::new(ClientMistake { mistake, origin: None, address: peer.address() }))
    });
}

/// Characters of an id or a token that we choose. As hard to guess as a UUID.
const ID_LEN: usize = 21;

/// Text that nobody guesses.
pub fn unguessable() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), ID_LEN)
}

/// An id that nobody guesses.
pub fn fresh_id() -> Result<PeerId, InvalidName> {
    PeerId::parse(&unguessable())
}
