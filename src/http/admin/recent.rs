//! The newest events, for the streams of `/api/live`, and the last calls that have failed.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::runtime::mistake_words;
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::AddressPrefix;
use peerbroker_events::{CallFailure, CallPeers, Event, Events, Notice};
use peerbroker_limits::giving_way;

/// The newest events, which are kept. A message has no others.
const MAX_EVENTS: usize = 100;

/// Calls that are kept after they have failed.
const MAX_FAILED_CALLS: usize = 20;

/// Refusals that are kept of clients that named an id: a flood of other events does not push them out.
const MAX_REFUSALS: usize = 500;

/// An event. Strings in it come from strangers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveEvent {
    /// The kind: `connected`, `disconnected`, `refused`, `mistake`, `kicked`, `expired`, `room_joined`,
    /// `room_left`, `relayed`, `call_failed`, `connection_failed`, `limit`, `key_added`, `key_changed`,
    /// `key_removed`, `keys_changed`, `key_full`, `banned`, `unbanned`, `allocation_ended`, `certificate`,
    /// `reloaded`, `reload_failed`, `log_filter`, `cluster` or `stopping`.
    kind: &'static str,
    /// The key that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The id of the peer that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The id of the peer that called, of an event about a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    /// The id of the peer that it called.
    #[serde(skip_serializing_if = "Option::is_none")]
    callee: Option<String>,
    /// The address of the client or operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The origin of the client's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// The reason, or more: the label of a reason or limit, the name of a room, file or node, or a mistake,
    /// to be read after "a client".
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Seconds since it happened.
    ago: u64,
}

impl LiveEvent {
    fn of(event: &Event, ago: u64) -> Self {
        event.row(|row| LiveEvent {
            kind: row.live,
            key: row.key.map(|key| key.as_str().to_owned()),
            id: row.id.map(|id| id.as_str().to_owned()),
            caller: row.call.map(|[caller, _]| caller.as_str().to_owned()),
            callee: row.call.map(|[_, callee]| callee.as_str().to_owned()),
            address: row.address.map(|address| address.to_string()),
            origin: row.origin.map(str::to_owned),
            reason: row.reason.map(ToString::to_string).or_else(|| mistake_words(event)),
            ago,
        })
    }
}

/// A call that has failed. Its ids come from strangers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailedCall {
    /// The key of its peers.
    key: String,
    /// The id of the peer that called.
    caller: String,
    /// The id of the peer that it called.
    callee: String,
    /// The reason: `caller_absent`, `callee_absent`, `both_absent`, `address` or `limit`.
    reason: &'static str,
    /// Seconds since the relay forgot it.
    ago: u64,
}

/// Adds an entry to the newest ones, of which `most` are kept.
pub(super) fn push<T>(newest: &mut VecDeque<T>, entry: T, most: usize) {
    if newest.len() >= most {
        newest.pop_front();
    }
    newest.push_back(entry);
}

/// The newest events, for all readers.
pub(super) struct Recent {
    clock: Clock,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    /// The oldest first, each with the time at which it happened.
    events: VecDeque<(Instant, Arc<Event>)>,
    /// Calls that have failed, in the same way. The oldest goes of the caller with the most.
    failed_calls: VecDeque<(Instant, CallPeers, CallFailure)>,
    /// Clients that were refused and had named an id, or whose address was refused, in the same way. The
    /// oldest goes of the address with the most.
    refusals: VecDeque<(Instant, Arc<Event>)>,
    /// The number of events since the start, including those that were lost or have left the ring.
    total: u64,
}

impl Ring {
    /// True for a refused client that had named an id, or whose address was refused. The connections of one
    /// address that follow each other count once, so that they push out nothing.
    fn is_refusal_to_keep(&self, event: &Event) -> bool {
        let address = match event {
            Event::Refused(refused) => return refused.id.is_some(),
            Event::TurnedAway(away) if away.id.is_some() => return true,
            Event::TurnedAway(away) => away.address,
            _ => return false,
        };
        let last = self.refusals.back().map(|(_, last)| &**last);
        !matches!(last, Some(Event::TurnedAway(last)) if last.id.is_none() && last.address == address)
    }
}

impl Recent {
    /// An empty ring. [`Recent::follow`] fills it.
    pub(super) fn new(clock: Clock) -> Self {
        Recent { clock, ring: Mutex::default() }
    }

    /// Keeps all later events that are news to operators.
    pub(super) fn follow(self: &Arc<Self>, events: &Events) {
        let recent = Arc::clone(self);
        if let Err(error) = events.follow("dashboard", move |notices| recent.add(notices)) {
            log::error!("cannot start the thread that keeps events, so the dashboard shows none: {error}");
        }
    }

    pub(super) fn add(&self, notices: &[Notice]) {
        let now = self.clock.now();
        let mut ring = self.ring.lock();
        for notice in notices {
            match notice {
                Notice::Event(event) if event.row(|row| row.live.is_empty()) => {}
                Notice::Event(event) => {
                    if let Event::CallFailed { call, why } = &**event {
                        let calls = &mut ring.failed_calls;
                        if calls.len() >= MAX_FAILED_CALLS {
                            let at = giving_way(calls.iter().map(|(_, call, _)| (&call.key, &call.caller)));
                            at.and_then(|at| calls.remove(at));
                        }
                        calls.push_back((now, call.clone(), *why));
                    }
                    if ring.is_refusal_to_keep(event) {
                        let refusals = &mut ring.refusals;
                        if refusals.len() >= MAX_REFUSALS {
                            let of = |(_, event): &(_, Arc<Event>)| event.row(|row| row.address);
                            let at = giving_way(refusals.iter().map(|one| AddressPrefix::of_remote(of(one))));
                            at.and_then(|at| refusals.remove(at));
                        }
                        refusals.push_back((now, Arc::clone(event)));
                    }
                    ring.total += 1;
                    push(&mut ring.events, (now, Arc::clone(event)), MAX_EVENTS);
                }
                Notice::Missed(missed) => ring.total += missed,
            }
        }
    }

    /// The events after the first `seen`: those that are kept, and the number of the other ones. All of them
    /// are seen then.
    pub(super) fn since(&self, seen: &mut u64) -> (Vec<LiveEvent>, u64) {
        let now = self.clock.now();
        let ring = self.ring.lock();
        let new = ring.total.saturating_sub(*seen);
        *seen = ring.total;
        let kept = ring.events.len() as u64;
        let ago = |at: Instant| now.millis_since(at) / 1000;
        let events = ring.events.iter().skip(kept.saturating_sub(new) as usize);
        let events: Vec<_> = events.map(|(at, event)| LiveEvent::of(event, ago(*at))).collect();
        let skipped = new.saturating_sub(events.len() as u64);
        (events, skipped)
    }

    /// The last refusals of clients whose id or address fits, the latest first.
    pub(super) fn refusals(
        &self,
        fits: impl Fn(&str, Option<IpAddr>) -> bool,
        most: usize,
    ) -> Vec<LiveEvent> {
        let now = self.clock.now();
        let ring = self.ring.lock();
        let is_wanted =
            |event: &Event| event.row(|row| fits(row.id.map_or("", |id| id.as_str()), row.address));
        let found = ring.refusals.iter().rev().filter(|(_, event)| is_wanted(event)).take(most);
        found.map(|(at, event)| LiveEvent::of(event, now.millis_since(*at) / 1000)).collect()
    }

    /// The last calls that have failed, the latest first.
    pub(super) fn failed_calls(&self) -> Vec<FailedCall> {
        let now = self.clock.now();
        let ring = self.ring.lock();
        let shown = |(at, CallPeers { key, caller, callee, .. }, why): &(Instant, CallPeers, CallFailure)| {
            FailedCall {
                key: key.as_str().to_owned(),
                caller: caller.as_str().to_owned(),
                callee: callee.as_str().to_owned(),
                reason: why.label(),
                ago: now.millis_since(*at) / 1000,
            }
        };
        ring.failed_calls.iter().rev().map(shown).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use peerbroker_core::vocabulary::{ApiKey, HandshakeRefusal, Limit, PeerId, RealmKind};
    use peerbroker_events::TurnedAway;

    pub(in super::super) fn happen(recent: &Recent, times: usize) {
        let event = Arc::new(Event::LimitHit { limit: Limit::RoomCodes, key: None, address: None });
        recent.add(&vec![Notice::Event(event); times]);
    }

    #[test]
    fn a_flood_of_events_is_cut_to_the_newest_and_counted() {
        let recent = Recent::new(Clock::manual());
        let mut seen = 0;
        happen(&recent, MAX_EVENTS + 7);
        recent.add(&[Notice::Missed(3), Notice::Event(Arc::new(Event::Stopped))]);
        let (happened, skipped) = recent.since(&mut seen);
        assert_eq!((happened.len(), skipped), (MAX_EVENTS, 10));
        let (happened, skipped) = recent.since(&mut seen);
        assert_eq!((happened.len(), skipped), (0, 0));
        happen(&recent, 2);
        assert_eq!(recent.since(&mut seen).0.len(), 2);
    }

    #[test]
    fn an_address_pushes_out_its_own_refusals_only() {
        let recent = Recent::new(Clock::manual());
        let refuse = |last: u8| {
            let id = PeerId::parse("a").ok();
            let address = Some([192, 0, 2, last].into());
            let away = TurnedAway { why: HandshakeRefusal::NotFound, key: None, id, address };
            recent.add(&[Notice::Event(Arc::new(Event::TurnedAway(Box::new(away))))]);
        };
        [1, 2].into_iter().chain([3; 2 * MAX_REFUSALS]).for_each(refuse);
        let kept =
            |last: u8| recent.refusals(|_, address| address == Some([192, 0, 2, last].into()), 1000).len();
        assert_eq!([1, 2, 3].map(kept), [1, 1, MAX_REFUSALS - 2]);
    }

    #[test]
    fn the_last_failed_calls_outlive_a_flood_of_events_and_the_latest_is_first() {
        let recent = Recent::new(Clock::manual());
        for number in 0..MAX_FAILED_CALLS + 1 {
            let id = |name: &str| PeerId::parse(&format!("{name}{number}")).unwrap();
            let key = ApiKey::parse("k").unwrap();
            let realm = RealmKind::PeerJs;
            let call = CallPeers { key, realm, caller: id("a"), callee: id("b") };
            let event = Event::CallFailed { call, why: CallFailure::CalleeAbsent };
            recent.add(&[Notice::Event(Arc::new(event))]);
        }
        happen(&recent, MAX_EVENTS);
        let failed = recent.failed_calls();
        assert_eq!(failed.len(), MAX_FAILED_CALLS);
        assert_eq!(
            (&*failed[0].caller, &*failed[0].callee, failed[0].reason),
            ("a20", "b20", "callee_absent")
        );
        assert_eq!(failed.last().unwrap().caller, "a1");
    }
}
