//! The script of one seed.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;

use super::barrier::heal;
use super::chance::Chance;
use super::check::violations;
use super::history::history;
use super::world::{KINDS, OwnEnd, World};
use crate::harness::proxy::Mode;
use crate::harness::{Cluster, becomes};

const ROUNDS: usize = 5;

const IDS: [&str; 5] = ["p0", "p1", "p2", "p3", "p4"];

/// Duration of a fault that must be noticed.
const NOTICED: Duration = Duration::from_secs(6);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    Stop(usize),
    Pause(usize, bool),
    Link(usize, Mode, bool),
    RedisKill { empty: bool, long: bool },
    RedisPause(bool),
}

/// Plays a seed. A summary, or all that happened and what of it is wrong.
pub async fn play(seed: u64) -> Result<String, String> {
    let mut chance = Chance::new(seed);
    let mut world = World::new(Cluster::start().await);
    for _ in 0..ROUNDS {
        world.begin_round();
        let healed = round(&mut world, &mut chance).await;
        let mut wrong = violations(&world);
        wrong.extend(healed.err());
        if !wrong.is_empty() {
            return Err(history(&world, &wrong));
        }
    }
    let opened = world.conns.iter().filter(|conn| conn.opened().is_some()).count();
    let disturbed = world.rounds.iter().filter(|round| round.disturbed.is_some()).count();
    Ok(format!("{opened} connections, {} messages, {disturbed} rounds with faults", world.sent.len()))
}

async fn round(world: &mut World, chance: &mut Chance) -> Result<(), String> {
    for id in IDS {
        if world.open_conn(id).is_none() && chance.is(80) {
            world.open(chance.below(3), id, "a");
        }
    }
    act(world, chance, 10).await;
    let mut faults = Vec::new();
    if chance.is(85) {
        faults.push(any_fault(chance));
    }
    if chance.is(25) {
        faults.push(any_fault(chance));
    }
    // The second one would hit what the first one has taken away.
    faults.dedup_by(|second, first| overlap(*first, *second));
    for fault in &faults {
        begin(world, *fault).await;
        act(world, chance, 8).await;
    }
    for fault in &faults {
        last(world, *fault).await;
    }
    act(world, chance, 6).await;
    for fault in &faults {
        end(world, *fault).await;
        act(world, chance, 6).await;
    }
    heal(world).await
}

fn any_fault(chance: &mut Chance) -> Fault {
    let node = chance.below(3);
    let long = chance.is(50);
    match chance.below(10) {
        0 | 1 => Fault::Kill(node),
        2 => Fault::Stop(node),
        3 | 4 => Fault::Pause(node, long),
        5 | 6 => Fault::Link(node, chance.of(&[Mode::Stalled, Mode::Mute, Mode::Cut]), long),
        7 | 8 => Fault::RedisKill { empty: chance.is(50), long },
        _ => Fault::RedisPause(long),
    }
}

fn overlap(first: Fault, second: Fault) -> bool {
    let node = |fault| match fault {
        Fault::Kill(node) | Fault::Stop(node) | Fault::Pause(node, _) | Fault::Link(node, ..) => Some(node),
        Fault::RedisKill { .. } | Fault::RedisPause(_) => None,
    };
    node(first) == node(second)
}

async fn begin(world: &mut World, fault: Fault) {
    world.disturb(format!("{fault:?} begins"));
    match fault {
        Fault::Pause(node, _) => world.round().slept[node] = true,
        _ => world.round().failed = true,
    }
    match fault {
        Fault::Kill(node) => {
            world.round().harmed[node] = true;
            world.cluster.nodes[node].kill().await;
        }
        Fault::Stop(node) => {
            world.round().stopped[node] = true;
            world.cluster.nodes[node].signal("-TERM");
        }
        Fault::Pause(node, _) => world.cluster.nodes[node].signal("-STOP"),
        Fault::Link(node, mode, _) => world.cluster.nodes[node].proxy.set(mode),
        Fault::RedisKill { .. } => world.cluster.redis.kill().await,
        Fault::RedisPause(_) => world.cluster.redis.pause(),
    }
}

/// Waits until a long fault is noticed; that may be before it is asked for, and then it lasts for a while.
async fn last(world: &mut World, fault: Fault) {
    let watched: Vec<(usize, &str)> = match fault {
        Fault::Pause(node, true) => vec![((node + 1) % 3, " died")],
        Fault::Link(node, _, true) => vec![(node, "cannot reach the other nodes")],
        Fault::RedisKill { long: true, .. } | Fault::RedisPause(true) => {
            (0..3).map(|node| (node, "cannot reach the other nodes")).collect()
        }
        _ => return,
    };
    let nodes = &world.cluster.nodes;
    let count = |node: usize, text: &str| nodes[node].log().matches(text).count();
    let before: Vec<usize> = watched.iter().map(|(node, text)| count(*node, text)).collect();
    becomes(NOTICED, async || {
        let mut all = watched.iter().zip(&before);
        all.all(|((node, text), before)| !nodes[*node].is_running() || count(*node, text) > *before)
    })
    .await;
    world.note(format!("{fault:?} was noticed"));
}

async fn end(world: &mut World, fault: Fault) {
    match fault {
        Fault::Kill(node) => world.cluster.nodes[node].revive().await,
        Fault::Stop(node) => {
            world.cluster.nodes[node].ended().await;
            world.cluster.nodes[node].revive().await;
        }
        Fault::Pause(node, _) => world.cluster.nodes[node].signal("-CONT"),
        Fault::Link(node, ..) => world.cluster.nodes[node].proxy.set(Mode::Open),
        Fault::RedisKill { empty: false, .. } => world.cluster.redis.revive().await,
        Fault::RedisKill { empty: true, .. } => {
            world.round().emptied = true;
            world.cluster.redis.revive_empty().await;
        }
        Fault::RedisPause(_) => world.cluster.redis.resume(),
    }
    world.note(format!("{fault:?} is over"));
}

/// Clients do something.
async fn act(world: &mut World, chance: &mut Chance, times: usize) {
    for _ in 0..1 + chance.below(times) {
        let id = chance.of(&IDS);
        let other = chance.of(&IDS);
        let what = chance.below(100);
        let node = chance.below(3);
        let token = chance.is(75);
        let kinds: Vec<&str> = (0..1 + chance.below(4)).map(|_| chance.of(&KINDS)).collect();
        let pause = [0, 0, 0, 1, 2, 5, 20, 60][chance.below(8)];
        match (what, world.open_conn(id)) {
            (0..35, _) => drop(world.open(node, id, if token { "a" } else { "b" })),
            (35..85, Some(conn)) => world.send(conn, other, &kinds),
            (85..91, Some(conn)) => world.end(conn, OwnEnd::Close),
            (91..96, Some(conn)) => world.end(conn, OwnEnd::Reset),
            (96..99, Some(conn)) => world.end(conn, OwnEnd::Freeze),
            _ => {}
        }
        yield_now().await;
        if pause > 0 {
            sleep(Duration::from_millis(pause)).await;
        }
    }
}
