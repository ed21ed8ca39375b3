//! One number per measure from the rounds of a run.

use crate::measured::{Exchange, Opens, Pace, Resident, Returning, Room, Settled, Stalled, Storm};
use crate::runner::ServerRun;
use crate::statistics::{index_of, median};

impl ServerRun {
    fn exchanges(&self, pace: Pace) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().flatten().filter(move |exchange| exchange.pace == pace)
    }

    /// CPU time of the server per message, in microseconds.
    pub(super) fn message_us(&self, pace: Pace) -> Option<f64> {
        median(self.exchanges(pace).map(|exchange| exchange.cpu_us))
    }

    /// Messages that arrived per second.
    pub(super) fn per_second(&self, pace: Pace) -> Option<f64> {
        median(self.exchanges(pace).map(|exchange| exchange.per_second))
    }

    fn latencies(&self, pace: Pace, percentile: f64) -> impl Iterator<Item = f64> {
        let index = index_of(percentile);
        self.exchanges(pace).filter_map(move |exchange| exchange.latency_us.get(index?).copied())
    }

    /// Latency in microseconds, of the median round.
    pub(super) fn latency_us(&self, pace: Pace, percentile: f64) -> Option<f64> {
        median(self.latencies(pace, percentile))
    }

    /// The same, of the best round.
    pub(super) fn best_latency_us(&self, pace: Pace, percentile: f64) -> Option<f64> {
        self.latencies(pace, percentile).min_by(f64::total_cmp)
    }

    /// CPU time of Redis per message, in microseconds.
    pub(super) fn redis_us(&self, pace: Pace) -> Option<f64> {
        median(self.exchanges(pace).filter_map(|exchange| Some(exchange.redis.as_ref()?.cpu_us)))
    }

    /// Latency of the messages of one pair, in microseconds.
    pub(super) fn lone_us(&self, percentile: f64) -> Option<f64> {
        let lone = self.lone.iter().flatten();
        median(lone.filter_map(|exchange| exchange.latency_us.get(index_of(percentile)?).copied()))
    }

    /// The median of a number of opens.
    pub(super) fn of_opens(&self, number: impl Fn(&Opens) -> Option<f64>) -> Option<f64> {
        median(self.opens.iter().filter_map(number))
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
    pub(super) fn open_us(&self, peers: usize) -> Option<f64> {
        let opens = self.crowds.iter().flat_map(|crowd| &crowd.opens);
        median(opens.filter(|open| open.peers == peers).map(|open| open.cpu_us))
    }

    /// CPU time of the server per heartbeat at this rate, in microseconds.
    pub(super) fn heartbeat_us(&self, per_second: f64) -> Option<f64> {
        let beats = self.crowds.iter().flat_map(|crowd| &crowd.heartbeats);
        median(beats.filter(|beat| beat.per_second == per_second).map(|beat| beat.cpu_us))
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

    /// The median of a number of storms.
    pub(super) fn of_storms(&self, number: impl Fn(&Storm) -> f64) -> Option<f64> {
        median(self.storms.iter().map(number))
    }

    /// The median of a number of floods.
    pub(super) fn of_stalled(&self, number: impl Fn(&Stalled) -> f64) -> Option<f64> {
        median(self.stalled.iter().map(number))
    }

    /// The median of a number of clients that came back.
    pub(super) fn of_returning(&self, number: impl Fn(&Returning) -> f64) -> Option<f64> {
        median(self.returning.iter().map(number))
    }

    /// The median of a number of rooms.
    pub(super) fn of_rooms(&self, number: impl Fn(&Room) -> f64) -> Option<f64> {
        median(self.rooms.iter().map(number))
    }

    /// Resident bytes before the first peer of the measurement.
    pub(super) fn base_bytes(&self) -> Option<f64> {
        median(self.base_bytes.iter().map(|bytes| *bytes as f64))
    }

    /// Milliseconds from the start of the process to the first OPEN.
    pub(super) fn start_ms(&self) -> Option<f64> {
        median(self.start_ms.iter().copied())
    }

    /// Resident bytes after a round in which all peers connected and left; the first round is 1.
    pub(super) fn after_round(&self, round: usize) -> Option<f64> {
        Some(*self.churn.as_ref()?.bytes_after.get(round.checked_sub(1)?)? as f64)
    }
}
