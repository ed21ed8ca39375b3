//! Points in time, a type for each time line. Times of two lines neither compare nor subtract:
//!
//! ```compile_fail,E0308
//! let clock = peerbroker_core::clock::Clock::manual();
//! clock.elapsed().saturating_since(clock.now());
//! ```

use std::ops::Add;
use std::time::Duration;

use super::millis;

macro_rules! points_in_time {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Later than any time.
            pub const MAX: Self = $name(u64::MAX);

            /// The time at this many milliseconds: from JSON, packets, atomics.
            #[inline]
            pub const fn from_millis(millis: u64) -> Self {
                $name(millis)
            }

            /// Its milliseconds: for JSON, packets, atomics.
            #[inline]
            pub const fn as_millis(self) -> u64 {
                self.0
            }

            /// The time that has passed since an earlier time. Zero if that is later.
            #[inline]
            pub const fn saturating_since(self, earlier: Self) -> Duration {
                Duration::from_millis(self.millis_since(earlier))
            }

            /// The milliseconds that have passed since an earlier time. Zero if that is later. Cheaper than a
            /// `Duration`, for messages and for lengths that are in milliseconds anyway.
            #[inline]
            pub const fn millis_since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }

            /// The time this many milliseconds later, at most [`MAX`](Self::MAX).
            #[inline]
            #[must_use]
            pub const fn plus_millis(self, millis: u64) -> Self {
                $name(self.0.saturating_add(millis))
            }

            /// The time this many milliseconds earlier. `None` before the line's start.
            #[inline]
            pub fn minus_millis(self, millis: u64) -> Option<Self> {
                self.0.checked_sub(millis).map($name)
            }
        }

        /// At most the type's `MAX`.
        impl Add<Duration> for $name {
            type Output = Self;

            #[inline]
            fn add(self, duration: Duration) -> Self {
                self.plus_millis(millis(duration))
            }
        }
    )*};
}

points_in_time! {
    /// A time of [`Clock::now`](super::Clock::now), which passes only while this process runs. All timeouts
    /// use it.
    Instant;

    /// A time of [`Clock::elapsed`](super::Clock::elapsed), which passes in gaps too. Named after leases:
    /// only they need the time of everybody else.
    LeaseInstant;

    /// Wall time, in milliseconds since 1970: for people, and for other nodes.
    UnixMillis;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_arithmetic_leaves_the_line() {
        let [early, late] = [5, 7].map(Instant::from_millis);
        assert_eq!((late.saturating_since(early), late.millis_since(early)), (Duration::from_millis(2), 2));
        assert_eq!((early.saturating_since(late), early.millis_since(late)), (Duration::ZERO, 0));
        assert_eq!([early.plus_millis(2), early + Duration::from_millis(2)], [late; 2]);
        assert_eq!([Instant::MAX.plus_millis(1), late + Duration::MAX], [Instant::MAX; 2]);
        assert_eq!([late.minus_millis(2), late.minus_millis(8)], [Some(early), None]);
    }
}
