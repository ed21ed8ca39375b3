//! The reports of clients about their connections: counts of each key over the last day, and the newest
//! reports. In memory only.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;

use peerbroker_core::clock::Instant;
use peerbroker_core::rate_limit::RateLimit;
use peerbroker_core::vocabulary::{AddressPrefix, ApiKey, Limit};
use peerbroker_events::{ConnectionReport, Reported};
use peerbroker_limits::{LimitExceeded, giving_way};

/// Reports per second of one address. Behind one address may be a class, each of its pages with connections
/// to all others.
const PER_SECOND: u32 = 20;

/// Most reports that are kept of all clients, and of one. Beyond the first, the oldest goes of the address
/// with the most, among those of the key with the most.
const MAX_REPORTS: usize = 1000;
const MAX_OF_CLIENT: usize = 20;

/// Most keys with reports. Beyond that, the key that was reported of least recently loses them.
const MAX_KEYS: usize = 100;

/// The length of a step of the counts, in milliseconds.
pub(crate) const STEP: u64 = 5 * 60 * 1000;

/// Reports and counts are forgotten after this time, in milliseconds.
const KEPT: u64 = 24 * 60 * 60 * 1000;

/// The reports of clients.
#[derive(Default)]
pub(crate) struct CallReports {
    book: Mutex<Book>,
    addresses: DashMap<AddressPrefix, RateLimit>,
}

#[derive(Default)]
struct Book {
    keys: HashMap<ApiKey, KeyBook>,
    /// The reports of all keys.
    kept: usize,
}

/// The reports of one key. The oldest are first.
#[derive(Default)]
struct KeyBook {
    newest: VecDeque<KeptReport>,
    steps: VecDeque<Step>,
}

/// A report that is kept.
#[derive(Clone)]
pub(crate) struct KeptReport {
    /// The time at which it came.
    pub(crate) at: Instant,
    from: Option<AddressPrefix>,
    pub(crate) report: Arc<ConnectionReport>,
}

/// The counts of a key in the time of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) began: Instant,
    counts: [u32; Reported::COUNT],
}

impl Step {
    /// The outcomes that were reported, each with its count.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Reported, u32)> {
        Reported::all().zip(self.counts).filter(|(_, count)| *count > 0)
    }
}

impl CallReports {
    /// Counts a report towards the rate limit of its address. Loopback has none: it is a local proxy, or the
    /// operator.
    pub(crate) fn charge(&self, address: Option<IpAddr>, now: Instant) -> Result<(), LimitExceeded> {
        let Some(prefix) = AddressPrefix::of_remote(address) else { return Ok(()) };
        let charged = self.addresses.entry(prefix).or_default().try_charge(1, PER_SECOND, now);
        charged.map_err(|retry_after| LimitExceeded { limit: Limit::CallReports, retry_after })
    }

    /// Adds a report from an address. False if the other end of its connection has reported before: a
    /// connection counts once.
    pub(crate) fn add(
        &self,
        key: &ApiKey,
        report: &Arc<ConnectionReport>,
        from: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        let mut book = self.book.lock();
        let of_key = book.of_key(key);
        let is_first = !of_key.newest.iter().any(|kept| kept.report.is_of_other_end(report));
        if is_first {
            of_key.count(report.outcome, now);
        }
        let of_client = |kept: &KeptReport| kept.report.id == report.id;
        if of_key.newest.iter().filter(|kept| of_client(kept)).count() >= MAX_OF_CLIENT {
            of_key.forget_oldest(of_client);
            book.kept -= 1;
        } else if book.kept >= MAX_REPORTS {
            book.forget_one();
        }
        let from = AddressPrefix::of_remote(from);
        book.of_key(key).newest.push_back(KeptReport { at: now, from, report: Arc::clone(report) });
        book.kept += 1;
        is_first
    }

    /// The newest reports of a key, or of one of its clients and those connected with it, the latest first.
    pub(crate) fn newest(&self, key: &ApiKey, client: Option<&str>, most: usize) -> Vec<KeptReport> {
        let is_wanted = |kept: &&KeptReport| {
            let ConnectionReport { id, peer, .. } = &*kept.report;
            client.is_none_or(|client| [id.as_str(), peer.as_str()].contains(&client))
        };
        let book = self.book.lock();
        let of_key = book.keys.get(key).into_iter().flat_map(|of_key| of_key.newest.iter().rev());
        of_key.filter(is_wanted).take(most).cloned().collect()
    }

    /// The counts of a key, the oldest first. Steps without a report are missing.
    pub(crate) fn steps(&self, key: &ApiKey) -> Vec<Step> {
        self.book.lock().keys.get(key).into_iter().flat_map(|of_key| &of_key.steps).cloned().collect()
    }

    /// Forgets what is older than a day.
    pub(crate) fn sweep(&self, now: Instant) {
        self.addresses.retain(|_, rate| !rate.is_rested(now));
        let is_old = |at: Instant| now.millis_since(at) >= KEPT;
        let book = &mut *self.book.lock();
        book.keys.retain(|_, KeyBook { newest, steps }| {
            while newest.pop_front_if(|kept| is_old(kept.at)).is_some() {
                book.kept -= 1;
            }
            while steps.pop_front_if(|step| is_old(step.began)).is_some() {}
            !newest.is_empty() || !steps.is_empty()
        });
    }
}

impl Book {
    /// The reports of a key, for which another one may lose its own.
    fn of_key(&mut self, key: &ApiKey) -> &mut KeyBook {
        if !self.keys.contains_key(key) && self.keys.len() >= MAX_KEYS {
            let least = self.keys.iter().min_by_key(|(_, of)| of.newest.back().map(|kept| kept.at));
            let least = least.map(|(key, _)| key.clone());
            let lost = least.and_then(|key| self.keys.remove(&key));
            self.kept -= lost.map_or(0, |lost| lost.newest.len());
        }
        self.keys.entry(key.clone()).or_default()
    }

    /// Makes room for one report.
    fn forget_one(&mut self) {
        let Some(of_key) = self.keys.values_mut().max_by_key(|of| of.newest.len()) else { return };
        giving_way(of_key.newest.iter().map(|kept| kept.from)).and_then(|at| of_key.newest.remove(at));
        self.kept -= 1;
    }
}

impl KeyBook {
    fn forget_oldest(&mut self, of: impl Fn(&KeptReport) -> bool) {
        let oldest = self.newest.iter().position(of);
        oldest.and_then(|oldest| self.newest.remove(oldest));
    }

    fn count(&mut self, outcome: Reported, now: Instant) {
        let began = Instant::from_millis(now.as_millis() / STEP * STEP);
        if self.steps.back().is_none_or(|step| step.began < began) {
            self.steps.push_back(Step { began, counts: [0; Reported::COUNT] });
        }
        let count = self.steps.back_mut().and_then(|step| step.counts.get_mut(outcome.index()));
        if let Some(count) = count {
            *count = count.saturating_add(1);
        }
    }
}

/// The sum of steps, by outcome.
pub(crate) fn sum<'a>(steps: impl IntoIterator<Item = &'a Step>) -> BTreeMap<Reported, u32> {
    let mut sum = BTreeMap::<_, u32>::new();
    for (outcome, count) in steps.into_iter().flat_map(Step::counts) {
        let total = sum.entry(outcome).or_default();
        *total = total.saturating_add(count);
    }
    sum
}

#[cfg(test)]
mod tests {
    use peerbroker_events::{ReportedReason, ReportedWay};

    use super::*;

    const MINUTE: u64 = 60_000;

    fn key(text: &str) -> ApiKey {
        ApiKey::parse(text).unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn report(id: &str, peer: &str, connection: &str, result: &str) -> Arc<ConnectionReport> {
        let json = format!(
            r#"{{"id":"{id}","peer":"{peer}","connection":"{connection}",{result},"kind":"data","caller":true}}"#
        );
        Arc::new(ConnectionReport::read(json.as_bytes()).unwrap())
    }

    const DIRECT: &str = r#""way":"direct""#;
    const NO_UDP: &str = r#""reason":"no_udp""#;

    #[test]
    fn a_connection_counts_once_and_each_of_its_ends_has_its_report() {
        let reports = CallReports::default();
        let key = key("k");
        assert!(reports.add(&key, &report("a", "b", "1", DIRECT), None, at(0)));
        assert!(!reports.add(&key, &report("b", "a", "1", NO_UDP), None, at(0)));
        assert!(reports.add(&key, &report("b", "a", "2", NO_UDP), None, at(STEP)));
        let steps = reports.steps(&key);
        let counts: Vec<_> = steps.iter().map(|step| step.counts().collect::<Vec<_>>()).collect();
        let [opened, failed] =
            [Reported::Opened(ReportedWay::Direct), Reported::Failed(ReportedReason::NoUdp)];
        assert_eq!(counts, [[(opened, 1)], [(failed, 1)]]);
        assert_eq!(sum(&steps).into_iter().collect::<Vec<_>>(), [(opened, 1), (failed, 1)]);
        let ids = |client| {
            let newest = reports.newest(&key, client, 10);
            newest.iter().map(|kept| kept.report.id.as_str().to_owned()).collect::<String>()
        };
        assert_eq!([ids(None), ids(Some("a")), ids(Some("c"))], ["bba", "bba", ""]);
        assert!(reports.newest(&self::key("other"), None, 10).is_empty());
    }

    #[test]
    fn a_flood_of_reports_takes_no_more_memory_than_its_bounds() {
        let reports = CallReports::default();
        for number in 0_u64..100_000 {
            let key = key(&format!("key{}", number % 200));
            let id = format!("client{}", number % 3000);
            reports.add(&key, &report(&id, "b", &number.to_string(), NO_UDP), None, at(number * 1000));
        }
        let book = reports.book.lock();
        let kept: usize = book.keys.values().map(|of_key| of_key.newest.len()).sum();
        assert!(kept == book.kept && kept <= MAX_REPORTS && book.keys.len() == MAX_KEYS, "{kept}");
        drop(book);
        reports.sweep(at(100_000 * 1000));
        let longest = reports.book.lock().keys.values().map(|of_key| of_key.steps.len()).max().unwrap();
        assert!(longest as u64 <= KEPT / STEP + 1, "{longest}");
    }

    #[test]
    fn one_client_pushes_out_its_own_reports_only() {
        let reports = CallReports::default();
        let key = key("k");
        reports.add(&key, &report("quiet", "b", "1", DIRECT), None, at(0));
        for number in 0..2000 {
            reports.add(&key, &report("loud", "b", &number.to_string(), NO_UDP), None, at(0));
        }
        assert_eq!(reports.newest(&key, Some("loud"), 100).len(), MAX_OF_CLIENT);
        assert_eq!(reports.newest(&key, Some("quiet"), 100).len(), 1);
    }

    #[test]
    fn a_key_and_an_address_push_out_their_own_reports_only() {
        let reports = CallReports::default();
        let [quiet, loud] = ["quiet", "loud"].map(key);
        let add = |key: &ApiKey, number: usize, address: u8| {
            let report = report(&format!("client{number}"), "b", &number.to_string(), NO_UDP);
            reports.add(key, &report, Some([192, 0, 2, address].into()), at(0));
        };
        (0..20).for_each(|number| add(&quiet, number, 1));
        (0..20).for_each(|number| add(&loud, number, 2));
        (20..1400).for_each(|number| add(&loud, number, 3));
        let newest = reports.newest(&loud, None, MAX_REPORTS);
        let of_other =
            newest.iter().filter(|kept| kept.from == AddressPrefix::of_remote("192.0.2.2".parse().ok()));
        assert_eq!((reports.newest(&quiet, None, 100).len(), of_other.count(), newest.len()), (20, 20, 980));
    }

    #[test]
    fn reports_and_counts_are_forgotten_after_a_day() {
        let reports = CallReports::default();
        let key = key("k");
        reports.add(&key, &report("a", "b", "1", DIRECT), None, at(0));
        reports.sweep(at(KEPT - MINUTE));
        assert_eq!((reports.newest(&key, None, 10).len(), reports.steps(&key).len()), (1, 1));
        reports.sweep(at(KEPT));
        assert_eq!((reports.newest(&key, None, 10).len(), reports.steps(&key).len()), (0, 0));
    }

    #[test]
    fn an_address_has_a_rate_and_loopback_has_none() {
        let reports = CallReports::default();
        let charged = |address: &str, now| {
            let address = address.parse().unwrap();
            (0..1000).filter(|_| reports.charge(Some(address), at(now)).is_ok()).count()
        };
        assert_eq!([charged("192.0.2.1", 0), charged("192.0.2.1", 1000)], [200, 20]);
        assert_eq!([charged("192.0.2.2", 0), charged("127.0.0.1", 0)], [200, 1000]);
        reports.sweep(at(MINUTE));
        assert!(reports.addresses.is_empty());
    }
}
