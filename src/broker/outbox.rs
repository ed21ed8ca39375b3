use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::Waker;

use super::budget::Reservation;
use super::outgoing::{HandOver, Outgoing};
use crate::wire::{Frame, MessageKind, Opcode, PeerId};

mod shed;

/// The sending side of a socket, for any thread.
pub trait Writer: Send {
    /// Writes as much as the kernel takes without waiting. A full socket is [`io::ErrorKind::WouldBlock`].
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// The frames that a full outbox dropped to make room for a new one.
#[derive(Debug, Default)]
pub(super) struct Shed {
    /// The frame itself is not in the outbox, and everything that its sender had there is gone.
    pub(super) refused: bool,
    /// Messages that wait were lost.
    pub(super) crowded: bool,
    /// Other senders that lost everything they had there, and have to be told. If the frame was refused and does not
    /// wait, its own sender too: it lost earlier messages that do.
    pub(super) losers: Vec<PeerId>,
    /// How many senders lost messages that wait, the frame's own included.
    pub(super) expired: usize,
    /// The messages that were lost, the refused one included.
    pub(super) lost: Vec<MessageKind>,
}

// Charged for each frame besides its bytes, so that many tiny frames are bounded too.
const OVERHEAD: usize = 256;

// Most frames in one system call. More are rare.
const GATHER: usize = 16;

/// The frames that wait to be written to one socket, in order.
///
/// With a [`Writer`], the thread that adds a frame also flushes it. The socket's own task is woken only if the socket is
/// full. Without one (TLS, actix-ws) a flush wakes that task, and it takes the frames from here.
#[derive(Default)]
pub struct Outbox {
    frames: VecDeque<Outgoing>,
    // Bytes of the first frame that are already written.
    written: usize,
    // Frames at the front that belong to this connection only.
    opening: usize,
    // Cost of all frames but the first.
    behind: usize,
    limit: usize,
    // Queued messages raise the bound until the outbox was empty once.
    waited: Option<Reservation>,
    writer: Option<Box<dyn Writer>>,
    owner: Option<Waker>,
    flush_promised: bool,
    broken: bool,
    // The socket was full at the last try.
    blocked: bool,
    // The socket took something after it was full.
    progressed: bool,
    // Written frames are in the kernel, not in a library's buffer.
    direct: bool,
}

impl Outbox {
    /// An empty outbox that holds at most `limit` bytes beyond the frame that is being written.
    pub fn new(limit: usize, writer: Option<Box<dyn Writer>>) -> Self {
        Outbox { limit, direct: writer.is_some(), writer, ..Outbox::default() }
    }

    /// The same for a socket whose own task writes straight to the kernel.
    pub fn direct(limit: usize, writer: Option<Box<dyn Writer>>) -> Self {
        Outbox { direct: true, ..Outbox::new(limit, writer) }
    }

    /// Whether all was written.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether writing has failed for good.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Sets the waker of the socket's own task, for when that task has to write.
    pub fn set_owner(&mut self, waker: &Waker) {
        if !self.owner.as_ref().is_some_and(|owner| owner.will_wake(waker)) {
            self.owner = Some(waker.clone());
        }
    }

    pub(super) fn wake_owner(&self) {
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }

    /// Adds a frame. If the bound is reached even after a flush, the senders with the most data here lose all of it
    /// until the frame fits.
    pub(super) fn push(&mut self, outgoing: Outgoing) -> Option<Shed> {
        if self.overflows(&outgoing) {
            self.flush();
            if self.overflows(&outgoing) {
                return Some(self.push_crowded(outgoing));
            }
        }
        self.push_unbounded(outgoing);
        None
    }

    /// Adds a ping in front of all frames that are not partly written: a slow client must not read everything else
    /// first. Does nothing if a ping is there already.
    pub(super) fn push_ping(&mut self) {
        let begun = self.begun();
        if self.frames.get(begun).is_some_and(|next| next.frame.opcode() == Some(Opcode::Ping)) {
            return;
        }
        self.frames.insert(begun, Outgoing::notice(Frame::ping()));
        self.recount();
    }

    /// Adds a frame regardless of the bound: for the first and the last frames of a connection.
    pub fn push_unbounded(&mut self, outgoing: Outgoing) {
        if !self.frames.is_empty() {
            self.behind += cost(&outgoing);
        }
        self.frames.push_back(outgoing);
    }

    /// Adds one of the first frames of a connection, such as the response to its handshake. It never moves to another
    /// connection. Only frames of this kind may be in front of it.
    pub fn push_opening(&mut self, frame: Frame) {
        self.opening += 1;
        self.push_unbounded(Outgoing::notice(frame));
    }

    /// Adds the messages that waited for the peer. They raise the bound, and count for the budget of all queues until
    /// this outbox was empty once.
    pub(super) fn preload(&mut self, messages: VecDeque<Outgoing>, reservation: Reservation) {
        messages.into_iter().for_each(|outgoing| self.push_unbounded(outgoing));
        self.waited = Some(reservation);
    }

    /// Whether messages that waited for the peer may still be here.
    pub(super) fn is_preloaded(&self) -> bool {
        self.waited.is_some()
    }

    /// Bytes that are not written yet, with what it costs to keep them.
    pub(super) fn held(&self) -> usize {
        self.behind + self.frames.front().map_or(0, cost)
    }

    fn bound(&self) -> usize {
        // Without a writer, a flush only wakes the socket's own task. Until that task has tried to write, we cannot tell
        // whether the client is slow.
        let untried = self.writer.is_none() && !self.blocked;
        let limit = if untried { 2 * self.limit } else { self.limit };
        limit + self.waited.as_ref().map_or(0, Reservation::bytes)
    }

    fn overflows(&self, outgoing: &Outgoing) -> bool {
        !self.frames.is_empty() && self.behind + cost(outgoing) > self.bound()
    }

    // Frames at the front that must stay there.
    fn begun(&self) -> usize {
        usize::from(self.written > 0).max(self.opening).min(self.frames.len())
    }

    fn recount(&mut self) {
        self.behind = self.frames.iter().skip(1).map(cost).sum();
    }

    /// Whether the socket took something after it was full, since the last call.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Whether progress is a sign of life: the kernel has room again only after the client's TCP has acknowledged.
    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }

    /// Whether the socket was full at the last try. The outbox may be empty all the same, if a flood was dropped.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// True if the kernel, or a library, has taken everything.
    pub(super) fn is_drained(&self) -> bool {
        self.frames.is_empty() && !self.blocked
    }

    /// Notes that the socket's own task could not write everything.
    pub fn block(&mut self) {
        self.blocked |= !self.frames.is_empty();
    }

    /// Notes that the socket has room again.
    pub fn unblock(&mut self) {
        self.progressed |= std::mem::take(&mut self.blocked);
    }

    /// Whether the caller has to flush: true once per flush.
    pub(super) fn wants_flush(&mut self) -> bool {
        !std::mem::replace(&mut self.flush_promised, true)
    }

    /// Writes what the socket takes now.
    pub fn flush(&mut self) {
        self.flush_promised = false;
        if self.writer.is_none() {
            self.wake_owner();
            return;
        }
        while let Some(writer) = self.writer.as_mut().filter(|_| !self.frames.is_empty() && !self.broken) {
            let mut slices = Self::slices();
            match writer.write(gather(&self.frames, self.written, &mut slices)) {
                Ok(0) => self.broken = true,
                Ok(count) => self.note_written(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    self.wake_owner();
                    return;
                }
                Err(_) => self.broken = true,
            }
        }
        if self.broken {
            self.wake_owner();
        } else {
            self.emptied();
        }
    }

    // An idle peer owns no buffer.
    fn emptied(&mut self) {
        self.frames = VecDeque::new();
        self.waited = None;
    }

    fn note_written(&mut self, count: usize) {
        let left = self.frames.len();
        advance(&mut self.frames, &mut self.written, &mut self.behind, count);
        self.opening = self.opening.saturating_sub(left - self.frames.len());
        self.unblock();
    }

    /// The first frame that is not fully written.
    pub fn front(&self) -> Option<&Frame> {
        self.frames.front().map(|outgoing| &outgoing.frame)
    }

    /// Room for what [`gather`](Self::gather) finds.
    pub fn slices<'a>() -> [IoSlice<'a>; GATHER] {
        [IoSlice::new(&[]); GATHER]
    }

    /// The bytes to write next, for one vectored write.
    pub fn gather<'s, 'a>(&'a self, slices: &'s mut [IoSlice<'a>; GATHER]) -> &'s [IoSlice<'a>] {
        gather(&self.frames, self.written, slices)
    }

    /// Notes that the socket's own task has written `count` more bytes.
    pub fn advance(&mut self, count: usize) {
        self.note_written(count);
        if self.frames.is_empty() {
            self.emptied();
        }
    }

    /// Takes out the unwritten frames. Unless the connection is dead, a partly written frame stays, and so do the first
    /// frames of the connection: a close frame can still follow them.
    pub(super) fn take_unsent(&mut self, dead: bool) -> Vec<Outgoing> {
        if dead {
            self.broken = true;
            (self.written, self.opening) = (0, 0);
        }
        let unsent = self.frames.drain(self.begun()..).collect();
        self.recount();
        self.waited = None;
        unsent
    }

    /// Takes out a partly written message, for another connection of the client. This connection is cut off, because
    /// nothing can follow half a message.
    pub(super) fn revoke(&mut self) -> Option<Outgoing> {
        let begun = self.written > 0 && self.frames.front().is_some_and(|first| first.kept_from().is_some());
        if !begun {
            return None;
        }
        let message = self.take_unsent(true).into_iter().next();
        self.wake_owner();
        message
    }

    /// Takes out the unwritten messages of a connection that has ended, if they must not be lost.
    pub(super) fn take_undelivered(&mut self) -> Vec<Outgoing> {
        let mut undelivered = self.take_unsent(true);
        undelivered.retain(|outgoing| outgoing.kept_from().is_some());
        undelivered
    }
}

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "used is at most GATHER"))]
fn gather<'s, 'a>(
    frames: &'a VecDeque<Outgoing>,
    written: usize,
    slices: &'s mut [IoSlice<'a>; GATHER],
) -> &'s [IoSlice<'a>] {
    let used = frames.len().min(GATHER);
    for (slice, outgoing) in slices.iter_mut().zip(frames) {
        *slice = IoSlice::new(outgoing.frame.as_bytes());
    }
    let mut used = &mut slices[..used];
    IoSlice::advance_slices(&mut used, written);
    used
}

fn cost(outgoing: &Outgoing) -> usize {
    outgoing.frame.len() + OVERHEAD
}

fn advance(frames: &mut VecDeque<Outgoing>, written: &mut usize, behind: &mut usize, count: usize) {
    *written += count;
    while let Some(first) = frames.front() {
        if *written < first.frame.len() {
            return;
        }
        *written -= first.frame.len();
        if let Some(mut sent) = frames.pop_front() {
            sent.settle(HandOver::Delivered);
        }
        if let Some(next) = frames.front() {
            *behind -= cost(next);
        }
    }
    *written = 0;
}
