//! Faults of this program. They end no server, and nothing hides them.

use std::fmt::Debug;

/// A value that this program itself makes right. A wrong one fails the tests; elsewhere the log has it, and
/// the default stands in for it.
#[inline]
pub fn expected<T: Default, E: Debug>(made: Result<T, E>, what: &str) -> T {
    debug_assert!(made.is_ok(), "{what}: {:?}", made.as_ref().err());
    made.unwrap_or_else(|error| {
        log::error!("this is a fault of peerbroker, please report it: {what}: {error:?}");
        T::default()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "a number: ParseIntError"))]
    fn a_fault_fails_the_tests_and_is_a_default_elsewhere() {
        assert_eq!(super::expected("1".parse::<u8>(), "a number"), 1);
        assert_eq!(super::expected("x".parse::<u8>(), "a number"), 0);
    }
}
