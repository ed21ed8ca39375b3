//! The questions of clients that take time: to other nodes, to other clients, to the clock.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Node;
use peerbroker_cluster::Holding;
use peerbroker_core::vocabulary::NameKind;
use peerbroker_protocols::client::{Answer, Ask};
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::names::{Claimed, SeatState, Seated};
use peerbroker_router::PeerHandle;

/// Time for which a claim of a name waits for the other nodes.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(4);

/// An answer that comes later.
pub type Awaited = Pin<Box<dyn Future<Output = Answer>>>;

impl Node {
    /// Finds out what a client asks.
    pub fn ask(&self, peer: &PeerHandle, key: &Arc<KeyState>, ask: Ask) -> Awaited {
        let clock = self.clock().clone();
        match ask {
            Ask::Sleep(time) => Box::pin(async move {
                clock.sleep(time).await;
                Answer::Slept
            }),
            Ask::IsAlive(id) => {
                let realm = key.realm(peer.realm().kind());
                let membership = self.membership.clone();
                Box::pin(async move {
                    Answer::IsAlive(match membership {
                        Some(membership) => membership.peer_is_alive(&realm, &id).await,
                        None => realm.is_alive(&id).await,
                    })
                })
            }
            Ask::Hold(kind, name) => self.hold(peer, kind, &name),
            Ask::Seat { kind, name, wanted } => {
                let Some(membership) = self.membership.clone() else {
                    return ready(Answer::Seated(Seated::Unavailable));
                };
                let client = peer.id().clone();
                let patience = peer.realm().probe_timeout();
                let key = key.key().clone();
                Box::pin(async move {
                    Answer::Seated(membership.seat(key, (kind, name), wanted, client, patience).await)
                })
            }
            Ask::SeatEnd(mut state) => Box::pin(async move {
                let is_over = |state: &SeatState| *state != SeatState::Open;
                // Without a sender, it never ends.
                let state = state.wait_for(is_over).await.map_or(SeatState::Closed, |state| *state);
                Answer::SeatEnd(state)
            }),
        }
    }

    /// Claims a name for a client, among all nodes.
    fn hold(&self, peer: &PeerHandle, kind: NameKind, name: &str) -> Awaited {
        let Some(membership) = self.membership.clone() else {
            return ready(Answer::Held(Claimed::Unavailable, Box::new(())));
        };
        let realm = peer.realm();
        // Messages go to the connection that owns their address. Other names may be claimed again before they
        // are given back.
        let connection = if kind.is_address() { peer.connection() } else { realm.next_connection() };
        let (held, claimed) = membership.hold(realm.key(), kind, name, peer.id(), connection);
        Box::pin(async move {
            let claimed = match timeout(CLAIM_TIMEOUT, claimed).await.unwrap_or(Holding::Unavailable) {
                Holding::Granted => Claimed::Granted,
                Holding::Taken(_) => Claimed::Taken,
                // It is claimed once the other nodes can be asked.
                Holding::Unavailable if membership.serves_unclaimed(kind) => Claimed::Granted,
                Holding::Unavailable => Claimed::Unavailable,
            };
            Answer::Held(claimed, Box::new(held))
        })
    }
}

fn ready(answer: Answer) -> Awaited {
    Box::pin(std::future::ready(answer))
}
