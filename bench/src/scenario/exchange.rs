//! Pairs of peers that send each other offers and answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::micros;
use crate::fleet::{Arrival, Fleet};
use crate::measured::{Exchange, Pace};
use crate::payload;
use crate::servers::Servers;
use crate::statistics::percentiles;
use crate::ws;

/// Time before the measurement starts.
const WARM_UP: Duration = Duration::from_millis(300);
/// Wait for the last messages.
const DRAIN: Duration = Duration::from_secs(20);
/// A peer with this many messages in flight skips its turn, because the server does not keep up.
const MAX_ON_THEIR_WAY: usize = 100;

/// Pairs of the peers of a fleet: each peer with an even number and the next one.
pub struct Pairs {
    peers: Vec<Member>,
    next: usize,
}

pub(super) struct Member {
    index: usize,
    frame: Vec<u8>,
    /// The due times of the messages in flight from this peer.
    sent: VecDeque<Instant>,
}

/// Latencies of the messages that have arrived.
pub(super) type Latencies = Vec<Duration>;

impl Pairs {
    /// The first peer must have an even number.
    pub fn new(first: usize, pairs: usize) -> Self {
        let member = |index: usize| {
            let text = payload::signal(index, &Fleet::id(index ^ 1), payload::OFFER_BYTES);
            Member { index, frame: ws::client_frame(ws::TEXT, text.as_bytes()), sent: VecDeque::new() }
        };
        Pairs { peers: (first..first + 2 * pairs).map(member).collect(), next: 0 }
    }

    /// Exchanges messages at one pace for some time.
    pub fn exchange(
        &mut self,
        fleet: &mut Fleet,
        server: &Servers,
        pace: Pace,
        time: Duration,
    ) -> Result<Exchange> {
        self.run(fleet, pace, WARM_UP)?;
        let (before, start) = (server.spent()?, Instant::now());
        let latencies = self.run(fleet, pace, time)?;
        let seconds = start.elapsed().as_secs_f64();
        let (cpu, redis) = server.since(&before, latencies.len())?;
        self.drain(fleet, &mut Latencies::new())?;
        ensure!(fleet.lost() == 0, "the server ended {} connections", fleet.lost());
        ensure!(!latencies.is_empty(), "no message arrived");
        Ok(Exchange {
            pace,
            messages: latencies.len() as u64,
            per_second: latencies.len() as f64 / seconds,
            cpu_us: micros(cpu) / latencies.len() as f64,
            busy: cpu.as_secs_f64() / seconds,
            redis,
            latency_us: percentiles(latencies),
        })
    }

    fn run(&mut self, fleet: &mut Fleet, pace: Pace, time: Duration) -> Result<Latencies> {
        match pace {
            Pace::InFlight(count) => self.run_in_flight(fleet, count, time),
            Pace::PerSecond(rate) => {
                let mut latencies = Latencies::new();
                let mut timetable = Timetable::new(rate);
                while timetable.start.elapsed() < time {
                    self.send_due(fleet, &mut timetable);
                    // It has its own core, so it spins; after a sleep it would be late.
                    self.arrived(fleet, Duration::ZERO, &mut latencies, |_, _, _| {})?;
                }
                Ok(latencies)
            }
        }
    }

    fn run_in_flight(&mut self, fleet: &mut Fleet, count: usize, time: Duration) -> Result<Latencies> {
        let end = Instant::now() + time;
        let mut latencies = Latencies::new();
        let on_their_way: usize = self.peers.iter().map(|peer| peer.sent.len()).sum();
        if on_their_way == 0 {
            for member in self.peers.iter_mut().step_by(2) {
                member.send(fleet, count, Instant::now());
            }
        }
        while Instant::now() < end {
            self.arrived(fleet, Duration::from_millis(100), &mut latencies, |member, fleet, arrival| {
                member.send(fleet, arrival.messages, arrival.at);
            })?;
        }
        Ok(latencies)
    }

    /// Sends the due messages, one peer after the other.
    pub(super) fn send_due(&mut self, fleet: &mut Fleet, timetable: &mut Timetable) {
        while let Some(due) = timetable.next_due() {
            let count = self.peers.len();
            let member = &mut self.peers[self.next];
            self.next = (self.next + 1) % count;
            if member.sent.len() < MAX_ON_THEIR_WAY {
                member.send(fleet, 1, due);
            }
        }
    }

    /// Handles the messages that have arrived, and lets each recipient answer.
    pub(super) fn arrived(
        &mut self,
        fleet: &mut Fleet,
        timeout: Duration,
        latencies: &mut Latencies,
        mut react: impl FnMut(&mut Member, &mut Fleet, Arrival),
    ) -> Result<()> {
        let first = self.peers[0].index;
        let arrivals = fleet.turn(timeout)?.to_vec();
        for arrival in arrivals {
            // The fleet may have other peers.
            let Some(at) = arrival.peer.checked_sub(first).filter(|at| *at < self.peers.len()) else {
                continue;
            };
            let sent = &mut self.peers[at ^ 1].sent;
            let arrived = sent.drain(..arrival.messages.min(sent.len()));
            latencies.extend(arrived.map(|due| arrival.at.saturating_duration_since(due)));
            react(&mut self.peers[at], fleet, arrival);
        }
        Ok(())
    }

    /// Waits for the messages in flight.
    pub(super) fn drain(&mut self, fleet: &mut Fleet, latencies: &mut Latencies) -> Result<()> {
        let deadline = Instant::now() + DRAIN;
        while self.peers.iter().any(|peer| !peer.sent.is_empty()) {
            self.arrived(fleet, Duration::from_millis(10), latencies, |_, _, _| {})?;
            ensure!(Instant::now() < deadline, "messages did not arrive within {DRAIN:?}");
        }
        Ok(())
    }
}

impl Member {
    fn send(&mut self, fleet: &mut Fleet, count: usize, due: Instant) {
        for _ in 0..count {
            fleet.queue(self.index, &self.frame);
            self.sent.push_back(due);
        }
        fleet.flush(self.index);
    }
}

/// The due times of messages at a fixed rate.
pub(crate) struct Timetable {
    pub(super) start: Instant,
    interval: Duration,
    sent: u32,
}

impl Timetable {
    pub(crate) fn new(per_second: f64) -> Self {
        Timetable { start: Instant::now(), interval: Duration::from_secs_f64(1.0 / per_second), sent: 0 }
    }

    /// The due time of the next message, if it has passed.
    pub(crate) fn next_due(&mut self) -> Option<Instant> {
        let due = self.start + self.interval * self.sent;
        let is_due = due <= Instant::now();
        self.sent += u32::from(is_due);
        is_due.then_some(due)
    }
}
