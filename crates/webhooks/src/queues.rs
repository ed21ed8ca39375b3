//! The events of all endpoints, within bounds, and the connections that were announced to each. Pure: the
//! time and chance are parameters.
//!
//! Each connection is a pair of events. The second one is accepted exactly if the first one was, and is not
//! sent before the first one has been delivered or given up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{AddressPrefix, ApiKey, ConnId, PeerId};
use peerbroker_events::Event;

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
    /// An event that needs no other one.
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
    source: Source,
    /// Its turn among the events of all sources.
    turn: u64,
    /// The time of its next attempt.
    due: Instant,
    /// Attempts that have failed.
    pub(super) failures: usize,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The endpoint has it.
    Delivered,
    /// A later attempt may succeed: not before this pause, if the endpoint asks for one.
    Failed(Option<Duration>),
    /// No attempt will succeed.
    Hopeless,
}

/// The load of the events of an endpoint, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// The client, or the address, that has caused an event. Those of the server have neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    key: Option<ApiKey>,
    address: Option<IpAddr>,
    client: Option<PeerId>,
}

/// The events of one endpoint. Those of each source take turns.
#[derive(Default)]
struct Queue {
    /// By their turns, and their numbers.
    due: BTreeMap<(u64, u64), Delivery>,
    /// By the time at which they are due, and their numbers.
    later: BTreeMap<(Instant, u64), Delivery>,
    /// The turn that was served last.
    turn: u64,
    /// For each source the number of its events, and the last turn that it has.
    sources: HashMap<Source, (usize, u64)>,
    connections: HashMap<ConnId, Announced>,
    load: Load,
    in_flight: usize,
}

/// A connection whose beginning was accepted, until its end is.
enum Announced {
    /// The endpoint may not know of it yet. Its end waits here. Boxed: most connections last longer than
    /// that.
    NotYet(Option<Box<Delivery>>),
    /// The endpoint knows, or the event was given up.
    Settled,
}

impl Delivery {
    /// The pause before the next attempt, if there is one. `random` is from 0 to 1.
    fn pause_after(&self, outcome: Outcome, random: f64) -> Option<Duration> {
        let Outcome::Failed(asked) = outcome else { return None };
        let pause = Duration::from_secs(*RETRY_DELAYS.get(self.failures)?);
        // A quarter more or less, so that events that failed together are not repeated together.
        let pause = pause.mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0);
        Some(asked.map_or(pause, |asked| pause.max(asked.min(MAX_RETRY_AFTER))))
    }
}

impl Load {
    fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    fn subtract(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// True if there is room for one more event of a source that has some.
    fn has_room(self, bytes: usize, bound: Load, has: usize) -> bool {
        // As `Places`: a source leaves more than it has.
        bound.events.saturating_sub(self.events) > has && self.bytes.saturating_add(bytes) <= bound.bytes
    }
}

impl Queue {
    /// True if the endpoint is to be told that this connection ends.
    fn awaits_end_of(&self, connection: ConnId) -> bool {
        matches!(self.connections.get(&connection), Some(Announced::NotYet(None)) | Some(Announced::Settled))
    }

    /// Adds an event, due at once. The end of a connection must be [awaited](Self::awaits_end_of).
    fn push(&mut self, mut delivery: Delivery, now: Instant) {
        self.load.add(delivery.bytes);
        let (events, last) = self.sources.entry(delivery.source.clone()).or_default();
        *events += 1;
        *last = self.turn.max(*last + 1);
        delivery.turn = *last;
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

    /// The time at which the next event is due, if the endpoint has fewer requests than this.
    fn next_due(&self, requests: usize) -> Option<Instant> {
        if self.in_flight >= requests {
            return None;
        }
        let later = self.later.first_key_value().map(|((due, _), _)| *due);
        self.due.first_key_value().map(|(_, delivery)| delivery.due).into_iter().chain(later).min()
    }

    /// Takes the next event. [`settle`](Self::settle) takes it back.
    fn take(&mut self, until: Instant) -> Option<Delivery> {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= until) {
            let delivery = entry.remove();
            self.due.insert((delivery.turn, delivery.number), delivery);
        }
        let (_, delivery) = self.due.pop_first()?;
        self.turn = self.turn.max(delivery.turn);
        self.in_flight += 1;
        Some(delivery)
    }

    /// The events of a source.
    fn events_of(&self, source: &Source) -> usize {
        self.sources.get(source).map_or(0, |(events, _)| *events)
    }

    /// An attempt has ended. The next one is due at the time of `repeat`, if there is one.
    fn settle(&mut self, mut delivery: Delivery, repeat: Option<Instant>, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(due) = repeat {
            delivery.failures += 1;
            return self.wait(delivery, due);
        }
        self.load.subtract(delivery.bytes);
        if let Some((events, _)) = self.sources.get_mut(&delivery.source) {
            *events -= 1;
            if *events == 0 {
                self.sources.remove(&delivery.source);
            }
        }
        if let Step::Begin(connection) = delivery.step
            && let Some(Announced::NotYet(Some(end))) =
                self.connections.insert(connection, Announced::Settled)
        {
            self.connections.remove(&connection);
            self.wait(*end, now);
        }
    }

    fn wait(&mut self, mut delivery: Delivery, due: Instant) {
        delivery.due = due;
        self.later.insert((due, delivery.number), delivery);
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
    due: BTreeSet<(Instant, Consumer)>,
    load: Load,
    in_flight: usize,
    /// Everything is due, and no attempt is repeated.
    is_closing: bool,
    totals: WebhookTotals,
    last_dropped: Option<Source>,
}

impl Queues {
    #[cfg(test)]
    pub(super) fn bounded(bounds: Bounds) -> Self {
        Queues { bounds, ..Queues::default() }
    }

    /// True if the endpoint is to be told that this connection ends.
    pub(super) fn awaits_end_of(&self, consumer: &Consumer, connection: ConnId) -> bool {
        self.endpoints.get(consumer).is_some_and(|queue| queue.awaits_end_of(connection))
    }

    /// Adds an event for an endpoint. The end of a connection is accepted exactly if its beginning was, even
    /// above the bounds: so ends exceed the bounds by the number of announced connections at most. False if
    /// there is nothing more to send.
    pub(super) fn push(
        &mut self,
        consumer: Consumer,
        event: Arc<Event>,
        step: Step,
        now: Instant,
        happened: Timestamp,
    ) -> bool {
        let bytes = cost(&event);
        let source = source(&event);
        let is_accepted = match step {
            Step::End(connection) => self.awaits_end_of(&consumer, connection),
            Step::Single | Step::Begin(_) => {
                let queue = self.endpoints.get(&consumer);
                let (load, has) =
                    queue.map(|queue| (queue.load, queue.events_of(&source))).unwrap_or_default();
                load.has_room(bytes, self.bounds.endpoint, has)
                    && self.load.has_room(bytes, self.bounds.total, 0)
            }
        };
        if !is_accepted {
            self.last_dropped = Some(source);
            self.totals.dropped += match step {
                Step::Single => 1,
                // The end of this connection will not be accepted either.
                Step::Begin(_) => 2,
                Step::End(_) => 0,
            };
            return false;
        }
        self.load.add(bytes);
        self.totals.queued += 1;
        let number = self.totals.queued;
        let delivery =
            Delivery { number, event, happened, step, bytes, source, turn: 0, due: now, failures: 0 };
        self.change(&consumer, |queue| queue.push(delivery, now));
        true
    }

    /// Takes the event that has been due for the longest time. [`settle`](Self::settle) takes it back.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Consumer, Delivery)> {
        let next = self.next().filter(|(due, _)| self.is_closing || *due <= now);
        let (_, consumer) = next.cloned()?;
        let until = if self.is_closing { Instant::MAX } else { now };
        let delivery = self.change(&consumer, |queue| queue.take(until))?;
        self.in_flight += 1;
        Some((consumer, delivery))
    }

    /// An attempt has ended. `random` is from 0 to 1. True if it is repeated.
    pub(super) fn settle(
        &mut self,
        consumer: &Consumer,
        delivery: Delivery,
        outcome: Outcome,
        now: Instant,
        random: f64,
    ) -> bool {
        let bytes = delivery.bytes;
        let pause = delivery.pause_after(outcome, random).filter(|_| !self.is_closing);
        let repeat = pause.map(|pause| now + pause);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.change(consumer, |queue| queue.settle(delivery, repeat, now));
        if repeat.is_some() {
            self.totals.retried += 1;
            return true;
        }
        self.load.subtract(bytes);
        match outcome {
            Outcome::Delivered => self.totals.delivered += 1,
            Outcome::Failed(_) | Outcome::Hopeless => self.totals.failed += 1,
        }
        false
    }

    /// The time at which the next event is due that could be sent.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.next().map(|(due, _)| if self.is_closing { Instant::default() } else { *due })
    }

    fn next(&self) -> Option<&(Instant, Consumer)> {
        self.due.first().filter(|_| self.in_flight < self.bounds.total_requests)
    }

    /// Makes everything due, and ends repetitions: the server stops.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Changes the queue of an endpoint, and notes when the endpoint can get its next event.
    fn change<T>(&mut self, consumer: &Consumer, change: impl FnOnce(&mut Queue) -> T) -> T {
        let queue = self.endpoints.entry(consumer.clone()).or_default();
        let noted = queue.next_due(self.bounds.requests);
        let changed = change(queue);
        let due = queue.next_due(self.bounds.requests);
        // Nothing waits, is on its way, or will have to come.
        if queue.load.events == 0 && queue.connections.is_empty() {
            self.endpoints.remove(consumer);
        }
        if let Some(noted) = noted {
            self.due.remove(&(noted, consumer.clone()));
        }
        if let Some(due) = due {
            self.due.insert((due, consumer.clone()));
        }
        changed
    }

    /// True if events of this endpoint wait, or will have to come.
    pub(super) fn knows(&self, consumer: &Consumer) -> bool {
        self.endpoints.contains_key(consumer)
    }

    /// The source of the event that was dropped last.
    pub(super) fn last_dropped(&self) -> Option<&Source> {
        self.last_dropped.as_ref()
    }

    pub(super) fn totals(&self) -> WebhookTotals {
        WebhookTotals { waiting: self.load.events, ..self.totals }
    }
}

/// The client that calls, if an event is about a call; otherwise its address or its id.
fn source(event: &Event) -> Source {
    event.row(|row| {
        let address = row.address.map(|address| IpAddr::from(AddressPrefix::of(address).0).to_canonical());
        let caller = if let Event::PeerWanted { from, .. } = event { Some(from) } else { row.id };
        Source { key: row.key.cloned(), address, client: caller.filter(|_| address.is_none()).cloned() }
    })
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, &self.client) {
            (Some(address), _) => write!(f, "{address}"),
            (None, Some(client)) => write!(f, "the client {client:?}"),
            (None, None) => write!(f, "the server"),
        }?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, " of the key {key:?}"))
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
