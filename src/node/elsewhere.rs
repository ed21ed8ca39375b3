//! What a session asks of other nodes: to hold a name, to join a room there, to pass on what a client has posted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::errand::{Errand, Held, Holding, OnPost, Posted, Whereabouts, digest};
use super::membership::{Membership, name_of_peer};
use crate::broker::Realm;
use crate::cluster::packet::{Answer, Packet, Question};
use crate::cluster::{Entity, Name, Owner};
use crate::config::Degraded;
use crate::directory::RoomError;
use crate::events::PeerAddress;
use crate::wire::{ConnId, NodeId, PeerId, Token};

/// How long another node may take to let a player in.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long another node may take to handle a text. It makes a client above its rate limit wait.
const POST_PATIENCE: Duration = Duration::from_secs(7);

/// Nobody waits for the answer to this question.
const NO_ANSWER: u64 = 0;

/// A guest's hold on a name in the cluster. Dropping it frees the name.
pub struct HeldName {
    membership: Arc<Membership>,
    name: Name,
    connection: ConnId,
}

/// A player of this node that wants to join a room of another.
pub struct JoinRequest {
    /// Of the guests.
    pub realm: Arc<Realm>,
    /// The code, as [`Rooms::code`](crate::directory::Rooms::code) gives it.
    pub code: String,
    /// The wanted name. `None` only asks whether there is the room.
    pub name: Option<String>,
    /// The player.
    pub player: PeerId,
}

/// The answer to a [`JoinRequest`].
pub enum Joined {
    /// The player is in the room.
    In {
        /// Its hold on the name.
        seat: RemoteSeat,
        /// The name in force.
        name: String,
        /// The host.
        host: PeerId,
    },
    /// There is the room, and no name was wanted.
    Found,
    /// Not in the room. [`NoRoom`](RoomError::NoRoom) is certain: no node has it.
    Refused(RoomError),
    /// The node of the room did not answer, or cannot be found now.
    Unavailable,
}

/// A player's hold on its name in a room of another node. Dropping it gives the name up, as
/// [`PlayerName`](crate::directory::PlayerName) does.
pub struct RemoteSeat {
    membership: Arc<Membership>,
    node: NodeId,
    seat: u64,
}

impl Membership {
    /// Holds the code of a room for its host. The future tells, within a bound, whether another room has it.
    pub fn hold_room(
        self: &Arc<Self>,
        realm: &Realm,
        code: &str,
        host: &PeerId,
        connection: ConnId,
    ) -> (HeldName, impl Future<Output = Holding> + use<>) {
        self.hold(
            Name { key: realm.key().clone(), entity: Entity::Room, name: code.to_owned() },
            host,
            connection,
        )
    }

    /// Holds an alias of a guest. The future tells, within a bound, when other nodes can find it.
    pub fn hold_alias(
        self: &Arc<Self>,
        realm: &Realm,
        alias: &PeerId,
        guest: &PeerId,
        connection: ConnId,
    ) -> (HeldName, impl Future<Output = Holding> + use<>) {
        let name = Name { key: realm.key().clone(), entity: Entity::Alias, name: alias.as_str().to_owned() };
        self.hold(name, guest, connection)
    }

    fn hold(
        self: &Arc<Self>,
        name: Name,
        guest: &PeerId,
        connection: ConnId,
    ) -> (HeldName, impl Future<Output = Holding> + use<>) {
        let since = self.unix_millis();
        let held = Held { guest: guest.clone(), connection, fence: 0, since };
        self.state().held.insert(name.clone(), held);
        let held = HeldName { membership: Arc::clone(self), name: name.clone(), connection };
        let claimed = self.commission(|reply| Errand::Hold(name, reply));
        (held, async move { claimed.await.unwrap_or(Holding::Unavailable) })
    }

    /// Whether names are given out while the directory cannot be asked.
    pub fn allows_unclaimed(&self) -> bool {
        self.config.degraded == Degraded::Allow
    }

    /// Which node has a peer.
    pub fn find_peer(&self, peer: &PeerAddress) -> impl Future<Output = Whereabouts> + use<> {
        self.find(name_of_peer(peer))
    }

    fn find(&self, name: Name) -> impl Future<Output = Whereabouts> + use<> {
        let found = self.commission(|reply| Errand::Find(name, reply));
        async move { found.await.unwrap_or(Whereabouts::Unknown) }
    }

    /// `None` if the node does not answer in time.
    async fn ask(&self, node: NodeId, question: Question, bound: Duration) -> Option<Answer> {
        self.commission(|reply| Errand::Ask(node, question, bound, reply)).await.ok()
    }

    fn commission<T>(&self, errand: impl FnOnce(oneshot::Sender<T>) -> Errand) -> oneshot::Receiver<T> {
        let (reply, replied) = oneshot::channel();
        self.give_work(|state| state.errands.push(errand(reply)));
        replied
    }

    /// Has a player join a room that is not on this node.
    pub async fn join(self: Arc<Self>, JoinRequest { realm, code, name, player }: JoinRequest) -> Joined {
        let key = realm.key().clone();
        let room = Name { key: key.clone(), entity: Entity::Room, name: code.clone() };
        let node = match self.find(room).await {
            Whereabouts::At(node) => node,
            Whereabouts::NotElsewhere => return Joined::Refused(RoomError::NoRoom),
            Whereabouts::Unknown => return Joined::Unavailable,
        };
        let Some(name) = name else { return Joined::Found };
        let number = self.last_seat.fetch_add(1, Ordering::Relaxed) + 1;
        // From now on the name is given up even if the answer comes too late.
        let seat = RemoteSeat { membership: Arc::clone(&self), node, seat: number };
        let (key, player) = (key.as_str().to_owned(), player.as_str().to_owned());
        let question = Question::Join { key, code, name, player, seat: number };
        match self.ask(node, question, PATIENCE).await {
            Some(Answer::Joined { name, host }) => match PeerId::parse(&host) {
                Ok(host) => Joined::In { seat, name, host },
                Err(_) => Joined::Unavailable,
            },
            Some(Answer::NotJoined(why)) => {
                Joined::Refused(RoomError::of_number(why).unwrap_or(RoomError::NoRoom))
            }
            _ => Joined::Unavailable,
        }
    }

    /// Passes on what a client has posted here that has its connection on another node.
    pub async fn post(&self, realm: &Realm, id: &PeerId, token: &Token, text: &str) -> Posted {
        let name = name_of_peer(&realm.address(id));
        let Whereabouts::At(node) = self.find(name.clone()).await else { return Posted::Absent };
        if self.state().links.get(&node).is_some_and(|link| !link.has_room()) {
            return Posted::TooMuch;
        }
        let (name, token) = (name.to_owned_name(), digest(token));
        let question = Question::Post { name, token, text: text.to_owned() };
        match self.ask(node, question, POST_PATIENCE).await {
            Some(Answer::Posted(what)) => Posted::of_number(what).unwrap_or(Posted::Unknown),
            // A node of a version that does not know the question.
            Some(_) => Posted::Absent,
            None => Posted::Unknown,
        }
    }

    /// Sets what handles texts that clients of this node have posted on another. Once.
    pub fn on_post(&self, handle: OnPost) {
        let _ = self.on_post.set(handle);
    }
}

impl Drop for HeldName {
    fn drop(&mut self) {
        let mut state = self.membership.state();
        if state.held.get(&self.name).is_none_or(|held| held.connection != self.connection) {
            return;
        }
        state.held.remove(&self.name);
        if let Some(node) = state.node {
            state.releases.push((self.name.clone(), Owner { node, connection: self.connection }));
            drop(state);
            self.membership.asking.notify_one();
        }
    }
}

impl RemoteSeat {
    /// Whether the room may be there still: its node lives.
    pub fn is_room_open(&self) -> bool {
        !self.membership.state().dead.contains(&self.node)
    }
}

impl Drop for RemoteSeat {
    fn drop(&mut self) {
        let question = Question::Part { seat: self.seat };
        self.membership.say(self.node, &Packet::Question { number: NO_ANSWER, question });
    }
}
