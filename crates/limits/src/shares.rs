//! Limits that many share: of a key, or of all. Each of them has an even share, whatever the others do.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::AddressPrefix;

/// Whoever used a rate within this time, in milliseconds, or still owes it something, counts for the even
/// shares.
const RECENTLY: u64 = 1000;

/// A rate that many share. Above it, only those wait that have used more than an even share of it: each for
/// its own debt, or until the rate has room again.
pub struct SharedRate<K> {
    all: RateLimit,
    shares: Accounts<K>,
    /// Users of the rate, and the time of the last count, in milliseconds.
    active: AtomicU32,
    counted: AtomicU64,
}

/// The use of one of those that share a rate. `None` for one that has no share, as loopback, which may be a
/// proxy of all: it waits until the rate has room.
pub type OwnShare = Option<Arc<RateLimit>>;

/// A rate for each of many. One is remembered while somebody has it, or something is owed.
pub struct Accounts<K>(Mutex<HashMap<K, Arc<RateLimit>>>);

impl<K> Default for Accounts<K> {
    fn default() -> Self {
        Accounts(Mutex::default())
    }
}

impl<K: Eq + Hash> Accounts<K> {
    /// The rate of one.
    pub fn of(&self, whose: K) -> Arc<RateLimit> {
        Arc::clone(self.0.lock().entry(whose).or_default())
    }

    /// Forgets those that nobody has, and that owe nothing. Returns the number of the others that were used
    /// after a time.
    pub fn sweep(&self, now: Instant, after: Instant) -> usize {
        let mut rates = self.0.lock();
        rates.retain(|_, rate| Arc::strong_count(rate) > 1 || !rate.is_rested(now));
        rates.values().filter(|rate| !rate.is_rested(after)).count()
    }

    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl<K> Default for SharedRate<K> {
    fn default() -> Self {
        let (all, shares) = Default::default();
        SharedRate { all, shares, active: AtomicU32::new(1), counted: AtomicU64::default() }
    }
}

impl<K: Eq + Hash> SharedRate<K> {
    /// The share of one.
    pub fn share(&self, of: K) -> OwnShare {
        Some(self.shares.of(of))
    }

    /// Charges events, on credit if necessary. Returns the time to wait before the next.
    pub fn charge(&self, share: &OwnShare, count: u32, per_second: u32, now: Instant) -> Duration {
        let wait = self.all.charge(count, per_second, now);
        share.as_ref().map_or(wait, |share| share.charge(count, self.even(per_second, now), now).min(wait))
    }

    /// Time until one may cause more.
    pub fn owed(&self, share: &OwnShare, per_second: u32, now: Instant) -> Duration {
        self.charge(share, 0, per_second, now)
    }

    /// Charges events, or none of them: then it returns how much too early they are.
    pub fn try_charge(
        &self,
        share: &OwnShare,
        count: u32,
        per_second: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        let even = self.even(per_second, now);
        match (self.all.try_charge(count, per_second, now), share) {
            (Ok(()), Some(share)) => drop(share.charge(count, even, now)),
            (Err(wait), Some(share)) => {
                share.try_charge(count, even, now).map_err(|own| own.min(wait))?;
                self.all.charge(count, per_second, now);
            }
            (all, None) => return all,
        }
        Ok(())
    }

    /// An even share of a rate.
    fn even(&self, per_second: u32, now: Instant) -> u32 {
        let counted = self.counted.load(Ordering::Relaxed);
        if now.as_millis().saturating_sub(counted) >= RECENTLY {
            self.sweep(now);
        }
        per_second.div_ceil(self.active.load(Ordering::Relaxed))
    }

    /// Counts those that use the rate. Forgets those that have gone, and owe nothing.
    pub fn sweep(&self, now: Instant) {
        let before = Instant::from_millis(now.as_millis().saturating_sub(RECENTLY));
        let active = self.shares.sweep(now, before);
        self.active.store(u32::try_from(active).unwrap_or(u32::MAX).max(1), Ordering::Relaxed);
        self.counted.store(now.as_millis(), Ordering::Relaxed);
    }

    /// True if it remembers nothing that counts.
    pub fn is_rested(&self, now: Instant) -> bool {
        self.sweep(now);
        self.shares.is_empty() && self.all.is_rested(now)
    }
}

impl<K: Eq + Hash + From<AddressPrefix>> SharedRate<K> {
    /// The share of the address of a client. `None` for loopback.
    pub fn of_address(&self, address: Option<IpAddr>) -> OwnShare {
        AddressPrefix::of_remote(address).and_then(|address| self.share(address.into()))
    }
}

/// A number of places that many share. One that has some leaves more free than it has: so the first one gets
/// half of them, and each other one half of what is left. Choudhury and Hahne, "Dynamic queue length
/// thresholds for shared-memory packet switches" (1998), has the rule.
pub struct Places<K>(Mutex<Taken<K>>);

struct Taken<K> {
    all: usize,
    of: HashMap<K, usize>,
}

/// A place that is taken until the drop.
pub struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    /// `None` for one that only the number limits, as loopback, which may be a proxy.
    whose: Option<K>,
}

impl<K> Default for Places<K> {
    fn default() -> Self {
        Places(Mutex::new(Taken { all: 0, of: HashMap::new() }))
    }
}

impl<K: Eq + Hash> Places<K> {
    /// A place, if one of so many is free.
    pub fn take(self: &Arc<Self>, whose: Option<K>, most: usize) -> Option<Place<K>>
    where
        K: Clone,
    {
        self.take_if(whose, |all, has| most.saturating_sub(all) > has)
    }

    /// A place, if one has fewer than `few`.
    pub fn take_one_of_few(self: &Arc<Self>, whose: Option<K>, few: usize) -> Option<Place<K>>
    where
        K: Clone,
    {
        self.take_if(whose, |_, has| has < few)
    }

    fn take_if(self: &Arc<Self>, whose: Option<K>, may: impl Fn(usize, usize) -> bool) -> Option<Place<K>>
    where
        K: Clone,
    {
        let taken = &mut *self.0.lock();
        let has = whose.as_ref().and_then(|whose| taken.of.get(whose)).copied().unwrap_or(0);
        if !may(taken.all, has) {
            return None;
        }
        taken.all += 1;
        if let Some(whose) = &whose {
            *taken.of.entry(whose.clone()).or_default() += 1;
        }
        Some(Place { places: Arc::clone(self), whose })
    }

    /// The places that are taken.
    pub fn taken(&self) -> usize {
        self.0.lock().all
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let taken = &mut *self.places.0.lock();
        taken.all -= 1;
        if let Some(whose) = &self.whose
            && let Some(has) = taken.of.get_mut(whose)
        {
            *has -= 1;
            if *has == 0 {
                taken.of.remove(whose);
            }
        }
    }
}

/// The place of the entry that gives way in a full ring, whose sources are given oldest first: the oldest of
/// the source with the most.
pub fn giving_way<K: Eq + Hash>(sources: impl IntoIterator<Item = K>) -> Option<usize> {
    let mut of_sources = HashMap::new();
    for (at, source) in sources.into_iter().enumerate() {
        of_sources.entry(source).or_insert((0, at)).0 += 1;
    }
    of_sources
        .into_values()
        .max_by_key(|(count, oldest)| (*count, Reverse(*oldest)))
        .map(|(_, oldest)| oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 10;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn whoever_uses_less_than_an_even_share_waits_for_nobody() {
        let rate = SharedRate::default();
        let crowd = rate.share("crowd");
        // Alone, it has all of the rate, on credit as well.
        assert_eq!(rate.charge(&crowd, 100, RATE, at(5000)), Duration::ZERO);
        assert_eq!(rate.charge(&crowd, 400, RATE, at(5000)), Duration::from_secs(40));
        let other = rate.share("other");
        assert_eq!(rate.charge(&other, 1, RATE, at(5000)), Duration::ZERO);
        for second in 6..26 {
            assert_eq!(rate.charge(&other, 5, RATE, at(second * 1000)), Duration::ZERO, "{second}");
        }
        // Above an even share, it waits as others do.
        assert!(rate.charge(&other, 200, RATE, at(26_000)) > Duration::from_secs(9));
    }

    #[test]
    fn what_one_leaves_is_for_the_others() {
        let rate = SharedRate::default();
        let [busy, quiet] = ["busy", "quiet"].map(|of| rate.share(of));
        // A whole burst, and then the rate: an even share is less.
        rate.charge(&busy, 100, RATE, at(5000));
        rate.charge(&quiet, 1, RATE, at(5000));
        let waits = (6..100).map(|second| rate.charge(&busy, 10, RATE, at(second * 1000)));
        assert!(waits.max() <= Some(Duration::from_secs(1)));
    }

    #[test]
    fn beyond_a_rate_an_even_share_is_not_refused() {
        let rate = SharedRate::default();
        let crowd = rate.share("crowd");
        assert_eq!(rate.try_charge(&crowd, 100, RATE, at(5000)), Ok(()));
        assert!(rate.try_charge(&crowd, 1, RATE, at(5000)).is_err());
        let other = rate.share("other");
        let taken = (0..200).filter(|_| rate.try_charge(&other, 1, RATE, at(5000)).is_ok()).count();
        assert_eq!(taken, 100);
        // Loopback may be a proxy of all, so it has no share.
        assert!(rate.try_charge(&None, 1, RATE, at(5000)).is_err());
    }

    #[test]
    fn those_that_have_gone_are_forgotten_once_they_owe_nothing() {
        let rate = SharedRate::default();
        let share = rate.share(1);
        rate.charge(&share, 5, RATE, at(5000));
        drop(share);
        for (millis, known) in [(5000, 1), (60_000, 0)] {
            rate.sweep(at(millis));
            assert_eq!(rate.shares.0.lock().len(), known, "{millis}");
        }
        assert!(rate.is_rested(at(60_000)));
    }

    #[test]
    fn the_source_with_the_most_gives_its_oldest_entry() {
        assert_eq!(giving_way(["a", "b", "c", "b"]), Some(1));
        assert_eq!((giving_way(["a", "b"]), giving_way([""; 0])), (Some(0), None));
    }

    #[test]
    fn one_that_has_places_leaves_more_than_it_has() {
        let places = Arc::<Places<u8>>::default();
        let take = |whose| -> Vec<_> { std::iter::from_fn(|| places.take(whose, 10)).collect() };
        let count = |whose| take(whose).len();
        let [first, second, third] = [Some(1), Some(2), Some(3)].map(&take);
        assert_eq!([first.len(), second.len(), third.len()], [5, 3, 1]);
        assert_eq!((count(None), places.taken()), (1, 9));
        drop(first);
        assert_eq!((count(Some(3)), places.taken()), (3, 4));
        drop((second, third));
        assert!(places.taken() == 0 && places.0.lock().of.is_empty());
    }
}
