//! The thread that sends events, and logs failures; and the state that it shares with the threads of events.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;

use super::queues::{Consumer, Delivery, Outcome, Queues, Step, WebhookTotals};
use super::sender::{Attempt, Names, Sender, Signed, body, checked_url};
use peerbroker_config::LiveConfig;
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_events::{Event, Events, WebhookEvent, counted};
use peerbroker_keys::{Policy, Webhook};
use peerbroker_system::threads::Threads;

/// Time for which the end of the server waits for its last events.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// The policy of an active key.
pub type PolicyOf = Box<dyn Fn(&ApiKey) -> Option<Arc<Policy>> + Send + Sync>;

/// The parts of a broker that webhooks need.
pub struct WebhookContext {
    /// The endpoint of the operator, and the rules for those of keys.
    pub config: LiveConfig,
    /// The events that are sent. They hold the webhooks, so `policy_of` must not hold them.
    pub events: Events,
    /// The time at which an attempt is repeated.
    pub clock: Clock,
    /// The name of this node, if it is in a cluster.
    pub node: Option<String>,
    /// The endpoints of keys.
    pub policy_of: PolicyOf,
}

/// Queues events, and sends them. Its thread starts with the first event, and ends when this is dropped.
pub struct Webhooks(pub(super) Arc<Shared>);

impl Webhooks {
    /// Queues each later event of a broker for all consumers that want it.
    pub fn start(context: WebhookContext) -> Self {
        let events = context.events.clone();
        let shared = Arc::new(Shared::new(context));
        let started = Once::new();
        let webhooks = Webhooks(Arc::clone(&shared));
        events.witness(move |event| {
            if shared.queue(event) {
                started.call_once(|| start(&shared));
                shared.changed.notify_one();
            }
        });
        webhooks
    }

    /// The number of events that were queued, and their outcomes.
    pub fn totals(&self) -> WebhookTotals {
        self.0.queues.lock().totals()
    }

    /// Sends the waiting events, each at most once more, within a time limit. For the end of the server.
    pub async fn flush(&self) {
        self.0.queues.lock().close();
        self.0.changed.notify_one();
        let sent = async {
            while self.totals().waiting > 0 {
                self.0.settled.notified().await;
            }
        };
        if timeout(FLUSH_TIMEOUT, sent).await.is_err() {
            let left = self.totals().waiting;
            let left = counted(left as u64, "event", "events");
            log::warn!("the server ends, and {left} for webhooks could not be sent");
        }
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

fn start(shared: &Arc<Shared>) {
    let worker = Arc::clone(shared);
    if let Err(error) = shared.threads.keep_async("webhooks", async move || run(&worker).await) {
        log::error!("cannot start the thread of webhooks, so no events are sent: {error}");
    }
}

pub(super) struct Shared {
    config: LiveConfig,
    policy_of: PolicyOf,
    pub(super) names: Names,
    clock: Clock,
    threads: Threads,
    /// Held for a moment: events wait for it.
    queues: Mutex<Queues>,
    /// Something was queued, or this ends.
    changed: Notify,
    /// An attempt has ended.
    settled: Notify,
    has_ended: AtomicBool,
}

impl Shared {
    fn new(WebhookContext { config, events, clock, node, policy_of }: WebhookContext) -> Self {
        Shared {
            config,
            policy_of,
            names: Names { node, run: format!("{:016x}", rand::random::<u64>()) },
            clock,
            threads: events.threads().clone(),
            queues: Mutex::default(),
            changed: Notify::new(),
            settled: Notify::new(),
            has_ended: AtomicBool::new(false),
        }
    }

    /// The endpoint of a consumer, without a URL if it wants no events. The flag allows a private address,
    /// and no TLS. `None` if its key is not active any more.
    pub(super) fn endpoint_of(&self, consumer: &Consumer) -> Option<(Webhook, bool)> {
        self.read(consumer, |webhook, private| (webhook.clone(), private))
    }

    /// Reads the endpoint of a consumer. Each event asks, so nothing is copied.
    fn read<T>(&self, consumer: &Consumer, of: impl FnOnce(&Webhook, bool) -> T) -> Option<T> {
        let config = self.config.load();
        match consumer {
            Consumer::Operator => Some(of(&config.webhooks.operator, true)),
            Consumer::Key(key) => {
                let policy = (self.policy_of)(key)?;
                Some(of(&policy.settings().webhook, config.webhooks.private))
            }
        }
    }

    /// Queues an event for all consumers that want it. False if there is none, or too many events wait.
    fn queue(&self, event: &Arc<Event>) -> bool {
        let Some((kind, key)) = event.row(|row| Some((row.webhook?, row.key.cloned()))) else { return false };
        let key = key.filter(|_| kind.is_for_its_key()).map(Consumer::Key);
        let consumers = std::iter::once(Consumer::Operator).chain(key);
        // All of them, not only the first one.
        consumers.filter(|consumer| self.queue_for(consumer, event, kind)).count() > 0
    }

    fn queue_for(&self, consumer: &Consumer, event: &Arc<Event>, kind: WebhookEvent) -> bool {
        let has_endpoint = self.read(consumer, |webhook, _| !webhook.url.is_empty()).unwrap_or_default();
        let wants = |kind: WebhookEvent| {
            has_endpoint
                && match consumer {
                    Consumer::Operator => self.config.load().webhooks.events.contains(&kind),
                    Consumer::Key(_) => kind.is_for_its_key(),
                }
        };
        let push = |step| {
            let now = self.clock.now();
            let happened = Timestamp::now();
            self.queues.lock().push(consumer.clone(), Arc::clone(event), step, now, happened)
        };
        match &**event {
            // A pair, unless only one of the two is wanted.
            Event::PeerConnected(connected) if wants(WebhookEvent::PeerDisconnected) => {
                wants(kind) && push(Step::Begin(connected.connection))
            }
            // If the connection was announced, its end follows, even if its consumer wants no events any
            // more.
            Event::PeerDisconnected(disconnected) => {
                let connection = disconnected.connection;
                // Bound before the push, which locks the queues again.
                let is_announced = self.queues.lock().awaits_end_of(consumer, connection);
                let is_alone = || wants(kind) && !wants(WebhookEvent::PeerConnected);
                is_announced && push(Step::End(connection)) || is_alone() && push(Step::Single)
            }
            _ => wants(kind) && push(Step::Single),
        }
    }
}

/// Interval at which losses are logged, and the troubles of one endpoint.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Sends events until the broker is gone.
async fn run(shared: &Shared) {
    let sender = match Sender::new() {
        Ok(sender) => sender,
        Err(error) => return log::error!("no events are sent to webhooks: {error}"),
    };
    let mut worker = Worker {
        shared,
        sender,
        requests: JoinSet::new(),
        in_flight: HashMap::new(),
        known: HashMap::new(),
        logged: WebhookTotals::default(),
        next_log: Instant::default(),
        next_forget: Instant::default(),
    };
    while !shared.has_ended.load(Ordering::SeqCst) {
        while let Some((consumer, delivery)) = worker.take() {
            worker.begin(consumer, delivery);
        }
        worker.forget();
        let due = shared.queues.lock().next_due();
        let wake = [due, worker.log_losses()].into_iter().flatten().min();
        tokio::select! {
            () = shared.changed.notified() => {}
            Some(ended) = worker.requests.join_next_with_id() => match ended {
                Ok((id, answer)) => worker.end(id, answer),
                Err(error) => worker.end(error.id(), Attempt::failed(&error.to_string())),
            },
            () = shared.clock.sleep_until(wake.unwrap_or(Instant::MAX)), if wake.is_some() => {}
        }
    }
}

struct Worker<'a> {
    shared: &'a Shared,
    sender: Sender,
    requests: JoinSet<Attempt>,
    /// The events of the requests.
    in_flight: HashMap<Id, (Consumer, Delivery)>,
    known: HashMap<Consumer, Known>,
    logged: WebhookTotals,
    next_log: Instant,
    next_forget: Instant,
}

/// The state of an endpoint that this thread knows.
#[derive(Default)]
struct Known {
    /// The destination of the last event.
    last: Option<(Webhook, bool)>,
    /// The endpoint has answered 410, so it gets nothing until its settings change.
    is_gone: bool,
    is_failing: bool,
    next_log: Instant,
}

impl Worker<'_> {
    // Not inline in a condition: its lock would be held for as long as the event is worked on.
    fn take(&self) -> Option<(Consumer, Delivery)> {
        self.shared.queues.lock().take(self.shared.clock.now())
    }

    /// Sends an event, unless its endpoint cannot get it.
    fn begin(&mut self, consumer: Consumer, delivery: Delivery) {
        let known = self.known.entry(consumer.clone()).or_default();
        if let now @ Some(_) = self.shared.endpoint_of(&consumer)
            && known.last != now
        {
            known.is_gone = false;
            known.last = now;
        }
        let is_used = |(webhook, _): &&(Webhook, bool)| !known.is_gone && !webhook.url.is_empty();
        let Some((webhook, private)) = known.last.as_ref().filter(is_used) else {
            return self.settle(&consumer, delivery, Outcome::Hopeless);
        };
        let url = match checked_url(&webhook.url, *private) {
            Ok(url) => url,
            Err(why) => {
                self.settle(&consumer, delivery, Outcome::Hopeless);
                return self.log_trouble(&consumer, &format!("cannot be used: {why}"));
            }
        };
        let names = &self.shared.names;
        let id = names.id(delivery.number);
        let body = body(&delivery.event, delivery.happened, names);
        let request = Signed { url, private: *private, secrets: webhook.secrets.clone(), id, body };
        let task = self.requests.spawn(self.sender.clone().send(request));
        self.in_flight.insert(task.id(), (consumer, delivery));
    }

    fn end(&mut self, id: Id, Attempt { outcome, why }: Attempt) {
        let Some((consumer, delivery)) = self.in_flight.remove(&id) else { return };
        match outcome {
            Outcome::Delivered => self.log_recovery(&consumer),
            Outcome::Failed(_) => {
                self.log_trouble(&consumer, &format!("fails, and is tried again: {why}"));
            }
            Outcome::Hopeless => {
                let known = self.known.entry(consumer.clone()).or_default();
                if !std::mem::replace(&mut known.is_gone, true) {
                    log::warn!(
                        "{} wants no more events (410): it gets none until its settings change or the server restarts",
                        shown(&consumer)
                    );
                }
            }
        }
        self.settle(&consumer, delivery, outcome);
    }

    fn settle(&mut self, consumer: &Consumer, delivery: Delivery, outcome: Outcome) {
        let now = self.shared.clock.now();
        let random = rand::random::<f64>();
        let is_repeated = self.shared.queues.lock().settle(consumer, delivery, outcome, now, random);
        if !is_repeated {
            self.shared.settled.notify_one();
        }
    }

    /// Forgets endpoints that have no events, once a minute.
    fn forget(&mut self) {
        let now = self.shared.clock.now();
        if now < self.next_forget {
            return;
        }
        self.next_forget = now + LOG_INTERVAL;
        let queues = self.shared.queues.lock();
        self.known.retain(|consumer, known| known.is_gone || now < known.next_log || queues.knows(consumer));
    }

    /// Logs that an endpoint fails, if that is new.
    fn log_trouble(&mut self, consumer: &Consumer, trouble: &str) {
        let now = self.shared.clock.now();
        let known = self.known.entry(consumer.clone()).or_default();
        if !std::mem::replace(&mut known.is_failing, true) && now >= known.next_log {
            known.next_log = now + LOG_INTERVAL;
            log::warn!("{} {trouble}", shown(consumer));
        }
    }

    fn log_recovery(&mut self, consumer: &Consumer) {
        if let Some(known) = self.known.get_mut(consumer)
            && std::mem::take(&mut known.is_failing)
        {
            log::info!("{} takes events again", shown(consumer));
        }
    }

    /// Logs the losses, once a minute. Returns the time of the next line, if there is one.
    fn log_losses(&mut self) -> Option<Instant> {
        let now = self.shared.clock.now();
        let (totals, of) = {
            let queues = self.shared.queues.lock();
            let of = queues.last_dropped().map(|source| format!(" (the last one of {source})"));
            (queues.totals(), of.unwrap_or_default())
        };
        let dropped = totals.dropped.saturating_sub(self.logged.dropped);
        let failed = totals.failed.saturating_sub(self.logged.failed);
        if dropped == 0 && failed == 0 {
            return None;
        }
        if now < self.next_log {
            return Some(self.next_log);
        }
        self.next_log = now + LOG_INTERVAL;
        self.logged = totals;
        log::warn!(
            "events for webhooks are lost: {dropped} because too many wait{of}, {failed} because they were given up"
        );
        None
    }
}

/// After a panic, the events that were on their way are tried again.
impl Drop for Worker<'_> {
    fn drop(&mut self) {
        for (_, (consumer, delivery)) in std::mem::take(&mut self.in_flight) {
            self.settle(&consumer, delivery, Outcome::Failed(None));
        }
    }
}

/// An endpoint for the log. Its URL may hold a secret.
fn shown(consumer: &Consumer) -> String {
    match consumer {
        Consumer::Operator => "the webhook of --webhook".to_owned(),
        Consumer::Key(key) => format!("the webhook of the key {key:?}"),
    }
}
