//! Rooms of the broker: members, and what they say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The timeout of an answer of the broker.
const ANSWER: Duration = Duration::from_secs(20);
/// News of a room that nobody has heard. With more, the member leaves.
const MAX_UNHEARD: usize = 1024;

/// The reason why a room does not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// The broker's name of a refusal, and its words (docs/PROTOCOL.md).
    #[error("{text} ({name})")]
    Refused {
        /// As in `not_member`.
        name: String,
        /// A sentence.
        text: String,
    },
    /// The peer is already in it.
    #[error("this peer is in the room '{0}' already")]
    Twice(String),
    /// No answer in time.
    #[error("the broker did not answer: has it rooms, as a peerbroker?")]
    Unanswered,
    /// The peer is closed.
    #[error("this peer is closed")]
    Closed,
}

/// A member of a room.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Member {
    /// The id of its peer.
    pub id: String,
    /// Its data, which all members see.
    pub data: Option<Json>,
}

/// News of a room.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// All members, this one too: after joining, and after coming back.
    Members(Vec<Member>),
    /// Another member.
    Joined(Member),
    /// Other data of a member.
    Updated(Member),
    /// A member has left.
    Left(String),
    /// A member has said something.
    Message {
        /// The id of its sender.
        from: String,
        /// The message.
        payload: Json,
        /// True if it is for this member only.
        is_private: bool,
    },
}

/// A room that a peer is in. Dropping it leaves the room.
pub struct Room {
    name: String,
    rooms: Arc<Rooms>,
    events: mpsc::Receiver<RoomEvent>,
}

impl Room {
    pub(crate) async fn join(rooms: &Arc<Rooms>, name: &str, data: Option<Json>) -> Result<Self, RoomError> {
        let join = json!({ "type": "ROOM-JOIN", "room": name, "data": data });
        let events = rooms.enter(name, &join).ok_or_else(|| RoomError::Twice(name.to_owned()))?;
        let room = Room { name: name.to_owned(), rooms: Arc::clone(rooms), events };
        room.ask(join).await?;
        Ok(room)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says something to all other members. It waits until the broker has it.
    pub async fn say(&self, payload: impl Into<Json>) -> Result<(), RoomError> {
        self.ask(json!({ "type": "ROOM-SEND", "room": self.name, "payload": payload.into() })).await
    }

    /// Says something to one member.
    pub async fn say_to(&self, id: &str, payload: impl Into<Json>) -> Result<(), RoomError> {
        self.ask(json!({ "type": "ROOM-SEND", "room": self.name, "dst": id, "payload": payload.into() }))
            .await
    }

    /// The next news; `None` once the peer is closed, or behind a thousand unheard ones. Safe to cancel.
    pub async fn hear(&mut self) -> Option<RoomEvent> {
        self.events.recv().await
    }

    async fn ask(&self, mut request: Json) -> Result<(), RoomError> {
        let (question, answer) = self.rooms.ask();
        if let Some(request) = request.as_object_mut() {
            request.insert("request".to_owned(), question.number.into());
        }
        let asking = async {
            self.rooms.frames.send(request.to_string()).await.map_err(|_| RoomError::Closed)?;
            answer.await.map_err(|_| RoomError::Closed)?
        };
        timeout(ANSWER, asking).await.unwrap_or(Err(RoomError::Unanswered))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.rooms.lock().joined.remove(&self.name);
        let leave = json!({ "type": "ROOM-LEAVE", "room": self.name });
        // A broker that hears nothing of it notices when the peer leaves.
        let _ = self.rooms.frames.try_send(leave.to_string());
    }
}

/// The rooms of a peer.
pub(crate) struct Rooms {
    /// To the broker.
    frames: mpsc::Sender<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// For each room the request that joins it again, and its member.
    joined: HashMap<String, (String, mpsc::Sender<RoomEvent>)>,
    asked: HashMap<u64, oneshot::Sender<Result<(), RoomError>>>,
    last: u64,
}

/// A request without an answer, which is forgotten when nobody waits for it.
struct Question<'a> {
    rooms: &'a Rooms,
    number: u64,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.rooms.lock().asked.remove(&self.number);
    }
}

#[derive(Deserialize)]
struct Frame {
    room: String,
    request: Option<u64>,
    #[serde(default)]
    members: Vec<Member>,
    id: Option<String>,
    src: Option<String>,
    dst: Option<String>,
    data: Option<Json>,
    #[serde(default)]
    payload: Json,
}

impl Rooms {
    pub(crate) fn new(frames: mpsc::Sender<String>) -> Self {
        Rooms { frames, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn enter(&self, room: &str, join: &Json) -> Option<mpsc::Receiver<RoomEvent>> {
        let mut state = self.lock();
        if state.joined.contains_key(room) {
            return None;
        }
        let (events, heard) = mpsc::channel(MAX_UNHEARD);
        state.joined.insert(room.to_owned(), (join.to_string(), events));
        Some(heard)
    }

    fn ask(&self) -> (Question<'_>, oneshot::Receiver<Result<(), RoomError>>) {
        let (answered, answer) = oneshot::channel();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.asked.insert(number, answered);
        (Question { rooms: self, number }, answer)
    }

    /// The requests of a peer that has come back, maybe too late for the broker to know.
    pub(crate) fn joins(&self) -> Vec<String> {
        self.lock().joined.values().map(|(join, _)| join.clone()).collect()
    }

    /// The peer is closed.
    pub(crate) fn clear(&self) {
        *self.lock() = State::default();
    }

    pub(crate) fn hear(&self, kind: &str, text: &str) {
        let Ok(frame) = serde_json::from_str::<Frame>(text) else { return };
        let Frame { room, request, members, id, src, dst, data, payload } = frame;
        let mut state = self.lock();
        let word = |name| payload.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let refused = || RoomError::Refused { name: word("type"), text: word("msg") };
        if let Some(asked) = request.and_then(|request| state.asked.remove(&request)) {
            // Whoever has asked may wait no more.
            let _ = asked.send(if kind == "ROOM-REFUSED" { Err(refused()) } else { Ok(()) });
        }
        let event = match (kind, id, src) {
            ("ROOM-MEMBERS", ..) => RoomEvent::Members(members),
            ("ROOM-JOINED", Some(id), _) => RoomEvent::Joined(Member { id, data }),
            ("ROOM-UPDATED", Some(id), _) => RoomEvent::Updated(Member { id, data }),
            ("ROOM-LEFT", Some(id), _) => RoomEvent::Left(id),
            ("ROOM-MESSAGE", _, Some(from)) => {
                RoomEvent::Message { from, payload, is_private: dst.is_some() }
            }
            _ => return,
        };
        let is_behind = state.joined.get(&room).is_some_and(|(_, events)| events.try_send(event).is_err());
        if is_behind {
            log::warn!("the room '{}' is left: nobody listens to it", room.escape_debug());
            state.joined.remove(&room);
        }
    }
}
