use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::Waker;

use super::types::PeerId;
use crate::frame::Frame;

/// The end of a socket that any thread may write to.
pub trait Writer: Send {
    /// Writes as much as the kernel takes at once, and never waits: a full socket is
    /// [`io::ErrorKind::WouldBlock`].
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A frame on its way to a client.
#[derive(Debug)]
pub struct Outgoing {
    /// What goes out.
    pub frame: Frame,
    /// The sender of a message that must not be lost: it is kept for the client's next connection
    /// if this one dies before the frame was written. `None` is a notice that dies with it, unless
    /// the same client takes over.
    pub from: Option<PeerId>,
}

// What a frame costs beside its bytes, so that many tiny ones are bounded as well.
const OVERHEAD: usize = 64;

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
    // What the bound is raised by until the outbox was empty once: what waited for the peer.
    allowance: usize,
    writer: Option<Box<dyn Writer>>,
    owner: Option<Waker>,
    flush_promised: bool,
    broken: bool,
}

/// The bound would be exceeded: the client does not read.
#[derive(Debug)]
pub(crate) struct Full(pub(crate) Outgoing);

impl Outbox {
    /// An empty outbox that holds at most `limit` bytes beyond the frame that is being written.
    pub fn new(limit: usize, writer: Option<Box<dyn Writer>>) -> Self {
        Outbox { limit, writer, ..Outbox::default() }
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

    pub(crate) fn wake_owner(&self) {
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }

    /// Adds a frame, unless the bound is reached even after a flush.
    pub(crate) fn push(&mut self, outgoing: Outgoing) -> Result<(), Full> {
        if self.overflows(&outgoing) {
            self.flush();
            if self.overflows(&outgoing) {
                return Err(Full(outgoing));
            }
        }
        self.push_unbounded(outgoing);
        Ok(())
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
        self.push_unbounded(Outgoing { frame, from: None });
    }

    /// Adds what waited for the peer. It has a bound of its own and does not count for this one.
    pub(crate) fn preload(&mut self, waited: impl IntoIterator<Item = Outgoing>) {
        for outgoing in waited {
            self.allowance += cost(&outgoing);
            self.push_unbounded(outgoing);
        }
    }

    fn overflows(&self, outgoing: &Outgoing) -> bool {
        !self.frames.is_empty() && self.behind + cost(outgoing) > self.limit + self.allowance
    }

    /// Whether the caller has to flush: true once per flush.
    pub(crate) fn wants_flush(&mut self) -> bool {
        !std::mem::replace(&mut self.flush_promised, true)
    }

    /// Writes what the socket takes now.
    pub fn flush(&mut self) {
        self.flush_promised = false;
        let Some(writer) = &mut self.writer else {
            self.wake_owner();
            return;
        };
        while !self.frames.is_empty() && !self.broken {
            let mut slices = Self::slices();
            match writer.write(gather(&self.frames, self.written, &mut slices)) {
                Ok(0) => self.broken = true,
                Ok(count) => {
                    let left = self.frames.len();
                    advance(&mut self.frames, &mut self.written, &mut self.behind, count);
                    self.opening = self.opening.saturating_sub(left - self.frames.len());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
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
        self.allowance = 0;
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
        let left = self.frames.len();
        advance(&mut self.frames, &mut self.written, &mut self.behind, count);
        self.opening = self.opening.saturating_sub(left - self.frames.len());
        if self.frames.is_empty() {
            self.emptied();
        }
    }

    /// Takes out what was not written. Unless nothing can be written any more, a frame that was
    /// begun stays, and so does what the connection begins with, so that something can still be
    /// sent behind it.
    pub(crate) fn take_unsent(&mut self, dead: bool) -> Vec<Outgoing> {
        if dead {
            self.broken = true;
            (self.written, self.opening) = (0, 0);
        }
        let begun = usize::from(self.written > 0).max(self.opening).min(self.frames.len());
        let unsent = self.frames.drain(begun..).collect();
        self.behind = self.frames.iter().skip(1).map(cost).sum();
        unsent
    }

    /// Takes out a message that was begun, for another connection of the client. Nothing can be
    /// written behind half a message, so this one is cut off.
    pub(crate) fn revoke(&mut self) -> Option<Outgoing> {
        let begun = self.written > 0 && self.frames.front().is_some_and(|first| first.from.is_some());
        if !begun {
            return None;
        }
        let message = self.take_unsent(true).into_iter().next();
        self.wake_owner();
        message
    }

    /// What was begun and will never be finished now, if it must not be lost.
    pub(crate) fn take_undelivered(&mut self) -> Vec<Outgoing> {
        let mut undelivered = self.take_unsent(true);
        undelivered.retain(|outgoing| outgoing.from.is_some());
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
