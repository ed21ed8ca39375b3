//! The directory of a large cluster: many records in one Redis, written by the nodes' own code, without nodes or clients.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use peerbroker::cluster::link::Outbound;
use peerbroker::cluster::packet::{NameRef, Packet};
use peerbroker::cluster::redis::{RedisBackplane, RedisSettings};
use peerbroker::cluster::{
    Backplane, Claim, ClaimOutcome, Entity, Locate, Name, Position, RegisterOutcome, Registration, Renewal,
};
use peerbroker::wire::{ApiKey, ConnId, Link, NodeId, Owner, RealmKind};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::try_join;

use crate::payload;
use crate::redis::Redis;

/// The parameters of a measurement.
pub struct Plan {
    /// Numbers of records, ascending.
    pub records: Vec<usize>,
    /// Numbers of nodes, ascending.
    pub nodes: Vec<usize>,
    /// Messages in one batch.
    pub batches: Vec<usize>,
    /// Nodes that talk at the same time.
    pub links: Vec<usize>,
}

/// Times are CPU time of Redis in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Directory {
    pub sizes: Vec<Size>,
    pub memberships: Vec<Membership>,
    pub batches: Vec<Batches>,
}

/// The number of records.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Size {
    pub records: usize,
    pub bytes_per_record: f64,
    /// A client opens …
    pub claim_us: f64,
    /// … and leaves.
    pub release_us: f64,
    /// A node finds the peer of a message.
    pub locate_us: f64,
    /// A node registers a client whose record is lost …
    pub register_us: f64,
    /// … or there, as it does at intervals.
    pub renew_us: f64,
    /// Lost records that one node after the other registered in a second.
    pub registered_per_second: f64,
}

/// The number of nodes, all with clients of one key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Membership {
    pub nodes: usize,
    pub claim_us: f64,
    pub release_us: f64,
    /// The lease of one node is renewed.
    pub lease_us: f64,
}

/// The number of messages of 2 KB in a batch. Each batch is written and read alone.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Batches {
    /// The number of nodes that send at the same time, each to another.
    pub links: usize,
    pub messages: usize,
    pub batch_us: f64,
}

/// Records that a node registers at once.
const REGISTERED_AT_ONCE: usize = 500;
/// Clients that open, or are sought, at once.
const ASKED_AT_ONCE: usize = 10;
/// Operations of each measurement of records, leases, and batches.
const RECORDS: usize = 20_000;
const LEASES: usize = 500;
const BATCHES: usize = 3000;
/// Nodes that own the records.
const OWNERS: usize = 10;
/// Longer than the measurement, so that no lease ends in it.
const LEASE: Duration = Duration::from_secs(3600);
/// The bound of each call.
const PATIENCE: Duration = Duration::from_secs(10);
const LIMIT: usize = 1 << 30;

impl Plan {
    pub fn full() -> Self {
        Plan {
            records: vec![100_000, 1_000_000, 3_000_000],
            nodes: vec![3, 30, 300],
            batches: vec![1, 4, 16, 64],
            links: vec![1, 30],
        }
    }
}

/// Measures an empty Redis.
pub fn run(redis: &Redis, port: u16, plan: &Plan) -> Result<Directory> {
    let url = format!("redis://127.0.0.1:{port}");
    let settings = RedisSettings { timeout: PATIENCE, ..RedisSettings::new(&url) };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let work = async {
        let backplane = RedisBackplane::new(&settings)?;
        let key = ApiKey::parse("peerjs")?;
        let store = Store { backplane, settings, redis, key };
        // In this order, because leases stay known for an hour after their end.
        let memberships = store.memberships(&plan.nodes).await?;
        let sizes = store.sizes(&plan.records).await?;
        let batches = store.batches(&plan.batches, &plan.links).await?;
        Ok(Directory { sizes, memberships, batches })
    };
    LocalSet::new().block_on(&runtime, work)
}

struct Store<'a> {
    backplane: RedisBackplane,
    settings: RedisSettings,
    redis: &'a Redis,
    key: ApiKey,
}

impl Store<'_> {
    /// CPU time of Redis for each of `count` operations.
    async fn cost(&self, count: usize, operations: impl Future<Output = Result<()>>) -> Result<f64> {
        let before = self.redis.process().cpu()?;
        operations.await?;
        Ok((self.redis.process().cpu()? - before).as_secs_f64() * 1e6 / count as f64)
    }

    async fn sizes(&self, counts: &[usize]) -> Result<Vec<Size>> {
        let mut sizes = Vec::new();
        let (empty, mut there) = (self.redis.used_bytes()?, 0);
        for &records in counts {
            let start = Instant::now();
            let missing = records - there;
            let register_us = self.cost(missing, self.register(there..records)).await?;
            let registered_per_second = missing as f64 / start.elapsed().as_secs_f64();
            there = records;
            let bytes_per_record = (self.redis.used_bytes()? - empty) as f64 / records as f64;
            let new = records..records + RECORDS;
            sizes.push(Size {
                records,
                bytes_per_record,
                claim_us: self.cost(RECORDS, self.claim(new.clone())).await?,
                locate_us: self.cost(RECORDS, self.locate(0..RECORDS)).await?,
                release_us: self.cost(RECORDS, self.release(new)).await?,
                register_us,
                renew_us: self.cost(RECORDS, self.register(0..RECORDS)).await?,
                registered_per_second,
            });
        }
        Ok(sizes)
    }

    async fn memberships(&self, counts: &[usize]) -> Result<Vec<Membership>> {
        let mut memberships = Vec::new();
        let mut there = 0;
        for &nodes in counts {
            for number in there..nodes {
                let node = node(number);
                self.backplane.join(node, &format!("node-{number}"), LEASE).await?;
                self.backplane.count(&self.key, node, 1000).await?;
            }
            there = nodes;
            memberships.push(Membership {
                nodes,
                claim_us: self.cost(RECORDS, self.claim(0..RECORDS)).await?,
                release_us: self.cost(RECORDS, self.release(0..RECORDS)).await?,
                lease_us: self.cost(LEASES, self.renew_leases(nodes)).await?,
            });
        }
        // The records of the other measurements belong to a few nodes.
        for number in OWNERS..there {
            self.backplane.count(&self.key, node(number), 0).await?;
            self.backplane.leave(node(number)).await?;
        }
        Ok(memberships)
    }

    async fn batches(&self, sizes: &[usize], links: &[usize]) -> Result<Vec<Batches>> {
        let mut all = Vec::new();
        for &links in links {
            for &messages in sizes {
                let batch = self.batch(messages)?;
                let work = async {
                    let mut tasks = JoinSet::new();
                    for _ in 0..links {
                        let link =
                            carry(RedisBackplane::new(&self.settings)?, BATCHES / links, batch.clone());
                        tasks.spawn_local(link);
                    }
                    tasks.join_all().await.into_iter().collect()
                };
                all.push(Batches { links, messages, batch_us: self.cost(BATCHES, work).await? });
            }
        }
        Ok(all)
    }

    fn batch(&self, messages: usize) -> Result<Vec<u8>> {
        let (from, to) = (id(0), id(1));
        let text = payload::signal(0, &to, payload::OFFER_BYTES);
        let name = NameRef::new(&self.key, Entity::Peer(RealmKind::PeerJs), &to);
        let mut link = Outbound::default();
        for ticket in 0..messages as u64 {
            let (connection, kind) = (1, 0);
            link.push(&Packet::Message {
                to: name,
                connection,
                ticket,
                from: &from,
                kind,
                payload: text.as_bytes(),
            });
        }
        link.next_batch(node(0)).context("an empty batch")
    }

    async fn register(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let all: Vec<usize> = numbers.collect();
        for some in all.chunks(REGISTERED_AT_ONCE) {
            let registration = |number: &usize| Registration {
                name: self.name(*number),
                owner: owner(*number),
                token: token(*number),
                link: Link::Socket,
                over: None,
                fence: 1_700_000_000_000_000 + *number as u64,
                since: 1_700_000_000_000,
                former: None,
                late: false,
            };
            let outcomes = self.backplane.register(some.iter().map(registration).collect()).await?;
            let kept = outcomes.iter().all(|outcome| matches!(outcome, RegisterOutcome::Kept(_)));
            ensure!(kept, "a record belongs to another connection");
        }
        Ok(())
    }

    async fn claim(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let all: Vec<usize> = numbers.collect();
        for some in all.chunks(ASKED_AT_ONCE) {
            let claim = |number: &usize| Claim {
                name: self.name(*number),
                owner: owner(*number),
                token: token(*number),
                link: Link::Socket,
                over: None,
                limit: Some(LIMIT),
            };
            let claims = some.iter().map(claim).collect();
            let outcomes = self.backplane.claim(self.backplane.store(), claims).await?;
            let granted = outcomes.iter().all(|outcome| matches!(outcome, ClaimOutcome::Granted(_)));
            ensure!(granted, "a claim was not granted: {outcomes:?}");
        }
        Ok(())
    }

    async fn release(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let all: Vec<usize> = numbers.collect();
        for some in all.chunks(ASKED_AT_ONCE) {
            let names = some.iter().map(|number| (self.name(*number), owner(*number)));
            self.backplane.release(names.collect()).await?;
        }
        Ok(())
    }

    async fn locate(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let all: Vec<usize> = numbers.collect();
        for some in all.chunks(ASKED_AT_ONCE) {
            let question = |number: &usize| Locate {
                name: self.name(*number),
                asker: node(0),
                over: None,
                mark: Duration::from_secs(10),
            };
            let owners = self.backplane.locate(some.iter().map(question).collect()).await?;
            ensure!(owners.iter().all(Option::is_some), "a record is lost");
        }
        Ok(())
    }

    async fn renew_leases(&self, nodes: usize) -> Result<()> {
        for number in 0..LEASES {
            let renewal = self.backplane.renew(node(number % nodes), LEASE).await?;
            ensure!(renewal != Renewal::Lost, "a lease is lost");
        }
        Ok(())
    }

    fn name(&self, number: usize) -> Name {
        Name { key: self.key.clone(), entity: Entity::Peer(RealmKind::PeerJs), name: id(number) }
    }
}

/// Sends batches one after the other to an inbox whose reader is already waiting.
async fn carry(backplane: RedisBackplane, count: usize, batch: Vec<u8>) -> Result<()> {
    let inbox = backplane.new_node();
    let batches = [(inbox, batch)];
    backplane.join(inbox, "reader", LEASE).await?;
    let mut position = Position::default();
    for _ in 0..count {
        let (read, _) = try_join!(backplane.read(inbox, &position, PATIENCE), backplane.append(&batches))?;
        ensure!(read.len() == 1, "{} batches came instead of one", read.len());
        position = read[0].position.clone();
    }
    Ok(backplane.leave(inbox).await?)
}

/// As long as the ids that PeerJS servers give.
fn id(number: usize) -> String {
    format!("{:08x}-0000-4000-8000-{number:012x}", (number as u32).wrapping_mul(0x9E37_79B1))
}

fn node(number: usize) -> NodeId {
    NodeId::new((number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn owner(number: usize) -> Owner {
    Owner { node: node(number % OWNERS), connection: ConnId::new(number as u64 + 1) }
}

fn token(number: usize) -> [u8; 16] {
    (number as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_le_bytes()
}
