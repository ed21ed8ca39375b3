//! The calls of a node.

use std::time::Duration;

use peerbroker::cluster::{
    Backplane, Claim, ClaimOutcome, InboxEntry, Locate, Name, Owner, Position, RegisterOutcome, Registration,
    Renewal, Unavailable,
};
use peerbroker::wire::{ApiKey, NodeId};
use tokio::time::{Instant, timeout_at};

use super::store::{Micros, Store};
use super::{SimBackplane, unavailable};

impl Backplane for SimBackplane {
    const STORE_CHANGED: &str = "another store";

    fn new_node(&self) -> NodeId {
        NodeId::new(self.shared.random())
    }

    async fn join(&self, node: NodeId, name: &str, lease: Duration) -> Result<(), Unavailable> {
        let name = name.to_owned();
        let lease = lease.as_micros() as Micros;
        let joined = self.call(move |store, now| store.join(now, node, &name, lease)).await?;
        joined.then_some(()).ok_or_else(|| unavailable("the lease has ended"))
    }

    async fn renew(&self, node: NodeId, lease: Duration) -> Result<Renewal, Unavailable> {
        let lease = lease.as_micros() as Micros;
        self.call(move |store, now| store.renew(now, node, lease)).await
    }

    async fn leave(&self, node: NodeId) -> Result<(), Unavailable> {
        self.call(move |store, now| store.leave(now, node)).await
    }

    async fn claim(&self, store: u64, claims: Vec<Claim>) -> Result<Vec<ClaimOutcome>, Unavailable> {
        self.connect();
        // Later, calls that are on their way to another process fail.
        if self.shared.process.get() != store {
            return Err(unavailable("another store"));
        }
        let bound = self.shared.now() + self.shared.timeout.get().as_micros() as Micros;
        let change = move |store: &mut Store, now| {
            // Too late: nobody waits for the outcome.
            let claims = if now > bound { &[] } else { claims.as_slice() };
            claims.iter().map(|claim| store.claim(now, claim)).collect()
        };
        self.call(change).await
    }

    async fn register(&self, all: Vec<Registration>) -> Result<Vec<RegisterOutcome>, Unavailable> {
        let change = move |store: &mut Store, now| all.iter().map(|one| store.register(now, one)).collect();
        self.call(change).await
    }

    async fn release(&self, all: Vec<(Name, Owner)>) -> Result<(), Unavailable> {
        // Nothing is sent to Redis then, either.
        if all.is_empty() {
            return Ok(());
        }
        let change = move |store: &mut Store, now| {
            for (name, owner) in &all {
                store.release(now, name, *owner);
            }
        };
        self.call(change).await
    }

    async fn count(&self, key: &ApiKey, node: NodeId, clients: usize) -> Result<(), Unavailable> {
        let key = key.clone();
        self.call(move |store, now| store.count(now, &key, node, clients)).await
    }

    async fn locate(&self, all: Vec<Locate>) -> Result<Vec<Option<Owner>>, Unavailable> {
        let change = move |store: &mut Store, now| all.iter().map(|one| store.locate(now, one)).collect();
        self.call(change).await
    }

    async fn append(&self, all: &[(NodeId, Vec<u8>)]) -> Result<Vec<bool>, Unavailable> {
        let duplicate = self.shared.chaos.get().duplicate;
        let twice: Vec<bool> = all.iter().map(|_| self.shared.happens(duplicate)).collect();
        let all = all.to_vec();
        let change = move |store: &mut Store, now| {
            let append = |((node, batch), twice): (&(NodeId, Vec<u8>), bool)| {
                let there = store.append(now, *node, batch);
                if twice {
                    store.append(now, *node, batch);
                }
                there
            };
            all.iter().zip(twice).map(append).collect()
        };
        self.call(change).await
    }

    async fn read(
        &self,
        inbox: NodeId,
        after: &Position,
        wait: Duration,
    ) -> Result<Vec<InboxEntry>, Unavailable> {
        // On a connection of its own: whether it lives or not says nothing of the other one.
        let deadline = Instant::now() + wait;
        let look = || {
            let after = after.clone();
            self.exchange(move |store, _| store.read(inbox, &after))
        };
        let mut entries = self.within_bound(look()).await?;
        while entries.is_empty() && Instant::now() < deadline {
            let process = self.shared.process.get();
            while !self.shared.store.borrow().has_behind(inbox, after) {
                if timeout_at(deadline, self.shared.changed.notified()).await.is_err() {
                    break;
                }
                if self.shared.process.get() != process {
                    return Err(unavailable("the connection has ended"));
                }
            }
            entries = self.within_bound(look()).await?;
        }
        Ok(entries)
    }

    async fn trim(&self, inbox: NodeId, until: &Position) -> Result<(), Unavailable> {
        let until = until.clone();
        self.call(move |store, _| store.trim(inbox, &until)).await
    }

    fn generation(&self) -> u64 {
        self.link.generation.get()
    }

    fn store(&self) -> u64 {
        self.link.met.get()
    }
}
