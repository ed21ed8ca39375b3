//! Where the suite runs: on which store, and with what help.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use peerbroker_cluster::{
    Backplane, Claim, ClaimOutcome, Entity, Granted, Locate, Name, NodeCard, Owner, RegisterOutcome,
    Registration, Renewal, Unavailable,
};
use peerbroker_config::SharedSettings;
use peerbroker_core::clock::UnixMillis;
use peerbroker_core::vocabulary::{ApiKey, ConnId, ConnectionKind, NodeId, RealmKind};
use peerbroker_redis::{RedisBackplane, RedisSettings};

use crate::sim::{SimClient, SimStore};

/// A lease that does not end in a test.
pub const LONG: Duration = Duration::from_secs(600);

/// A store that nodes connect to.
pub trait Stage {
    type Backplane: Backplane;

    fn connect(&self) -> Self::Backplane;
}

impl Stage for SimStore {
    type Backplane = RedisBackplane<SimClient>;

    fn connect(&self) -> Self::Backplane {
        SimStore::connect(self).backplane()
    }
}

impl Stage for RedisSettings {
    type Backplane = RedisBackplane;

    fn connect(&self) -> RedisBackplane {
        RedisBackplane::new(self).expect("a URL")
    }
}

pub fn key(text: &str) -> ApiKey {
    ApiKey::parse(text).expect("a key")
}

pub fn peer(id: &str) -> Name {
    Name { key: key("peerjs"), entity: Entity::Peer(RealmKind::PeerJs), name: id.to_owned() }
}

pub fn node(number: u64) -> NodeId {
    NodeId::new(number)
}

pub fn owner(node: u64, connection: u64) -> Owner {
    Owner { node: NodeId::new(node), connection: ConnId::new(connection) }
}

/// A claim of a WebSocket, of a name that does not count.
pub fn claim(id: &str, owner: Owner, token: u8) -> Claim {
    Claim {
        name: peer(id),
        owner,
        token: [token; 16],
        kind: ConnectionKind::Socket,
        known_dead: None,
        limit: None,
    }
}

/// A registration of a WebSocket that had no claim.
pub fn registration(id: &str, owner: Owner, token: u8, since: u64) -> Registration {
    let name = peer(id);
    let token = [token; 16];
    let kind = ConnectionKind::Socket;
    let known_dead = None;
    let former = None;
    let since = UnixMillis::from_millis(since);
    Registration { name, owner, token, kind, known_dead, fence: 0, since, former, late: false }
}

/// Claims in the store that is there.
pub async fn claim_all(
    backplane: &impl Backplane,
    claims: Vec<Claim>,
) -> Result<Vec<ClaimOutcome>, Unavailable> {
    // A node joins before it claims.
    if backplane.store() == 0 {
        let question = Locate { name: peer(""), asker: node(9999), known_dead: None, mark: Duration::ZERO };
        backplane.locate(vec![question]).await?;
    }
    backplane.claim(backplane.store(), claims).await
}

/// One claim.
pub async fn outcome(backplane: &impl Backplane, claim: Claim) -> ClaimOutcome {
    let mut outcomes = claim_all(backplane, vec![claim]).await.expect("an answer");
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// One claim, which is granted.
pub async fn granted(backplane: &impl Backplane, claim: Claim) -> Granted {
    match outcome(backplane, claim).await {
        ClaimOutcome::Granted(granted) => granted,
        other => panic!("{other:?}"),
    }
}

/// One registration.
pub async fn registered(backplane: &impl Backplane, one: Registration) -> RegisterOutcome {
    let mut outcomes = backplane.register(vec![one]).await.expect("an answer");
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// One registration, which is kept.
pub async fn kept(backplane: &impl Backplane, one: Registration) -> Granted {
    match registered(backplane, one).await {
        RegisterOutcome::Kept(granted) => granted,
        other => panic!("{other:?}"),
    }
}

/// The owner of a name. Leaves no mark.
pub async fn located(backplane: &impl Backplane, name: Name) -> Option<Owner> {
    mark(backplane, name, 9999, Duration::ZERO).await
}

/// Asks who owns a name, and waits for this long if nobody does.
pub async fn mark(backplane: &impl Backplane, name: Name, asker: u64, mark: Duration) -> Option<Owner> {
    let question = Locate { name, asker: node(asker), known_dead: None, mark };
    let mut owners = backplane.locate(vec![question]).await.expect("an answer");
    assert_eq!(owners.len(), 1);
    owners.remove(0)
}

pub async fn release(backplane: &impl Backplane, name: Name, owner: Owner) {
    backplane.release(vec![(name, owner)]).await.expect("an answer");
}

/// All batches of an inbox that are there.
pub async fn batches(backplane: &impl Backplane, inbox: NodeId) -> Vec<Vec<u8>> {
    let entries = backplane.read(inbox, &Default::default(), Duration::ZERO).await.expect("an answer");
    entries.into_iter().map(|entry| entry.batch).collect()
}

/// The members that a node sees, each with whether it is alive.
pub async fn members(backplane: &impl Backplane, node: NodeId) -> Vec<(NodeId, String, bool)> {
    match backplane.renew(node, &SharedSettings::new(), LONG).await.expect("an answer") {
        Renewal::Renewed(members) => members.into_iter().map(|m| (m.node, m.name, m.alive)).collect(),
        Renewal::Lost => panic!("the lease is lost"),
    }
}

/// One that no test uses otherwise.
fn fresh_node() -> NodeId {
    static USED: AtomicU64 = AtomicU64::new(0);
    NodeId::new(u64::MAX - USED.fetch_add(1, Ordering::Relaxed))
}

/// Until the lease of a node has ended by the store's clock.
pub async fn until_dead(backplane: &impl Backplane, node: NodeId) {
    let observer = fresh_node();
    backplane.join(observer, &NodeCard::named("observer"), LONG).await.expect("a lease");
    let dead = async {
        while members(backplane, observer).await.iter().any(|(known, _, alive)| *known == node && *alive) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), dead).await.expect("the end of a lease");
    backplane.leave(observer).await.expect("an answer");
}

/// Until this time has passed by the store's clock.
pub async fn pass(backplane: &impl Backplane, time: Duration) {
    let clock = fresh_node();
    backplane.join(clock, &NodeCard::named("clock"), time).await.expect("a lease");
    until_dead(backplane, clock).await;
}
