//! Waits for the resources that the predecessor holds while it still runs: ports that two processes cannot
//! share, and the lock on its keys.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use peerbroker::{BoundRelay, BoundTurn, PeerBroker};
use peerbroker_config::{RelayConfig, TurnConfig};
use peerbroker_keys::sqlite::SqliteKeys;
use tokio::sync::oneshot::Sender;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// Interval between two attempts. The predecessor leaves the ports as soon as it is told to stop, and
/// meanwhile nobody relays new calls.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Time that a predecessor usually needs to leave the ports.
const USUAL_WAIT: Duration = Duration::from_secs(2);

/// Time limit for the predecessor to be stopped.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(600);

/// The resources that the predecessor still has.
#[derive(Default)]
pub struct PendingResources {
    pub turn: Option<TurnConfig>,
    pub relay: Option<RelayConfig>,
    /// The stored keys, and the warning if another server keeps using them.
    pub keys: Option<(Arc<SqliteKeys>, String)>,
}

impl PendingResources {
    /// Takes everything as soon as it is free. The predecessor may relay for `relay_drain` after it was
    /// stopped. Drops `has_relays` when it has the ports of relay and TURN.
    pub async fn take(mut self, broker: PeerBroker, relay_drain: Duration, has_relays: Sender<()>) {
        let mut has_relays = Some(has_relays);
        let timeout = PREDECESSOR_TIMEOUT + relay_drain;
        let relays = self.relays();
        let deadline = Instant::now() + timeout;
        if !relays.is_empty() {
            log::info!(
                "{relays}: the port is in use, as by a server before this one, so this one begins when the port is free"
            );
        }
        let begun = Instant::now();
        let mut is_warned = false;
        while (self.is_a_relay() || self.keys.is_some()) && Instant::now() < deadline {
            sleep(POLL_INTERVAL).await;
            if self.is_a_relay() && !is_warned && begun.elapsed() >= USUAL_WAIT {
                is_warned = true;
                log::warn!("{}", self.still_in_use());
            }
            // It opens files and asks SQLite.
            let broker = broker.clone();
            let looked = spawn_blocking(move || {
                self.look(&broker);
                self
            });
            match looked.await {
                Ok(looked) => {
                    self = looked;
                    has_relays.take_if(|_| !self.is_a_relay());
                }
                Err(error) => {
                    return log::error!(
                        "this server does not wait for the server before it any more: {error}"
                    );
                }
            }
        }
        if let Some((_, warning)) = &self.keys {
            log::warn!("{warning}");
        }
        let relays = self.relays();
        if !relays.is_empty() {
            log::error!(
                "{relays}: another program has the port for {} minutes, so there is none",
                timeout.as_secs() / 60
            );
        }
    }

    fn look(&mut self, broker: &PeerBroker) {
        if let Some((keys, _)) = &self.keys
            && keys.lock_directory()
        {
            self.keys = None;
        }
        if let Some(turn) = &self.turn {
            match BoundTurn::bind(turn.clone()) {
                Err(error) if error.is_in_use() => return,
                bound => report("TURN", bound.map(|turn| broker.begin_turn(turn))),
            }
            self.turn = None;
        }
        // After TURN, which also uses the ports of the relay.
        if let Some(relay) = &self.relay {
            match BoundRelay::bind(relay.clone()) {
                Err(error) if error.is_in_use() => return,
                bound => report("the relay", bound.map(|relay| broker.begin_relaying(relay))),
            }
            self.relay = None;
        }
    }

    /// The warning that the ports are not free.
    fn still_in_use(&self) -> String {
        let relay = self.relay.as_ref();
        let turn = self.turn.as_ref();
        let listen = relay.map(|relay| &relay.listen).or(turn.map(|turn| &turn.listen));
        let port = listen.and_then(|listen| listen.first()).map_or(0, |at| at.port());
        let lack = if relay.is_some() { "no call is relayed" } else { "there is no TURN server" };
        format!(
            "{lack} yet, because UDP or TCP port {port} is in use. If the server before this one has it, stop that one. Otherwise another \
             program has it, such as coturn: `ss -lunpt 'sport = :{port}'` names it"
        )
    }

    /// True if it waits for ports of relay or TURN.
    pub fn is_a_relay(&self) -> bool {
        self.turn.is_some() || self.relay.is_some()
    }

    /// The names of those that have to wait.
    fn relays(&self) -> String {
        let names = [self.turn.as_ref().map(|_| "TURN"), self.relay.as_ref().map(|_| "the relay")];
        names.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

fn report(what: &str, begun: Result<(), impl Display>) {
    match begun {
        Ok(()) => log::info!("{what}: the port is free, so it has begun"),
        Err(error) => log::error!("{what}: {error}"),
    }
}
