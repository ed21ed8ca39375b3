//! A peer in a room, as one node knows it: its part here, and those that other nodes have told of.

use std::iter;
use std::sync::Arc;

use super::frames::{MemberView, OwnFrames, OwnMessage, Read};
use super::handover::Handover;
use super::others::TokenDigest;
use super::seat::Seat;
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::{DropReason, Frame, MessageKind, NodeId, PeerId, RoomName, RoomRefusal};
use peerbroker_limits::OwnShare;
use peerbroker_router::{Flushes, PeerHandle, Routed};

/// A peer in a room.
#[derive(Default)]
pub(super) struct Member {
    /// On this node.
    pub(super) own: Option<Own>,
    /// The other nodes that have told of it, the latest last. Two nodes have it for a while after it has
    /// moved.
    pub(super) elsewhere: Vec<RemotePart>,
    /// Its latest move, while that is new.
    pub(super) handover: Option<Box<Handover>>,
    /// The number of the change by which it came.
    pub(super) joined: u64,
    /// The number of its latest change.
    pub(super) changed: u64,
}

/// A member of this node.
pub(super) struct Own {
    /// Its connection, or the last one.
    pub(super) peer: PeerHandle,
    /// The digest of its token.
    pub(super) token: TokenDigest,
    /// The number of the news by which the other nodes know that it has come here; 0 if they have not heard
    /// of it. It stays when its data change, so a message that is on its way meanwhile is for it.
    pub(super) came: u64,
    /// The number that its news have now: greater than `came` if it was told again that it is here.
    announced: u64,
    /// The account of its client's address.
    pub(super) account: OwnShare,
    /// Its public data, as JSON text.
    pub(super) data: Option<Box<str>>,
    /// Its seat, if it has asked for one. Boxed: hardly any member has.
    pub(super) seat: Option<Box<Seat>>,
    /// The frames in which it hears messages, if they are its own.
    pub(super) frames: Option<Arc<dyn OwnFrames>>,
    /// The number of the latest change of the room that its client was told of; 0 if it has no list yet.
    pub(super) heard: u64,
    /// Another node has told of it while it was away here.
    pub(super) has_moved: bool,
}

/// A member of another node, as that node has told.
pub(super) struct RemotePart {
    pub(super) node: NodeId,
    /// The number of the news by which it came there. News with the same number change its data only.
    pub(super) number: u64,
    pub(super) data: Option<Box<str>>,
    pub(super) seat: Option<Box<Seat>>,
    /// The member was there before it came here.
    pub(super) is_former: bool,
}

/// A member that has moved to another node, and did not come back here in time.
pub(super) struct Departed {
    /// Its last connection here.
    pub(super) peer: PeerHandle,
    /// The number of the news by which it came, and that by which it left.
    pub(super) came: u64,
    pub(super) left: u64,
    /// No message is older by then.
    pub(super) until: Instant,
}

impl Own {
    pub(super) fn new(peer: PeerHandle, token: TokenDigest, account: OwnShare, data: Option<&str>) -> Self {
        let data = data.map(Box::from);
        Own {
            peer,
            token,
            came: 0,
            announced: 0,
            account,
            data,
            seat: None,
            frames: None,
            heard: 0,
            has_moved: false,
        }
    }

    /// Its public data, as JSON text, and its seat.
    pub(super) fn facts(&self) -> (Option<&str>, Option<Seat>) {
        (self.data.as_deref(), self.seat.as_deref().copied())
    }

    /// Replaces another part of the same member, which other nodes may know.
    pub(super) fn follow(&mut self, before: &Own) {
        self.came = before.came;
        if self.peer.connection() == before.peer.connection() && !before.has_moved {
            self.announced = before.announced;
        }
    }

    /// Tells its client the latest change. False if too much waits for it.
    pub(super) fn hear(&mut self, frame: Frame, part: usize, latest: u64, flushes: &mut Flushes) -> bool {
        let bytes = frame.len();
        let Some(flush) = self.peer.send_state(iter::once(frame), bytes, part) else { return false };
        self.heard = latest;
        flushes.extend(flush);
        true
    }

    /// The number of the news of this member, for which there is a new one if the member has come now.
    pub(super) fn announce(&mut self, next: impl FnOnce() -> u64) -> u64 {
        if self.announced == 0 {
            self.announced = next();
            self.came = if self.came == 0 { self.announced } else { self.came };
        }
        self.announced
    }

    /// The other nodes have to hear again that it is here.
    pub(super) fn announce_again(&mut self) {
        self.announced = 0;
    }

    /// The number that its news have.
    pub(super) fn announced(&self) -> u64 {
        self.announced
    }
}

impl Member {
    /// Changes it, and notes if another node delivers its messages from now on.
    pub(super) fn change_place(&mut self, clock: &Clock, act: impl FnOnce(&mut Member)) {
        let before = self.place();
        act(self);
        if let (Some(before), Some(place)) = (before, self.place())
            && before != place
        {
            let now = clock.now();
            let known = self.handover.take().filter(|known| known.is_asked() || !known.is_over(now));
            self.handover.insert(known.unwrap_or_else(|| Box::new(Handover::new(now)))).leave(before);
        }
    }

    /// The node that delivers its messages: `None` is this one.
    pub(super) fn place(&self) -> Option<Option<NodeId>> {
        match self.here() {
            Some(_) => Some(None),
            None => self.elsewhere.last().map(|place| Some(place.node)),
        }
    }

    /// True if its messages wait until its old node has none for it.
    pub(super) fn waits(&self) -> bool {
        self.handover.as_ref().is_some_and(|handover| handover.is_asked())
    }

    /// The node that delivers its messages, if that is another one, and the number of that node's news of it.
    pub(super) fn node(&self) -> Option<(NodeId, u64)> {
        let place = self.elsewhere.last().filter(|_| self.here().is_none());
        place.map(|place| (place.node, place.number))
    }

    /// Its public data, as JSON text, and its seat: those of the node that delivers its messages.
    pub(super) fn facts(&self) -> (Option<&str>, Option<Seat>) {
        match (self.here(), self.elsewhere.last(), &self.own) {
            (Some(own), ..) | (None, None, Some(own)) => own.facts(),
            (None, Some(place), _) => (place.data.as_deref(), place.seat.as_deref().copied()),
            (None, None, None) => (None, None),
        }
    }

    /// Its public data, as JSON text.
    pub(super) fn data(&self) -> Option<&str> {
        self.facts().0
    }

    /// Its seat, if it has asked for one.
    pub(super) fn seat(&self) -> Option<Seat> {
        self.facts().1
    }

    /// Its place in the order of the room, if it has a seat.
    pub(super) fn rank<'a>(&self, id: &'a PeerId) -> Option<(u64, &'a PeerId)> {
        self.seat().map(|seat| (seat.since, id))
    }

    /// The member as the others see it.
    pub(super) fn view<'a>(&'a self, id: &'a PeerId) -> MemberView<'a> {
        let (data, seat) = self.facts();
        MemberView { id: id.as_str(), data, seat }
    }

    /// True if it is on this node, or was and may come back.
    pub(super) fn is_here(&self) -> bool {
        self.own.is_some()
    }

    /// The member, if this node delivers its messages.
    pub(super) fn here(&self) -> Option<&Own> {
        self.own.as_ref().filter(|own| !own.has_moved)
    }
}

impl RemotePart {
    /// True if it is one of these nodes, up to the number of its news.
    pub(super) fn is_one_of(&self, former: &[(u64, u64)]) -> bool {
        former.iter().any(|(node, number)| self.node == NodeId::new(*node) && self.number <= *number)
    }
}

impl Departed {
    /// True if a node that had heard news up to a number knows it, and still believes it here.
    pub(super) fn is_known_by(&self, heard: u64) -> bool {
        (self.came..self.left).contains(&heard)
    }
}

/// Bytes of a message that count as one delivery.
const MESSAGE_PART: usize = 64 * 1024;

/// The deliveries of a message to so many members.
pub(super) fn deliveries(members: usize, message: &Frame) -> usize {
    parts(members, message.len())
}

/// The deliveries of so many bytes to so many members.
pub(super) fn parts(members: usize, bytes: usize) -> usize {
    members.saturating_mul(bytes.div_ceil(MESSAGE_PART))
}

/// Sends a message to a member that is here, or was. While it is away, the message waits for it.
pub(super) fn deliver(
    peer: &PeerHandle,
    sender: &PeerId,
    message: Frame,
    flushes: &mut Flushes,
) -> Result<(), RoomRefusal> {
    accepted(peer.deliver(sender, MessageKind::Room, message), flushes)
}

/// The outcome of a message to all members.
#[derive(Default)]
pub(super) struct Sent {
    /// Members that do not get it.
    pub(super) lost: usize,
    /// Deliveries beyond one for each member, which nobody has paid for yet.
    pub(super) unpaid: usize,
}

/// Sends a message of a room to a member of this node.
pub(super) fn deliver_in_own_frames(
    own: &Own,
    room: &RoomName,
    sender: &PeerId,
    (message, read): (&mut Frame, &mut Read),
    sent: &mut Sent,
    flushes: &mut Flushes,
) {
    let Some(own_frames) = &own.frames else {
        sent.lost += usize::from(deliver(&own.peer, sender, message.share(), flushes).is_err());
        return;
    };
    let OwnMessage { frames, search } = own_frames.of(room.as_str(), message, read);
    sent.unpaid += deliveries(frames.len().saturating_sub(1), message) + search;
    let is_lost = frames.into_iter().any(|frame| deliver(&own.peer, sender, frame, flushes).is_err());
    sent.lost += usize::from(is_lost);
}

/// The answer to the sender of a message for one member.
pub(super) fn accepted(routed: Routed, flushes: &mut Flushes) -> Result<(), RoomRefusal> {
    match routed.collect_flush(flushes) {
        // With the key, its senders go too.
        Ok(()) | Err(DropReason::KeyRevoked) => Ok(()),
        Err(_) => Err(RoomRefusal::MemberBusy),
    }
}
