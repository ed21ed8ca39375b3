//! The end of a round: no fault is left, and all heals within a bound.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::fate::Fates;
use super::world::{OwnEnd, World};
use crate::harness::client::Stamp;
use crate::harness::node::Node;
use crate::harness::{Seen, TIMEOUT, becomes};

/// Time in which a node must take part again once Redis answers.
const BACK: Duration = Duration::from_secs(3);

/// Waits until every client reaches every other and nothing waits anywhere. What did not come to pass, if anything.
pub async fn heal(world: &mut World) -> Result<(), String> {
    let frozen = |end: Option<(Stamp, OwnEnd)>| end.is_some_and(|(_, end)| end == OwnEnd::Freeze);
    for conn in world.conns.iter().filter(|conn| frozen(conn.own_end)) {
        conn.client.reset();
    }
    world.note("heals");
    answered(world).await?;
    let round = world.rounds.len();
    let guards: Vec<usize> =
        (0..3).filter_map(|node| world.open(node, &format!("guard{round}-{node}"), "t")).collect();
    answered(world).await?;
    let deadline = Instant::now() + TIMEOUT;
    let mut mesh = Mesh::default();
    loop {
        let open: Vec<usize> = (0..world.conns.len()).filter(|conn| world.conns[*conn].is_open()).collect();
        let twice = open.iter().find(|conn| {
            let id = &world.conns[**conn].client.id;
            open.iter().filter(|other| world.conns[**other].client.id == *id).count() > 1
        });
        let apart = mesh.unreached(world, &open);
        if twice.is_none() && apart.is_none() {
            break;
        }
        if Instant::now() > deadline {
            let twice = twice.map(|conn| format!("two connections keep the id of #{conn}"));
            let apart = apart.map(|(from, to)| format!("#{from} does not reach #{to}"));
            return Err([twice, apart].into_iter().flatten().collect::<Vec<_>>().join("; "));
        }
        sleep(crate::harness::LOOK).await;
    }
    // Until then it gives ids without asking.
    becomes(BACK, async || world.cluster.nodes.iter().all(Node::is_back)).await;
    // Known only now: a node notices late.
    world.record_outages();
    if !becomes(TIMEOUT, async || Fates::of(world).missing(world).is_empty()).await {
        return Ok(());
    }
    for (number, node) in world.cluster.nodes.iter().enumerate() {
        if !node.stats_become(TIMEOUT, |stats| stats["queued_bytes"] == 0).await {
            let stats = node.stats().await;
            return Err(format!(
                "node {number} still has {} bytes of queued messages",
                stats["queued_bytes"]
            ));
        }
    }
    for guard in guards {
        if world.conns[guard].is_open() {
            world.end(guard, OwnEnd::Close);
        }
    }
    let ended = becomes(TIMEOUT, async || {
        world.conns.iter().all(|conn| conn.own_end.is_none() || conn.client.has_ended())
    })
    .await;
    world.note("healed");
    world.round().to = Some(Stamp::now());
    if ended { Ok(()) } else { Err("a connection that was closed does not end".to_owned()) }
}

async fn answered(world: &World) -> Result<(), String> {
    let silent = || world.conns.iter().position(|conn| conn.own_end.is_none() && !conn.has_answer());
    if becomes(TIMEOUT, async || silent().is_none()).await {
        return Ok(());
    }
    Err(format!("#{} got no answer", silent().unwrap_or_default()))
}

/// When a message that went astray is sent again, so that the history of a failure can be read.
const AGAIN: Duration = Duration::from_millis(100);

/// Messages from each to each, sent again when they expire.
#[derive(Default)]
struct Mesh(Vec<Try>);

struct Try {
    from: usize,
    to: usize,
    sent: Vec<usize>,
    /// The EXPIREs that the sender had heard when it sent the last one.
    expired: usize,
    reached: bool,
}

impl Mesh {
    /// Sends what is missing. Two that have not reached each other yet.
    fn unreached(&mut self, world: &mut World, open: &[usize]) -> Option<(usize, usize)> {
        let mut missing = None;
        for &from in open {
            for &to in open.iter().filter(|to| **to != from) {
                if world.conns[from].client.id != world.conns[to].client.id && !self.reaches(world, from, to)
                {
                    missing = Some((from, to));
                }
            }
        }
        missing
    }

    fn reaches(&mut self, world: &mut World, from: usize, to: usize) -> bool {
        let lost = Seen::Expire(world.conns[to].client.id.clone());
        let seen = world.conns[from].client.seen();
        let expired = seen.iter().filter(|(_, seen)| *seen == lost).count();
        let known = self.0.iter().position(|one| (one.from, one.to) == (from, to));
        let known = known.unwrap_or_else(|| {
            self.0.push(Try { from, to, sent: Vec::new(), expired: usize::MAX, reached: false });
            self.0.len() - 1
        });
        let one = &mut self.0[known];
        if one.reached {
            return true;
        }
        let id = &world.conns[to].client.id;
        let has = |conn: usize, place: usize| world.conns[conn].client.has_message(place);
        let same = |conn: &usize| world.conns[*conn].client.id == *id;
        // Another connection has the id, too, and got it.
        let strayed = || {
            one.sent.last().is_some_and(|place| {
                (0..world.conns.len()).filter(same).any(|conn| conn != to && has(conn, *place))
            })
        };
        one.reached = one.sent.iter().any(|place| has(to, *place));
        let is_recent = one.sent.last().is_some_and(|place| world.sent[*place].at.at.elapsed() < AGAIN);
        if !one.reached && (one.expired != expired || !is_recent && strayed()) {
            let id = id.clone();
            one.expired = expired;
            one.sent.push(world.send_one(from, &id, "OFFER", None));
        }
        one.reached
    }
}
