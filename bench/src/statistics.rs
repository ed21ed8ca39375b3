//! Medians and percentiles.

use std::time::Duration;

/// The stored percentiles of every distribution of latencies.
pub const PERCENTILES: [f64; 10] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99];

/// The median; `None` without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// A figure of a server in each round, in their order.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// The figure of the median round.
    pub fn median(&self) -> Option<f64> {
        median(self.0.iter().copied())
    }

    /// The median of the ratios to a figure of the same rounds. A machine is slower in some rounds than in others, and then for
    /// both.
    pub fn ratio(&self, to: &Rounds) -> Option<f64> {
        let ratios = self.0.iter().zip(&to.0).map(|(value, to)| value / to);
        median(ratios.filter(|ratio| ratio.is_finite()))
    }

    /// Another figure of the same rounds.
    pub fn with(&self, other: &Rounds, figure: impl Fn(f64, f64) -> f64) -> Rounds {
        self.0.iter().zip(&other.0).map(|(one, other)| figure(*one, *other)).collect()
    }
}

impl FromIterator<f64> for Rounds {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        Rounds(values.into_iter().collect())
    }
}

/// A figure of a whole run.
impl From<Option<f64>> for Rounds {
    fn from(value: Option<f64>) -> Self {
        value.into_iter().collect()
    }
}

/// The values in microseconds at [`PERCENTILES`]; empty if nothing was measured.
pub fn percentiles(mut times: Vec<Duration>) -> Vec<f64> {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return Vec::new() };
    let at = |percentile: f64| times[(last as f64 * percentile / 100.0).round() as usize];
    PERCENTILES.iter().map(|percentile| at(*percentile).as_secs_f64() * 1e6).collect()
}

/// The 99th percentile in microseconds; zero if nothing was measured.
pub fn p99(times: Vec<Duration>) -> f64 {
    index_of(99.0).and_then(|index| percentiles(times).get(index).copied()).unwrap_or_default()
}

/// The index of a percentile in the result of [`percentiles`].
pub fn index_of(percentile: f64) -> Option<usize> {
    PERCENTILES.iter().position(|known| *known == percentile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between_the_two_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_slow_round_is_slow_for_both() {
        let of = |values: [f64; 3]| Rounds::from_iter(values);
        let (ours, theirs) = (of([1.0, 4.0, 1.5]), of([1.0, 4.0, 3.0]));
        assert_eq!(ours.ratio(&theirs), Some(1.0));
        assert_eq!(ours.median(), Some(1.5));
        assert_eq!(ours.ratio(&Rounds::default()), None);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let times = (1..=101).rev().map(Duration::from_micros).collect();
        let found = percentiles(times);
        assert_eq!(found[index_of(50.0).unwrap()].round(), 51.0);
        assert_eq!(found[index_of(99.0).unwrap()].round(), 100.0);
    }
}
