//! The end of calls when the server stops: they go on for a while at sockets of their own, and the next
//! server has the ports.

use std::net::SocketAddr;
use std::time::Duration;

use super::Runtime;
use super::ended_calls;
use peerbroker_events::counted;

/// Interval at which open calls are counted.
const STEP: Duration = Duration::from_millis(100);

/// Time in which clients check their path, so that they hear that a call ends: Chromium checks every 2.5 s,
/// Firefox every 4 to 6 s.
const CHECKED_WITHIN: Duration = Duration::from_millis(6500);

impl Runtime {
    /// Lets open calls go on for up to `window`, and ends those that are left. The next server at the address
    /// of this one gets to know those of clients that are not here.
    pub(crate) async fn drain_calls(&self, window: Duration, server: SocketAddr) {
        if !window.is_zero() {
            self.let_calls_go_on(window).await;
        }
        if let Some(relay) = self.node.relay() {
            let mut untold = Vec::new();
            relay.calls().end(None, |ended| {
                let is_told = self.node.send_end_of_calls(&ended);
                if !is_told {
                    untold.push(ended);
                }
                is_told
            });
            if !untold.is_empty() {
                ended_calls::report(server, &untold).await;
            }
        }
        self.until_ends_are_known().await;
    }

    /// Leaves the ports of relay and TURN to the next server, if calls may go on for a `window`.
    pub(crate) async fn leave_media_ports(&self, window: Duration) {
        if window.is_zero() {
            return;
        }
        let relay = self.node.relay();
        let turn = self.turn();
        if let Some(turn) = turn {
            turn.retire();
            turn.leave_ports();
        }
        if let Some(relay) = relay {
            relay.retire(|ended| self.node.send_end_of_calls(&ended));
            // Clients for which there was no socket.
            self.until_ends_are_known().await;
            relay.leave_ports();
        }
    }

    async fn let_calls_go_on(&self, window: Duration) {
        let end = self.now() + window;
        let open = || self.open_calls();
        let verb = |count, one, many| if count == 1 { one } else { many };
        match open() {
            (0, _) => return,
            (count, calls) => log::info!("{calls} {} on for up to {window:?}", verb(count, "goes", "go")),
        }
        while open().0 > 0 && self.now() < end {
            self.node.clock().sleep(STEP).await;
        }
        match open() {
            (0, _) => log::info!("all relayed calls are over"),
            (count, calls) => {
                log::warn!("{calls} {}, because {window:?} have passed", verb(count, "ends", "end"));
            }
        }
    }

    /// Waits until the clients of all calls that end know it, or had time enough to check their path.
    async fn until_ends_are_known(&self) {
        let Some(relay) = self.node.relay() else { return };
        let end = self.now() + CHECKED_WITHIN;
        while relay.calls().awaited() > 0 && self.now() < end {
            self.node.clock().sleep(STEP).await;
        }
    }

    /// The number of calls through the relay and of allocations of TURN that are in use, and both in words.
    fn open_calls(&self) -> (usize, String) {
        let calls = self.node.relay().map_or(0, |relay| relay.calls().open());
        let allocations = self.turn().map_or(0, |turn| turn.used_allocations());
        let calls_in_words = counted(calls as u64, "relayed call", "relayed calls");
        let allocations_in_words = counted(allocations as u64, "TURN allocation", "TURN allocations");
        let words = match (calls, allocations) {
            (_, 0) => calls_in_words.to_string(),
            (0, _) => allocations_in_words.to_string(),
            _ => format!("{calls_in_words} and {allocations_in_words}"),
        };
        (calls + allocations, words)
    }
}
