use std::sync::atomic::{AtomicU64, Ordering};

/// The highest value of the last one to two minutes. A reader resets nothing, so there may be several.
// On cache lines of its own, as a histogram is.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Peak {
    this_minute: AtomicU64,
    last_minute: AtomicU64,
}

impl Peak {
    /// Notes a value.
    pub(crate) fn note(&self, value: u64) {
        // Most values are no peak, and a read does not take the cache line from other threads.
        if value > self.this_minute.load(Ordering::Relaxed) {
            self.this_minute.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// Begins a new minute.
    pub(crate) fn turn(&self) {
        self.last_minute.store(self.this_minute.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The highest value.
    pub fn get(&self) -> u64 {
        self.this_minute.load(Ordering::Relaxed).max(self.last_minute.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_lasts_for_its_own_minute_and_the_next() {
        let peak = Peak::default();
        peak.note(7);
        peak.note(3);
        assert_eq!(peak.get(), 7);
        peak.turn();
        peak.note(5);
        assert_eq!(peak.get(), 7);
        peak.turn();
        assert_eq!(peak.get(), 5);
        peak.turn();
        assert_eq!(peak.get(), 0);
    }
}
