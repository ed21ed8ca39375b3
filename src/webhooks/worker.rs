//! The thread that sends events, and says in the log what goes wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::{Id, JoinSet};

use super::endpoint::{Found, Owner, checked_url};
use super::message;
use super::queue::{Delivery, Outcome, Settled};
use super::queues::WebhookTotals;
use super::sender::{Answer, Sender};
use super::shared::Shared;
use crate::clock::millis;
use crate::keys::Webhook;

/// How often losses are logged, and the troubles of one endpoint.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Threads that resolve names.
const RESOLVERS: usize = 16;

/// Sends events until the broker is gone.
pub(super) fn run(shared: &Arc<Shared>) {
    let runtime = match Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS).build() {
        Ok(runtime) => runtime,
        Err(error) => return log::error!("no events are sent to webhooks: {error}"),
    };
    match Sender::new(shared.clock.clone()) {
        Ok(sender) => runtime.block_on(Worker::new(shared, sender).run()),
        Err(error) => log::error!("no events are sent to webhooks: {error}"),
    }
    // A resolver that hangs is left behind.
    runtime.shutdown_background();
}

struct Worker<'a> {
    shared: &'a Shared,
    sender: Sender,
    requests: JoinSet<Answer>,
    /// The events of the requests.
    in_flight: HashMap<Id, (Owner, Delivery)>,
    known: HashMap<Owner, Known>,
    logged: WebhookTotals,
    next_log: u64,
    next_forget: u64,
}

/// What this thread knows of an endpoint.
#[derive(Default)]
struct Known {
    /// Where the last event went.
    last: Option<(Webhook, bool)>,
    /// It has answered 410, so it gets nothing until its settings change.
    is_gone: bool,
    is_failing: bool,
    next_log: u64,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared, sender: Sender) -> Self {
        Worker {
            shared,
            sender,
            requests: JoinSet::new(),
            in_flight: HashMap::new(),
            known: HashMap::new(),
            logged: WebhookTotals::default(),
            next_log: 0,
            next_forget: 0,
        }
    }

    async fn run(mut self) {
        while !self.shared.has_ended.load(Ordering::SeqCst) {
            while let Some((owner, delivery)) = self.take() {
                self.begin(owner, delivery);
            }
            self.forget();
            let due = self.shared.queues().next_due();
            let wake = [due, self.log_losses()].into_iter().flatten().min();
            let clock = &self.shared.clock;
            tokio::select! {
                () = self.shared.changed.notified() => {}
                Some(ended) = self.requests.join_next_with_id() => match ended {
                    Ok((id, answer)) => self.end(id, answer),
                    Err(error) => self.end(error.id(), Answer::failed(error.to_string())),
                },
                () = clock.sleep_until(wake.unwrap_or(u64::MAX)), if wake.is_some() => {}
            }
        }
    }

    // Not inline in a condition: its lock would be held for as long as the event is worked on.
    fn take(&self) -> Option<(Owner, Delivery)> {
        self.shared.queues().take(self.shared.clock.now())
    }

    /// Sends an event, unless its endpoint cannot get it.
    fn begin(&mut self, owner: Owner, delivery: Delivery) {
        let known = self.known.entry(owner.clone()).or_default();
        match self.shared.endpoints.find(&owner) {
            Found::Webhook(webhook, private) => {
                let now = Some((webhook, private));
                if known.last != now {
                    known.is_gone = false;
                    known.last = now;
                }
            }
            Found::Off => known.last = None,
            Found::KeyGone => {}
        }
        let Some((webhook, private)) = known.last.as_ref().filter(|_| !known.is_gone) else {
            return self.settle(&owner, delivery, Outcome::Hopeless);
        };
        let url = match checked_url(&webhook.url, *private) {
            Ok(url) => url,
            Err(why) => {
                self.settle(&owner, delivery, Outcome::Hopeless);
                return self.log_trouble(&owner, &format!("cannot be used: {why}"));
            }
        };
        let names = &self.shared.names;
        let (id, body) =
            (names.id(delivery.number), message::body(&delivery.event, delivery.happened, names));
        let request = self.sender.clone().send(url, *private, webhook.secrets.clone(), id, body);
        let task = self.requests.spawn(request);
        self.in_flight.insert(task.id(), (owner, delivery));
    }

    fn end(&mut self, id: Id, Answer { outcome, is_gone, why }: Answer) {
        let Some((owner, delivery)) = self.in_flight.remove(&id) else { return };
        if outcome == Outcome::Delivered {
            self.log_recovery(&owner);
        } else if is_gone {
            let known = self.known.entry(owner.clone()).or_default();
            if !std::mem::replace(&mut known.is_gone, true) {
                log::warn!(
                    "{} wants no more events (410): it gets none until its settings change or the server restarts",
                    shown(&owner)
                );
            }
        } else {
            self.log_trouble(&owner, &format!("cannot be reached, and is tried again: {why}"));
        }
        self.settle(&owner, delivery, outcome);
    }

    fn settle(&mut self, owner: &Owner, delivery: Delivery, outcome: Outcome) {
        let (now, random) = (self.shared.clock.now(), rand::random::<f64>());
        let settled = self.shared.queues().settle(owner, delivery, outcome, now, random);
        if settled != Settled::Again {
            self.shared.settled.notify_one();
        }
    }

    /// Forgets endpoints that have no events, once a minute.
    fn forget(&mut self) {
        let now = self.shared.clock.now();
        if now < self.next_forget {
            return;
        }
        self.next_forget = now + millis(LOG_INTERVAL);
        let queues = self.shared.queues();
        self.known.retain(|owner, known| known.is_gone || now < known.next_log || queues.knows(owner));
    }

    /// Logs that an endpoint fails, if that is new.
    fn log_trouble(&mut self, owner: &Owner, trouble: &str) {
        let now = self.shared.clock.now();
        let known = self.known.entry(owner.clone()).or_default();
        if !std::mem::replace(&mut known.is_failing, true) && now >= known.next_log {
            known.next_log = now + millis(LOG_INTERVAL);
            log::warn!("{} {trouble}", shown(owner));
        }
    }

    fn log_recovery(&mut self, owner: &Owner) {
        if let Some(known) = self.known.get_mut(owner)
            && std::mem::take(&mut known.is_failing)
        {
            log::info!("{} takes events again", shown(owner));
        }
    }

    /// Logs what was lost, once a minute. Gives the time of the next line, if there is something to say.
    fn log_losses(&mut self) -> Option<u64> {
        let (now, totals) = (self.shared.clock.now(), self.shared.queues().totals());
        let dropped = totals.dropped.saturating_sub(self.logged.dropped);
        let failed = totals.failed.saturating_sub(self.logged.failed);
        if dropped == 0 && failed == 0 {
            return None;
        }
        if now < self.next_log {
            return Some(self.next_log);
        }
        self.next_log = now + millis(LOG_INTERVAL);
        self.logged = totals;
        log::warn!(
            "events for webhooks are lost: {dropped} because too many wait, {failed} because they were given up"
        );
        None
    }
}

/// After a panic, the events that were on their way are tried again.
impl Drop for Worker<'_> {
    fn drop(&mut self) {
        for (_, (owner, delivery)) in std::mem::take(&mut self.in_flight) {
            self.settle(&owner, delivery, Outcome::Failed(None));
        }
    }
}

/// An endpoint for the log. Its URL may hold a secret.
fn shown(owner: &Owner) -> String {
    match owner {
        Owner::Operator => "the webhook of --webhook".to_owned(),
        Owner::Key(key) => format!("the webhook of the key {key:?}"),
    }
}
