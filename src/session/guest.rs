//! A client at the root: the host of a room, a player, a caller or a callee. It is a peer with an id that we choose. Others
//! find it by a room code or an alias.

use std::ops::ControlFlow;
use std::sync::Arc;

use rand::distr::{Alphanumeric, SampleString as _};

use super::admission::{ConnectRequest, Entry, Rejection, Source, active_key, values};
use super::handler::{Context, ProtocolHandler};
use super::run;
use super::sessions::Sessions;
use crate::dialect::rooms::Problem;
use crate::dialect::{Object, calls, rooms, root};
use crate::directory::{CallAlias, HostedRoom, PlayerName, RoomError};
use crate::events::Event;
use crate::keys::Auth;
use crate::limits::{GuessSource, LimitExceeded};
use crate::node::Guests;
use crate::transport::Socket;
use crate::wire::{ApiKey, Frame, MessageKind, PeerId, Refusal, Token};

/// Characters of an id or a token that we choose. As hard to guess as a UUID.
const ID_LEN: usize = 21;

/// Most names that one client has in rooms. Beyond that, the oldest is given up.
const MAX_NAMES: usize = 8;

/// A guest's room, names and alias.
pub(super) struct Guest {
    guests: Arc<Guests>,
    guesser: Option<GuessSource>,
    hosting: Option<HostedRoom>,
    playing: Vec<PlayerName>,
    /// The id under which it can be called.
    calling: Option<CallAlias>,
    /// Whether it was told that id.
    introduced: bool,
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
    };
    let guesser = GuessSource::remote(source.address);
    let guest =
        Guest { guests, guesser, hosting: None, playing: Vec::new(), calling: None, introduced: false };
    Ok((entry, guest))
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

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        let dialects = context.sessions.config().dialects;
        match root::decode(text) {
            root::Command::Rooms(command) if dialects.rooms => {
                if let Err(problem) = self.play(command, context) {
                    context.reply(rooms::error(problem.text()));
                }
            }
            root::Command::Calls(calls::Command::Start) if dialects.calls => self.introduce(context),
            root::Command::Calls(calls::Command::Send(message)) if dialects.calls => {
                if let Some(called) = self.guests.aliases.guest(&message.to) {
                    let frame = message.frame(self.calling(context).id().as_str());
                    context.send(called.as_str(), MessageKind::Call, frame);
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
            self.calling = Some(self.guests.aliases.add(id, context.peer.id()));
        }
        let id = self.calling(context).id().as_str();
        context.reply(calls::started(id));
    }

    /// The first alias is the id of the peer itself, so that hooks and logs know it. A caller without an alias gets it too,
    /// so that it can be answered.
    fn calling(&mut self, context: &Context<'_>) -> &CallAlias {
        let peer = context.peer.id();
        self.calling.get_or_insert_with(|| self.guests.aliases.add(peer.clone(), peer))
    }

    fn play(&mut self, command: rooms::Command<'_>, context: &mut Context<'_>) -> Result<(), Problem> {
        match command {
            rooms::Command::Create => {
                // A host has one room: the one before is closed first.
                self.hosting = None;
                let hosting = self.guests.rooms.create(context.peer.id()).map_err(problem)?;
                context.reply(rooms::confirm(hosting.code()));
                self.hosting = Some(hosting);
            }
            rooms::Command::Join { room, username, offer } => {
                if !self.finds(&room, context.sessions) {
                    return Err(Problem::WrongRoom);
                }
                let username = username.ok_or(Problem::NoUsername)?;
                self.join(&room, &username, &offer.ok_or(Problem::NoOffer)?, context)?;
            }
            rooms::Command::Answer { username, response } => {
                let player = self.hosting()?.player(&username.ok_or(Problem::NoPlayer)?).map_err(problem)?;
                let response = response.ok_or(Problem::NoResponse)?;
                // No error for a player that has just left: the host could do nothing about it, and games would show it.
                if let Some(player) = player {
                    context.send(player.as_str(), MessageKind::Room, rooms::response(response));
                }
            }
            rooms::Command::Start => self.hosting()?.start().map_err(problem)?,
        }
        Ok(())
    }

    /// Whether there is a room with this code. For an address above the limit of wrong codes, always false.
    fn finds(&self, code: &str, sessions: &Sessions) -> bool {
        let Some(guesser) = self.guesser else {
            return self.guests.rooms.contains(code);
        };
        let now = sessions.now();
        if let Err(LimitExceeded { limit, .. }) = sessions.wrong_codes.check(guesser, now) {
            sessions.events().emit(|| Event::LimitHit { limit, key: None, address: guesser.address() });
            return false;
        }
        let found = self.guests.rooms.contains(code);
        if !found {
            sessions.wrong_codes.count_wrong(guesser, now);
        }
        found
    }

    fn hosting(&self) -> Result<&HostedRoom, Problem> {
        let plays = self.playing.iter().any(PlayerName::is_room_open);
        self.hosting.as_ref().ok_or(if plays { Problem::NotTheHost } else { Problem::WrongRoom })
    }

    fn join(
        &mut self,
        room: &str,
        username: &str,
        offer: &Object<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Problem> {
        let (playing, host) = self.guests.rooms.join(room, username, context.peer.id()).map_err(problem)?;
        if !context.send(host.as_str(), MessageKind::Room, rooms::offer(offer, playing.name())) {
            return Err(Problem::WrongRoom);
        }
        if self.playing.len() >= MAX_NAMES {
            self.playing.remove(0);
        }
        self.playing.push(playing);
        Ok(())
    }
}

fn problem(error: RoomError) -> Problem {
    match error {
        RoomError::NoRoom => Problem::WrongRoom,
        RoomError::NoPlayer => Problem::NoPlayer,
        RoomError::Full => Problem::RoomFull,
        RoomError::TooMany => Problem::TooManyRooms,
    }
}
