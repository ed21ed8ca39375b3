//! The broker and the page that the user has named.

use std::time::Duration;

use url::{Position, Url};

use super::DoctorFailed;

/// The broker.
pub(super) use peerbroker_peer::Address as Target;

/// The timeout of a request, from the connection to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Sent as `User-Agent` and among the protocols of TLS: operators recognize these requests, and a peerbroker
/// does not take them for mistakes of clients.
pub(super) const AGENT: &str = concat!("peerbroker-doctor/", env!("CARGO_PKG_VERSION"));

/// The origin of a page, from its URL. Apps have schemes of their own; pages without an address have the
/// origin `null`.
pub(super) fn origin(text: &str) -> Result<String, DoctorFailed> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| url.has_authority() && !matches!(url.scheme(), "ftp" | "ws" | "wss"));
    match url {
        Some(url) => Ok(url[..Position::AfterPort].to_owned()),
        None if text == "null" => Ok(text.to_owned()),
        None => Err(DoctorFailed::Origin(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_page_needs_no_path() {
        assert_eq!(origin("https://a.test/game?x").unwrap(), "https://a.test");
        assert_eq!(origin("http://a.test:8080").unwrap(), "http://a.test:8080");
        for (text, sent) in [("app://./x", "app://."), ("file:///x", "file://"), ("null", "null")] {
            assert_eq!(origin(text).unwrap(), sent);
        }
        for text in ["a.test", "*", "wss://a.test", "localhost:3000", ""] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
