//! What the threads of events and the thread that sends share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::endpoint::{Endpoints, Owner};
use super::message::{self, Names};
use super::queue::Step;
use super::queues::Queues;
use crate::clock::Clock;
use crate::config::WebhookEvent;
use crate::events::Event;
use crate::threads::Threads;

pub(super) struct Shared {
    pub(super) endpoints: Box<dyn Endpoints>,
    pub(super) names: Names,
    pub(super) clock: Clock,
    pub(super) threads: Threads,
    queues: Mutex<Queues>,
    /// Something was queued, or this ends.
    pub(super) changed: Notify,
    /// An attempt has ended.
    pub(super) settled: Notify,
    pub(super) has_ended: AtomicBool,
}

impl Shared {
    pub(super) fn new(endpoints: Box<dyn Endpoints>, names: Names, clock: Clock, threads: Threads) -> Self {
        Shared {
            endpoints,
            names,
            clock,
            threads,
            queues: Mutex::default(),
            changed: Notify::new(),
            settled: Notify::new(),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Locked for a moment: events wait for it.
    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event for all who want it. False if nobody does, or too many events wait.
    pub(super) fn queue(&self, event: &Arc<Event>) -> bool {
        let Some(kind) = message::kind(event) else { return false };
        let key = message::key(event).filter(|_| kind.is_for_its_key()).cloned().map(Owner::Key);
        let owners = std::iter::once(Owner::Operator).chain(key);
        // All of them, not only the first one.
        owners.filter(|owner| self.queue_for(owner, event, kind)).count() > 0
    }

    fn queue_for(&self, owner: &Owner, event: &Arc<Event>, kind: WebhookEvent) -> bool {
        let wants = |kind| self.endpoints.wants(owner, kind);
        let push = |step| {
            let (now, happened) = (self.clock.now(), Timestamp::now());
            self.queues().push(owner.clone(), Arc::clone(event), step, now, happened)
        };
        match &**event {
            // A pair, unless only one of the two is wanted.
            Event::PeerConnected(connected) if wants(WebhookEvent::PeerDisconnected) => {
                wants(kind) && push(Step::Begin(connected.connection))
            }
            // If the connection was announced, its end follows, whatever its owner wants by now.
            Event::PeerDisconnected(disconnected) => {
                let is_alone = || wants(kind) && !wants(WebhookEvent::PeerConnected);
                push(Step::End(disconnected.connection)) || is_alone() && push(Step::Single)
            }
            _ => wants(kind) && push(Step::Single),
        }
    }
}
