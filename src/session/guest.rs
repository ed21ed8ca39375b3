//! A client at the root: the host of a room, a player, a caller or a callee. It is a peer with an id that we choose. Others
//! find it by a room code or an alias.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use tokio::time::timeout;

use super::admission::{Admitted, ClientSource, Rejection, admit_without_credentials, fresh_id};
use super::handler::{Context, ProtocolHandler, note_ignored, part};
use super::{topics, tracker};
use crate::cluster::{Entity, HeldName, Holding, Joined, Membership, RemoteSeat};
use crate::descriptions::MediaMessage;
use crate::node::{Node, Tenant};
use crate::transport::Disconnect;
use peerbroker_broker::events::{ClientMistake, Count, Event, Mistake};
use peerbroker_broker::limits::{GuessSource, LimitExceeded};
use peerbroker_broker::protocols::calls::CallAlias;
use peerbroker_broker::protocols::guests::Guests;
use peerbroker_broker::protocols::names::{Hold, NameHolder};
use peerbroker_broker::protocols::room_codes::Problem;
use peerbroker_broker::protocols::room_codes::{HostedRoom, PlayerName, RoomCodeError, Seating};
use peerbroker_broker::protocols::tracker::Command;
use peerbroker_broker::protocols::tracker::Memberships;
use peerbroker_broker::protocols::{Object, calls, room_codes, root};
use peerbroker_broker::router::{Departure, IdLease};
use peerbroker_core::clock::millis;
use peerbroker_core::wire::{
    CloseReason, ConnId, Frame, GOING_AWAY, Limit, MessageKind, PeerId, RealmKind, Refusal,
};

/// Most names that one client has in rooms. Beyond that, the oldest is released.
const MAX_NAMES: usize = 8;

/// Most characters of an unknown action that the operator is told.
const MAX_SHOWN_ACTION: usize = 64;

/// Time for which a client waits for other nodes.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for which a player waits for the host of its room. Nothing is read from it meanwhile.
const HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval at which it is checked whether the host is back.
const HOST_INTERVAL: Duration = Duration::from_millis(250);

/// Interval at which a client from which nothing is read counts as heard. Shorter than a probe.
const HEARING_INTERVAL: Duration = Duration::from_millis(250);

/// Shortest pause of a client whose publications come too fast. After one that many share, one of them goes on at a time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// Longest pause until it is checked again if that was enough: others of its key may have paid.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A guest's room, names and alias.
pub(crate) struct Guest {
    tenant: Arc<Tenant>,
    guests: Arc<Guests>,
    guesser: Option<GuessSource>,
    hosting: Option<Box<Hosting>>,
    playing: Vec<Seat>,
    /// The id under which it can be called, and, if that is not its own id, the hold on it in a cluster.
    calling: Option<(CallAlias, Option<Box<HeldName>>)>,
    /// Its memberships in swarms of the tracker.
    memberships: Option<Box<Memberships>>,
    /// True if it was told that id.
    introduced: bool,
    /// True if it has sent a message that does nothing.
    has_unused: bool,
    /// The answer for which its last message waits.
    waiting: Option<Box<Waiting>>,
}

/// A host's room.
struct Hosting {
    room: HostedRoom,
    /// In a cluster, its code: dropped with the room.
    code: Option<Hold>,
}

/// A message waits for an answer. Nothing is read from its client meanwhile.
struct Waiting {
    answer: Awaited,
    /// The time until the client counts as heard again.
    hearing: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// The time at which the message came, by the broker's clock.
    since: u64,
}

enum Awaited {
    Asked(Pin<Box<dyn Future<Output = Answer>>>),
    Known(Answer),
}

/// The answer for which a message waited. The message is handed over again.
enum Answer {
    /// The alias of a callee is announced, or will be if the other nodes cannot be asked now.
    Alias(CallAlias, Box<HeldName>),
    /// The room of a host. Without an error, the other nodes cannot be asked.
    Room(Result<Hosting, Option<RoomCodeError>>),
    /// The state of the peer that has a name.
    Holder(NameHolder),
    /// A player and a room of another node.
    Joined(Joined),
    /// The host of a room may be back.
    Host,
    /// The client has paid for its publications.
    Paid,
}

/// A command to join a room.
struct Join<'a> {
    room: &'a str,
    username: Option<String>,
    offer: Option<&'a Object<'a>>,
    /// The time at which it came.
    since: u64,
}

impl Join<'_> {
    /// The end of its wait for the host.
    fn until(&self) -> u64 {
        self.since.saturating_add(millis(HOST_TIMEOUT))
    }
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

impl ProtocolHandler for Guest {
    async fn enter(node: &Node, query: &str, source: &ClientSource) -> Result<(Admitted, Self), Rejection> {
        let admitted =
            admit_without_credentials(node, query, source, |tenant| Arc::clone(&tenant.guests().realm));
        let (admitted, tenant) =
            admitted.await.map_err(|reason| Rejection { id: None, ..Rejection::of(reason, query) })?;
        let guests = tenant.guests();
        let guesser = GuessSource::remote(source.address);
        let (hosting, playing, calling, waiting) = (None, Vec::new(), None, None);
        let (memberships, introduced, has_unused) = (None, false, false);
        let guest = Guest {
            tenant,
            guests,
            guesser,
            hosting,
            playing,
            calling,
            memberships,
            introduced,
            has_unused,
            waiting,
        };
        Ok((admitted, guest))
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn refusal(refusal: Refusal) -> Frame {
        room_codes::error(&refusal.text())
    }

    /// The room of a host that was lost waits for it. A page that is reloaded closes its connection with 1001, as one that goes away.
    fn depart(mut self, lease: IdLease, end: Disconnect) -> Option<Departure> {
        let (hosting, tenant) = (self.hosting.take(), Arc::clone(&self.tenant));
        drop(self);
        let departure = part(lease, end);
        if let Some(departure) = &departure {
            topics::depart(&tenant, &departure.peer);
        }
        if let Some(Hosting { room, code }) = hosting.map(|hosting| *hosting)
            && departure.as_ref().is_some_and(|departure| may_come_back(departure, end))
        {
            room.wait_for_host(code);
        }
        departure
    }

    fn poll_pending(&mut self, cx: &mut task::Context<'_>, context: &mut Context<'_>) -> Poll<()> {
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(()) };
        if let Awaited::Asked(answer) = &mut waiting.answer {
            let Poll::Ready(answer) = answer.as_mut().poll(cx) else {
                // We do not read meanwhile, so silence proves nothing.
                loop {
                    context.peer.heard();
                    let sleep = || Box::pin(context.node.clock().sleep(HEARING_INTERVAL)) as Pin<Box<_>>;
                    ready!(waiting.hearing.get_or_insert_with(sleep).as_mut().poll(cx));
                    waiting.hearing = None;
                }
            };
            waiting.answer = Awaited::Known(answer);
        }
        Poll::Ready(())
    }

    fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        let waited = self.waiting.take().map(|waiting| *waiting);
        let (answer, since) = match waited {
            Some(Waiting { answer: Awaited::Known(answer), since, .. }) => (Some(answer), Some(since)),
            _ => (None, None),
        };
        let (command, action) = root::decode_with_action(text);
        let dialects = context.node.config().load().dialects;
        let dialect = command.dialect();
        if !dialect.is_some_and(|dialect| dialects.has(dialect)) {
            self.note_unused(action.as_deref(), dialect.is_some(), context);
            return ControlFlow::Continue(());
        }
        match command {
            root::Command::RoomCodes(command) => {
                let played = self.play(command, answer, since, context);
                complain(played, context);
            }
            root::Command::Topics(command) => {
                if matches!(answer, Some(Answer::Paid)) || !self.has_to_pay(context) {
                    topics::obey(&self.tenant, &command, text, context);
                }
            }
            root::Command::Tracker(command) => {
                self.obey_tracker(command, answer, context);
            }
            root::Command::Calls(calls::Command::Start) => self.introduce(answer, context),
            root::Command::Calls(calls::Command::Send(message)) => {
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
            root::Command::Calls(calls::Command::Ignored) | root::Command::Ignored => {
                note_ignored(context.peer);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Guest {
    /// Tells the operator of a message that does nothing, once for each client. If its action differs from a known one only in small and
    /// capital letters, the client is told too. Other actions get no answer, because clients may send actions of their own.
    fn note_unused(&mut self, action: Option<&str>, is_off: bool, context: &mut Context<'_>) {
        note_ignored(context.peer);
        let similar = action.and_then(root::similar_action);
        if let (Some(action), Some(similar)) = (action, similar)
            && action != similar
            && action.eq_ignore_ascii_case(similar)
        {
            context.reply(room_codes::error(&format!(
                "unknown action \"{action}\": did you mean \"{similar}\"?"
            )));
        }
        if std::mem::replace(&mut self.has_unused, true) {
            return;
        }
        context.node.events().emit(|| {
            let action = action
                .map(|action| action.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_ACTION).collect());
            let (mistake, origin) = (Mistake::UnusedMessage { action, similar, is_off }, None);
            let address = context.peer.address();
            Event::ClientMistake(Box::new(ClientMistake { mistake, origin, address }))
        });
    }

    /// True if the client owes for its earlier publications: its message waits until they are paid. The protocol of topics has no answer
    /// for those that are lost, and its clients do not repeat them.
    fn has_to_pay(&mut self, context: &Context<'_>) -> bool {
        let (peer, key) = (context.peer.clone(), self.tenant.key());
        let Some(hub) = self.tenant.existing_hub(RealmKind::Guests) else { return false };
        let Some((limit, _)) = hub.owed(&peer) else { return false };
        context.node.events().limit_hit(limit, Some(key), peer.address());
        let clock = context.node.clock().clone();
        self.wait(clock.now(), async move {
            while let Some((_, time)) = hub.owed(&peer) {
                clock.sleep(time.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
            }
            Answer::Paid
        });
        true
    }

    /// Tells the client the id under which it can be called: a new one each time.
    fn introduce(&mut self, answer: Option<Answer>, context: &mut Context<'_>) {
        if let Some(Answer::Alias(alias, held)) = answer {
            self.calling = Some((alias, Some(held)));
        } else if std::mem::replace(&mut self.introduced, true)
            && let Ok(id) = fresh_id()
        {
            let alias = self.guests.aliases.add(id, context.peer.id());
            if let Some(membership) = context.node.membership() {
                let (realm, peer) = (&self.guests.realm, context.peer);
                let (held, claimed) =
                    membership.hold(realm, Entity::Alias, alias.id().as_str(), peer.id(), peer.connection());
                return self.wait(context.node.clock().now(), async move {
                    claimed.await;
                    Answer::Alias(alias, Box::new(held))
                });
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

    /// The guest of an alias. In a cluster, the node that has an alias knows its guest.
    fn called(&self, alias: &str, context: &Context<'_>) -> Option<String> {
        if let Some(guest) = self.guests.aliases.guest(alias) {
            return Some(guest.as_str().to_owned());
        }
        let is_elsewhere = context.node.membership().is_some() && !self.guests.realm.contains(alias);
        is_elsewhere.then(|| alias.to_owned())
    }

    fn play(
        &mut self,
        command: room_codes::Command<'_>,
        answer: Option<Answer>,
        since: Option<u64>,
        context: &mut Context<'_>,
    ) -> Result<(), Problem> {
        match command {
            room_codes::Command::Create => {
                match answer {
                    Some(Answer::Room(Ok(hosting))) => {
                        self.host(hosting, context);
                        return Ok(());
                    }
                    Some(Answer::Room(Err(Some(error)))) => return Err(error.into()),
                    Some(Answer::Room(Err(None))) => return Err(Problem::Unavailable),
                    _ => {}
                }
                // A host has one room: the one before is closed first.
                let was_host = self.hosting.take().is_some();
                let (host, address) = (context.peer.id(), context.peer.address());
                // A host that wants another room was not lost.
                if !was_host && let Some((room, code)) = self.guests.room_codes.reopen(host, address) {
                    self.host(Hosting { room, code }, context);
                    return Ok(());
                }
                match context.node.membership() {
                    None => {
                        let room = self.guests.room_codes.create(host, address)?;
                        self.host(Hosting { room, code: None }, context);
                    }
                    Some(membership) => {
                        let (membership, guests) = (Arc::clone(membership), Arc::clone(&self.guests));
                        let (host, connection) = (host.clone(), context.peer.connection());
                        let opened = open_room(membership, guests, host, address, connection);
                        self.wait(context.node.clock().now(), async move {
                            Answer::Room(timeout(CLUSTER_TIMEOUT * 2, opened).await.unwrap_or(Err(None)))
                        });
                    }
                }
            }
            room_codes::Command::Join { room, username, offer } => {
                let since = match since {
                    Some(since) => since,
                    None => {
                        self.check_guesses(context.node)?;
                        context.node.clock().now()
                    }
                };
                let join = Join { room: &room, username, offer: offer.as_ref(), since };
                match answer {
                    Some(Answer::Joined(joined)) => self.joined(joined, &join, context)?,
                    Some(Answer::Holder(holder)) => self.join(join, &holder, context)?,
                    _ => self.join(join, &NameHolder::Unasked, context)?,
                }
            }
            room_codes::Command::Answer { username, response } => {
                let player = self.hosting()?.player(&username.ok_or(Problem::NoPlayer)?)?;
                let response = response.ok_or(Problem::NoResponse)?;
                // No error for a player that has just left: the host could do nothing about it, and games would show it.
                if let Some(player) = player {
                    let answer = room_codes::response(response);
                    context.send(player.as_str(), MessageKind::RoomCode, answer, MediaMessage::Answer(None));
                }
            }
            room_codes::Command::Start => {
                self.hosting()?.start()?;
            }
        }
        Ok(())
    }

    /// Has the message, which came at `since`, wait for an answer.
    fn wait(&mut self, since: u64, answer: impl Future<Output = Answer> + 'static) {
        let answer = Awaited::Asked(Box::pin(answer));
        self.waiting = Some(Box::new(Waiting { answer, hearing: None, since }));
    }

    fn host(&mut self, hosting: Hosting, context: &mut Context<'_>) {
        context.reply(room_codes::confirm(hosting.room.code()));
        self.hosting = Some(Box::new(hosting));
    }

    /// For an address above the limit of wrong codes, every room is wrong.
    fn check_guesses(&self, node: &Node) -> Result<(), Problem> {
        let Some(guesser) = self.guesser else { return Ok(()) };
        node.wrong_codes.check(guesser, node.clock().now()).map_err(|LimitExceeded { limit, .. }| {
            node.events().limit_hit(limit, None, guesser.address());
            Problem::WrongRoom
        })
    }

    /// No node has a room with the client's code.
    fn wrong_code(&self, node: &Node) -> Problem {
        if let Some(guesser) = self.guesser {
            node.wrong_codes.count_wrong(guesser, node.clock().now());
        }
        Problem::WrongRoom
    }

    fn hosting(&self) -> Result<&HostedRoom, Problem> {
        let plays = self.playing.iter().any(Seat::is_room_open);
        let hosting = self.hosting.as_ref().map(|hosting| &hosting.room);
        hosting.ok_or(if plays { Problem::NotTheHost } else { Problem::WrongRoom })
    }

    /// Joins a room of this node or another one.
    fn join(
        &mut self,
        join: Join<'_>,
        holder: &NameHolder,
        context: &mut Context<'_>,
    ) -> Result<(), Problem> {
        if !self.guests.room_codes.contains(join.room) {
            return self.join_elsewhere(join, context);
        }
        let username = join.username.as_ref().ok_or(Problem::NoUsername)?;
        let offer = join.offer.ok_or(Problem::NoOffer)?;
        match self.guests.room_codes.join(join.room, username, context.peer.id(), holder) {
            // It was lost a moment ago.
            Ok(Seating::In(_, host)) if !self.guests.realm.contains(host.as_str()) => {
                self.wait_for_host(&join, context)
            }
            Ok(Seating::In(playing, host)) => {
                let offer = room_codes::offer(offer, playing.name());
                self.take_seat(Seat::Here(playing), &host, offer, context)
            }
            Ok(Seating::Held(holder)) => {
                self.ask_holder(holder, join.since, context);
                Ok(())
            }
            Err(RoomCodeError::HostAway) => self.wait_for_host(&join, context),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the holder of a name for a sign of life: it may be the client itself, which has lost its network.
    fn ask_holder(&mut self, holder: PeerId, since: u64, context: &Context<'_>) {
        let (realm, membership) = (Arc::clone(&self.guests.realm), context.node.membership().cloned());
        self.wait(since, async move {
            let is_alive = match membership {
                Some(membership) => membership.peer_is_alive(&realm, &holder).await,
                None => realm.is_alive(&holder).await,
            };
            Answer::Holder(if is_alive { NameHolder::Alive } else { NameHolder::Gone(holder) })
        });
    }

    /// Does what a command of the tracker says. If another guest has the id of an announce, it waits until it is known if that one lives.
    fn obey_tracker(&mut self, command: Command<'_>, answer: Option<Answer>, context: &mut Context<'_>) {
        let holder = match answer {
            Some(Answer::Holder(holder)) => holder,
            _ => NameHolder::Unasked,
        };
        let (tenant, guests, memberships) = (&self.tenant, &self.guests, &mut self.memberships);
        if let Some(held_by) = tracker::obey(tenant, guests, memberships, command, &holder, context) {
            self.ask_holder(held_by, context.node.clock().now(), context);
        }
    }

    /// Waits for a host that was lost. Players hear nothing of that.
    fn wait_for_host(&mut self, join: &Join<'_>, context: &Context<'_>) -> Result<(), Problem> {
        let (clock, until) = (context.node.clock().clone(), join.until());
        let mut now = clock.now();
        if now >= until {
            return Err(Problem::WrongRoom);
        }
        let room_codes = Arc::clone(&self.guests.room_codes);
        let code = room_codes.code(join.room).unwrap_or_default();
        self.wait(join.since, async move {
            loop {
                clock.sleep_until(now.saturating_add(millis(HOST_INTERVAL))).await;
                now = clock.now();
                if now >= until || !room_codes.is_waiting(&code) {
                    return Answer::Host;
                }
            }
        });
        Ok(())
    }

    /// Joins a room that is not on this node.
    fn join_elsewhere(&mut self, join: Join<'_>, context: &Context<'_>) -> Result<(), Problem> {
        let code = self.guests.room_codes.code(join.room);
        let (Some(membership), Some(code)) = (context.node.membership().cloned(), code) else {
            return Err(self.wrong_code(context.node));
        };
        let (clock, since, until) = (context.node.clock().clone(), join.since, join.until());
        // Without all fields, it only asks if there is the room.
        let name = join.username.filter(|_| join.offer.is_some());
        let (key, player) = (self.guests.realm.key().clone(), context.peer.id().clone());
        let patience = self.guests.realm.probe_timeout();
        self.wait(since, async move {
            loop {
                let (key, code, name, player) = (key.clone(), code.clone(), name.clone(), player.clone());
                let joined = Arc::clone(&membership).join(key, code, name, player, patience).await;
                let now = clock.now();
                if now >= until || !matches!(joined, Joined::Refused(RoomCodeError::HostAway)) {
                    return Answer::Joined(joined);
                }
                clock.sleep_until(now.saturating_add(millis(HOST_INTERVAL))).await;
            }
        });
        Ok(())
    }

    fn joined(&mut self, joined: Joined, join: &Join<'_>, context: &mut Context<'_>) -> Result<(), Problem> {
        match (joined, join.offer) {
            (Joined::In { seat, name, host }, Some(offer)) => {
                self.take_seat(Seat::There(seat), &host, room_codes::offer(offer, &name), context)
            }
            (Joined::Refused(RoomCodeError::NoRoom), _) => Err(self.wrong_code(context.node)),
            (Joined::Refused(error), _) => Err(error.into()),
            // Not the client's fault, so it does not count.
            (Joined::Unavailable, _) => Err(Problem::Unavailable),
            _ if join.username.is_none() => Err(Problem::NoUsername),
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
        if !context.send(host.as_str(), MessageKind::RoomCode, offer, MediaMessage::Offer(None)) {
            return Err(Problem::WrongRoom);
        }
        if self.playing.len() >= MAX_NAMES {
            self.playing.remove(0);
            context.node.counters().add(Count::LimitHits(Limit::NamesPerClient), 1);
        }
        self.playing.push(seat);
        Ok(())
    }
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

/// Tells a client a problem.
fn complain(done: Result<(), Problem>, context: &mut Context<'_>) {
    let Err(problem) = done else { return };
    match problem {
        Problem::RoomFull => context.node.counters().add(Count::LimitHits(Limit::RoomCodePlayers), 1),
        Problem::TooManyRooms => context.node.counters().add(Count::LimitHits(Limit::RoomCodes), 1),
        _ => {}
    }
    context.reply(room_codes::error(problem.label()));
}

/// Opens a room for a host, with a code that no other node has. Without an error, the other nodes cannot be asked.
async fn open_room(
    membership: Arc<Membership>,
    guests: Arc<Guests>,
    host: PeerId,
    address: Option<IpAddr>,
    connection: ConnId,
) -> Result<Hosting, Option<RoomCodeError>> {
    loop {
        let room = guests.room_codes.create(&host, address).map_err(Some)?;
        let (code, claimed) =
            membership.hold(&guests.realm, Entity::RoomCode, room.code(), &host, connection);
        match claimed.await {
            Holding::Taken(_) => {}
            Holding::Unavailable if !membership.allows_unclaimed() => return Err(None),
            Holding::Granted | Holding::Unavailable => {
                return Ok(Hosting { room, code: Some(Box::new(code)) });
            }
        }
    }
}
