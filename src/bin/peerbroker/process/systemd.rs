//! Tells systemd when the server is ready, that it stops, and the number of clients. Does nothing without
//! systemd.

use std::env;
use std::io;
use std::time::Duration;

use peerbroker::{Listen, PeerBroker};
use peerbroker_events::{Event, Notice};
use sd_notify::NotifyState;
use tokio::time::sleep;

/// Interval at which the number of clients is reported.
const INTERVAL: Duration = Duration::from_secs(10);

/// The longest time over which clients are closed if none is given.
const DRAIN: Duration = Duration::from_secs(10);

/// Time by which the end of a server may exceed the closing of its clients: 8 s for their answers, 10 s for
/// the last events of webhooks, 3 s for its cluster, 1 s for stdout, and some to leave its ports. Calls that
/// end take 13 s of it at most.
const MARGIN: Duration = Duration::from_secs(30);

/// Reports the start and the end.
pub fn follow(broker: &PeerBroker, listen: &Listen) -> io::Result<()> {
    if !is_there() {
        return Ok(());
    }
    // Calls go on while clients are closed.
    let longest = listen.drain_timeout.unwrap_or(DRAIN).max(listen.relay_drain()) + MARGIN;
    let longest = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
    let wants = |event: &Event| matches!(event, Event::Started { .. } | Event::Draining { .. });
    broker.events().follow_some("systemd", wants, move |notices| {
        for notice in notices {
            let Notice::Event(event) = notice else { continue };
            match &**event {
                Event::Started { .. } => notify(&[NotifyState::Ready]),
                Event::Draining { connections } => notify(&[
                    NotifyState::Stopping,
                    NotifyState::ExtendTimeoutUsec(longest),
                    NotifyState::Status(&format!("closing connections: {connections}")),
                ]),
                _ => {}
            }
        }
    })
}

/// Reports the number of clients from time to time.
pub async fn report(broker: PeerBroker) {
    while is_there() {
        notify(&[NotifyState::Status(&format!("clients: {}", broker.node().peers()))]);
        sleep(INTERVAL).await;
    }
}

fn is_there() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::warn!("cannot tell systemd about the server: {error}");
    }
}
