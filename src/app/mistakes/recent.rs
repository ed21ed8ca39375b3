//! The mistakes of the last hour, for the operator who looks later.

use std::cmp::Reverse;
use std::collections::HashMap;

/// How long a mistake is remembered after it was made last, in milliseconds.
const KEPT: u64 = 60 * 60 * 1000;

/// Most different mistakes. Beyond that, the one that was not made for the longest time is forgotten.
const MAX_RECENT: usize = 64;

/// A mistake of clients, and how often it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecentMistake {
    /// The request of the client, in words.
    pub(crate) what: String,
    /// The probable cause, and a hint.
    pub(crate) hint: String,
    /// The latest client, as the log names it; may be empty.
    pub(crate) latest: String,
    /// How often it was made.
    pub(crate) times: u64,
    /// When it was made last, in milliseconds of the broker's clock.
    pub(crate) last: u64,
}

#[derive(Default)]
pub(super) struct Recent(HashMap<String, RecentMistake>);

impl Recent {
    /// Notes a mistake with its hint.
    pub(super) fn note(&mut self, what: &str, latest: &str, hint: &str, now: u64) {
        if self.repeat(what, latest, now) {
            return;
        }
        if self.0.len() >= MAX_RECENT
            && let Some(oldest) = self.0.values().min_by_key(|mistake| mistake.last)
        {
            let oldest = oldest.what.clone();
            self.0.remove(&oldest);
        }
        let [what, latest, hint] = [what, latest, hint].map(str::to_owned);
        self.0.insert(what.clone(), RecentMistake { what, hint, latest, times: 1, last: now });
    }

    /// Counts a mistake that is known. False if it is not.
    pub(super) fn repeat(&mut self, what: &str, latest: &str, now: u64) -> bool {
        let Some(known) = self.0.get_mut(what) else { return false };
        known.times += 1;
        known.last = now;
        latest.clone_into(&mut known.latest);
        true
    }

    pub(super) fn sweep(&mut self, now: u64) {
        self.0.retain(|_, mistake| now.saturating_sub(mistake.last) < KEPT);
    }

    /// All of them, the latest first.
    pub(super) fn list(&self) -> Vec<RecentMistake> {
        let mut all: Vec<RecentMistake> = self.0.values().cloned().collect();
        all.sort_by(|a, b| (Reverse(a.last), &a.what).cmp(&(Reverse(b.last), &b.what)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_counted_and_forgotten_after_an_hour() {
        let mut recent = Recent::default();
        recent.note("sang", " (from a)", "do better", 0);
        recent.note("danced", "", "sit down", 1);
        assert!(recent.repeat("sang", " (from b)", 2));
        let all = recent.list();
        assert_eq!((all[0].what.as_str(), all[0].times, all[0].latest.as_str()), ("sang", 2, " (from b)"));
        assert_eq!(all[1].what, "danced");
        recent.sweep(KEPT + 1);
        assert_eq!(recent.list().len(), 1);
        assert!(!recent.repeat("danced", "", KEPT + 1));
    }

    #[test]
    fn many_different_mistakes_take_bounded_memory_and_the_latest_stay() {
        let mut recent = Recent::default();
        for n in 0..1000 {
            recent.note(&format!("made mistake {n}"), "", "", n);
        }
        let all = recent.list();
        assert_eq!((all.len(), all[0].what.as_str()), (MAX_RECENT, "made mistake 999"));
    }
}
