//! A client at the root: the host of a room, a player, a caller or a callee. It is a peer with an id that we choose. Others
//! find it by a room code or an alias.

mod waiting;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use rand::distr::{Alphanumeric, SampleString as _};

use super::admission::{ConnectRequest, Entry, Rejection, Source, active_key, values};
use super::handler::{Context, ProtocolHandler};
use super::run;
use super::sessions::Sessions;
use crate::dialect::rooms::Problem;
use crate::dialect::{Object, calls, rooms, root};
use crate::directory::{CallAlias, HostedRoom, PlayerName, RoomError};
use crate::keys::Auth;
use crate::limits::{GuessSource, LimitExceeded};
use crate::node::{Guests, HeldName, JoinRequest, Joined, MediaMessage, RemoteSeat};
use crate::transport::Socket;
use crate::wire::{ApiKey, Frame, Limit, MessageKind, PeerId, Refusal, Token};
use waiting::{Answer, Hosting, Trouble, Waiting};

/// Characters of an id or a token that we choose. As hard to guess as a UUID.
const ID_LEN: usize = 21;

/// Most names that one client has in rooms. Beyond that, the oldest is given up.
const MAX_NAMES: usize = 8;

/// A guest's room, names and alias.
pub(super) struct Guest {
    guests: Arc<Guests>,
    guesser: Option<GuessSource>,
    hosting: Option<Box<Hosting>>,
    playing: Vec<Seat>,
    /// The id under which it can be called, and for another id than its own, the hold on it in a cluster.
    calling: Option<(CallAlias, Option<Box<HeldName>>)>,
    /// Whether it was told that id.
    introduced: bool,
    /// A command that waits for other nodes, in a cluster.
    waiting: Option<Box<Waiting>>,
}

/// A player's name in a room.
enum Seat {
    Here(PlayerName),
    /// In a room of another node.
    There(RemoteSeat),
}

impl Seat {
    fn is_room_open(&self) -> bool {
        match self {
            Seat::Here(playing) => playing.is_room_open(),
            Seat::There(seat) => seat.is_room_open(),
        }
    }
}

/// Serves a client at the root, in the dialect that it speaks.
pub(crate) fn serve<S: Socket>(
    socket: S,
    sessions: &Arc<Sessions>,
    request: ConnectRequest,
) -> impl Future<Output = ()> + use<S> {
    run::serve(socket, sessions, request, entry)
}

/// A fresh id. The key is the one in the query, or that of the root.
async fn entry(sessions: Arc<Sessions>, query: String, source: Source) -> Result<(Entry, Guest), Rejection> {
    let [key] = values(&query, ["key"]);
    decide(&sessions, &key, &source).map_err(|reason| Rejection {
        reason,
        key: ApiKey::parse(&key).ok(),
        id: None,
    })
}

fn decide(sessions: &Sessions, key: &str, source: &Source) -> Result<(Entry, Guest), Refusal> {
    let key = match key {
        "" => sessions.config().root_key().clone(),
        key => ApiKey::parse(key).map_err(Refusal::MalformedKey)?,
    };
    let active = active_key(&sessions.keys, &key, source.origin.as_deref())?;
    if active.key.settings.auth != Auth::None {
        // These dialects have no way to prove an identity.
        return Err(Refusal::TokenRefused);
    }
    active.note_use();
    let guests = active.tenant.guests();
    let entry = Entry {
        realm: Arc::clone(&guests.realm),
        id: fresh_id()?,
        token: Token::parse(&random()).map_err(Refusal::InvalidToken)?,
        messages_per_second: active.key.settings.messages_per_second,
        info: source.info(None),
        begins_anew: false,
    };
    let guesser = GuessSource::remote(source.address);
    let (hosting, playing, calling, waiting) = (None, Vec::new(), None, None);
    Ok((entry, Guest { guests, guesser, hosting, playing, calling, introduced: false, waiting }))
}

fn fresh_id() -> Result<PeerId, Refusal> {
    PeerId::parse(&random()).map_err(Refusal::InvalidId)
}

fn random() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), ID_LEN)
}

impl ProtocolHandler for Guest {
    fn greeting() -> Option<Frame> {
        None
    }

    fn refusal(refusal: Refusal) -> Frame {
        rooms::error(&refusal.text())
    }

    fn poll_pending(&mut self, cx: &mut task::Context<'_>, context: &mut Context<'_>) -> Poll<()> {
        while let Some(waiting) = &mut self.waiting {
            let answer = ready!(waiting.poll(cx));
            let Some(Waiting { text, mut backlog, .. }) = self.waiting.take().map(|waiting| *waiting) else {
                break;
            };
            self.resume(&text, answer, context);
            while let Some(text) = backlog.pop_front() {
                let _ = self.on_text(&text, context);
                if let Some(waiting) = &mut self.waiting {
                    // The rest waits for this one.
                    std::mem::swap(&mut waiting.backlog, &mut backlog);
                    break;
                }
            }
        }
        Poll::Ready(())
    }

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        if let Some(waiting) = &mut self.waiting {
            waiting.backlog.push_back(text.to_owned());
            return ControlFlow::Continue(());
        }
        let dialects = context.sessions.config().dialects;
        match root::decode(text) {
            root::Command::Rooms(command) if dialects.rooms => {
                if let Err(problem) = self.play(command, text, context) {
                    context.reply(rooms::error(problem.text()));
                }
            }
            root::Command::Calls(calls::Command::Start) if dialects.calls => self.introduce(context),
            root::Command::Calls(calls::Command::Send(message)) if dialects.calls => {
                if let Some(called) = self.called(&message.to, context) {
                    let frame = message.frame(self.calling(context).id().as_str());
                    let said = match message.kind {
                        calls::Kind::Offer => MediaMessage::Offer(None),
                        calls::Kind::Answer => MediaMessage::Answer(None),
                        calls::Kind::Other => MediaMessage::Other,
                    };
                    context.send(&called, MessageKind::Call, frame, said);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Guest {
    /// Tells the client the id under which it can be called: a new one each time.
    fn introduce(&mut self, context: &mut Context<'_>) {
        if std::mem::replace(&mut self.introduced, true)
            && let Ok(id) = fresh_id()
        {
            let alias = self.guests.aliases.add(id, context.peer.id());
            if let Some(membership) = context.sessions.node.membership() {
                let (membership, guests) = (Arc::clone(membership), Arc::clone(&self.guests));
                let (guest, connection) = (context.peer.id().clone(), context.peer.connection());
                let introduced = waiting::introduce(membership, guests, alias, guest, connection);
                self.waiting = Some(Waiting::new("", introduced));
                return;
            }
            self.calling = Some((alias, None));
        }
        let id = self.calling(context).id().as_str();
        context.reply(calls::started(id));
    }

    /// The first alias is the id of the peer itself, so that hooks and logs know it. A caller without an alias gets it too,
    /// so that it can be answered.
    fn calling(&mut self, context: &Context<'_>) -> &CallAlias {
        let peer = context.peer.id();
        let (alias, _) =
            self.calling.get_or_insert_with(|| (self.guests.aliases.add(peer.clone(), peer), None));
        alias
    }

    /// The guest of an alias. In a cluster, the node that has an alias knows whose it is.
    fn called(&self, alias: &str, context: &Context<'_>) -> Option<String> {
        let guest = self.guests.aliases.guest(alias);
        let elsewhere = || {
            let is_elsewhere =
                context.sessions.node.membership().is_some() && !self.guests.realm.contains(alias);
            is_elsewhere.then(|| alias.to_owned())
        };
        guest.map(|guest| guest.as_str().to_owned()).or_else(elsewhere)
    }

    fn play(
        &mut self,
        command: rooms::Command<'_>,
        text: &str,
        context: &mut Context<'_>,
    ) -> Result<(), Problem> {
        match command {
            rooms::Command::Create => {
                // A host has one room: the one before is closed first.
                self.hosting = None;
                let host = context.peer.id();
                match context.sessions.node.membership() {
                    None => {
                        let room = self.guests.rooms.create(host);
                        let room = room.map_err(|error| problem(error, context.sessions))?;
                        self.host(Hosting { room, _code: None }, context);
                    }
                    Some(membership) => {
                        let (membership, guests) = (Arc::clone(membership), Arc::clone(&self.guests));
                        let connection = context.peer.connection();
                        let opened = waiting::open_room(membership, guests, host.clone(), connection);
                        self.waiting = Some(Waiting::new("", opened));
                    }
                }
            }
            rooms::Command::Join { room, username, offer } => {
                self.check_guesses(context.sessions)?;
                if !self.guests.rooms.contains(&room) {
                    return self.join_elsewhere(&room, username.filter(|_| offer.is_some()), text, context);
                }
                let username = username.ok_or(Problem::NoUsername)?;
                self.join(&room, &username, &offer.ok_or(Problem::NoOffer)?, context)?;
            }
            rooms::Command::Answer { username, response } => {
                let player = self.hosting()?.player(&username.ok_or(Problem::NoPlayer)?);
                let player = player.map_err(|error| problem(error, context.sessions))?;
                let response = response.ok_or(Problem::NoResponse)?;
                // No error for a player that has just left: the host could do nothing about it, and games would show it.
                if let Some(player) = player {
                    let answer = rooms::response(response);
                    context.send(player.as_str(), MessageKind::Room, answer, MediaMessage::Answer(None));
                }
            }
            rooms::Command::Start => {
                self.hosting()?.start().map_err(|error| problem(error, context.sessions))?;
            }
        }
        Ok(())
    }

    /// Goes on with a command that has waited for other nodes.
    fn resume(&mut self, text: &str, answer: Answer, context: &mut Context<'_>) {
        match answer {
            Answer::Opened(Ok(hosting)) => self.host(hosting, context),
            Answer::Opened(Err(Trouble::Room(error))) => {
                let problem = problem(error, context.sessions);
                context.reply(rooms::error(problem.text()));
            }
            Answer::Opened(Err(Trouble::Unavailable)) => {
                context.reply(rooms::error(&Refusal::Unavailable.text()));
            }
            Answer::Introduced(alias, held) => {
                context.reply(calls::started(alias.id().as_str()));
                self.calling = Some((alias, Some(held)));
            }
            Answer::Joined(joined) => {
                if let root::Command::Rooms(rooms::Command::Join { username, offer, .. }) = root::decode(text)
                    && let Err(problem) = self.joined(joined, username.is_some(), offer.as_ref(), context)
                {
                    context.reply(rooms::error(problem.text()));
                }
            }
        }
    }

    fn host(&mut self, hosting: Hosting, context: &mut Context<'_>) {
        context.reply(rooms::confirm(hosting.room.code()));
        self.hosting = Some(Box::new(hosting));
    }

    /// Every room is wrong for an address above the limit of wrong codes.
    fn check_guesses(&self, sessions: &Sessions) -> Result<(), Problem> {
        let Some(guesser) = self.guesser else { return Ok(()) };
        sessions.wrong_codes.check(guesser, sessions.now()).map_err(|LimitExceeded { limit, .. }| {
            sessions.events().limit_hit(limit, || None, guesser.address());
            Problem::WrongRoom
        })
    }

    /// No node has a room with the code that the client has sent.
    fn wrong_code(&self, sessions: &Sessions) -> Problem {
        if let Some(guesser) = self.guesser {
            sessions.wrong_codes.count_wrong(guesser, sessions.now());
        }
        Problem::WrongRoom
    }

    fn hosting(&self) -> Result<&HostedRoom, Problem> {
        let plays = self.playing.iter().any(Seat::is_room_open);
        let hosting = self.hosting.as_ref().map(|hosting| &hosting.room);
        hosting.ok_or(if plays { Problem::NotTheHost } else { Problem::WrongRoom })
    }

    fn join(
        &mut self,
        room: &str,
        username: &str,
        offer: &Object<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Problem> {
        let joined = self.guests.rooms.join(room, username, context.peer.id());
        let (playing, host) = joined.map_err(|error| problem(error, context.sessions))?;
        let offer = rooms::offer(offer, playing.name());
        self.take_seat(Seat::Here(playing), &host, offer, context)
    }

    /// Joins a room that is not on this node. `name` is missing if the client has not sent everything.
    fn join_elsewhere(
        &mut self,
        room: &str,
        name: Option<String>,
        text: &str,
        context: &Context<'_>,
    ) -> Result<(), Problem> {
        let (Some(membership), Some(code)) =
            (context.sessions.node.membership(), self.guests.rooms.code(room))
        else {
            return Err(self.wrong_code(context.sessions));
        };
        let (realm, player) = (Arc::clone(&self.guests.realm), context.peer.id().clone());
        let joined = Arc::clone(membership).join(JoinRequest { realm, code, name, player });
        self.waiting = Some(Waiting::new(text, async move { Answer::Joined(joined.await) }));
        Ok(())
    }

    fn joined(
        &mut self,
        joined: Joined,
        has_username: bool,
        offer: Option<&Object<'_>>,
        context: &mut Context<'_>,
    ) -> Result<(), Problem> {
        match (joined, offer) {
            (Joined::In { seat, name, host }, Some(offer)) => {
                self.take_seat(Seat::There(seat), &host, rooms::offer(offer, &name), context)
            }
            (Joined::Refused(RoomError::NoRoom), _) => Err(self.wrong_code(context.sessions)),
            (Joined::Refused(error), _) => Err(problem(error, context.sessions)),
            // Not the client's fault, so it does not count.
            (Joined::Unavailable, _) => Err(Problem::WrongRoom),
            _ if !has_username => Err(Problem::NoUsername),
            _ => Err(Problem::NoOffer),
        }
    }

    fn take_seat(
        &mut self,
        seat: Seat,
        host: &PeerId,
        offer: Frame,
        context: &mut Context<'_>,
    ) -> Result<(), Problem> {
        if !context.send(host.as_str(), MessageKind::Room, offer, MediaMessage::Offer(None)) {
            return Err(Problem::WrongRoom);
        }
        if self.playing.len() >= MAX_NAMES {
            self.playing.remove(0);
            context.sessions.counters().limit_hit(Limit::NamesPerClient);
        }
        self.playing.push(seat);
        Ok(())
    }
}

fn problem(error: RoomError, sessions: &Sessions) -> Problem {
    let (problem, limit) = match error {
        RoomError::NoRoom => (Problem::WrongRoom, None),
        RoomError::NoPlayer => (Problem::NoPlayer, None),
        RoomError::Full => (Problem::RoomFull, Some(Limit::RoomPlayers)),
        RoomError::TooMany => (Problem::TooManyRooms, Some(Limit::Rooms)),
    };
    limit.into_iter().for_each(|limit| sessions.counters().limit_hit(limit));
    problem
}
