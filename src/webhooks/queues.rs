//! The events of all endpoints, within bounds, and the connections that were announced to each. Pure: the time and chance are
//! parameters.
//!
//! Each connection is a pair of events. The second one is accepted exactly if the first one was, and is not sent before the
//! first one has been delivered or given up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::millis;
use crate::events::Event;
use crate::wire::{ApiKey, ConnId, PeerId};

/// The pauses before each further attempt, in seconds.
const RETRY_DELAYS: &[u64] = &[5, 30, 2 * 60, 10 * 60, 30 * 60, 60 * 60, 2 * 60 * 60];

/// The longest pause that a receiver may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// A receiver of events. The URL of its endpoint and its secrets may change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Consumer {
    /// The operator: events of all keys, and of the server.
    Operator,
    /// A key: events of its own clients.
    Key(ApiKey),
}

/// The role of an event for its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It needs no other event.
    Single,
    /// A connection begins.
    Begin(ConnId),
    /// The connection ends.
    End(ConnId),
}

/// An event on its way to an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// Never used twice.
    pub(super) number: u64,
    pub(super) event: Arc<Event>,
    pub(super) happened: Timestamp,
    pub(super) step: Step,
    /// Bytes that it costs to keep it.
    pub(super) bytes: usize,
    /// Attempts that have failed.
    pub(super) failures: usize,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The endpoint has it.
    Delivered,
    /// It may succeed later: not before this pause, if the endpoint asks for one.
    Failed(Option<Duration>),
    /// No attempt will succeed.
    Hopeless,
}

/// The state of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Delivered,
    Again,
    GivenUp,
}

/// The load of the events of an endpoint, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// The events of one endpoint.
#[derive(Default)]
pub(super) struct Queue {
    /// By the time at which they are due, and their number.
    waiting: BTreeMap<(u64, u64), Delivery>,
    connections: HashMap<ConnId, Announced>,
    pub(super) load: Load,
    pub(super) in_flight: usize,
    /// The time at which this queue is sorted among those with work.
    pub(super) listed: Option<u64>,
}

/// A connection whose beginning was accepted, until its end is.
enum Announced {
    /// The endpoint may not know of it yet. Its end waits here. Boxed: most connections last longer than that.
    NotYet(Option<Box<Delivery>>),
    /// The endpoint knows, or the event was given up.
    Settled,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    pub(super) fn subtract(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn has_room(self, bytes: usize, bound: Load) -> bool {
        self.events < bound.events && self.bytes.saturating_add(bytes) <= bound.bytes
    }
}

impl Queue {
    /// True if the endpoint is to be told that this connection ends.
    fn awaits_end_of(&self, connection: ConnId) -> bool {
        matches!(self.connections.get(&connection), Some(Announced::NotYet(None)) | Some(Announced::Settled))
    }

    /// Adds an event, due at once. The end of a connection must be [awaited](Self::awaits_end_of).
    fn push(&mut self, delivery: Delivery, now: u64) {
        self.load.add(delivery.bytes);
        match delivery.step {
            Step::Single => {}
            Step::Begin(connection) => {
                self.connections.insert(connection, Announced::NotYet(None));
            }
            Step::End(connection) => {
                if let Some(Announced::NotYet(end)) = self.connections.get_mut(&connection) {
                    *end = Some(Box::new(delivery));
                    return;
                }
                self.connections.remove(&connection);
            }
        }
        self.wait(delivery, now);
    }

    /// The time at which the next event is due.
    fn next_due(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes the next event if it is due. [`settle`](Self::settle) takes it back.
    fn take(&mut self, now: u64) -> Option<Delivery> {
        let first = self.waiting.first_entry().filter(|first| first.key().0 <= now)?;
        self.in_flight += 1;
        Some(first.remove())
    }

    /// An attempt has ended. `random` is from 0 to 1. The `last` attempt is never repeated.
    fn settle(
        &mut self,
        mut delivery: Delivery,
        outcome: Outcome,
        last: bool,
        now: u64,
        random: f64,
    ) -> Settled {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Outcome::Failed(asked) = outcome
            && !last
            && let Some(pause) = RETRY_DELAYS.get(delivery.failures)
        {
            // A quarter more or less, so that events that failed together are not repeated together.
            let pause = Duration::from_secs(*pause).mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0);
            let pause = asked.map_or(pause, |asked| pause.max(asked.min(MAX_RETRY_AFTER)));
            delivery.failures += 1;
            self.wait(delivery, now.saturating_add(millis(pause)));
            return Settled::Again;
        }
        self.load.subtract(delivery.bytes);
        if let Step::Begin(connection) = delivery.step
            && let Some(Announced::NotYet(Some(end))) =
                self.connections.insert(connection, Announced::Settled)
        {
            self.connections.remove(&connection);
            self.wait(*end, now);
        }
        if outcome == Outcome::Delivered { Settled::Delivered } else { Settled::GivenUp }
    }

    /// Makes everything due now.
    fn hurry(&mut self, now: u64) {
        for (_, delivery) in std::mem::take(&mut self.waiting) {
            self.wait(delivery, now);
        }
    }

    /// True if nothing waits, is on its way, or will have to come.
    fn is_unused(&self) -> bool {
        self.load.events == 0 && self.connections.is_empty()
    }

    fn wait(&mut self, delivery: Delivery, due: u64) {
        self.waiting.insert((due, delivery.number), delivery);
    }
}

/// Bounds of the waiting events, and of the requests that run at the same time.
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

/// Totals of events for webhooks since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookStats)]
pub struct WebhookTotals {
    /// Events that wait or are on their way now.
    pub waiting: usize,
    /// Events that were queued.
    pub queued: u64,
    /// Events that an endpoint has taken.
    pub delivered: u64,
    /// Events that were given up.
    pub failed: u64,
    /// Events that were not queued, because too many waited.
    pub dropped: u64,
    /// Attempts that failed and are repeated.
    pub retried: u64,
}

/// The events of all endpoints.
#[derive(Default)]
pub(super) struct Queues {
    bounds: Bounds,
    endpoints: HashMap<Consumer, Queue>,
    /// Endpoints that have something to send and room for a request, by the time at which it is due.
    due: BTreeSet<(u64, Consumer)>,
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

    /// Adds an event for an endpoint. The end of a connection is accepted exactly if its beginning was, even above the bounds: so
    /// ends exceed the bounds by the number of announced connections at most. False if there is nothing more to send.
    pub(super) fn push(
        &mut self,
        consumer: Consumer,
        event: Arc<Event>,
        step: Step,
        now: u64,
        happened: Timestamp,
    ) -> bool {
        let bytes = cost(&event);
        match step {
            Step::End(connection) => {
                let queue = self.endpoints.get(&consumer);
                if !queue.is_some_and(|queue| queue.awaits_end_of(connection)) {
                    return false;
                }
            }
            Step::Single | Step::Begin(_) => {
                let load = self.endpoints.get(&consumer).map(|queue| queue.load).unwrap_or_default();
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
        self.endpoints.entry(consumer.clone()).or_default().push(delivery, now);
        self.list(&consumer);
        self.load.add(bytes);
        self.totals.queued += 1;
        true
    }

    /// Takes the event that has been due for the longest time. [`settle`](Self::settle) takes it back.
    pub(super) fn take(&mut self, now: u64) -> Option<(Consumer, Delivery)> {
        if self.in_flight >= self.bounds.total_requests {
            return None;
        }
        let consumer = self.due.first().map(|(_, consumer)| consumer.clone())?;
        let delivery = self.endpoints.get_mut(&consumer)?.take(now)?;
        self.list(&consumer);
        self.in_flight += 1;
        Some((consumer, delivery))
    }

    /// An attempt has ended. `random` is from 0 to 1.
    pub(super) fn settle(
        &mut self,
        consumer: &Consumer,
        delivery: Delivery,
        outcome: Outcome,
        now: u64,
        random: f64,
    ) -> Settled {
        let Some(queue) = self.endpoints.get_mut(consumer) else { return Settled::GivenUp };
        let bytes = delivery.bytes;
        let settled = queue.settle(delivery, outcome, self.is_closing, now, random);
        let is_unused = queue.is_unused();
        self.list(consumer);
        if is_unused {
            self.endpoints.remove(consumer);
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

    /// The time at which the next event is due that could be sent.
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
        let consumers: Vec<Consumer> = self.endpoints.keys().cloned().collect();
        consumers.iter().for_each(|consumer| self.list(consumer));
    }

    /// Notes when an endpoint can get its next event.
    fn list(&mut self, consumer: &Consumer) {
        let Some(queue) = self.endpoints.get_mut(consumer) else { return };
        let due = queue.next_due().filter(|_| queue.in_flight < self.bounds.requests);
        let listed = std::mem::replace(&mut queue.listed, due);
        if listed == due {
            return;
        }
        if let Some(listed) = listed {
            self.due.remove(&(listed, consumer.clone()));
        }
        if let Some(due) = due {
            self.due.insert((due, consumer.clone()));
        }
    }

    /// True if events of this endpoint wait, or will have to come.
    pub(super) fn knows(&self, consumer: &Consumer) -> bool {
        self.endpoints.contains_key(consumer)
    }

    pub(super) fn totals(&self) -> WebhookTotals {
        WebhookTotals { waiting: self.load.events, ..self.totals }
    }
}

/// The bytes that it costs to keep an event: its texts, and the structures around it.
fn cost(event: &Event) -> usize {
    const STRUCTURES: usize = 512;
    event.row(|row| {
        let subject = [row.key.map(ApiKey::as_str), row.id.map(PeerId::as_str)];
        let fields = row.fields.iter().chain(row.data).filter_map(|(_, value)| value.to_borrowed_str());
        STRUCTURES + subject.into_iter().flatten().chain(fields).map(str::len).sum::<usize>()
    })
}

#[cfg(test)]
mod tests;
