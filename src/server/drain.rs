//! The end of a server.

use std::time::Duration;

use actix_server::ServerHandle;
use tokio::time::{Instant, sleep};

use super::listener::{Listener, Origin};
use crate::app::Parts;

/// How long clients may take to answer their close frames when the server stops.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// Over how long clients are closed that can go to another server at once.
const DEFAULT_SPREAD: Duration = Duration::from_secs(10);

/// The same for those that wait until the next server starts: as long as connections that are accepted may take to open.
const INHERITED_SPREAD: Duration = Duration::from_secs(1);

/// A listener, and the server that accepts from it.
pub(super) struct Serving {
    pub(super) listener: Listener,
    pub(super) handle: ServerHandle,
}

/// Stops accepting, closes all clients within `given` or what suits the port, and waits up to [`ANSWERED_WITHIN`] for their close
/// frames.
pub(super) async fn drain(parts: &Parts, main: &Serving, ops: Option<&Serving>, given: Option<Duration>) {
    parts.begin_drain();
    // The next server answers for the API. Without one, this one does until its end: it says that it is not ready.
    let leave_api = async {
        if let Some(ops) = ops.filter(|ops| ops.listener.origin() != Origin::Own) {
            ops.listener.leave(&ops.handle).await;
        }
    };
    tokio::join!(main.listener.leave(&main.handle), leave_api);
    let window = match given {
        Some(given) => given,
        None => suitable(parts, &main.listener).await,
    };
    if !window.is_zero() {
        log::info!("the server stops and closes {} clients within {window:?}", parts.sessions.len());
        parts.spread(window).await;
    }
    parts.close();
    let deadline = Instant::now() + ANSWERED_WITHIN;
    while parts.sessions.len() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    match parts.sessions.len() {
        0 => {}
        left => log::warn!("{left} clients did not answer their close frame and are cut off"),
    }
}

/// Over how long clients are closed if nobody has said it. A client that is closed early gains something only if it finds another
/// server. Without one, all are closed at once, and the server that comes next is there sooner.
async fn suitable(parts: &Parts, listener: &Listener) -> Duration {
    match listener.origin() {
        Origin::Inherited => INHERITED_SPREAD,
        _ if parts.node.membership().is_some_and(|membership| membership.has_others()) => DEFAULT_SPREAD,
        Origin::Shared if listener.has_successor().await => DEFAULT_SPREAD,
        Origin::Shared | Origin::Own => Duration::ZERO,
    }
}
