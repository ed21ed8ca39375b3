//! The figures of a run: each was measured several times, in rounds.

use std::collections::BTreeMap;
use std::time::Duration;

/// The figures of one server by their names, with an element for each round.
#[derive(Debug, Default)]
pub struct Record(BTreeMap<String, Vec<f64>>);

/// The records of all servers by their names.
pub type Run = BTreeMap<&'static str, Record>;

impl Record {
    pub fn add(&mut self, name: impl Into<String>, value: f64) {
        self.0.entry(name.into()).or_default().push(value);
    }

    /// Empty if it was not measured.
    pub fn rounds(&self, name: &str) -> Rounds {
        Rounds(self.0.get(name).cloned().unwrap_or_default())
    }
}

/// A figure of a server in each round, in their order.
#[derive(Clone, Debug, Default)]
pub struct Rounds(pub Vec<f64>);

impl Rounds {
    pub fn median(&self) -> Option<f64> {
        median(self.0.clone())
    }

    /// The median of the ratios to a figure of the same rounds. A machine is slower in some rounds than in
    /// others, and then for both.
    pub fn ratio(&self, to: &Rounds) -> Option<f64> {
        let ratios = self.0.iter().zip(&to.0).map(|(value, to)| value / to);
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }
}

/// `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let low = values.get((values.len().max(1) - 1) / 2)?;
    let high = values.get(values.len() / 2)?;
    Some((low + high) / 2.0)
}

/// A percentile in microseconds; zero if nothing was measured.
pub fn percentile(times: &mut [Duration], percentile: f64) -> f64 {
    times.sort_unstable();
    let last = times.len().saturating_sub(1) as f64;
    times.get((last * percentile / 100.0).round() as usize).copied().map_or(0.0, micros)
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_round_is_slow_for_both() {
        let ours = Rounds(vec![1.0, 4.0, 1.5]);
        let theirs = Rounds(vec![1.0, 4.0, 3.0]);
        assert_eq!(ours.ratio(&theirs), Some(1.0));
        assert_eq!(ours.median(), Some(1.5));
        assert_eq!(ours.ratio(&Rounds::default()), None);
    }
}
