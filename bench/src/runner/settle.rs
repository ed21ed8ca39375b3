//! Redis stops, and starts again empty: measures the time until all nodes have registered their clients again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::servers::Server;
use crate::fleet::{Fleet, Target};
use crate::measured::Settled;

const PEERS: usize = 10_000;
/// Prefix of the keys of peers in Redis.
const RECORDS: &str = "peerbroker:peer";
/// The bound of everything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

pub(super) fn run(server: &mut Server, away: Duration) -> Result<Settled> {
    let mut fleet = Fleet::new(Target { addresses: server.addresses.clone(), tls: None })?;
    fleet.open(PEERS)?;
    let ops = server.ops.clone();
    let redis = server.redis.as_mut().context("there is no Redis")?;
    redis.kill();
    fleet.idle(away)?;
    redis.start_again()?;
    let back = Instant::now();
    let redis = redis.redis()?;
    // Counting records keeps Redis busy, so the number of keys decides when to count.
    until("all records are there", &mut fleet, || {
        Ok(redis.keys()? >= PEERS && redis.keys_with(RECORDS)? == PEERS)
    })?;
    let registered_seconds = back.elapsed().as_secs_f64();
    // A node that has registered its clients has noticed the outage: it is not ready until that is over.
    until("all nodes are ready", &mut fleet, || Ok(ops.iter().all(|ops| is_ready(*ops))))?;
    let ready_seconds = back.elapsed().as_secs_f64();
    ensure!(fleet.lost() == 0, "{} clients lost their ids", fleet.lost());
    Ok(Settled { peers: PEERS, away_seconds: away.as_secs_f64(), registered_seconds, ready_seconds })
}

/// Waits until nodes are ready; returns at once if there are none.
pub(super) fn until_ready(ops: &[SocketAddr]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ops.iter().all(|ops| is_ready(*ops)) {
        ensure!(Instant::now() < deadline, "the nodes are not ready within {PATIENCE:?}");
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}

fn until(what: &str, fleet: &mut Fleet, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        ensure!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        fleet.idle(INTERVAL)?;
    }
    Ok(())
}

fn is_ready(ops: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&ops, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {ops}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer: String| answer.starts_with("HTTP/1.1 200"))
}
