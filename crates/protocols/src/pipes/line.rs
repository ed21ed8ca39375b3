//! The sending direction of one connection of a pipe.

use std::io;
use std::mem;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{CloseReason, ConnId, Frame};
use peerbroker_router::{Outbox, Outgoing};

/// The sending direction of one connection. The other end of the pipe fills it, and reads no more until it is
/// written.
pub(super) struct Line {
    /// Tells it from all others.
    pub(super) number: ConnId,
    state: Mutex<LineState>,
}

struct LineState {
    outbox: Outbox,
    /// The connection's own task.
    task: Option<Waker>,
    /// The reason for which the broker ends the connection.
    dismissed: Option<CloseReason>,
    /// The connection has got a part of a message: nothing but the rest may follow.
    is_within_message: bool,
    /// The other end waits until all is written.
    is_awaited: bool,
    /// The time since which something waits to be written.
    full_since: Option<Instant>,
    /// The time at which something came from the connection.
    heard: Instant,
}

/// The result of a write to a connection.
pub(super) enum Written {
    /// All. True if the other end waits for that.
    All(bool),
    /// A part: the socket is full.
    Some,
    /// The connection is broken.
    Broken,
    /// The broker ends it.
    Dismissed(CloseReason),
}

impl LineState {
    /// Adds a frame, and writes what the socket takes.
    fn push(&mut self, frame: Frame, now: Instant) {
        self.outbox.push_unbounded(Outgoing::notice(frame));
        self.outbox.flush();
        if self.outbox.is_empty() {
            self.full_since = None;
        } else {
            self.full_since.get_or_insert(now);
        }
    }
}

impl Line {
    pub(super) fn new(number: ConnId, outbox: Outbox, now: Instant) -> Self {
        let state = LineState {
            outbox,
            task: None,
            dismissed: None,
            is_within_message: false,
            is_awaited: false,
            full_since: None,
            heard: now,
        };
        Line { number, state: Mutex::new(state) }
    }

    /// Lets the connection's own task write with `send`. From now on it is woken when there is something to
    /// do.
    pub(super) fn write(
        &self,
        cx: &mut Context<'_>,
        send: impl FnOnce(&mut Context<'_>, &mut Outbox) -> Poll<io::Result<()>>,
    ) -> Written {
        let state = &mut *self.state.lock();
        if let Some(reason) = state.dismissed {
            return Written::Dismissed(reason);
        }
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        state.outbox.set_task(cx.waker());
        match send(cx, &mut state.outbox) {
            Poll::Ready(Ok(())) => {
                state.full_since = None;
                Written::All(mem::take(&mut state.is_awaited))
            }
            Poll::Ready(Err(_)) => Written::Broken,
            Poll::Pending => {
                state.outbox.block();
                Written::Some
            }
        }
    }

    /// True if all is written. Otherwise the other end waits, and has to be woken.
    pub(super) fn has_room(&self) -> bool {
        let state = &mut *self.state.lock();
        state.is_awaited = !state.outbox.is_empty();
        !state.is_awaited
    }

    /// Adds messages of the other end, of which the last one may not be whole.
    pub(super) fn pass(&self, frames: Frame, is_within_message: bool, now: Instant) {
        let state = &mut *self.state.lock();
        state.is_within_message = is_within_message;
        state.push(frames, now);
    }

    /// Tells the page something, and wakes the connection's own task. If the page has half a message whose
    /// rest will not come, its connection is over: it comes back.
    pub(super) fn tell(&self, text: &str, now: Instant) {
        let state = &mut *self.state.lock();
        if state.is_within_message {
            state.dismissed.get_or_insert(CloseReason::PipeBroken);
        } else {
            state.push(Frame::of_text(text), now);
        }
        if let Some(task) = &state.task {
            task.wake_by_ref();
        }
    }

    /// Adds the close frame. The connection's own task writes it.
    pub(super) fn push_last(&self, close: Frame) {
        self.state.lock().outbox.push_unbounded(Outgoing::notice(close));
    }

    /// Adds a frame that nobody misses, unless something waits already.
    pub(super) fn push_if_idle(&self, frame: Frame) {
        let state = &mut *self.state.lock();
        if state.outbox.is_empty() {
            state.outbox.push_unbounded(Outgoing::notice(frame));
            state.outbox.flush();
        }
    }

    /// Wakes the connection's own task.
    pub(super) fn wake(&self) {
        let task = self.state.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Ends the connection, unless it ends already.
    pub(super) fn dismiss(&self, reason: CloseReason) {
        self.state.lock().dismissed.get_or_insert(reason);
        self.wake();
    }

    pub(super) fn hear(&self, now: Instant) {
        self.state.lock().heard = now;
    }

    pub(super) fn heard(&self) -> Instant {
        self.state.lock().heard
    }

    pub(super) fn full_since(&self) -> Option<Instant> {
        self.state.lock().full_since
    }

    /// Does something with the outbox of a connection that ends.
    pub(super) fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> R {
        act(&mut self.state.lock().outbox)
    }

    /// Drops the outbox, and with it the writer: what waits is lost.
    pub(super) fn end(&self) {
        let state = &mut *self.state.lock();
        state.outbox = Outbox::default();
        state.task = None;
    }
}
