//! The mistakes of clients, with hints. A mistake is logged when it first happens, and then at most once a
//! minute; floods and frequent mistakes as warnings. Operators can read those of the last hour later.

mod table;

use peerbroker_core::clock::Instant;
use std::cmp::Reverse;

use log::Level;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use peerbroker_core::vocabulary::AddressPrefix;
use peerbroker_events::{Notice, counted};
use peerbroker_limits::giving_way;
use table::MistakeText;

pub(crate) use table::mistake_words;
pub(super) use table::{KnownKeys, may_be_mistake};

/// Interval at which the same mistake is logged, in milliseconds.
const INTERVAL: u64 = 60_000;

/// Different mistakes that are logged in an interval: of one address, as many as it leaves to others. The
/// others are only counted, so memory and the log have a bound.
const MAX_MISTAKES: usize = 32;

/// Repetitions in a minute from which they are a warning: they concern more than a client, and `--quiet`
/// hides what is less.
const MANY: u64 = 100;

/// Time for which a mistake is remembered after it was last made, in milliseconds.
const KEPT: u64 = 60 * 60 * 1000;

/// Most different mistakes that are remembered. Beyond that, the least recent one is forgotten of the address
/// that made the most of them.
const MAX_KEPT: usize = 64;

/// The mistakes of the last hour.
#[derive(Default)]
pub(crate) struct Mistakes(Mutex<Book>);

#[derive(Default)]
struct Book {
    known: Vec<Known>,
    /// The number of mistakes that were not logged because there were too many different ones.
    others: u64,
    since: Instant,
}

/// A mistake that was logged.
struct Known {
    mistake: RecentMistake,
    /// The time at which it was last made.
    last: Instant,
    /// The count since it was logged; `None` if it counts as new when it happens next.
    unlogged: Option<u64>,
    is_flood: bool,
    /// The address that made it first. `None` for loopback.
    by: Option<AddressPrefix>,
}

/// A mistake that clients made within the last hour.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ShownMistake)]
pub(crate) struct RecentMistake {
    /// The client's mistake, to be read after "a client".
    #[schema(example = "asked for the key \"peerjss\"")]
    what: String,
    /// The probable cause, and a hint.
    #[schema(example = "did it mean \"peerjs\"?")]
    hint: String,
    /// The latest client: its id, its address and the origin of its page, as far as they are known.
    #[schema(example = "from 192.0.2.7, a page of \"https://game.example.org\"")]
    latest: String,
    /// Number of times it was made.
    times: u64,
    /// Seconds since it was last made.
    ago: u64,
}

impl Mistakes {
    /// Logs the mistakes among these events. `keys` reads all keys; with `awaits_keys`, that never worked.
    pub(super) fn log(
        &self,
        notices: &[Notice],
        now: Instant,
        awaits_keys: bool,
        keys: impl Fn() -> Option<KnownKeys>,
    ) {
        let lines = notices.iter().filter_map(|notice| table::line(notice.event()?, awaits_keys, &keys));
        lines.filter_map(|line| self.record(line, now)).for_each(|(level, text)| log::log!(level, "{text}"));
    }

    /// Counts a mistake. Returns its text for the log, if that is due now.
    fn record(&self, mistake: MistakeText<'_>, now: Instant) -> Option<(Level, String)> {
        let MistakeText { what, who, address, is_flood, hint } = mistake;
        let by = AddressPrefix::of_remote(address);
        if !self.0.lock().count(&what, &who, by, now) {
            return None;
        }
        // Without the lock, because it may take a while.
        let hint = hint();
        let client = if who.is_empty() { String::new() } else { format!(" ({who})") };
        let text = format!("a client {what}{client}: {hint}");
        self.0.lock().add(RecentMistake { what, hint, latest: who, times: 1, ago: 0 }, by, is_flood, now);
        Some((level(is_flood), text))
    }

    /// The mistakes of the last hour, the latest first.
    pub(crate) fn recent(&self, now: Instant) -> Vec<RecentMistake> {
        let book = self.0.lock();
        let ago = |known: &Known| now.millis_since(known.last) / 1000;
        let mut all: Vec<&Known> = book.known.iter().collect();
        all.sort_by_key(|known| Reverse(known.last));
        all.into_iter().map(|known| RecentMistake { ago: ago(known), ..known.mistake.clone() }).collect()
    }

    /// Logs the mistakes that were repeated in the last minute.
    pub(super) fn sweep(&self, now: Instant) {
        for (level, text) in self.0.lock().sweep(now) {
            log::log!(level, "{text}");
        }
    }
}

fn level(is_warning: bool) -> Level {
    if is_warning { Level::Warn } else { Level::Info }
}

impl Book {
    /// Counts a mistake. Returns true if it is new, and there is room for it in the log.
    fn count(&mut self, what: &str, who: &str, by: Option<AddressPrefix>, now: Instant) -> bool {
        let logged = self.known.iter().filter(|known| known.unlogged.is_some());
        let of_address = logged.clone().filter(|known| by.is_some() && known.by == by).count();
        let logged = logged.count();
        if logged == 0 {
            self.since = now;
        }
        let known = self.known.iter_mut().find(|known| known.mistake.what == what);
        let unlogged = known.and_then(|known| {
            known.mistake.times += 1;
            known.last = now;
            who.clone_into(&mut known.mistake.latest);
            known.unlogged.as_mut()
        });
        let is_due = unlogged.is_none() && MAX_MISTAKES.saturating_sub(logged) > of_address;
        if !is_due {
            *unlogged.unwrap_or(&mut self.others) += 1;
        }
        is_due
    }

    /// Adds a mistake that is logged now, or replaces its hint.
    fn add(&mut self, mistake: RecentMistake, by: Option<AddressPrefix>, is_flood: bool, now: Instant) {
        if let Some(known) = self.known.iter_mut().find(|known| known.mistake.what == mistake.what) {
            known.mistake.hint = mistake.hint;
            known.unlogged = Some(0);
            return;
        }
        self.known.sort_by_key(|known| known.last);
        if self.known.len() >= MAX_KEPT {
            giving_way(self.known.iter().map(|known| known.by)).map(|at| self.known.remove(at));
        }
        self.known.push(Known { mistake, last: now, unlogged: Some(0), is_flood, by });
    }

    fn sweep(&mut self, now: Instant) -> Vec<(Level, String)> {
        self.known.retain(|known| now.millis_since(known.last) < KEPT);
        if now.millis_since(self.since) < INTERVAL {
            return Vec::new();
        }
        self.since = now;
        let mut texts = Vec::new();
        for Known { mistake: RecentMistake { what, hint, .. }, unlogged, is_flood, .. } in &mut self.known {
            // A mistake that was not repeated counts as new when it happens next.
            *unlogged = unlogged.filter(|times| *times > 0);
            if let Some(times) = unlogged.as_mut().map(std::mem::take) {
                let level = level(*is_flood || times >= MANY);
                let times = counted(times, "more time", "more times");
                texts.push((level, format!("in the last minute, {times} a client {what}: {hint}")));
            }
        }
        let others = std::mem::take(&mut self.others);
        if others > 0 {
            let level = level(others >= MANY);
            let others = counted(others, "other mistake of a client", "other mistakes of clients");
            texts.push((level, format!("not in the log of the last minute: {others}")));
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: &str) -> MistakeText<'static> {
        let hint = Box::new(|| "do better".to_owned());
        MistakeText {
            what: what.to_owned(),
            who: "from here".to_owned(),
            address: None,
            is_flood: false,
            hint,
        }
    }

    #[test]
    fn a_mistake_is_logged_at_once_and_its_repetitions_once_a_minute() {
        let mistakes = Mistakes::default();
        let note = |what, at| Some(mistakes.record(line(what), Instant::from_millis(at))?.1);
        let sweep_at = |at| {
            let lines = mistakes.0.lock().sweep(Instant::from_millis(at)).into_iter();
            lines.map(|(_, text)| text).collect::<Vec<_>>()
        };
        let sweep = |minutes| sweep_at(5 + minutes * INTERVAL);
        assert_eq!(note("sang", 5).unwrap(), "a client sang (from here): do better");
        assert!((0..12).all(|_| note("sang", 6).is_none()));
        assert!(note("danced", 7).is_some(), "another mistake is logged at once");
        assert_eq!(sweep_at(4 + INTERVAL), [""; 0]);
        assert_eq!(sweep(1), ["in the last minute, 12 more times a client sang: do better"]);
        assert_eq!(note("sang", 6 + INTERVAL), None, "it goes on");
        assert!(note("danced", 6 + INTERVAL).is_some(), "it is new again");
        assert_eq!(sweep(2), ["in the last minute, 1 more time a client sang: do better"]);
        assert_eq!(sweep(3), [""; 0], "it has stopped");
        assert!(note("sang", 4 * INTERVAL).is_some(), "it is new again");
    }

    #[test]
    fn many_different_mistakes_take_bounded_memory_and_lines_and_the_latest_stay() {
        let mistakes = Mistakes::default();
        let note = |n: u64, at| mistakes.record(line(&format!("made mistake {n}")), at);
        assert_eq!((0..10_000).filter_map(|n| note(n, Instant::default())).count(), MAX_MISTAKES);
        let others = 10_000 - MAX_MISTAKES;
        let texts = mistakes.0.lock().sweep(Instant::from_millis(INTERVAL));
        let text = format!("not in the log of the last minute: {others} other mistakes of clients");
        assert_eq!(texts, [(Level::Warn, text)]);
        for n in 0..1000 {
            let at = Instant::from_millis(INTERVAL + n * INTERVAL / 20);
            assert!(note(n, at).is_some(), "there is room again");
            mistakes.sweep(at);
        }
        let all = mistakes.recent(Instant::default());
        assert_eq!((all.len(), all[0].what.as_str()), (MAX_KEPT, "made mistake 999"));
    }

    #[test]
    fn an_address_leaves_lines_and_places_to_the_mistakes_of_others() {
        let mistakes = Mistakes::default();
        let note = |what: &str, last: u8, at| {
            let address = Some([192, 0, 2, last].into());
            mistakes.record(MistakeText { address, ..line(what) }, Instant::from_millis(at)).is_some()
        };
        assert!(note("danced", 1, 0));
        let logged = (0..1000).filter(|n| note(&format!("sang {n}"), 2, 0)).count();
        assert_eq!(logged, MAX_MISTAKES / 2);
        assert!(note("jumped", 1, 0));
        for minute in 1..20 {
            mistakes.sweep(Instant::from_millis(minute * INTERVAL));
            (0..1000).for_each(|n| {
                let _ = note(&format!("sang {minute} {n}"), 2, minute * INTERVAL);
            });
        }
        let all = mistakes.recent(Instant::default());
        assert_eq!(all.len(), MAX_KEPT);
        assert!(["danced", "jumped"].iter().all(|what| all.iter().any(|one| one.what == *what)));
    }

    #[test]
    fn a_flood_and_a_mistake_that_is_made_all_the_time_are_warnings() {
        let mistakes = Mistakes::default();
        let at = Instant::default();
        let flood = MistakeText { is_flood: true, ..line("from 192.0.2.7 dug") };
        assert_eq!(mistakes.record(flood, at).unwrap().0, Level::Warn);
        for (what, times) in [("sang", MANY), ("danced", MANY - 1), ("from 192.0.2.7 dug", 1)] {
            assert!(what.starts_with("from") || mistakes.record(line(what), at).unwrap().0 == Level::Info);
            (0..times).for_each(|_| assert!(mistakes.record(line(what), at).is_none()));
        }
        let lines = mistakes.0.lock().sweep(Instant::from_millis(INTERVAL));
        assert_eq!(
            lines.iter().map(|line| line.0).collect::<Vec<_>>(),
            [Level::Warn, Level::Warn, Level::Info]
        );
    }

    #[test]
    fn a_mistake_is_counted_and_forgotten_after_an_hour() {
        let mistakes = Mistakes::default();
        for (at, what) in ["sang", "danced", "sang"].into_iter().enumerate() {
            mistakes.record(line(what), Instant::from_millis(at as u64));
        }
        let all = mistakes.recent(Instant::from_millis(2000));
        assert_eq!((all[0].what.as_str(), all[0].times, all[0].latest.as_str()), ("sang", 2, "from here"));
        assert_eq!((all[1].what.as_str(), all[1].times, all[1].ago), ("danced", 1, 1));
        let later = Instant::from_millis(KEPT + 1);
        mistakes.sweep(later);
        assert_eq!(mistakes.recent(later).len(), 1);
    }
}
