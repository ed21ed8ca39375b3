//! Writes of the state of a room: the node of the oldest seat puts them in order, and tells all others.

use super::Rooms;
use super::others::{News, StateNews, WriteNews, WriteRefusedNews};
use super::room::RoomGuard;
use super::state::{Entry, ONLY_HOST, State, StateView, StateWrite, Version};
use peerbroker_core::vocabulary::{AddressPrefix, NodeId, PeerId, RoomRefusal};
use peerbroker_limits::QuotaShare;
use peerbroker_router::Flushes;

/// The reasons for which one node refuses a write of another. New ones go to the end.
const REASONS: [RoomRefusal; 5] = [
    RoomRefusal::StateChanged,
    RoomRefusal::StateFull,
    RoomRefusal::KeyStateFull,
    RoomRefusal::NotHost,
    RoomRefusal::ClusterBusy,
];

/// A room whose state is written.
pub(super) struct Writing<'a, 'room> {
    pub(super) rooms: &'a Rooms,
    pub(super) members: &'a mut RoomGuard<'room>,
    pub(super) flushes: &'a mut Flushes,
}

impl Writing<'_, '_> {
    /// Has a member of this node write. False if another node decides: then that answers.
    pub(super) fn write(
        &mut self,
        by: &PeerId,
        request: Option<&str>,
        write: StateWrite<'_>,
    ) -> Result<bool, RoomRefusal> {
        let Some(node) = self.orderer() else {
            return self.decide(by.as_str(), None, write).map(|()| true);
        };
        let room = self.members.room.name().as_str();
        let news = WriteNews { room, by: by.as_str(), write, request, from: 0 };
        self.rooms.neighbours.deliver(&[(node, News::Write(news))]).map(|()| false)
    }

    /// The node that decides, if it is another one: that of the oldest seat. A node that is gone decides
    /// nothing, although its members may come back.
    fn orderer(&self) -> Option<NodeId> {
        let known = self.rooms.neighbours.members.lock();
        let seats = self.members.iter().filter_map(|(id, member)| Some((member.rank(id)?, member.place()?)));
        let alive = seats.filter(|(_, place)| place.is_none_or(|node| !known.has_left(node)));
        alive.min_by_key(|(rank, _)| *rank).and_then(|(_, place)| place)
    }

    /// Puts a write in order. `request` is that of a member of another node.
    fn decide(&mut self, by: &str, request: Option<&str>, write: StateWrite<'_>) -> Result<(), RoomRefusal> {
        let state = self.members.state();
        if state.is_some_and(|state| state.is_of_host())
            && self.members.host().is_none_or(|host| host.as_str() != by)
        {
            return Err(RoomRefusal::NotHost);
        }
        let none = State::default();
        let state = state.unwrap_or(&none);
        state.check(&write)?;
        let before = state.view(write.name).map_or(0, |view| view.list_bytes());
        let view = StateView { name: write.name, value: write.value, version: 0, by };
        let list = self.members.list_bytes() - before + view.list_bytes();
        if list > self.rooms.limits.list_bytes().max(self.members.list_bytes()) {
            return Err(RoomRefusal::StateFull);
        }
        let number = state.latest() + 1;
        let mut share = self.share_of(by);
        share.set(write.kept_bytes()).map_err(|_| RoomRefusal::KeyStateFull)?;
        let version = Version { number, node: self.rooms.neighbours.own().map_or(0, NodeId::get) };
        self.members.change_state(write.name, self.flushes, |state, changed| {
            state.keep(write.name, Entry::new(&write, version, by, changed, share))
        });
        let room = self.members.room.name().as_str();
        self.rooms.neighbours.announce_state(StateNews { room, by, write, version, request });
        Ok(())
    }

    /// An empty share of the address of a member. Another node knows the address of its own.
    fn share_of(&self, by: &str) -> QuotaShare {
        let own = self.members.get(by).and_then(|member| member.own.as_ref());
        self.rooms.limits.state.share(own.and_then(|own| AddressPrefix::of_remote(own.peer.address())))
    }

    /// From now on, only the host of this new room may write.
    pub(super) fn restrict(&mut self, by: &PeerId) -> Result<(), RoomRefusal> {
        self.decide(by.as_str(), None, ONLY_HOST)
    }

    /// Another node has put a write in order. If it is one of a member of this node, that gets its answer.
    pub(super) fn receive(&mut self, &StateNews { by, write, version, request, .. }: &StateNews<'_>) {
        let mut share = self.share_of(by);
        // Without room it is kept as well: all nodes have one state.
        let _ = share.set(write.kept_bytes());
        self.members.change_state(write.name, self.flushes, |state, changed| {
            state.keep(write.name, Entry::new(&write, version, by, changed, share))
        });
        if let Some(own) = self.members.get(by).and_then(|member| member.here()) {
            let room = self.members.room;
            self.flushes.extend(self.rooms.done(&own.peer, request, room));
        }
    }

    /// A member of another node wants to write, as that node or a third one has told.
    pub(super) fn receive_write(&mut self, node: NodeId, news: &WriteNews<'_>) {
        let from = if news.from == 0 { node } else { NodeId::new(news.from) };
        let outcome = match self.orderer() {
            None => self.decide(news.by, news.request, news.write),
            // A write goes on once only, so that nodes of two minds do not send it round for ever.
            Some(_) if news.from != 0 => Err(RoomRefusal::ClusterBusy),
            Some(other) => {
                let onward = WriteNews { from: from.get(), ..*news };
                self.rooms.neighbours.deliver(&[(other, News::Write(onward))])
            }
        };
        let reason = outcome.err().and_then(|refusal| REASONS.iter().position(|known| *known == refusal));
        if let Some((reason, request)) = reason.zip(news.request) {
            let refused = WriteRefusedNews {
                room: news.room,
                by: news.by,
                request,
                reason: u8::try_from(reason).unwrap_or(u8::MAX),
            };
            // Otherwise it gets no answer, as if this node were gone.
            let _ = self.rooms.neighbours.deliver(&[(from, News::WriteRefused(refused))]);
        }
    }

    /// Another node has refused a write of a member of this one.
    pub(super) fn receive_refusal(&mut self, news: &WriteRefusedNews<'_>) {
        let room = self.members.room.name().as_str();
        let reason = REASONS.get(usize::from(news.reason)).copied().unwrap_or(RoomRefusal::ClusterBusy);
        if let Some(own) = self.members.get(news.by).and_then(|member| member.here()) {
            let refused = self.rooms.frames.refused(room, news.request, reason);
            self.flushes.extend(refused.and_then(|frame| own.peer.reply(frame)));
        }
    }

    /// Tells a node the whole state.
    pub(super) fn tell_all(&self, node: NodeId) {
        let all: Vec<_> = self.members.state_news(None).map(|news| (node, News::State(news))).collect();
        // A node that is not told asks again, when the next member comes.
        let _ = self.rooms.neighbours.deliver(&all);
    }
}
