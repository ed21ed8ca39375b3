//! The events of all endpoints, within bounds. Pure: the time and chance are parameters.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::endpoint::Owner;
use super::queue::{Delivery, Load, Outcome, Queue, Settled, Step};
use crate::events::{ClusterEvent, Event, KeyEvent, PeerAddress};

/// What may wait, and how many requests run at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of one endpoint.
    pub(super) endpoint: Load,
    /// Of all endpoints.
    pub(super) total: Load,
    /// Requests to one endpoint.
    pub(super) requests: usize,
    /// Requests to all endpoints.
    pub(super) total_requests: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            endpoint: Load { events: 10_000, bytes: 8 << 20 },
            total: Load { events: 100_000, bytes: 64 << 20 },
            requests: 16,
            total_requests: 256,
        }
    }
}

/// What became of the events for webhooks since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookTotals {
    /// Events that wait or are on their way.
    pub waiting: usize,
    /// Events that were accepted.
    pub queued: u64,
    /// Events that an endpoint has taken.
    pub delivered: u64,
    /// Events that were given up.
    pub failed: u64,
    /// Events that were not accepted, because too many waited.
    pub dropped: u64,
    /// Attempts that failed and are repeated.
    pub retried: u64,
}

/// The events of all endpoints.
#[derive(Default)]
pub(super) struct Queues {
    bounds: Bounds,
    endpoints: HashMap<Owner, Queue>,
    /// Endpoints that have something to send and room for a request, by the time at which it is due.
    due: BTreeSet<(u64, Owner)>,
    load: Load,
    in_flight: usize,
    last_number: u64,
    /// No attempt is repeated.
    is_closing: bool,
    totals: WebhookTotals,
}

impl Queues {
    #[cfg(test)]
    pub(super) fn bounded(bounds: Bounds) -> Self {
        Queues { bounds, ..Queues::default() }
    }

    /// Adds an event for an endpoint. The end of a connection is accepted exactly if its beginning was, whatever waits: so
    /// ends exceed the bounds by the number of announced connections at most. False if there is nothing more to send.
    pub(super) fn push(
        &mut self,
        owner: Owner,
        event: Arc<Event>,
        step: Step,
        now: u64,
        happened: Timestamp,
    ) -> bool {
        let bytes = cost(&event);
        match step {
            Step::End(connection) => {
                let queue = self.endpoints.get(&owner);
                if !queue.is_some_and(|queue| queue.awaits_end_of(connection)) {
                    return false;
                }
            }
            Step::Single | Step::Begin(_) => {
                let load = self.endpoints.get(&owner).map(|queue| queue.load).unwrap_or_default();
                if !(load.has_room(bytes, self.bounds.endpoint)
                    && self.load.has_room(bytes, self.bounds.total))
                {
                    // The end of this connection will not be accepted either.
                    self.totals.dropped += if step == Step::Single { 1 } else { 2 };
                    return false;
                }
            }
        }
        self.last_number += 1;
        let number = self.last_number;
        let delivery = Delivery { number, event, happened, step, bytes, failures: 0 };
        self.endpoints.entry(owner.clone()).or_default().push(delivery, now);
        self.list(&owner);
        self.load.add(bytes);
        self.totals.queued += 1;
        true
    }

    /// Takes the event that has been due for the longest time. [`settle`](Self::settle) takes it back.
    pub(super) fn take(&mut self, now: u64) -> Option<(Owner, Delivery)> {
        if self.in_flight >= self.bounds.total_requests {
            return None;
        }
        let owner = self.due.first().map(|(_, owner)| owner.clone())?;
        let delivery = self.endpoints.get_mut(&owner)?.take(now)?;
        self.list(&owner);
        self.in_flight += 1;
        Some((owner, delivery))
    }

    /// An attempt has ended. `random` is from 0 to 1.
    pub(super) fn settle(
        &mut self,
        owner: &Owner,
        delivery: Delivery,
        outcome: Outcome,
        now: u64,
        random: f64,
    ) -> Settled {
        let Some(queue) = self.endpoints.get_mut(owner) else { return Settled::GivenUp };
        let bytes = delivery.bytes;
        let settled = queue.settle(delivery, outcome, self.is_closing, now, random);
        let is_unused = queue.is_unused();
        self.list(owner);
        if is_unused {
            self.endpoints.remove(owner);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        match settled {
            Settled::Again => {
                self.totals.retried += 1;
                return settled;
            }
            Settled::Delivered => self.totals.delivered += 1,
            Settled::GivenUp => self.totals.failed += 1,
        }
        self.load.subtract(bytes);
        settled
    }

    /// When the next event is due that could be sent.
    pub(super) fn next_due(&self) -> Option<u64> {
        if self.in_flight >= self.bounds.total_requests {
            return None;
        }
        self.due.first().map(|(due, _)| *due)
    }

    /// Makes everything due, and ends repetitions: the server stops.
    pub(super) fn close(&mut self, now: u64) {
        self.is_closing = true;
        self.endpoints.values_mut().for_each(|queue| queue.hurry(now));
        let owners: Vec<Owner> = self.endpoints.keys().cloned().collect();
        owners.iter().for_each(|owner| self.list(owner));
    }

    /// Notes when an endpoint can get its next event.
    fn list(&mut self, owner: &Owner) {
        let Some(queue) = self.endpoints.get_mut(owner) else { return };
        let due = queue.next_due().filter(|_| queue.in_flight < self.bounds.requests);
        let listed = std::mem::replace(&mut queue.listed, due);
        if listed == due {
            return;
        }
        if let Some(listed) = listed {
            self.due.remove(&(listed, owner.clone()));
        }
        if let Some(due) = due {
            self.due.insert((due, owner.clone()));
        }
    }

    /// Whether events of this endpoint wait, or will have to come.
    pub(super) fn knows(&self, owner: &Owner) -> bool {
        self.endpoints.contains_key(owner)
    }

    pub(super) fn totals(&self) -> WebhookTotals {
        WebhookTotals { waiting: self.load.events, ..self.totals }
    }
}

impl Load {
    fn has_room(self, bytes: usize, bound: Load) -> bool {
        self.events < bound.events && self.bytes.saturating_add(bytes) <= bound.bytes
    }
}

/// What it costs to keep an event: its texts, and the structures around it.
fn cost(event: &Event) -> usize {
    const STRUCTURES: usize = 512;
    let of_peer = |peer: &PeerAddress| peer.key.as_str().len() + peer.id.as_str().len();
    let text = match event {
        Event::PeerConnected(connected) => of_peer(&connected.peer),
        Event::PeerDisconnected(disconnected) => of_peer(&disconnected.peer),
        Event::PeerKicked { peer, .. } => of_peer(peer),
        Event::Key { key, what: KeyEvent::Created(_, json) | KeyEvent::Changed(_, json) } => {
            key.as_str().len() + json.len()
        }
        Event::Key { key, .. } => key.as_str().len(),
        Event::CertificateLoaded { path } => path.len(),
        Event::Cluster { what: ClusterEvent::Unreachable { why } } => why.len(),
        _ => 0,
    };
    STRUCTURES + text
}

#[cfg(test)]
mod tests;
