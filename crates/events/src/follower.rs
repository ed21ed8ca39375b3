//! Threads that handle events a moment after they happened, each of them only those that it wants.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::event::Event;

/// Events about clients that a subscriber may lag behind: thousands of clients may reconnect at the same
/// time.
pub(super) const CLIENT_EVENTS: usize = 8192;

/// Events about the server and its keys. They have a ring of their own, so that a flood of clients cannot
/// push an operator's action out.
pub(super) const SERVER_EVENTS: usize = 1024;

/// Time for which an event waits for others. While thousands of clients connect, waking the thread for each
/// would cost a fifth of what a connection costs.
const GATHER: Duration = Duration::from_millis(5);

/// A delivery to a subscriber.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Something happened.
    Event(Arc<Event>),
    /// The subscriber was too slow, and this many events are lost to it.
    Missed(u64),
}

impl Notice {
    /// The event; `None` if this tells of lost ones.
    pub fn event(&self) -> Option<&Event> {
        match self {
            Notice::Event(event) => Some(event),
            Notice::Missed(_) => None,
        }
    }
}

/// True for an event that a follower wants.
type Wants = dyn Fn(&Event) -> bool + Send + Sync;

/// The events that a thread has not handled yet.
pub(super) struct Follower {
    pub(super) name: String,
    wants: Box<Wants>,
    waiting: Mutex<WaitingEvents>,
    changed: Condvar,
}

#[derive(Default)]
struct WaitingEvents {
    clients: VecDeque<Arc<Event>>,
    server: VecDeque<Arc<Event>>,
    /// The number of events that were lost since the last batch.
    missed: u64,
    /// [`Event::Stopped`] was told, and not handled yet.
    is_stopping: bool,
    /// The broker is gone.
    is_over: bool,
}

impl Follower {
    pub(super) fn new(name: &str, wants: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        let wants = Box::new(wants);
        Follower { name: name.to_owned(), wants, waiting: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds an event if the follower wants it, and never waits. The oldest one is lost if too many wait.
    pub(super) fn push(&self, event: &Arc<Event>, is_about_clients: bool) {
        let is_stop = matches!(**event, Event::Stopped);
        if !is_stop && !(self.wants)(event) {
            return;
        }
        let mut waiting = self.waiting.lock();
        waiting.is_stopping |= is_stop;
        let is_idle = waiting.is_empty();
        let WaitingEvents { clients, server, missed, .. } = &mut *waiting;
        let (ring, most) = if is_about_clients { (clients, CLIENT_EVENTS) } else { (server, SERVER_EVENTS) };
        if ring.len() >= most {
            ring.pop_front();
            *missed += 1;
        }
        ring.push_back(Arc::clone(event));
        drop(waiting);
        if is_idle {
            self.changed.notify_all();
        }
    }

    /// Waits until the thread has handled [`Event::Stopped`], if it was told, or until a time.
    pub(super) fn wait_until_stopped(&self, end: Instant) {
        self.changed.wait_while_until(&mut self.waiting.lock(), |waiting| waiting.is_stopping, end);
    }

    /// Lets the thread end once it has handled what waits.
    pub(super) fn end(&self) {
        self.waiting.lock().is_over = true;
        self.changed.notify_all();
    }

    /// Waits for events, and a moment longer for those that follow; `None` once the broker is gone. The
    /// number of lost ones comes first, and events about the server and its keys before those about clients.
    pub(super) fn next(&self) -> Option<Vec<Notice>> {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() {
            // The thread has handled all that it was told.
            waiting.is_stopping = false;
            self.changed.notify_all();
        }
        self.changed.wait_while(&mut waiting, |waiting| waiting.is_empty() && !waiting.is_over);
        if waiting.is_empty() {
            return None;
        }
        MutexGuard::unlocked(&mut waiting, || std::thread::sleep(GATHER));
        let missed = std::mem::take(&mut waiting.missed);
        let WaitingEvents { clients, server, .. } = &mut *waiting;
        let events = server.drain(..).chain(clients.drain(..)).map(Notice::Event);
        let missing = (missed > 0).then_some(Notice::Missed(missed));
        Some(missing.into_iter().chain(events).collect())
    }
}

impl WaitingEvents {
    fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.server.is_empty()
    }
}
