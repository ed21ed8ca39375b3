//! Tests of the limits per address.

mod connections {
    use super::super::*;
    use peerbroker_config::{AddressLimits, Config};

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn addresses(connections: u32, opens_per_second: u32) -> Arc<ConnectionLimiter> {
        let address_limits = AddressLimits { connections, opens_per_second };
        ConnectionLimiter::new(Config { address_limits, ..Config::default() }.into())
    }

    #[test]
    fn an_address_has_at_most_its_limit_of_connections() {
        let addresses = addresses(2, 0);
        let open = || addresses.open(ip("192.0.2.1"), Instant::default(), None);
        let first = open().unwrap();
        let _second = open().unwrap();
        assert!(open().is_err());
        assert!(addresses.open(ip("192.0.2.2"), Instant::default(), None).is_ok());
        drop(first);
        assert!(open().is_ok());
    }

    #[test]
    fn zero_turns_the_limit_off() {
        let addresses = addresses(0, 0);
        let open: Vec<_> =
            (0..2000).map(|_| addresses.open(ip("192.0.2.1"), Instant::default(), None)).collect();
        assert!(open.iter().all(Result::is_ok));
    }

    #[test]
    fn a_websocket_shares_the_permit_of_its_connection_and_keeps_it() {
        let addresses = addresses(1, 0);
        let connection = addresses.connect(ip("192.0.2.1")).unwrap().unwrap();
        assert!(addresses.connect(ip("192.0.2.1")).is_err());
        let open = |address, connection| addresses.open(ip(address), Instant::default(), connection);
        let websocket = open("192.0.2.1", Some(&connection)).unwrap().unwrap();
        assert!(open("192.0.2.1", None).is_err());
        // The client of a proxy has its own permit.
        let _another = open("192.0.2.2", Some(&connection)).unwrap();
        assert!(addresses.connect(ip("192.0.2.2")).is_err());
        drop(connection);
        assert!(addresses.connect(ip("192.0.2.1")).is_err());
        drop(websocket);
        assert!(addresses.connect(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_websocket_over_the_rate_limit_releases_its_permit() {
        let addresses = addresses(20, 1);
        let opened: Vec<_> =
            (0..20).map(|_| addresses.open(ip("192.0.2.1"), Instant::default(), None)).collect();
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 10);
        drop(opened);
        let connected: Vec<_> = (0..20).map(|_| addresses.connect(ip("192.0.2.1"))).collect();
        assert!(connected.iter().all(Result::is_ok));
    }

    #[test]
    fn new_websockets_of_an_address_have_a_rate_limit_and_a_burst_of_ten_seconds() {
        let addresses = addresses(0, 5);
        let open = |millis| addresses.open(ip("192.0.2.1"), Instant::from_millis(millis), None).map(drop);
        for _ in 0..50 {
            assert!(open(0).is_ok());
        }
        assert_eq!(
            open(0),
            Err(LimitExceeded { limit: Limit::OpensPerSecond, retry_after: Duration::from_millis(200) })
        );
        assert!(open(199).is_err());
        assert!(open(200).is_ok() && open(200).is_err());
        for _ in 0..50 {
            assert!(open(100_000).is_ok());
        }
        assert!(open(100_000).is_err());
    }

    #[test]
    fn an_ipv6_prefix_is_one_address_and_loopback_is_not_limited() {
        let addresses = addresses(1, 0);
        let _first = addresses.open(ip("2001:db8::1"), Instant::default(), None).unwrap();
        assert!(addresses.open(ip("2001:db8::ffff:ffff"), Instant::default(), None).is_err());
        assert!(addresses.open(ip("2001:db8:0:1::1"), Instant::default(), None).is_ok());
        let _mapped = addresses.open(ip("::ffff:192.0.2.1"), Instant::default(), None).unwrap();
        assert!(addresses.open(ip("192.0.2.1"), Instant::default(), None).is_err());
        for exempt in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(matches!(addresses.open(ip(exempt), Instant::default(), None), Ok(None)), "{exempt}");
        }
    }

    #[test]
    fn an_address_without_connections_is_forgotten_when_its_burst_is_full_again() {
        let addresses = addresses(0, 5);
        let here = addresses.open(ip("192.0.2.1"), Instant::default(), None).unwrap();
        drop(addresses.open(ip("192.0.2.2"), Instant::default(), None).unwrap());
        addresses.sweep(Instant::from_millis(100));
        assert_eq!(addresses.len(), 2);
        addresses.sweep(Instant::from_millis(1000));
        assert_eq!(addresses.len(), 1);
        drop(here);
        addresses.sweep(Instant::from_millis(1000));
        assert_eq!(addresses.len(), 0);
    }
}

mod guesses {
    use super::super::*;

    fn at(address: &str) -> GuessSource {
        GuessSource::new(Some(address.parse().unwrap()), false)
    }

    #[test]
    fn wrong_guesses_have_a_rate_limit_and_right_ones_do_not() {
        let guesses = GuessLimiter::new(Limit::WrongAdminTokens);
        let here = |millis| guesses.check(at("192.0.2.1"), Instant::from_millis(millis));
        assert!((0..1000).all(|_| here(0).is_ok()));
        let count_wrong = |millis| guesses.count_wrong(at("192.0.2.1"), Instant::from_millis(millis));
        let guess = |millis| here(millis).map(|()| count_wrong(millis));
        assert_eq!((0..1000).filter(|_| guess(0).is_ok()).count(), 51);
        assert_eq!(
            here(0),
            Err(LimitExceeded { limit: Limit::WrongAdminTokens, retry_after: Duration::from_millis(200) })
        );
        assert!(guess(199).is_err() && guess(200).is_ok() && guess(200).is_err());
        // After the burst, one minute allows 60 seconds' worth.
        assert_eq!((200..=60_200).filter(|millis| guess(*millis).is_ok()).count(), 300);
    }

    #[test]
    fn an_ipv6_prefix_and_loopback_share_one_limit_and_a_proxy_on_loopback_has_its_own() {
        let proxied = |address: &str| GuessSource::new(Some(address.parse().unwrap()), true);
        for (one, same, other) in [
            (at("192.0.2.1"), at("::ffff:192.0.2.1"), at("192.0.2.2")),
            (at("2001:db8::1"), at("2001:db8::ffff:ffff"), at("2001:db8:0:1::1")),
            (at("127.0.0.1"), at("127.9.9.9"), at("192.0.2.1")),
            (at("127.0.0.1"), at("::1"), proxied("127.0.0.1")),
            (proxied("192.0.2.1"), proxied("192.0.2.1"), at("192.0.2.1")),
        ] {
            let guesses = GuessLimiter::new(Limit::WrongAdminTokens);
            (0..51).for_each(|_| guesses.count_wrong(one, Instant::default()));
            assert!(guesses.check(same, Instant::default()).is_err());
            assert!(guesses.check(other, Instant::default()).is_ok());
        }
    }

    #[test]
    fn a_source_is_forgotten_when_its_burst_is_full_again() {
        let guesses = GuessLimiter::new(Limit::WrongAdminTokens);
        guesses.count_wrong(at("192.0.2.1"), Instant::default());
        guesses.sweep(Instant::from_millis(199));
        assert_eq!(guesses.wrong.len(), 1);
        guesses.sweep(Instant::from_millis(200));
        assert!(guesses.wrong.is_empty());
    }
}

mod signups {
    use super::super::*;
    use peerbroker_config::{Config, KeySignup};

    fn limiter(per_day: u32) -> SignupLimiter {
        let registration = KeySignup { per_day, ..KeySignup::default() };
        SignupLimiter::new(Config { registration, ..Config::default() }.into())
    }

    const HOUR: u64 = DAY / 24;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// Registers a key if the limit allows it.
    fn try_signup(limiter: &SignupLimiter, address: Option<IpAddr>, at: u64) -> Result<(), LimitExceeded> {
        let now = Instant::from_millis(at);
        limiter.check(address, now).map(|()| limiter.count(address, now))
    }

    #[test]
    fn an_address_has_a_limit_of_signups_in_any_24_hours() {
        let limiter = limiter(2);
        let here = |at| try_signup(&limiter, ip("192.0.2.1"), at);
        assert!(here(0).is_ok() && here(10 * HOUR).is_ok());
        assert_eq!(
            here(20 * HOUR),
            Err(LimitExceeded { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(4 * HOUR) })
        );
        assert_eq!(
            here(DAY - 1),
            Err(LimitExceeded { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(1) })
        );
        assert!(here(DAY).is_ok());
        assert_eq!(
            here(DAY),
            Err(LimitExceeded { limit: Limit::SignupsPerDay, retry_after: Duration::from_millis(10 * HOUR) })
        );
        assert!(try_signup(&limiter, ip("192.0.2.2"), DAY).is_ok());
    }

    #[test]
    fn a_check_does_not_count_as_a_signup() {
        let limiter = limiter(1);
        for _ in 0..3 {
            assert!(limiter.check(ip("192.0.2.1"), Instant::default()).is_ok());
        }
    }

    #[test]
    fn an_ipv6_prefix_loopback_and_a_missing_address_count_as_one_address_each() {
        for (one, same, other) in [
            (ip("2001:db8::1"), ip("2001:db8::ffff:ffff"), ip("2001:db8:0:1::1")),
            (ip("192.0.2.1"), ip("::ffff:192.0.2.1"), ip("192.0.2.2")),
            (ip("127.0.0.1"), ip("::ffff:127.0.0.1"), ip("::1")),
            (None, None, ip("127.0.0.1")),
        ] {
            let limiter = limiter(1);
            assert!(try_signup(&limiter, one, 0).is_ok());
            assert!(try_signup(&limiter, same, 0).is_err(), "{same:?}");
            assert!(try_signup(&limiter, other, 0).is_ok(), "{other:?}");
        }
    }

    #[test]
    fn zero_turns_the_limit_off() {
        let limiter = limiter(0);
        assert!((0..1000).all(|_| try_signup(&limiter, ip("192.0.2.1"), 0).is_ok()));
        assert!(limiter.signups.is_empty());
    }

    #[test]
    fn an_address_without_signups_for_a_day_is_forgotten() {
        let limiter = limiter(5);
        limiter.count(ip("192.0.2.1"), Instant::default());
        limiter.count(ip("192.0.2.2"), Instant::default());
        limiter.count(ip("192.0.2.2"), Instant::from_millis(HOUR));
        limiter.sweep(Instant::from_millis(DAY - 1));
        assert_eq!(limiter.signups.len(), 2);
        limiter.sweep(Instant::from_millis(DAY));
        assert_eq!(limiter.signups.len(), 1);
        limiter.sweep(Instant::from_millis(DAY + HOUR));
        assert!(limiter.signups.is_empty());
    }
}
