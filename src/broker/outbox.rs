use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::Waker;

use super::budget::Reservation;
use super::outgoing::Outgoing;
use crate::wire::{Frame, Opcode};

mod shed;

pub(super) use shed::Shed;

/// The end of a socket that any thread may write to.
pub trait Writer: Send {
    /// Writes as much as the kernel takes at once, and never waits: a full socket is
    /// [`io::ErrorKind::WouldBlock`].
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;
}

// What a frame costs beside its bytes, so that many tiny ones are bounded as well.
const OVERHEAD: usize = 256;

// As many frames as one system call takes; more are rare.
const GATHER: usize = 16;

/// What waits to be written to one socket, in order.
///
/// If the socket has a [`Writer`], whoever adds a frame flushes it, from any thread; the socket's
/// own task is woken only when the socket is full. Without one (TLS, actix-ws) a flush wakes the
/// task, which takes the frames from here.
#[derive(Default)]
pub struct Outbox {
    frames: VecDeque<Outgoing>,
    // Bytes of the first frame that are written already.
    written: usize,
    // Frames at the front that mean nothing on any other connection.
    opening: usize,
    // Cost of all frames but the first.
    behind: usize,
    limit: usize,
    // Messages that waited for the peer raise the bound until the outbox was empty once.
    waited: Option<Reservation>,
    writer: Option<Box<dyn Writer>>,
    owner: Option<Waker>,
    flush_promised: bool,
    broken: bool,
    // The socket took no more at the last try.
    blocked: bool,
    // The socket took something after it had been full.
    progressed: bool,
    // Frames that are written are with the kernel, and not with a library in between.
    direct: bool,
}

impl Outbox {
    /// An empty outbox that holds at most `limit` bytes beyond the frame that is being written.
    pub fn new(limit: usize, writer: Option<Box<dyn Writer>>) -> Self {
        Outbox { limit, direct: writer.is_some(), writer, ..Outbox::default() }
    }

    /// The same for a socket whose own task writes to the kernel.
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

    /// Wakes `waker` when the socket's own task has to go on writing.
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

    /// Asks the client for a sign of life, in front of all that is not begun: the answer must not wait
    /// until a slow client has read what others sent it. One such question at a time is enough.
    pub(super) fn push_ping(&mut self) {
        let begun = self.begun();
        if self.frames.get(begun).is_some_and(|next| next.frame.opcode() == Opcode::Ping) {
            return;
        }
        self.frames.insert(begun, Outgoing::notice(Frame::ping()));
        self.recount();
    }

    /// Adds a frame whatever the bound: for what a connection begins or ends with.
    pub fn push_unbounded(&mut self, outgoing: Outgoing) {
        if !self.frames.is_empty() {
            self.behind += cost(&outgoing);
        }
        self.frames.push_back(outgoing);
    }

    /// Adds a frame that a connection begins with, such as the answer to its handshake. It never
    /// goes to another connection. Only further ones of its kind may be in front of it.
    pub fn push_opening(&mut self, frame: Frame) {
        self.opening += 1;
        self.push_unbounded(Outgoing::notice(frame));
    }

    /// Adds what waited for the peer. It raises the bound, and goes on counting for that of all queues
    /// until this outbox was empty once.
    pub(super) fn preload(&mut self, messages: VecDeque<Outgoing>, reservation: Reservation) {
        messages.into_iter().for_each(|outgoing| self.push_unbounded(outgoing));
        self.waited = Some(reservation);
    }

    /// Whether some of what waited for the peer may still be here.
    pub(super) fn is_preloaded(&self) -> bool {
        self.waited.is_some()
    }

    fn bound(&self) -> usize {
        // Without a writer a flush only wakes the socket's own task. Until that has tried, nobody knows whether
        // the client is slow.
        let untried = self.writer.is_none() && !self.blocked;
        let limit = if untried { 2 * self.limit } else { self.limit };
        limit + self.waited.as_ref().map_or(0, Reservation::bytes)
    }

    fn overflows(&self, outgoing: &Outgoing) -> bool {
        !self.frames.is_empty() && self.behind + cost(outgoing) > self.bound()
    }

    // Frames in front that stay where they are.
    fn begun(&self) -> usize {
        usize::from(self.written > 0).max(self.opening).min(self.frames.len())
    }

    fn recount(&mut self) {
        self.behind = self.frames.iter().skip(1).map(cost).sum();
    }

    /// Whether the socket took something after it had been full, since this was asked last.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Whether progress is a sign of life: the kernel has room again because the client's TCP has acknowledged.
    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }

    /// Whether the socket took no more at the last try. It may be so with nothing left to write, because a flood
    /// has expired.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Says that the socket's own task could not write all.
    pub fn block(&mut self) {
        self.blocked |= !self.frames.is_empty();
    }

    /// Says that the socket has room again.
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

    /// The first frame that is not wholly written.
    pub fn front(&self) -> Option<&Frame> {
        self.frames.front().map(|outgoing| &outgoing.frame)
    }

    /// Room for what [`gather`](Self::gather) finds.
    pub fn slices<'a>() -> [IoSlice<'a>; GATHER] {
        [IoSlice::new(&[]); GATHER]
    }

    /// What is to be written next, for one vectored write.
    pub fn gather<'s, 'a>(&'a self, slices: &'s mut [IoSlice<'a>; GATHER]) -> &'s [IoSlice<'a>] {
        gather(&self.frames, self.written, slices)
    }

    /// Says that `count` more bytes were written by the socket's own task.
    pub fn advance(&mut self, count: usize) {
        self.note_written(count);
        if self.frames.is_empty() {
            self.emptied();
        }
    }

    /// Takes out what was not written. Unless nothing can be written any more, a frame that was
    /// begun stays, and so does what the connection begins with, so that something can still be
    /// sent behind it.
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

    /// Takes out a message that was begun, for another connection of the client. Nothing can be
    /// written behind half a message, so this one is cut off.
    pub(super) fn revoke(&mut self) -> Option<Outgoing> {
        let begun = self.written > 0 && self.frames.front().is_some_and(|first| first.kept_from().is_some());
        if !begun {
            return None;
        }
        let message = self.take_unsent(true).into_iter().next();
        self.wake_owner();
        message
    }

    /// What was begun and will never be finished now, if it must not be lost.
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
        frames.pop_front();
        if let Some(next) = frames.front() {
            *behind -= cost(next);
        }
    }
    *written = 0;
}
