//! Webhooks: events that are sent to HTTP endpoints, of the operator and of keys, after the rules of Standard Webhooks.
//!
//! Events are queued on the thread where they happen, under one short lock: so none is missed. A thread sends them.

mod endpoint;
mod message;
mod queue;
mod queues;
mod sender;
mod shared;
mod worker;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Once};
use std::time::Duration;

use tokio::time::timeout;

use crate::clock::Clock;
use crate::events::Event;
use crate::threads::Threads;
use shared::Shared;

pub use endpoint::{BadWebhook, check_webhook};
pub(crate) use endpoint::{Endpoints, Found, Owner};
pub(crate) use message::Names;
pub use queues::WebhookTotals;

/// How long the end of the server waits for its last events.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// Queues events, and sends them. Its thread starts with the first event, and ends when this is dropped.
pub(crate) struct Webhooks(Arc<Shared>);

impl Webhooks {
    pub(crate) fn new(endpoints: impl Endpoints, names: Names, clock: Clock, threads: Threads) -> Self {
        Webhooks(Arc::new(Shared::new(Box::new(endpoints), names, clock, threads)))
    }

    /// Queues each event that it is given, for all who want it.
    pub(crate) fn witness(&self) -> impl Fn(&Arc<Event>) + Send + Sync + use<> {
        let (shared, started) = (Arc::clone(&self.0), Once::new());
        move |event| {
            if shared.queue(event) {
                started.call_once(|| start(&shared));
                shared.changed.notify_one();
            }
        }
    }

    /// How many events were queued, and what became of them.
    pub(crate) fn totals(&self) -> WebhookTotals {
        self.0.queues().totals()
    }

    /// Sends what waits, each event at most once more, and waits for that, but not for long. For the end of the server.
    pub(crate) async fn flush(&self) {
        self.0.queues().close(self.0.clock.now());
        self.0.changed.notify_one();
        let sent = async {
            while self.totals().waiting > 0 {
                self.0.settled.notified().await;
            }
        };
        if timeout(LAST_PATIENCE, sent).await.is_err() {
            let left = self.totals().waiting;
            log::warn!("the server ends, and {left} events for webhooks could not be sent");
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
    if let Err(error) = shared.threads.keep("webhooks", move || worker::run(&worker)) {
        log::error!("cannot start the thread of webhooks, so no events are sent: {error}");
    }
}
