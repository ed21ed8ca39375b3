//! The questions of clients that take time: to other nodes, to other clients, to the clock.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Node, place};
use crate::cluster::{Entity, Holding};
use peerbroker_broker::protocols::client::{Answer, Ask, Claimed, Joined};
use peerbroker_broker::protocols::key_state::KeyState;
use peerbroker_broker::protocols::names::GroupState;
use peerbroker_broker::router::PeerHandle;
use peerbroker_core::wire::RealmKind;

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
            Ask::HoldRoomCode(code) => self.hold(peer, Entity::RoomCode, &code),
            Ask::HoldAlias(alias) => self.hold(peer, Entity::Alias, alias.as_str()),
            Ask::JoinRoom { code, name } => {
                let Some(membership) = self.membership.clone() else {
                    return ready(Answer::Joined(Joined::Unavailable));
                };
                let player = peer.id().clone();
                let patience = peer.realm().probe_timeout();
                let key = key.key().clone();
                Box::pin(
                    async move { Answer::Joined(membership.join(key, code, name, player, patience).await) },
                )
            }
            Ask::Place(kind) => {
                let seeker = place::Seeker {
                    realm: key.realm(RealmKind::Matchbox),
                    groups: key.part(),
                    membership: self.membership.clone(),
                    clock,
                    kind,
                    client: peer.id().clone(),
                };
                Box::pin(async move { Answer::Place(seeker.seek().await) })
            }
            Ask::GroupEnd(mut state) => Box::pin(async move {
                let is_over = |state: &GroupState| *state != GroupState::Open;
                match state.wait_for(is_over).await.map(|state| *state) {
                    Ok(state) => Answer::GroupEnd(state == GroupState::Ended),
                    // Without a sender, it never ends.
                    Err(_) => Answer::GroupEnd(false),
                }
            }),
        }
    }

    /// Claims a name for a client, among all nodes.
    fn hold(&self, peer: &PeerHandle, entity: Entity, name: &str) -> Awaited {
        let Some(membership) = &self.membership else {
            return ready(Answer::Held(Claimed::Unavailable, Box::new(())));
        };
        let (held, claimed) = membership.hold(peer.realm(), entity, name, peer.id(), peer.connection());
        let allows_unclaimed = membership.allows_unclaimed();
        Box::pin(async move {
            let claimed = match timeout(CLAIM_TIMEOUT, claimed).await.unwrap_or(Holding::Unavailable) {
                Holding::Granted => Claimed::Granted,
                Holding::Taken(_) => Claimed::Taken,
                // It is claimed once the other nodes can be asked.
                Holding::Unavailable if allows_unclaimed => Claimed::Granted,
                Holding::Unavailable => Claimed::Unavailable,
            };
            Answer::Held(claimed, Box::new(held))
        })
    }
}

fn ready(answer: Answer) -> Awaited {
    Box::pin(std::future::ready(answer))
}
