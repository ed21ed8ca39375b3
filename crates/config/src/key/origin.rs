//! Origins of pages, and patterns of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Maximum bytes of an origin in a request. The longest DNS name has 253.
pub const MAX_ORIGIN_BYTES: usize = 300;

/// The origin of pages without an address, such as sandboxed frames.
const NULL: &str = "null";

/// An origin of pages: `https://example.org`, with a port unless it is the default of the scheme. A pattern
/// like `https://*.example.org` matches all subdomains at any depth, but not `example.org` itself. Apps have
/// schemes of their own, as in `app://.`; pages without an address have the origin `null`. Origins are
/// compared in the form that browsers send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    text: String,
    compared: Compared,
}

/// The comparison of an origin with the one of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Exactly,
    /// Chromium sends the host of an app's scheme in lower case, WebKit as the app writes it.
    IgnoringCase,
    /// A star matches subdomains.
    AsPattern,
}

/// Schemes that people write, and that no page has: browsers load none from them, or give it the origin
/// `null`.
const NO_PAGES: &[&str] = &["ftp", "ftps", "sftp", "ws", "wss", "data", "blob"];

/// The error of a text that is no valid origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// A text without a scheme.
    #[error("an origin is a scheme and a host, as in https://example.org or https://*.example.org")]
    NoScheme,
    /// No page has an origin with this scheme.
    #[error("no page has an origin with this scheme: give the page's own address, as in https://example.org")]
    NoPages,
    /// A list of origins.
    #[error("these are several origins: give each by itself")]
    Several,
    /// A text with a path, or with an invalid scheme or host.
    #[error(
        "an origin is a scheme and a host without a path, as in https://example.org or https://*.example.org"
    )]
    Malformed,
}

/// A host and its port in the form that browsers send (the URL standard): without the default port,
/// `127.0.0.1` for `127.1`.
fn as_sent(scheme: &str, authority: &str) -> Option<String> {
    let url = Url::parse(&format!("{scheme}://{authority}")).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

impl PartialSchema for Origin {
    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

impl ToSchema for Origin {}

impl Origin {
    /// Parses an origin, in upper or lower case, with or without a final slash and the default port of the
    /// scheme.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let text = text.to_ascii_lowercase();
        if text == NULL {
            return Ok(Origin::exact(NULL));
        }
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin::NoScheme)?;
        if authority.contains("://") {
            return Err(InvalidOrigin::Several);
        }
        if NO_PAGES.contains(&scheme) {
            return Err(InvalidOrigin::NoPages);
        }
        let is_of_app = !matches!(scheme, "https" | "http");
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (star, host) = authority.split_at(if authority.starts_with("*.") { 2 } else { 0 });
        let compared = match star {
            "*." => Compared::AsPattern,
            _ if is_of_app => Compared::IgnoringCase,
            _ => Compared::Exactly,
        };
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let is_host =
            |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c) || !is_of_app && !c.is_ascii();
        // An app's host is a name that the app chose, such as `.`; files have none.
        let has_name = compared == Compared::IgnoringCase || !host.is_empty() && !host.starts_with('.');
        let valid = !scheme.is_empty()
            && scheme.chars().all(is_scheme)
            && has_name
            && !host.starts_with(':')
            && host.chars().all(is_host);
        let host = if is_of_app { Some(host.to_owned()) } else { as_sent(scheme, host) };
        let host = host.filter(|_| valid).ok_or(InvalidOrigin::Malformed)?;
        Ok(Origin { text: format!("{scheme}://{star}{host}"), compared })
    }

    /// A text that matches the same text only, even if no browser sends it: peerjs-server compares all values
    /// of `--cors` so.
    pub fn exact(text: &str) -> Self {
        Origin { text: text.to_owned(), compared: Compared::Exactly }
    }

    /// The origin of a page: its address without the path. Pages that share their origin with pages of others
    /// have none.
    pub fn of_page(address: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, rest) = address.split_once("://").ok_or(InvalidOrigin::NoScheme)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let origin = Origin::parse(&format!("{scheme}://{authority}"))?;
        if authority.is_empty() || origin.compared == Compared::AsPattern {
            return Err(InvalidOrigin::Malformed);
        }
        Ok(origin)
    }

    /// True if it matches the `Origin` header of a request.
    pub fn matches(&self, origin: &str) -> bool {
        match self.compared {
            Compared::Exactly => self.text == origin,
            Compared::IgnoringCase => self.text.eq_ignore_ascii_case(origin),
            Compared::AsPattern => self.has_below(origin),
        }
    }

    /// True if the pattern matches. The star matches DNS labels only, so no `/`, `@` or port can slip in.
    fn has_below(&self, origin: &str) -> bool {
        let below = self.text.split_once("*.").and_then(|(scheme, parent)| {
            origin.strip_prefix(scheme)?.strip_suffix(parent)?.strip_suffix('.')
        });
        below.is_some_and(|names| {
            !names.is_empty() && names.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        })
    }

    /// A sentence about an origin that pages of others have too.
    pub fn shared_with(&self) -> Option<&'static str> {
        match &*self.text {
            NULL => Some(
                "null lets in pages of every site, because each may open a sandboxed frame, whose origin is null",
            ),
            "file://" => Some("file:// lets in every HTML file that a user opens, wherever it came from"),
            _ => None,
        }
    }

    /// The origin in the form that browsers send.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        Origin::parse(text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> String {
        origin.text
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    fn try_from(text: String) -> Result<Self, InvalidOrigin> {
        Origin::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::parse(text).unwrap()
    }

    #[test]
    fn an_origin_matches_only_itself() {
        let allowed = origin("https://Example.org/");
        assert!(allowed.matches("https://example.org"));
        for other in [
            "http://example.org",
            "https://example.org:8443",
            "https://a.example.org",
            "https://example.org.evil.test",
            "null",
            "",
        ] {
            assert!(!allowed.matches(other), "{other}");
        }
        assert!(origin("http://localhost:3000").matches("http://localhost:3000"));
        assert!(origin("https://example.org:443").matches("https://example.org"));
    }

    #[test]
    fn a_host_is_compared_in_the_form_that_browsers_send() {
        for (text, sent) in [
            ("http://127.1", "http://127.0.0.1"),
            ("http://0x7f.1:080", "http://127.0.0.1"),
            ("http://2130706433:3000/", "http://127.0.0.1:3000"),
            ("http://[0:0::1]:80", "http://[::1]"),
            ("https://B\u{dc}CHER.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(origin(text).as_str(), sent);
        }
        assert_eq!(origin("https://*.b\u{fc}cher.example").as_str(), "https://*.xn--bcher-kva.example");
    }

    #[test]
    fn apps_have_schemes_and_hosts_of_their_own() {
        for text in ["app://.", "app://-", "ionic://localhost", "tauri://localhost:1420", "my+app.x://"] {
            let allowed = origin(text);
            assert!(allowed.matches(text) && allowed.shared_with().is_none(), "{text}");
            for other in ["app://", "app://..", "app://a", "http://localhost", "https://.", "null", "file://"]
            {
                assert!(!allowed.matches(other), "{text} {other}");
            }
        }
        assert!(origin("MyApp://Bundle/").matches("myapp://Bundle"));
    }

    #[test]
    fn files_and_pages_without_an_address_match_the_origins_that_they_send() {
        for (texts, sent, others) in [
            (["null", "NULL"], "null", ["Null", "file://"]),
            (["file://", "file:///"], "file://", ["null", "file:///"]),
        ] {
            for text in texts {
                assert!(origin(text).matches(sent), "{text}");
                assert!(origin(text).shared_with().unwrap().starts_with(&format!("{sent} lets in ")));
                assert!(!others.iter().any(|other| origin(text).matches(other)), "{text}");
            }
        }
    }

    #[test]
    fn an_exact_text_matches_only_itself() {
        for text in ["example.org", "*.example.org", "https://a.test,https://b.test", "https://Example.org/x"]
        {
            assert!(Origin::exact(text).matches(text));
            assert!(
                !Origin::exact(text).matches("https://a.example.org")
                    && !Origin::exact(text).matches("a.example.org")
            );
        }
    }

    #[test]
    fn a_star_matches_subdomains_only() {
        let allowed = origin("https://*.example.org");
        for fine in ["https://a.example.org", "https://a.b-c.example.org"] {
            assert!(allowed.matches(fine), "{fine}");
        }
        for other in [
            "https://example.org",
            "https://.example.org",
            "https://evilexample.org",
            "https://evil.test/.example.org",
            "https://evil.test:1.example.org",
            "https://user@a.example.org",
            "http://a.example.org",
            "https://a.example.org.evil.test",
            "https://a.example.org:8443",
        ] {
            assert!(!allowed.matches(other), "{other}");
        }
        assert!(origin("http://*.test:8080").matches("http://a.test:8080"));
    }

    #[test]
    fn an_invalid_origin_is_refused() {
        for (why, texts) in [
            (InvalidOrigin::NoScheme, &["", "example.org", "*", "nul", "https:example.org"][..]),
            (InvalidOrigin::NoPages, &["ftp://example.org", "WSS://example.org", "ftps://a.test"]),
            (
                InvalidOrigin::Malformed,
                &[
                    "https://",
                    "https://*.",
                    "https://a/b",
                    "https://*",
                    "https://a b",
                    "://a",
                    "https://*.*.a",
                    "https://:8080",
                    "https://.",
                    "https:///",
                    "https://1.2.3.256",
                    "https://b\u{fc} cher.example",
                    "app://b\u{fc}cher",
                    "app://*.",
                    "app://:1",
                    "app://./index.html",
                    "file:///index.html",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(Origin::parse(text), Err(why), "{text}");
            }
        }
    }

    #[test]
    fn the_origin_of_a_page_has_no_path_and_no_default_port() {
        for (address, origin) in [
            ("https://example.org", "https://example.org"),
            ("HTTPS://Example.ORG/app/?a=//b#c", "https://example.org"),
            ("https://example.org?a", "https://example.org"),
            ("https://example.org:443/", "https://example.org"),
            ("http://example.org:80", "http://example.org"),
            ("https://example.org:80", "https://example.org:80"),
            ("http://localhost:3000/x", "http://localhost:3000"),
            ("http://[::1]:9000/", "http://[::1]:9000"),
            ("https://a.example/*", "https://a.example"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("app://./index.html", "app://."),
        ] {
            assert_eq!(Origin::of_page(address).map(String::from), Ok(origin.to_owned()), "{address}");
        }
        for address in [
            "",
            "example.org",
            "https://",
            "https:///path",
            "https://:443",
            "https://*.example.org",
            "https://user@example.org",
            "ftp://example.org/index.html",
            "file:///home/me/index.html",
            "null",
        ] {
            assert!(Origin::of_page(address).is_err(), "{address}");
        }
    }
}
