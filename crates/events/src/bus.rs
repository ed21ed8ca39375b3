//! Sends events to subscribers, none of whom can delay the sender.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender};

use super::counters::{Count, Counters};
use super::event::Event;
use super::follower::{CLIENT_EVENTS, Follower, Notice, SERVER_EVENTS};
use peerbroker_core::vocabulary::{ApiKey, Limit};
use peerbroker_system::threads::Threads;

/// Sends events to subscribers. Clones are the same.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    clients: Sender<Arc<Event>>,
    server: Sender<Arc<Event>>,
    counters: Counters,
    followers: RwLock<Vec<Arc<Follower>>>,
    lost: Arc<Lost>,
    witnesses: RwLock<Vec<Box<Witness>>>,
    threads: Threads,
}

/// The number of events that each subscriber has lost, by the name of its thread.
type Lost = Mutex<BTreeMap<String, u64>>;

/// The name of subscribers without a name.
const UNNAMED: &str = "other";

/// Sees each event on the thread where it happens.
type Witness = dyn Fn(&Arc<Event>) + Send + Sync;

/// The events of a subscriber. Those about the server and its keys come before those about clients.
#[derive(Debug)]
pub struct Subscription {
    clients: Receiver<Arc<Event>>,
    server: Receiver<Arc<Event>>,
    lost: Arc<Lost>,
}

impl Default for Events {
    fn default() -> Self {
        let clients = Sender::new(CLIENT_EVENTS);
        let server = Sender::new(SERVER_EVENTS);
        let counters = Counters::default();
        let followers = RwLock::default();
        let lost = Arc::default();
        let witnesses = RwLock::default();
        let threads = Threads::default();
        Events(Arc::new(Inner { clients, server, counters, followers, lost, witnesses, threads }))
    }
}

impl Events {
    /// Sends an event to every subscriber, and never waits. The event is made only if there are subscribers.
    pub fn emit(&self, event: impl FnOnce() -> Event) {
        let Inner { clients, followers, witnesses, .. } = &*self.0;
        if clients.receiver_count() > 0 || !witnesses.read().is_empty() || !followers.read().is_empty() {
            self.send(event());
        }
    }

    // Apart from `emit`, of which the program has a copy for each place where something happens.
    fn send(&self, event: Event) {
        let event = Arc::new(event);
        self.0.witnesses.read().iter().for_each(|see| see(&event));
        let is_about_clients = event.row(|row| row.is_about_clients);
        for follower in &*self.0.followers.read() {
            follower.push(&event, is_about_clients);
        }
        let ring = if is_about_clients { &self.0.clients } else { &self.0.server };
        // An error means that there are only followers.
        let _ = ring.send(event);
    }

    /// Calls `see` for each event from now on, on the thread where it happens: so it misses none. It has to
    /// be fast, and must not ask the broker for anything, because a lock of a peer may be held.
    pub fn witness(&self, see: impl Fn(&Arc<Event>) + Send + Sync + 'static) {
        self.0.witnesses.write().push(Box::new(see));
    }

    /// Counts that a limit was reached, and tells every subscriber. A refusal may have no limit.
    pub fn limit_hit(&self, limit: impl Into<Option<Limit>>, key: Option<&ApiKey>, address: Option<IpAddr>) {
        let Some(limit) = limit.into() else { return };
        self.counters().add(Count::LimitHits(limit), 1);
        self.emit(|| Event::LimitHit { limit, key: key.cloned(), address });
    }

    /// Gets all that happens from now on.
    pub fn subscribe(&self) -> Subscription {
        let lost = Arc::clone(&self.0.lost);
        lost.lock().entry(UNNAMED.to_owned()).or_default();
        Subscription { clients: self.0.clients.subscribe(), server: self.0.server.subscribe(), lost }
    }

    /// The events that each slow [follower](Self::follow) has lost, and all other subscribers together.
    pub fn lost(&self) -> BTreeMap<String, u64> {
        self.0.lost.lock().clone()
    }

    /// Gives all later events to `handle`, on a thread of its own until the broker is gone, a few
    /// milliseconds after they happened. `handle` may block: it delays nothing else, and loses events if it
    /// lags. It gets events in batches that are never empty. After a panic it continues with the next batch;
    /// after many, the server stops.
    pub fn follow(&self, name: &str, handle: impl FnMut(&[Notice]) + Send + 'static) -> io::Result<()> {
        self.follow_some(name, |_| true, handle)
    }

    /// As [`follow`](Self::follow), with the events that `wants` is true for, and [`Event::Stopped`]. It is
    /// asked where they happen, so it has to be fast: an event that nobody wants wakes no thread.
    pub fn follow_some(
        &self,
        name: &str,
        wants: impl Fn(&Event) -> bool + Send + Sync + 'static,
        mut handle: impl FnMut(&[Notice]) + Send + 'static,
    ) -> io::Result<()> {
        let follower = Arc::new(Follower::new(name, wants));
        let lost = Arc::clone(&self.0.lost);
        lost.lock().entry(name.to_owned()).or_default();
        self.0.followers.write().push(Arc::clone(&follower));
        let work = move || {
            while let Some(batch) = follower.next() {
                if let [Notice::Missed(missed), ..] = &*batch {
                    *lost.lock().entry(follower.name.clone()).or_default() += missed;
                }
                handle(&batch);
            }
        };
        self.threads().keep(name, work)
    }

    /// Waits until every follower has handled [`Event::Stopped`], so that nothing is missing in a log, but at
    /// most for `timeout`.
    pub fn wait_for_followers(&self, timeout: Duration) {
        // A follower that blocks for longer is left behind.
        let end = Instant::now() + timeout;
        self.0.followers.read().iter().for_each(|follower| follower.wait_until_stopped(end));
    }

    /// The threads of the broker.
    pub fn threads(&self) -> &Threads {
        &self.0.threads
    }

    /// The counters of messages and connections.
    #[inline]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.followers.read().iter().for_each(|follower| follower.end());
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl Subscription {
    /// Waits for the next event. `None` once the broker is gone.
    pub async fn next(&mut self) -> Option<Notice> {
        let received = tokio::select! {
            biased;
            received = self.server.recv() => received,
            received = self.clients.recv() => received,
        };
        match received {
            Ok(event) => Some(Notice::Event(event)),
            Err(RecvError::Lagged(missed)) => Some(self.missed(missed)),
            Err(RecvError::Closed) => self.try_next(),
        }
    }

    /// The next event, if it has happened already.
    pub fn try_next(&mut self) -> Option<Notice> {
        let received = self.server.try_recv().or_else(|error| match error {
            TryRecvError::Lagged(_) => Err(error),
            TryRecvError::Empty | TryRecvError::Closed => self.clients.try_recv(),
        });
        match received {
            Ok(event) => Some(Notice::Event(event)),
            Err(TryRecvError::Lagged(missed)) => Some(self.missed(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }

    fn missed(&self, missed: u64) -> Notice {
        *self.lost.lock().entry(UNNAMED.to_owned()).or_default() += missed;
        Notice::Missed(missed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::KeyEvent;
    use peerbroker_core::vocabulary::CloseReason;

    fn hit(limit: Limit) -> Event {
        Event::LimitHit { limit, key: None, address: None }
    }

    fn name(notice: Option<Notice>) -> String {
        match notice {
            Some(Notice::Event(event)) => match &*event {
                Event::LimitHit { limit, .. } => limit.row().label.to_owned(),
                event => format!("{event:?}"),
            },
            Some(Notice::Missed(missed)) => format!("missed {missed}"),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn every_subscriber_gets_every_event_in_order() {
        let events = Events::default();
        let mut one = events.subscribe();
        let mut other = events.subscribe();
        events.emit(|| hit(Limit::RoomCodes));
        events.emit(|| hit(Limit::RoomCodePlayers));
        for subscription in [&mut one, &mut other] {
            assert_eq!(
                [0; 3].map(|_| name(subscription.try_next())),
                ["room_codes", "room_code_players", "nothing"]
            );
        }
    }

    #[test]
    fn a_subscriber_that_lags_loses_the_oldest_and_hears_how_many() {
        let events = Events::default();
        let mut slow = events.subscribe();
        for _ in 0..CLIENT_EVENTS {
            events.emit(|| hit(Limit::QueueBytes));
        }
        let newest = [Limit::RoomCodes, Limit::RoomCodePlayers, Limit::QueueMessages];
        for limit in newest {
            events.emit(|| hit(limit));
        }
        assert_eq!(name(slow.try_next()), "missed 3");
        assert_eq!(events.lost(), BTreeMap::from([(UNNAMED.to_owned(), 3)]));
        let kept: Vec<String> =
            std::iter::from_fn(|| slow.try_next()).map(|notice| name(Some(notice))).collect();
        assert_eq!(kept.len(), CLIENT_EVENTS);
        assert_eq!(kept[CLIENT_EVENTS - 3..], newest.map(|limit| limit.row().label));
    }

    #[test]
    fn a_flood_of_clients_pushes_no_action_of_an_operator_out() {
        let events = Events::default();
        let mut slow = events.subscribe();
        let key = ApiKey::parse("k").unwrap();
        events.emit(|| Event::Key { key, what: KeyEvent::Unused(90) });
        for _ in 0..2 * CLIENT_EVENTS {
            events.emit(|| hit(Limit::RoomCodes));
        }
        assert!(name(slow.try_next()).contains("Unused(90)"));
    }

    #[test]
    fn an_event_that_nobody_wants_is_not_made() {
        Events::default().emit(|| panic!("nobody listens to {:?}", CloseReason::Left));
    }

    #[test]
    fn a_witness_sees_every_event_that_a_subscriber_misses() {
        let events = Events::default();
        let seen = Arc::new(AtomicUsize::new(0));
        let slow = events.subscribe();
        let count = Arc::clone(&seen);
        events.witness(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        for _ in 0..2 * CLIENT_EVENTS {
            events.emit(|| hit(Limit::RoomCodes));
        }
        drop(slow);
        events.emit(|| hit(Limit::RoomCodes));
        assert_eq!(seen.load(Ordering::SeqCst), 2 * CLIENT_EVENTS + 1);
    }

    #[test]
    fn the_end_is_waited_for_until_every_follower_has_handled_it() {
        let events = Events::default();
        let handled = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let handled = Arc::clone(&handled);
            events
                .follow("test", move |notices| {
                    handled.fetch_add(notices.len(), Ordering::SeqCst);
                })
                .unwrap();
        }
        events.emit(|| hit(Limit::RoomCodes));
        events.emit(|| Event::Stopped);
        events.wait_for_followers(Duration::from_secs(60));
        assert_eq!(handled.load(Ordering::SeqCst), 6);
    }

    #[test]
    fn a_follower_that_blocks_is_not_waited_for_longer_than_asked() {
        let events = Events::default();
        let (release, released) = std::sync::mpsc::channel::<()>();
        events.follow("test", move |_| assert!(released.recv().is_err())).unwrap();
        events.emit(|| Event::Stopped);
        events.wait_for_followers(Duration::from_millis(1));
        drop(release);
    }

    #[test]
    fn a_follower_gets_what_it_wants_and_the_end() {
        let events = Events::default();
        let (heard, all) = std::sync::mpsc::channel();
        let wants = |event: &Event| matches!(event, Event::LimitHit { limit: Limit::RoomCodes, .. });
        events.follow_some("test", wants, move |notices| heard.send(notices.to_vec()).unwrap()).unwrap();
        for limit in [Limit::QueueBytes, Limit::RoomCodes, Limit::QueueMessages] {
            events.emit(|| hit(limit));
        }
        events.emit(|| Event::Stopped);
        drop(events);
        let heard: Vec<String> = all.iter().flatten().map(|notice| name(Some(notice))).collect();
        assert_eq!(heard, ["room_codes", "Stopped"]);
    }

    #[test]
    fn a_follower_that_lags_loses_the_oldest_and_hears_how_many() {
        let events = Events::default();
        let (heard, all) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let handle = move |notices: &[Notice]| {
            heard.send(notices.to_vec()).unwrap();
            let _ = released.recv();
        };
        events.follow("slow", handle).unwrap();
        events.emit(|| hit(Limit::QueueMessages));
        // From now on it is busy.
        assert_eq!(all.recv().unwrap().len(), 1);
        for limit in [vec![Limit::QueueBytes; 2], vec![Limit::RoomCodes; CLIENT_EVENTS]].concat() {
            events.emit(|| hit(limit));
        }
        events.emit(|| Event::Stopped);
        drop(release);
        let lagged = all.recv().unwrap();
        assert_eq!(lagged.len(), 1 + CLIENT_EVENTS);
        assert_eq!(
            [0, 1, CLIENT_EVENTS].map(|at| name(lagged.get(at).cloned())),
            ["missed 3", "room_codes", "Stopped"]
        );
        assert_eq!(events.lost()["slow"], 3);
    }

    #[tokio::test]
    async fn what_happened_before_the_end_is_still_got() {
        let events = Events::default();
        let mut subscription = events.subscribe();
        events.emit(|| hit(Limit::RoomCodes));
        drop(events);
        assert_eq!(name(subscription.next().await), "room_codes");
        assert_eq!(name(subscription.next().await), "nothing");
    }
}
