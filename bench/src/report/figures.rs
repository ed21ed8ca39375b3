//! The figures of the rounds of a run.

use crate::measured::{
    Churn, Exchange, Handshakes, Opens, Pace, Resident, Returning, Room, Settled, Stalled, Storm,
};
use crate::runner::ServerRun;
use crate::statistics::{Rounds, index_of, median};

impl ServerRun {
    fn exchanges(&self, pace: Pace) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().flatten().filter(move |exchange| exchange.pace == pace)
    }

    /// CPU time of the server per message, in microseconds.
    pub(super) fn message_us(&self, pace: Pace) -> Rounds {
        self.exchanges(pace).map(|exchange| exchange.cpu_us).collect()
    }

    /// Messages that arrived per second.
    pub(super) fn per_second(&self, pace: Pace) -> Rounds {
        self.exchanges(pace).map(|exchange| exchange.per_second).collect()
    }

    fn latencies(&self, pace: Pace, percentile: f64) -> impl Iterator<Item = f64> {
        let index = index_of(percentile);
        self.exchanges(pace).filter_map(move |exchange| exchange.latency_us.get(index?).copied())
    }

    /// Latency in microseconds.
    pub(super) fn latency_us(&self, pace: Pace, percentile: f64) -> Rounds {
        self.latencies(pace, percentile).collect()
    }

    /// The same, of the best round.
    pub(super) fn best_latency_us(&self, pace: Pace, percentile: f64) -> Option<f64> {
        self.latencies(pace, percentile).min_by(f64::total_cmp)
    }

    /// CPU time of Redis per message, in microseconds.
    pub(super) fn redis_us(&self, pace: Pace) -> Rounds {
        self.exchanges(pace).filter_map(|exchange| Some(exchange.redis.as_ref()?.cpu_us)).collect()
    }

    /// Latency of the messages of one pair, in microseconds.
    pub(super) fn lone_us(&self, percentile: f64) -> Rounds {
        let lone = self.lone.iter().flatten();
        lone.filter_map(|exchange| exchange.latency_us.get(index_of(percentile)?).copied()).collect()
    }

    /// A number of each round's opens.
    pub(super) fn of_opens(&self, number: impl Fn(&Opens) -> Option<f64>) -> Rounds {
        self.opens.iter().filter_map(number).collect()
    }

    /// The outages of Redis in seconds, ascending, with the medians of a number of each.
    pub(super) fn of_outages(&self, number: impl Fn(&Settled) -> f64) -> Vec<(f64, f64)> {
        let mut outages: Vec<f64> = self.settled.iter().map(|settled| settled.away_seconds).collect();
        outages.sort_unstable_by(f64::total_cmp);
        outages.dedup();
        let of = |away: f64| self.settled.iter().filter(move |settled| settled.away_seconds == away);
        outages.into_iter().filter_map(|away| Some((away, median(of(away).map(&number))?))).collect()
    }

    /// CPU time of the server per open with this many peers, in microseconds.
    pub(super) fn open_us(&self, peers: usize) -> Rounds {
        let opens = self.crowds.iter().flat_map(|crowd| &crowd.opens);
        opens.filter(|open| open.peers == peers).map(|open| open.cpu_us).collect()
    }

    /// CPU time of the server per heartbeat at this rate, in microseconds.
    pub(super) fn heartbeat_us(&self, per_second: f64) -> Rounds {
        let beats = self.crowds.iter().flat_map(|crowd| &crowd.heartbeats);
        beats.filter(|beat| beat.per_second == per_second).map(|beat| beat.cpu_us).collect()
    }

    /// Growth of some memory with each idle peer, up to this many peers.
    fn growth(&self, peers: usize, bytes: fn(&Resident) -> u64) -> Option<f64> {
        let at = |peers| {
            let memory = self.crowds.iter().flat_map(|crowd| &crowd.memory);
            median(memory.filter(|resident| resident.peers == peers).map(|resident| bytes(resident) as f64))
        };
        Some((at(peers)? - at(0)?) / peers as f64)
    }

    /// Resident bytes per idle peer, with this many peers.
    pub(super) fn bytes_per_peer(&self, peers: usize) -> Option<f64> {
        self.growth(peers, |resident| resident.bytes)
    }

    /// The kernel's bytes per idle peer, with this many peers: half of them are the load generator's.
    pub(super) fn kernel_bytes_per_peer(&self, peers: usize) -> Option<f64> {
        Some(self.growth(peers, |resident| resident.kernel_bytes)? / 2.0)
    }

    /// A number of each round's storm.
    pub(super) fn of_storms(&self, number: impl Fn(&Storm) -> f64) -> Rounds {
        self.storms.iter().map(number).collect()
    }

    /// A number of each round's flood.
    pub(super) fn of_stalled(&self, number: impl Fn(&Stalled) -> f64) -> Rounds {
        self.stalled.iter().map(number).collect()
    }

    /// A number of each round's clients that came back.
    pub(super) fn of_returning(&self, number: impl Fn(&Returning) -> f64) -> Rounds {
        self.returning.iter().map(number).collect()
    }

    /// A number of the handshakes in all rounds.
    pub(super) fn of_handshakes(&self, number: impl Fn(&Handshakes) -> f64) -> Rounds {
        self.returning.iter().flat_map(|all| &all.handshakes).map(number).collect()
    }

    /// A number of each round's room.
    pub(super) fn of_rooms(&self, number: impl Fn(&Room) -> f64) -> Rounds {
        self.rooms.iter().map(number).collect()
    }

    /// Resident bytes before the first peer of the measurement.
    pub(super) fn base_bytes(&self) -> Rounds {
        self.base_bytes.iter().map(|bytes| *bytes as f64).collect()
    }

    /// Milliseconds from the start of the process to the first OPEN.
    pub(super) fn start_ms(&self) -> Rounds {
        self.start_ms.iter().copied().collect()
    }

    /// Resident bytes after a round in which all peers connected and left; the first round is 1.
    pub(super) fn after_round(&self, round: usize) -> Rounds {
        let bytes = |churn: &Churn| churn.bytes_after.get(round.checked_sub(1)?).map(|bytes| *bytes as f64);
        self.churns.iter().filter_map(bytes).collect()
    }
}
