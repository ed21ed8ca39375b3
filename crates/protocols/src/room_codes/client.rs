//! The host of a room, or a player in rooms of others.

use std::sync::Arc;
use std::time::Duration;

use super::codes::Admitted;
use super::{HostedRoom, Offer, PlayerName, Problem, RoomCodeCommand, RoomCodeError, RoomCodes, Seating};
use crate::client::{Answer, Ask, Context};
use crate::json;
use crate::names::{Claimed, Hold, NameHolder, Seat, Seated};
use crate::signal::SignalKind;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{CloseReason, Frame, GOING_AWAY, Limit, MessageKind, NameKind, PeerId};
use peerbroker_events::Count;
use peerbroker_limits::{GuessSource, LimitExceeded};
use peerbroker_router::{Departure, Disconnect};

/// Most names that one client has in rooms. Beyond that, the oldest is released.
const MAX_NAMES: usize = 8;

/// Time for which a host waits until the other nodes know its room.
const OPEN_TIMEOUT: Duration = Duration::from_secs(4);

/// Time for which a player waits for the host of its room. Nothing is read from it meanwhile.
const HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval at which it is checked whether the host is back.
const HOST_INTERVAL: Duration = Duration::from_millis(250);

/// A client's room, and its names in rooms of others.
#[derive(Default)]
pub struct Player {
    hosting: Option<Box<Hosting>>,
    playing: Vec<Playing>,
}

/// A name in a room.
enum Playing {
    /// Of this node.
    Here(PlayerName),
    /// Of another node.
    Elsewhere(Box<dyn Seat>),
}

/// A host's room.
struct Hosting {
    room: HostedRoom,
    /// In a cluster, its code: dropped with the room.
    code: Option<Hold>,
}

/// A command waits for an answer.
pub(crate) enum Pending {
    /// The code of a new room is claimed, until a time.
    Create(HostedRoom, Instant),
    /// A player waits.
    Join(Join, Wait),
}

/// A command to join a room.
pub(crate) struct Join {
    room: String,
    username: Option<String>,
    offer: Option<Offer>,
    /// The end of its wait for the host.
    until: Instant,
}

/// The one for whom a player waits.
pub(crate) enum Wait {
    /// Another client has the wanted name, and may not live any more.
    Holder(PeerId),
    /// The host of a room was lost, and may come back.
    Host,
    /// The host of a room of another node was lost.
    HostElsewhere,
    /// Another node is asked.
    Node,
}

type Handled = Result<Option<Pending>, Problem>;

impl Pending {
    pub(crate) fn kept_bytes(&self) -> usize {
        match self {
            Pending::Create(..) => 0,
            Pending::Join(Join { room, username, offer, .. }, _) => {
                let of_name = username.as_ref().map_or(0, String::len);
                room.len() + of_name + offer.as_ref().map_or(0, |offer| offer.text.len())
            }
        }
    }
}

impl Join {
    /// Without all fields, it only asks if there is the room.
    fn ask_nodes(&self, codes: &Arc<RoomCodes>) -> Option<Ask> {
        let code = codes.code(&self.room)?;
        let wanted = self.username.clone().filter(|_| self.offer.is_some());
        Some(Ask::Seat { kind: NameKind::RoomCode, name: code, wanted })
    }
}

impl Playing {
    /// True if the room may still be there.
    fn is_room_open(&self) -> bool {
        match self {
            Playing::Here(name) => name.is_room_open(),
            Playing::Elsewhere(seat) => seat.is_kept(),
        }
    }
}

impl Player {
    pub(crate) fn on_command<'t>(
        &mut self,
        command: RoomCodeCommand<'t>,
        _text: &'t str,
        codes: &Arc<RoomCodes>,
        context: &mut Context<'_, 't>,
    ) -> Option<Pending> {
        let handled = match command {
            RoomCodeCommand::Create => self.create(codes, context),
            RoomCodeCommand::Join { room, username, offer } => check_guesses(context).and_then(|()| {
                let until = context.now() + HOST_TIMEOUT;
                let join = Join { room: room.into_owned(), username, offer, until };
                self.join(join, &NameHolder::Unasked, codes, context)
            }),
            RoomCodeCommand::Answer { username, response } => {
                self.answer(username.as_deref(), response, context).map(|()| None)
            }
            RoomCodeCommand::Start => self.start().map(|()| None),
        };
        handled.unwrap_or_else(|problem| complain(problem, context))
    }

    pub(crate) fn on_answer(
        &mut self,
        pending: Pending,
        answer: Answer,
        codes: &Arc<RoomCodes>,
        context: &mut Context<'_, '_>,
    ) -> Option<Pending> {
        let handled = match (pending, answer) {
            (Pending::Create(room, until), Answer::Held(claimed, code)) => match claimed {
                Claimed::Granted => {
                    self.host(Hosting { room, code: Some(code) }, context);
                    Ok(None)
                }
                Claimed::Taken if context.now() < until => {
                    drop((room, code));
                    open(until, codes, context)
                }
                Claimed::Taken | Claimed::Unavailable => Err(Problem::Unavailable),
            },
            (Pending::Join(join, Wait::Holder(holder)), Answer::IsAlive(is_alive)) => {
                let holder = if is_alive { NameHolder::Alive } else { NameHolder::Gone(holder) };
                self.join(join, &holder, codes, context)
            }
            (Pending::Join(join, Wait::Host), Answer::Slept) => {
                let code = codes.code(&join.room).unwrap_or_default();
                if context.now() < join.until && codes.is_waiting(&code) {
                    wait_for_host(join, Wait::Host, context)
                } else {
                    self.join(join, &NameHolder::Unasked, codes, context)
                }
            }
            (Pending::Join(join, Wait::HostElsewhere), Answer::Slept) => join_elsewhere(join, codes, context),
            (Pending::Join(join, Wait::Node), Answer::Seated(seated)) => self.seated(seated, join, context),
            (Pending::Create(..) | Pending::Join(..), _) => Ok(None),
        };
        handled.unwrap_or_else(|problem| complain(problem, context))
    }

    /// The offer to the host of a room is lost: the host has just left.
    pub(crate) fn on_lost(&mut self, context: &mut Context<'_, '_>) {
        self.playing.pop();
        complain(Problem::WrongRoom, context);
    }

    /// Gives up its names. Its room may wait for it.
    pub(crate) fn release(&mut self) {
        self.playing.clear();
    }

    /// The room of a host that was lost waits for it. A page that is reloaded closes its connection with
    /// 1001, as one that goes away.
    pub(crate) fn departed(self, departure: Option<&Departure>, end: Disconnect) {
        if let Some(Hosting { room, code }) = self.hosting.map(|hosting| *hosting)
            && departure.is_some_and(|departure| may_come_back(departure, end))
        {
            room.wait_for_host(code);
        }
    }

    fn create(&mut self, codes: &Arc<RoomCodes>, context: &mut Context<'_, '_>) -> Handled {
        // A host has one room: the one before is closed first.
        let was_host = self.hosting.take().is_some();
        let peer = context.peer;
        // A host that wants another room was not lost.
        if !was_host && let Some((room, code)) = codes.reopen(peer.id(), peer.address()) {
            self.host(Hosting { room, code }, context);
            return Ok(None);
        }
        if context.key.is_clustered() {
            return open(context.now() + OPEN_TIMEOUT, codes, context);
        }
        let room = codes.create(peer.id(), peer.address())?;
        self.host(Hosting { room, code: None }, context);
        Ok(None)
    }

    fn host(&mut self, hosting: Hosting, context: &mut Context<'_, '_>) {
        context.reply(super::confirm(hosting.room.code()));
        self.hosting = Some(Box::new(hosting));
    }

    /// Joins a room of this node or another one. `holder` is known of the client that has the name.
    fn join(
        &mut self,
        join: Join,
        holder: &NameHolder,
        codes: &Arc<RoomCodes>,
        context: &mut Context<'_, '_>,
    ) -> Handled {
        if !codes.contains(&join.room) {
            return join_elsewhere(join, codes, context);
        }
        let username = join.username.as_ref().ok_or(Problem::NoUsername)?;
        let offer = join.offer.as_ref().ok_or(Problem::NoOffer)?;
        match codes.join(&join.room, username, context.peer.id(), holder) {
            // It was lost a moment ago.
            Ok(Seating::In(_, host)) if !context.peer.realm().contains(host.as_str()) => {
                wait_for_host(join, Wait::Host, context)
            }
            Ok(Seating::In(playing, host)) => {
                let offer = offer.frame(playing.name());
                self.play(Playing::Here(playing), &host, offer, context);
                Ok(None)
            }
            // It may be the client itself, which has lost its network.
            Ok(Seating::Held(holder)) => {
                context.ask(Ask::IsAlive(holder.clone()));
                Ok(Some(Pending::Join(join, Wait::Holder(holder))))
            }
            Err(RoomCodeError::HostAway) => wait_for_host(join, Wait::Host, context),
            Err(error) => Err(error.into()),
        }
    }

    /// Another node has answered.
    fn seated(&mut self, seated: Seated, join: Join, context: &mut Context<'_, '_>) -> Handled {
        let refused = match (seated, &join.offer) {
            (Seated::In { seat, told, .. }, Some(offer)) => {
                let Some((name, host)) = admitted(&told) else { return Err(Problem::Unavailable) };
                self.play(Playing::Elsewhere(seat), &host, offer.frame(&name), context);
                return Ok(None);
            }
            (Seated::Nowhere, _) => RoomCodeError::NoRoom,
            (Seated::Refused(number), _) => RoomCodeError::of_number(number).unwrap_or(RoomCodeError::NoRoom),
            // Not the client's fault, so it does not count.
            (Seated::Unavailable, _) => return Err(Problem::Unavailable),
            _ if join.username.is_none() => return Err(Problem::NoUsername),
            _ => return Err(Problem::NoOffer),
        };
        match refused {
            RoomCodeError::HostAway if context.now() < join.until => {
                wait_for_host(join, Wait::HostElsewhere, context)
            }
            RoomCodeError::NoRoom => Err(wrong_code(context)),
            error => Err(error.into()),
        }
    }

    /// Sends the host the offer of a player that has its name.
    fn play(&mut self, playing: Playing, host: &PeerId, offer: Frame, context: &mut Context<'_, '_>) {
        if self.playing.len() >= MAX_NAMES {
            self.playing.remove(0);
            context.key.router().events().counters().add(Count::LimitHits(Limit::NamesPerClient), 1);
        }
        self.playing.push(playing);
        context.send_and_hear(host.as_str().to_owned(), MessageKind::RoomCode, SignalKind::Offer, offer);
    }

    fn hosting(&self) -> Result<&HostedRoom, Problem> {
        let plays = self.playing.iter().any(Playing::is_room_open);
        let hosting = self.hosting.as_ref().map(|hosting| &hosting.room);
        hosting.ok_or(if plays { Problem::NotTheHost } else { Problem::WrongRoom })
    }

    fn answer(
        &self,
        username: Option<&str>,
        response: Option<&str>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Problem> {
        let room = self.hosting()?;
        let Some(username) = username else {
            context.mistake(super::advice::nameless_answer);
            return Err(Problem::NoPlayer);
        };
        let player = room.player(username)?;
        let response = response.ok_or(Problem::NoResponse)?;
        // No error for a player that has just left: the host could do nothing about it, and games would show
        // it.
        if let Some(player) = player {
            let answer = super::response(response);
            context.send(player.as_str().to_owned(), MessageKind::RoomCode, SignalKind::Answer, answer);
        }
        Ok(())
    }

    fn start(&self) -> Result<(), Problem> {
        Ok(self.hosting()?.start()?)
    }
}

/// The name and the host with which another node has let a player in.
fn admitted(told: &str) -> Option<(String, PeerId)> {
    let Admitted { name, host } = serde_json::from_str(told).ok()?;
    Some((name, PeerId::parse(&host).ok()?))
}

/// Claims the code of a room.
fn hold(room: &HostedRoom) -> Ask {
    Ask::Hold(NameKind::RoomCode, room.code().to_owned())
}

/// Opens a room, with a code that no other node has.
fn open(until: Instant, codes: &Arc<RoomCodes>, context: &mut Context<'_, '_>) -> Handled {
    let room = codes.create(context.peer.id(), context.peer.address())?;
    context.ask(hold(&room));
    Ok(Some(Pending::Create(room, until)))
}

/// Waits for a host that was lost. Players hear nothing of that.
fn wait_for_host(join: Join, wait: Wait, context: &mut Context<'_, '_>) -> Handled {
    if context.now() >= join.until {
        return Err(Problem::WrongRoom);
    }
    context.ask(Ask::Sleep(HOST_INTERVAL));
    Ok(Some(Pending::Join(join, wait)))
}

/// Joins a room that is not on this node.
fn join_elsewhere(join: Join, codes: &Arc<RoomCodes>, context: &mut Context<'_, '_>) -> Handled {
    let ask = join.ask_nodes(codes).filter(|_| context.key.is_clustered());
    let Some(ask) = ask else { return Err(wrong_code(context)) };
    context.ask(ask);
    Ok(Some(Pending::Join(join, Wait::Node)))
}

/// For an address above the limit of wrong codes, every room is wrong.
fn check_guesses(context: &Context<'_, '_>) -> Result<(), Problem> {
    let Some(guesser) = GuessSource::remote(context.peer.address()) else { return Ok(()) };
    let Some(common) = context.key.common() else { return Ok(()) };
    let checked = common.wrong_codes.check(guesser, context.now());
    checked.map_err(|LimitExceeded { limit, .. }| {
        context.key.router().events().limit_hit(limit, None, guesser.address());
        Problem::WrongRoom
    })
}

/// No node has a room with the client's code.
fn wrong_code(context: &Context<'_, '_>) -> Problem {
    if let Some(guesser) = GuessSource::remote(context.peer.address())
        && let Some(common) = context.key.common()
    {
        common.wrong_codes.count_wrong(guesser, context.now());
    }
    Problem::WrongRoom
}

/// Tells a client a problem.
fn complain(problem: Problem, context: &mut Context<'_, '_>) -> Option<Pending> {
    let counters = context.key.router().events().counters();
    match problem {
        Problem::RoomFull => counters.add(Count::LimitHits(Limit::RoomCodePlayers), 1),
        Problem::TooManyRooms => counters.add(Count::LimitHits(Limit::RoomCodes), 1),
        _ => {}
    }
    context.reply(json::error(problem.label()));
    None
}

/// False if the client has said goodbye, or was sent away.
fn may_come_back(departure: &Departure, end: Disconnect) -> bool {
    use CloseReason::{Banned, KeyRevoked, Kicked, Left, Shutdown};
    let is_lost = |reason| !matches!(reason, Left | Kicked | Banned | KeyRevoked | Shutdown);
    match end {
        _ if !departure.by_session => is_lost(departure.ended.reason),
        Disconnect::ByServer(reason) => is_lost(reason),
        Disconnect::Closed(code) => code == Some(GOING_AWAY),
        Disconnect::Gone => true,
    }
}
