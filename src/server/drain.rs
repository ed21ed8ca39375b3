//! The end of a server.

use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use actix_server::ServerHandle;
use socket2::SockRef;
use tokio::time::{Instant, sleep};

use crate::http::Mounted;

/// How long clients may take to answer their close frames when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the thread that accepts connections takes to hear that it shall pause, and much more. It logs errors if its
/// listener ends before.
const PAUSING: Duration = Duration::from_millis(50);

/// Stops accepting, closes every client, and waits up to [`DRAIN_TIMEOUT`] for their close frames.
pub(super) async fn drain(mounted: &Mounted, handle: &ServerHandle, listening: TcpListener) {
    let parts = &mounted.parts;
    handle.pause().await;
    sleep(PAUSING).await;
    // The kernel would go on connecting clients. Those that come back at once find another node if they are refused. Only Linux
    // can do that.
    let _ = SockRef::from(&listening).shutdown(Shutdown::Both);
    parts.close();
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    while parts.sessions.len() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    match parts.sessions.len() {
        0 => {}
        left => log::warn!("{left} clients did not answer their close frame and are cut off"),
    }
}
