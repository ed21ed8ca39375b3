//! Pairs of peers that send each other offers and answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ensure_none_lost;
use crate::Pace;
use crate::figures::{Record, micros, percentile};
use crate::fleet::Fleet;
use crate::payload;
use crate::servers::Server;
use crate::ws;

/// Time before the measurement starts.
const WARM_UP: Duration = Duration::from_millis(300);
/// Wait for the last messages.
const DRAIN: Duration = Duration::from_secs(20);
/// A peer with this many messages in flight skips its turn, because the server does not keep up.
const MAX_ON_THEIR_WAY: usize = 100;

const PAIRS: usize = 100;
/// The fixed rate at which latencies are compared.
pub const STEADY: Pace = Pace::PerSecond(10_000.0);

/// Exchanges messages at each pace for a time in seconds.
pub fn run(server: &Server, record: &mut Record, paces: &[Pace], seconds: f64) -> Result<()> {
    let time = Duration::from_secs_f64(seconds);
    let mut fleet = server.fleet()?;
    fleet.open(2 * PAIRS)?;
    let mut pairs = Pairs::new(0, PAIRS);
    for &pace in paces {
        let Cost { cpu_us, redis_us, mut latencies } = pairs.cost(&mut fleet, server, pace, time)?;
        if pace == STEADY {
            record.add("p50 latency at 10,000 messages/s", percentile(&mut latencies, 50.0));
            record.add("p99 latency at 10,000 messages/s", percentile(&mut latencies, 99.0));
            continue;
        }
        record.add(format!("CPU per message, {pace}"), cpu_us);
        record.add(format!("messages a second, {pace}"), latencies.len() as f64 / seconds);
        if let Some(redis_us) = redis_us {
            record.add(format!("CPU of Redis per message, {pace}"), redis_us);
        }
    }
    Ok(())
}

/// Pairs of the peers of a fleet: each peer with an even number and the next one.
pub struct Pairs {
    peers: Vec<Member>,
    next: usize,
    /// Of the messages that have arrived, counted from the due time.
    latencies: Vec<Duration>,
}

struct Member {
    index: usize,
    frame: Vec<u8>,
    /// The due times of the messages in flight from this peer.
    sent: VecDeque<Instant>,
}

/// CPU times are in microseconds per message.
pub struct Cost {
    pub cpu_us: f64,
    redis_us: Option<f64>,
    latencies: Vec<Duration>,
}

impl Pairs {
    /// The first peer must have an even number.
    pub fn new(first: usize, pairs: usize) -> Self {
        let member = |index: usize| {
            let text = payload::signal(index, &Fleet::id(index ^ 1), payload::OFFER_BYTES);
            Member { index, frame: ws::client_frame(ws::TEXT, text.as_bytes()), sent: VecDeque::new() }
        };
        let peers = (first..first + 2 * pairs).map(member).collect();
        Pairs { peers, next: 0, latencies: Vec::new() }
    }

    /// Exchanges messages at one pace for some time.
    pub fn cost(&mut self, fleet: &mut Fleet, server: &Server, pace: Pace, time: Duration) -> Result<Cost> {
        self.run(fleet, pace, WARM_UP)?;
        self.latencies.clear();
        let nodes = server.cpu()?;
        let redis = server.redis_cpu()?;
        self.run(fleet, pace, time)?;
        let latencies = std::mem::take(&mut self.latencies);
        let per_message = |cpu: Duration| micros(cpu) / latencies.len() as f64;
        let cpu_us = per_message(server.cpu()? - nodes);
        let redis_us = server.redis_cpu()?.zip(redis).map(|(now, before)| per_message(now - before));
        self.drain(fleet)?;
        ensure_none_lost(fleet)?;
        ensure!(!latencies.is_empty(), "no message arrived");
        Ok(Cost { cpu_us, redis_us, latencies })
    }

    fn run(&mut self, fleet: &mut Fleet, pace: Pace, time: Duration) -> Result<()> {
        let start = Instant::now();
        match pace {
            Pace::InFlight(count) => {
                if self.peers.iter().all(|peer| peer.sent.is_empty()) {
                    for member in self.peers.iter_mut().step_by(2) {
                        member.send(fleet, count, start);
                    }
                }
                while start.elapsed() < time {
                    self.turn(fleet, Duration::from_millis(100), true)?;
                }
            }
            Pace::PerSecond(rate) => {
                let mut timetable = Timetable::new(rate);
                while start.elapsed() < time {
                    // It has its own core, so it spins; after a sleep it would be late.
                    self.send_due(fleet, &mut timetable, Duration::ZERO)?;
                }
            }
        }
        Ok(())
    }

    /// Sends the due messages, one peer after the other, and waits for messages.
    pub fn send_due(
        &mut self,
        fleet: &mut Fleet,
        timetable: &mut Timetable,
        timeout: Duration,
    ) -> Result<()> {
        while let Some(due) = timetable.next_due() {
            let count = self.peers.len();
            let member = &mut self.peers[self.next];
            self.next = (self.next + 1) % count;
            if member.sent.len() < MAX_ON_THEIR_WAY {
                member.send(fleet, 1, due);
            }
        }
        self.turn(fleet, timeout, false)
    }

    /// Handles messages that arrive, and may let each recipient answer.
    fn turn(&mut self, fleet: &mut Fleet, timeout: Duration, answers: bool) -> Result<()> {
        let first = self.peers[0].index;
        let arrivals = fleet.turn(timeout)?.to_vec();
        for arrival in arrivals {
            // The fleet may have other peers.
            let Some(at) = arrival.peer.checked_sub(first).filter(|at| *at < self.peers.len()) else {
                continue;
            };
            let sent = &mut self.peers[at ^ 1].sent;
            let arrived = sent.drain(..arrival.messages.min(sent.len()));
            self.latencies.extend(arrived.map(|due| arrival.at.saturating_duration_since(due)));
            if answers {
                self.peers[at].send(fleet, arrival.messages, arrival.at);
            }
        }
        Ok(())
    }

    /// Waits for the messages in flight.
    pub fn drain(&mut self, fleet: &mut Fleet) -> Result<()> {
        let deadline = Instant::now() + DRAIN;
        while self.peers.iter().any(|peer| !peer.sent.is_empty()) {
            self.turn(fleet, Duration::from_millis(10), false)?;
            ensure!(Instant::now() < deadline, "messages did not arrive within {DRAIN:?}");
        }
        Ok(())
    }

    /// The 99th percentile of the latencies since the last call.
    pub fn take_p99(&mut self) -> f64 {
        percentile(&mut std::mem::take(&mut self.latencies), 99.0)
    }
}

impl Member {
    fn send(&mut self, fleet: &mut Fleet, count: usize, due: Instant) {
        for _ in 0..count {
            fleet.peer(self.index).queue(&self.frame);
            self.sent.push_back(due);
        }
        fleet.peer(self.index).flush();
    }
}

/// The due times of messages at a fixed rate.
pub struct Timetable {
    start: Instant,
    interval: Duration,
    sent: u32,
}

impl Timetable {
    pub fn new(per_second: f64) -> Self {
        Timetable { start: Instant::now(), interval: Duration::from_secs_f64(1.0 / per_second), sent: 0 }
    }

    /// The due time of the next message, if it has passed.
    pub fn next_due(&mut self) -> Option<Instant> {
        let due = self.start + self.interval * self.sent;
        let is_due = due <= Instant::now();
        self.sent += u32::from(is_due);
        is_due.then_some(due)
    }
}
