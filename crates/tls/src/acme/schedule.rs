//! Computes the time of the next order from other times only.

use std::ops::Range;

use crate::Validity;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Pauses after failures that an ACME server counts. An attempt may fail two validations, one of each kind,
/// and Let's Encrypt allows five failed validations of a name per hour.
const DELAYS_AFTER_REFUSALS: &[u64] = &[5 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR];
/// Pauses after failures that the server did not see, such as a network that is not up yet.
const DELAYS_AFTER_OUTAGES: &[u64] =
    &[10, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR];
/// The longest pause that a server may ask for.
const MAX_RETRY_AFTER: u64 = 24 * HOUR;

/// The limits of the pause after an order.
const MIN_LIFE: u64 = 10;
const MAX_REST: u64 = 24 * HOUR;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The ACME server refused the order, or could not validate a name.
    Refused,
    /// The ACME server could not be reached, or failed internally.
    Outage,
}

/// Attempts that failed since the last success.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    count: usize,
    last: u64,
}

/// The data that decide when the next order is due. Times are in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    /// The certificate for all names; none if there is none yet.
    pub(super) certificate: Option<Validity>,
    /// The time within which the ACME server wants it to be renewed (ARI, RFC 9773).
    pub(super) window: Option<Range<u64>>,
    /// Attempts that the server refused. An outage between them does not reset this.
    pub(super) refusals: Failures,
    /// Outages in a row.
    pub(super) outages: Failures,
    /// The end of the pause that the server asked for.
    pub(super) not_before: u64,
    /// The time of the order, if this process made it.
    pub(super) ordered: Option<u64>,
    /// A random number, which keeps servers from renewing all at the same moment.
    pub(super) jitter: u32,
}

impl Schedule {
    /// The time at which the next order is due.
    pub(super) fn next(&self) -> u64 {
        let after_refusal = self.after(self.refusals, DELAYS_AFTER_REFUSALS);
        let after_outage = self.after(self.outages, DELAYS_AFTER_OUTAGES);
        self.due().max(self.after_order()).max(after_refusal).max(after_outage).max(self.not_before)
    }

    /// The earliest time of another order. A server may issue certificates that are due for renewal at once.
    fn after_order(&self) -> u64 {
        let (Some(ordered), Some(certificate)) = (self.ordered, self.certificate) else { return 0 };
        let life = certificate.to.saturating_sub(certificate.from);
        ordered.saturating_add((life / 3).clamp(MIN_LIFE, MAX_REST))
    }

    /// The end of the pause after the last failure.
    fn after(&self, Failures { count, last }: Failures, pauses: &[u64]) -> u64 {
        let Some(nth) = count.checked_sub(1) else { return 0 };
        let pause = pauses.get(nth).or(pauses.last()).copied().unwrap_or(HOUR);
        // Never shorter than the pause: it is a limit of the server.
        last.saturating_add(pause).saturating_add(part(pause / 5, self.jitter))
    }

    /// The time at which the certificate is to be renewed, if nothing fails.
    fn due(&self) -> u64 {
        let Some(certificate) = self.certificate else { return 0 };
        let life = certificate.to.saturating_sub(certificate.from);
        match &self.window {
            // RFC 9773, section 4.2: a random time within the window. The end of the certificate is the last
            // resort.
            Some(window) => {
                let length = window.end.saturating_sub(window.start);
                window.start.saturating_add(part(length, self.jitter)).min(certificate.to)
            }
            None => {
                let two_thirds = life - life / 3;
                certificate.from.saturating_add(two_thirds).saturating_add(part(life / 20, self.jitter))
            }
        }
    }

    /// Counts a failure. `retry_after` is the number of seconds for which the server asked to be left alone.
    pub(super) fn failed(&mut self, kind: FailureKind, now: u64, retry_after: u64) {
        let failures = match kind {
            FailureKind::Refused => {
                self.outages.count = 0;
                &mut self.refusals
            }
            FailureKind::Outage => &mut self.outages,
        };
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
        self.not_before = now.saturating_add(retry_after.min(MAX_RETRY_AFTER));
    }

    /// Forgets the failures, because the server has a new certificate.
    pub(super) fn succeeded(&mut self) {
        (self.refusals, self.outages, self.not_before) = Default::default();
    }
}

/// A share of a time: nothing of it for 0, all of it for the largest number.
fn part(time: u64, share: u32) -> u64 {
    let part = u128::from(time) * u128::from(share) / u128::from(u32::MAX);
    u64::try_from(part).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 24 * HOUR;

    fn schedule() -> impl Strategy<Value = Schedule> {
        let certificate = prop::option::of((any::<u64>(), any::<u64>()));
        let window = prop::option::of((any::<u64>(), any::<u64>()));
        (certificate, window, any::<u32>()).prop_map(|(certificate, window, jitter)| Schedule {
            certificate: certificate.map(|(from, to)| Validity { from, to }),
            window: window.map(|(start, end)| start..end),
            jitter,
            ..Schedule::default()
        })
    }

    proptest! {
        #[test]
        fn a_certificate_is_renewed_within_its_last_third(
            from in 0..1u64 << 40, life in 20..1u64 << 30, jitter in any::<u32>(),
        ) {
            let certificate = Validity { from, to: from + life };
            let at = Schedule { certificate: Some(certificate), jitter, ..Schedule::default() }.next();
            prop_assert!(at >= from + life * 2 / 3 && at <= from + life * 3 / 4);
        }

        #[test]
        fn the_window_of_the_server_counts_and_never_outlasts_the_certificate(
            from in 0..1u64 << 40, life in 1..1u64 << 30, start in 0..1u64 << 31, length in 0..1u64 << 20, jitter in any::<u32>(),
        ) {
            let certificate = Validity { from, to: from + life };
            let window = from + start..from + start + length;
            let schedule = Schedule { certificate: Some(certificate), window: Some(window.clone()), jitter, ..Schedule::default() };
            let at = schedule.next();
            prop_assert!(at <= certificate.to);
            prop_assert!(at == certificate.to || (window.start..=window.end).contains(&at));
        }

        #[test]
        fn whatever_fails_in_which_order_no_limit_of_lets_encrypt_is_reached(
            mut schedule in schedule(), start in 0..1u64 << 40, kinds in prop::collection::vec(any::<bool>(), 1..30),
            retry_after in 0..DAY,
        ) {
            schedule.certificate = None;
            let mut now = start;
            let mut refusals = Vec::new();
            for (nth, is_refusal) in kinds.into_iter().enumerate() {
                let kind = if is_refusal { FailureKind::Refused } else { FailureKind::Outage };
                if is_refusal {
                    refusals.push(now);
                }
                // An attempt takes a while.
                let ended = now + nth as u64;
                schedule.failed(kind, ended, retry_after);
                let next = schedule.next();
                prop_assert!(next >= ended + 10, "no pause");
                prop_assert!(next >= ended + retry_after);
                prop_assert!(next <= ended + DAY, "the pause never ends");
                now = next;
            }
            let in_a_row = refusals.windows(3).all(|three| three[2] - three[0] > HOUR);
            prop_assert!(in_a_row, "more than two attempts of two validations within an hour: {refusals:?}");
        }

        #[test]
        fn a_server_whose_certificates_are_due_at_once_is_left_alone_for_a_while(
            mut schedule in schedule(), now in 0..1u64 << 40,
        ) {
            schedule.ordered = Some(now);
            prop_assert!(schedule.certificate.is_none() || schedule.next() >= now + MIN_LIFE);
        }

        #[test]
        fn no_numbers_are_too_large(mut schedule in schedule(), now in any::<u64>(), retry_after in any::<u64>()) {
            for kind in [FailureKind::Refused, FailureKind::Outage, FailureKind::Outage] {
                schedule.failed(kind, now, retry_after);
                prop_assert!(schedule.next() >= now);
            }
        }
    }

    #[test]
    fn without_a_certificate_an_order_is_due_at_once() {
        assert_eq!(Schedule::default().next(), 0);
    }
}
