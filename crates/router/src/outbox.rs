//! Frames that wait for one connection.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, IoSlice};
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::outgoing::{ForwardOutcome, Outgoing};
use super::queue::{Budget, QueueRoom, Reservation};
use super::witness;
use peerbroker_core::vocabulary::{Frame, MessageKind, NodeId, Opcode, PeerId};

/// The sending side of a socket, for any thread.
pub trait Writer: Send {
    /// Writes as much as the kernel takes without waiting. A full socket is [`io::ErrorKind::WouldBlock`].
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A sender's share of an outbox, in bytes.
#[derive(Default)]
struct Share {
    /// All bytes, with the frame that is pushed.
    all: usize,
    /// Behind the first frame: this counts for the bound.
    behind: usize,
}

/// The frames that a full outbox dropped to make room for a new one.
#[derive(Debug, Default)]
pub(super) struct Shed {
    /// The frame is not in the outbox, and all messages of its sender there are gone.
    pub(super) refused: bool,
    /// Messages that wait were lost.
    pub(super) crowded: bool,
    /// Other senders that lost all their messages there, and have to be told. If the frame was refused and
    /// does not wait, its own sender too: it lost earlier messages that do.
    pub(super) senders_to_notify: Vec<PeerId>,
    /// The number of senders that lost waiting messages, the frame's own included.
    pub(super) expired: usize,
    /// The messages that were lost, the refused one included.
    pub(super) lost: Vec<(PeerId, MessageKind)>,
}

// Charged for each frame besides its bytes, to bound many tiny frames too.
const OVERHEAD: usize = 256;

/// Bytes that every outbox may have, also if all others leave nothing free: an offer with all its candidates
/// has about 10 KB.
const SMALL: usize = 16 << 10;

/// State may fill one of so many parts of an outbox. Nothing overtakes it, so this is little: signals come
/// behind it.
pub const STATE_PART: usize = 32;

/// The part for state that waits until all else is written.
pub const STATE_LAST: usize = usize::MAX;

// Most frames in one system call. More are rare.
const GATHER: usize = 16;

thread_local! {
    /// The lines of the outboxes that were emptied last. An idle peer owns none, and most frames find an
    /// empty outbox: those of a message to a room find as many as it has members.
    #[expect(clippy::vec_box, reason = "an outbox owns the box")]
    static SPARE: RefCell<Vec<Box<FrameQueue>>> = const { RefCell::new(Vec::new()) };
}

/// Most spare lines of a thread.
const MAX_SPARES: usize = 64;

/// Most frames for which a spare queue has room.
const MAX_SPARE_FRAMES: usize = 32;

/// The frames that wait to be written to one socket, in order.
///
/// With a [`Writer`], the thread that adds a frame also flushes it. The socket's own task is woken only if
/// the socket is full. Without one (TLS, actix-ws) a flush wakes that task, and it takes the frames from
/// here.
#[derive(Default)]
pub struct Outbox {
    /// Boxed, and absent after all was written: most clients are idle.
    queue: Option<Box<FrameQueue>>,
    limit: usize,
    writer: Option<Box<dyn Writer>>,
    task: Option<Waker>,
    pub(super) flush_scheduled: bool,
    broken: bool,
    // The socket was full at the last try.
    blocked: bool,
    /// The socket took something after it was full.
    pub(super) progressed: bool,
    /// The KiB of state, rounded up, of which the client has not been told, because too much waits here. Its
    /// session is woken once there is room.
    owed_kib: u16,
    /// Written frames are in the kernel, not in a library's buffer. So progress is a sign of life: the kernel
    /// has room again only after the client's TCP has acknowledged.
    pub(super) direct: bool,
}

/// The frames of an outbox.
#[derive(Default)]
struct FrameQueue {
    frames: VecDeque<Outgoing>,
    // Bytes of the first frame that are already written.
    written: usize,
    // Frames at the front that belong to this connection only.
    opening: usize,
    // Cost of all frames but the first.
    behind: usize,
    // Queued messages raise the bound until the outbox was empty once.
    waited: Option<QueueRoom>,
    // The bytes that it has of all outboxes, if the socket is full.
    charged: Option<Reservation>,
    // A message of another node was added, which may be late.
    has_foreign: bool,
    // Owners of turns that had theirs in the present round.
    had_turn: HashSet<Option<PeerId>>,
}

impl FrameQueue {
    fn push(&mut self, outgoing: Outgoing) {
        self.has_foreign |= outgoing.is_foreign();
        if !self.frames.is_empty() {
            self.behind += cost(&outgoing);
        }
        self.frames.push_back(outgoing);
    }

    // Makes it that of another outbox.
    fn clear(&mut self) {
        self.frames.clear();
        self.written = 0;
        self.opening = 0;
        self.behind = 0;
        self.waited = None;
        self.charged = None;
        self.has_foreign = false;
        self.had_turn.clear();
    }

    // Frames at the front that must stay there.
    fn begun(&self) -> usize {
        usize::from(self.written > 0).max(self.opening).min(self.frames.len())
    }

    // Moves the first frame to the front whose owner had no turn in this round.
    fn give_turn(&mut self) {
        let begun = self.begun();
        if begun > 0 || self.frames.is_empty() {
            return;
        }
        let next = |had: &HashSet<Option<PeerId>>, frames: &VecDeque<Outgoing>| {
            frames.iter().position(|outgoing| !had.contains(&outgoing.turn()))
        };
        let at = next(&self.had_turn, &self.frames).unwrap_or_else(|| {
            self.had_turn.clear();
            0
        });
        if let Some(frame) = self.frames.remove(at) {
            self.had_turn.insert(frame.turn());
            self.frames.push_front(frame);
            self.recount();
        }
    }

    // Drops messages, of those that are written next, whose senders have heard that they are lost.
    fn drop_late(&mut self) {
        if !self.has_foreign {
            return;
        }
        if self.frames.iter().take(GATHER).skip(self.begun()).any(Outgoing::is_late) {
            self.drop_if(Outgoing::is_late);
        }
    }

    // Drops messages of other nodes of which nothing is written.
    fn drop_if(&mut self, goes: impl Fn(&Outgoing) -> bool) {
        let begun = self.begun();
        let mut place = 0;
        self.frames.retain(|outgoing| {
            place += 1;
            place <= begun || !goes(outgoing)
        });
        self.recount();
    }

    // The frames that may be written now.
    fn writable(&self) -> usize {
        let all = self.frames.len().min(GATHER);
        let begun = self.begun();
        let held = || self.frames.iter().take(all).skip(begun).position(Outgoing::is_held);
        if self.has_foreign { held().map_or(all, |place| begun + place) } else { all }
    }

    fn recount(&mut self) {
        self.behind = self.frames.iter().skip(1).map(cost).sum();
    }

    fn record_written(&mut self, count: usize) {
        self.written += count;
        while let Some(mut sent) = self.frames.pop_front_if(|first| self.written >= first.frame.len()) {
            self.written -= sent.frame.len();
            self.opening = self.opening.saturating_sub(1);
            self.behind -= self.frames.front().map_or(0, cost);
            sent.settle(ForwardOutcome::Delivered);
            if let Some((from, kind)) = &sent.message {
                witness::record_written(from, *kind);
            }
        }
        if self.frames.is_empty() {
            self.written = 0;
        }
    }
}

impl Outbox {
    /// An empty outbox that holds at most `limit` bytes beyond the frame that is being written.
    pub fn new(limit: usize, writer: Option<Box<dyn Writer>>) -> Self {
        Outbox { limit, direct: writer.is_some(), writer, ..Outbox::default() }
    }

    /// As [`new`](Self::new), for a socket whose own task writes straight to the kernel.
    pub fn direct(limit: usize, writer: Option<Box<dyn Writer>>) -> Self {
        Outbox { direct: true, ..Outbox::new(limit, writer) }
    }

    /// True if all was written.
    pub fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.frames.is_empty())
    }

    /// True if queued messages were preloaded that are not all written.
    pub(super) fn has_waited(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.waited.is_some() && !queue.frames.is_empty())
    }

    fn queue(&mut self) -> &mut FrameQueue {
        self.queue.get_or_insert_with(|| SPARE.with_borrow_mut(Vec::pop).unwrap_or_default())
    }

    /// True if writing has failed for good.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Sets the waker of the socket's own task, for when that task has to write.
    pub fn set_task(&mut self, waker: &Waker) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            self.task = Some(waker.clone());
        }
    }

    pub(super) fn wake_task(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Adds a frame. If the bound is reached even after a flush, the senders with the most data here lose all
    /// of it until the frame fits. `free` tells how much all outboxes may still take.
    pub(super) fn push(&mut self, outgoing: Outgoing, free: impl Fn() -> usize) -> Option<Shed> {
        if self.overflows(&outgoing, &free) {
            self.flush();
            if self.overflows(&outgoing, &free) {
                return Some(self.push_crowded(outgoing, free().max(SMALL)));
            }
        }
        self.push_unbounded(outgoing);
        None
    }

    /// Adds a ping in front of all frames that are not partly written: a slow client must not read everything
    /// else first. False if a ping is there already.
    pub(super) fn push_ping(&mut self) -> bool {
        let queue = self.queue();
        let begun = queue.begun();
        if queue.frames.get(begun).is_some_and(|next| next.frame.opcode() == Some(Opcode::Ping)) {
            return false;
        }
        queue.frames.insert(begun, Outgoing::notice(Frame::ping()));
        queue.recount();
        true
    }

    /// Adds a frame regardless of the bound: for the first and the last frames of a connection.
    pub fn push_unbounded(&mut self, outgoing: Outgoing) {
        self.queue().push(outgoing);
    }

    /// Adds one of the first frames of a connection, such as the response to its handshake. It never moves to
    /// another connection. Only frames of this kind may be in front of it.
    pub fn push_opening(&mut self, frame: Frame) {
        let queue = self.queue();
        queue.opening += 1;
        queue.push(Outgoing::notice(frame));
    }

    /// Adds the messages that waited for the peer. They raise the bound, and count for the budget of all
    /// queues until this outbox was empty once.
    pub(super) fn preload(&mut self, messages: VecDeque<Outgoing>, waited: QueueRoom) {
        let queue = self.queue();
        for outgoing in messages {
            queue.push(outgoing);
        }
        queue.waited = Some(waited);
    }

    /// Bytes that are not written yet, overhead included.
    pub(super) fn held(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.behind + queue.frames.front().map_or(0, cost))
    }

    /// Counts what waits for a full socket among the bytes of all outboxes.
    pub(super) fn charge(&mut self, all: &Arc<Budget>) {
        if !self.blocked && self.queue.as_ref().is_none_or(|queue| queue.charged.is_none()) {
            return;
        }
        let held = self.held();
        if let Some(queue) = &mut self.queue {
            queue.charged.get_or_insert_with(|| all.reservation()).set(held.saturating_sub(SMALL));
        }
    }

    /// True if this much more leaves at most one `part`th of the outbox full.
    fn has_room(&self, part: usize, bytes: usize) -> bool {
        let queue = self.queue.as_ref().filter(|queue| !queue.frames.is_empty());
        queue.is_none_or(|queue| queue.behind + bytes <= self.bound(part, usize::MAX))
    }

    /// Adds frames of state, of so many bytes, if they leave at most one `part`th of the outbox full.
    /// Otherwise the session is woken once there is room for them in the part for state.
    pub(super) fn push_state(
        &mut self,
        frames: impl ExactSizeIterator<Item = Frame>,
        bytes: usize,
        part: usize,
    ) -> bool {
        let bytes = bytes + frames.len() * OVERHEAD;
        if !self.has_room(part, bytes) {
            self.flush();
            if !self.has_room(part, bytes) {
                // The most KiB have room in an empty outbox only.
                let kib = if part == STATE_LAST { usize::MAX } else { bytes / 1024 + 1 };
                let kib = u16::try_from(kib).unwrap_or(u16::MAX);
                self.owed_kib = if self.owed_kib == 0 { kib } else { kib.min(self.owed_kib) };
                return false;
            }
        }
        frames.for_each(|frame| self.push_unbounded(Outgoing::notice(frame)));
        true
    }

    /// True, once, if the client has to be told of state, and there is room for it now.
    pub fn take_owed_state(&mut self) -> bool {
        let is_due = self.is_state_due();
        if is_due {
            self.owed_kib = 0;
        }
        is_due
    }

    fn is_state_due(&self) -> bool {
        self.owed_kib > 0 && self.has_room(STATE_PART, usize::from(self.owed_kib) * 1024)
    }

    /// The bytes that may be behind the first frame: at most those that are free of all. Only a `part`th of
    /// the limit counts.
    fn bound(&self, part: usize, free: usize) -> usize {
        // Without a writer, a flush only wakes the socket's own task. Until that task has tried to write, we
        // cannot tell whether the client is slow.
        let untried = self.writer.is_none() && !self.blocked;
        let limit = if untried { 2 * self.limit } else { self.limit };
        limit.min(free) / part
            + self.queue.as_ref().and_then(|queue| queue.waited.as_ref()).map_or(0, |waited| waited.bytes)
    }

    fn overflows(&self, outgoing: &Outgoing, free: impl Fn() -> usize) -> bool {
        let cost = cost(outgoing);
        let Some(queue) = self.queue.as_ref().filter(|queue| !queue.frames.is_empty()) else {
            return cost > SMALL && cost > free();
        };
        let wanted = queue.behind + cost;
        // The common case asks for nothing.
        let free = if wanted <= SMALL { usize::MAX } else { free().max(SMALL) };
        wanted > self.bound(1, free)
    }

    /// True if the socket was full at the last try. The outbox may be empty all the same, if a flood was
    /// dropped.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// True if the kernel, or a library, has taken everything.
    pub(super) fn is_drained(&self) -> bool {
        self.is_empty() && !self.blocked
    }

    /// Notes that the socket's own task could not write everything.
    pub fn block(&mut self) {
        self.blocked |= !self.is_empty();
    }

    /// Notes that the socket has room again.
    pub fn unblock(&mut self) {
        self.progressed |= mem::take(&mut self.blocked);
    }

    /// True if a flush writes. Otherwise it only wakes the socket's own task.
    pub(super) fn has_writer(&self) -> bool {
        self.writer.is_some()
    }

    /// Writes as much as the socket takes now.
    pub fn flush(&mut self) {
        self.flush_scheduled = false;
        let Some(mut writer) = self.writer.take() else { return self.wake_task() };
        while !self.is_empty() && !self.broken {
            let mut slices = Self::slices();
            let bytes = self.gather(&mut slices);
            if bytes.is_empty() {
                // All were late, or the first one is held.
                break;
            }
            match writer.write(bytes) {
                Ok(0) => self.broken = true,
                Ok(count) => self.record_written(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(_) => self.broken = true,
            }
        }
        self.writer = Some(writer);
        if self.broken || !self.is_empty() || self.is_state_due() {
            self.wake_task();
        }
        if !self.broken && self.is_empty() {
            self.emptied();
        }
    }

    fn emptied(&mut self) {
        let Some(mut queue) = self.queue.take() else { return };
        if queue.frames.capacity().max(queue.had_turn.capacity()) <= MAX_SPARE_FRAMES {
            queue.clear();
            SPARE.with_borrow_mut(|spares| {
                if spares.len() < MAX_SPARES {
                    spares.push(queue);
                }
            });
        }
    }

    fn record_written(&mut self, count: usize) {
        self.queue().record_written(count);
        self.unblock();
    }

    /// The first frame that is not fully written.
    pub fn front(&mut self) -> Option<&Frame> {
        let queue = self.queue.as_mut()?;
        queue.drop_late();
        queue.frames.front().map(|outgoing| &outgoing.frame)
    }

    /// Moves the frame to the front whose turn it is: senders of offers take turns, each with its own
    /// messages in order, so that many of one do not delay another's. All other frames share one turn. For a
    /// socket that sends a few frames a second, before each.
    pub fn give_turn(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.give_turn();
        }
    }

    /// The number of frames.
    pub fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.frames.len())
    }

    /// Room for what [`gather`](Self::gather) finds.
    pub fn slices<'a>() -> [IoSlice<'a>; GATHER] {
        [IoSlice::new(&[]); GATHER]
    }

    /// The bytes to write next, for one vectored write.
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "at most GATHER are writable"))]
    pub fn gather<'s, 'a>(&'a mut self, slices: &'s mut [IoSlice<'a>; GATHER]) -> &'s [IoSlice<'a>] {
        let Some(queue) = &mut self.queue else { return &[] };
        queue.drop_late();
        for (slice, outgoing) in slices.iter_mut().zip(&queue.frames) {
            *slice = IoSlice::new(outgoing.frame.as_bytes());
        }
        let mut used = &mut slices[..queue.writable()];
        IoSlice::advance_slices(&mut used, queue.written);
        used
    }

    /// Notes that the socket's own task has written `count` more bytes.
    pub fn advance(&mut self, count: usize) {
        self.record_written(count);
        if self.is_empty() {
            self.emptied();
        }
        if self.is_state_due() {
            self.wake_task();
        }
    }

    /// Drops a message that another node has given up.
    pub(super) fn give_up(&mut self, node: NodeId, ticket: u64) {
        if let Some(queue) = self.queue.as_mut().filter(|queue| queue.has_foreign) {
            queue.drop_if(|outgoing| outgoing.is_of(node, ticket));
        }
    }

    /// Takes out the unwritten frames. Unless the connection is dead, a partly written frame stays, and so do
    /// the first frames of the connection: a close frame can still follow them.
    pub(super) fn take_unsent(&mut self, dead: bool) -> Vec<Outgoing> {
        self.broken |= dead;
        let Some(queue) = &mut self.queue else { return Vec::new() };
        if dead {
            queue.written = 0;
            queue.opening = 0;
        }
        let unsent = queue.frames.drain(queue.begun()..).collect();
        queue.recount();
        queue.waited = None;
        queue.charged = None;
        unsent
    }

    /// Takes out a partly written message, for another connection of the client. This connection is cut off,
    /// because nothing can follow half a message.
    pub(super) fn revoke(&mut self) -> Option<Outgoing> {
        let queue = self.queue.as_ref().filter(|queue| queue.written > 0)?;
        queue.frames.front()?.sender_if_reliable()?;
        let message = self.take_unsent(true).into_iter().next();
        self.wake_task();
        message
    }

    /// Takes out the unwritten messages of a connection that has ended, if they must not be lost.
    pub(super) fn take_undelivered(&mut self) -> Vec<Outgoing> {
        let mut undelivered = self.take_unsent(true);
        undelivered.retain(|outgoing| outgoing.sender_if_reliable().is_some());
        undelivered
    }

    // Room in a full outbox: a flood is lost for its senders, and the recipient stays connected.

    /// Adds a frame to a full outbox. The senders with the most data here lose all of it, so that no batch
    /// arrives with a gap.
    ///
    /// Frees a quarter of the outbox each time, because finding these senders visits every frame.
    fn push_crowded(&mut self, outgoing: Outgoing, free: usize) -> Shed {
        let mut refused = false;
        let mut gone = Vec::new();
        let bound = self.bound(1, free);
        let mut behind = self.queue().behind;
        let mut senders = self.lightest_first(&outgoing).into_iter();
        loop {
            let overflows = behind + cost(&outgoing) > bound;
            if !overflows && behind <= bound / 4 * 3 {
                break;
            }
            // With no sender left, the frames are the broker's answers to this client.
            let heaviest = senders.next_back();
            let is_its_own = heaviest.as_ref().map(|(sender, _)| sender) == outgoing.from();
            if is_its_own && !overflows {
                break;
            }
            if let Some((sender, share)) = heaviest {
                behind = behind.saturating_sub(share.behind);
                gone.push(sender);
            }
            if is_its_own {
                refused = true;
                break;
            }
        }
        let own = outgoing.sender_if_reliable().filter(|_| refused).cloned();
        let mut shed = self.shed(&gone);
        if refused {
            shed.push(outgoing);
        } else {
            self.push_unbounded(outgoing);
        }
        let crowded = shed.iter().any(|outgoing| outgoing.sender_if_reliable().is_some());
        // Other nodes tell their own senders.
        let kept = shed.iter().filter(|outgoing| !outgoing.is_foreign());
        let kept: HashSet<&PeerId> = kept.filter_map(Outgoing::sender_if_reliable).collect();
        let expired = kept.len();
        // The session of the frame's own sender tells it.
        gone.retain(|sender| kept.contains(sender) && own.as_ref() != Some(sender));
        Shed {
            refused,
            crowded,
            senders_to_notify: gone,
            expired,
            lost: shed.iter().filter_map(Outgoing::counted).collect(),
        }
    }

    /// The senders, ordered by their bytes, `outgoing` included. Of equal ones the sender of `outgoing` comes
    /// first.
    fn lightest_first(&self, outgoing: &Outgoing) -> Vec<(PeerId, Share)> {
        let mut shares: HashMap<&PeerId, Share> = HashMap::new();
        let waiting = self.queue.iter().flat_map(|queue| queue.frames.iter().enumerate().skip(queue.begun()));
        let waiting = waiting.map(|(at, outgoing)| (at > 0, outgoing));
        for (counts, outgoing) in waiting.chain([(false, outgoing)]) {
            if let Some(from) = outgoing.from() {
                let share = shares.entry(from).or_default();
                share.all += cost(outgoing);
                share.behind += if counts { cost(outgoing) } else { 0 };
            }
        }
        let mut senders: Vec<_> = shares.into_iter().map(|(from, share)| (from.clone(), share)).collect();
        let own = outgoing.from();
        senders
            .sort_unstable_by(|(a, x), (b, y)| (x.all, own != Some(a), a).cmp(&(y.all, own != Some(b), b)));
        senders
    }

    /// Takes out the frames of some senders, except a partly written one.
    fn shed(&mut self, senders: &[PeerId]) -> Vec<Outgoing> {
        let senders: HashSet<&PeerId> = senders.iter().collect();
        let queue = self.queue();
        let (stays, shed): (Vec<_>, Vec<_>) = queue
            .frames
            .drain(queue.begun()..)
            .partition(|outgoing| outgoing.from().is_none_or(|from| !senders.contains(from)));
        queue.frames.extend(stays);
        queue.recount();
        shed
    }
}

fn cost(outgoing: &Outgoing) -> usize {
    outgoing.frame.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(from: &str, kind: MessageKind, text: &str) -> Outgoing {
        Outgoing::message(PeerId::parse(from).unwrap(), kind, Frame::of_text(text))
    }

    #[test]
    fn senders_of_offers_take_turns_and_all_other_frames_keep_their_order() {
        let mut outbox = Outbox::new(1 << 20, None);
        outbox.push_opening(Frame::of_text("open"));
        for text in ["a1", "a2", "a3", "a4"] {
            outbox.push_unbounded(message("a", MessageKind::Offer, text));
        }
        outbox.push_unbounded(Outgoing::notice(Frame::of_text("list of a room")));
        outbox.push_unbounded(message("b", MessageKind::Candidate, "b1"));
        outbox.push_unbounded(message("c", MessageKind::Room, "to the room"));
        outbox.push_unbounded(message("b", MessageKind::Leave, "b2"));
        let mut next = || {
            outbox.give_turn();
            let text = String::from_utf8(outbox.front()?.payload().to_vec()).unwrap();
            let len = outbox.front()?.len();
            outbox.advance(len);
            Some(text)
        };
        let order: Vec<String> = std::iter::from_fn(&mut next).collect();
        assert_eq!(order, ["open", "a1", "list of a room", "b1", "a2", "to the room", "b2", "a3", "a4"]);
        assert_eq!(outbox.len(), 0);
    }
}
