//! Parses the URL as a person means it.

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Position, Url};

use super::DoctorFailed;

/// The key of peerjs-server, and of a broker without `--key`.
const DEFAULT_KEY: &str = "peerjs";
/// The last segment of the WebSocket's path.
const SOCKET: &str = "peerjs";

/// The timeout of a request, from the connection to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Sent as `User-Agent` and among the protocols of TLS: operators recognize these requests, and a peerbroker
/// does not take them for mistakes of clients.
pub(super) const AGENT: &str = concat!("peerbroker-doctor/", env!("CARGO_PKG_VERSION"));

/// The broker that the user has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// True if it speaks TLS; `None` if the user has not said it.
    pub(super) secure: Option<bool>,
    /// Name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The mount path, as in `/` or `/x/`.
    pub(super) path: String,
    pub(super) key: String,
}

impl Target {
    /// Reads a URL, also without its scheme, and also that of a WebSocket or of an id.
    pub(super) fn parse(text: &str, key: Option<&str>) -> Result<Self, DoctorFailed> {
        let text = text.trim();
        Target::read(text, key).ok_or_else(|| DoctorFailed::Target(text.to_owned()))
    }

    fn read(text: &str, key: Option<&str>) -> Option<Self> {
        let has_scheme = text.contains("://");
        let whole = match text.parse::<Ipv6Addr>() {
            Ok(address) => format!("https://[{address}]"),
            Err(_) if has_scheme => text.to_owned(),
            Err(_) => format!("https://{text}"),
        };
        // PeerJS sends no user and no password.
        let url = Url::parse(&whole).ok().filter(|url| url.username().is_empty())?;
        let is_socket = matches!(url.scheme(), "ws" | "wss");
        let secure = match url.scheme() {
            "http" | "ws" => Some(false),
            // A port alone does not decide the scheme, except the one of HTTPS.
            "https" | "wss" => (has_scheme || url.port().is_none()).then_some(true),
            _ => return None,
        };
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let mut asked = url.query_pairs().filter(|(name, _)| name == "key").last().map(|(_, key)| key);
        let mut segments: Vec<&str> = url.path_segments()?.filter(|segment| !segment.is_empty()).collect();
        if let [mount @ .., key, "id" | "peers" | "ice"] = segments.as_slice() {
            asked = asked.or(Some(percent_decode_str(key).decode_utf8_lossy()));
            segments = mount.to_vec();
        } else if (is_socket || asked.is_some()) && segments.last() == Some(&SOCKET) {
            segments.pop();
        }
        let path = segments.iter().fold("/".to_owned(), |path, segment| path + segment + "/");
        let key = key.or(asked.as_deref()).unwrap_or(DEFAULT_KEY).to_owned();
        Some(Target { secure, host, port: url.port_or_known_default()?, path, key })
    }

    /// The host as in `Host` and URLs, with its port unless that is the scheme's.
    pub(super) fn authority(&self, secure: bool) -> String {
        let Target { host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let default = if secure { 443 } else { 80 };
        if *port == default { host } else { format!("{host}:{port}") }
    }

    /// The key as one segment of a path, or as a value of a query.
    pub(super) fn encoded_key(&self) -> String {
        utf8_percent_encode(&self.key, NON_ALPHANUMERIC).to_string()
    }

    /// The path of the WebSocket.
    pub(super) fn socket_path(&self) -> String {
        format!("{}{SOCKET}", self.path)
    }

    /// The URL below which clients find the broker.
    pub(super) fn url(&self, secure: bool) -> String {
        let scheme = if secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(secure), self.path)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url(self.secure.unwrap_or(self.port == 443)))
    }
}

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
    fn a_url_is_what_a_person_would_paste() {
        let table = [
            ("https://b.test", Some(true), "b.test", 443, "/", "peerjs"),
            ("http://b.test", Some(false), "b.test", 80, "/", "peerjs"),
            ("https://b.test/x", Some(true), "b.test", 443, "/x/", "peerjs"),
            ("https://b.test/x/y/", Some(true), "b.test", 443, "/x/y/", "peerjs"),
            (" b.test ", Some(true), "b.test", 443, "/", "peerjs"),
            ("B.test:9000", None, "b.test", 9000, "/", "peerjs"),
            ("localhost:9000/myapp", None, "localhost", 9000, "/myapp/", "peerjs"),
            ("192.0.2.1:9000", None, "192.0.2.1", 9000, "/", "peerjs"),
            ("[2001:db8::1]:9000", None, "2001:db8::1", 9000, "/", "peerjs"),
            ("::1", Some(true), "::1", 443, "/", "peerjs"),
            ("wss://b.test/x/peerjs?key=k%20y&id=a&token=t", Some(true), "b.test", 443, "/x/", "k y"),
            ("ws://localhost:9000/peerjs", Some(false), "localhost", 9000, "/", "peerjs"),
            // A mount path of this name is common.
            ("http://localhost:9000/peerjs", Some(false), "localhost", 9000, "/peerjs/", "peerjs"),
            ("http://localhost:9000/x/my-key/id?ts=1", Some(false), "localhost", 9000, "/x/", "my-key"),
        ];
        for (text, secure, host, port, path, key) in table {
            let target = Target::parse(text, None).unwrap();
            let path = path.to_owned();
            let key = key.to_owned();
            assert_eq!(target, Target { secure, host: host.to_owned(), port, path, key }, "{text}");
        }
        for text in ["", "ftp://b.test", "mailto:a@b", "https://", "b.test:99999", "a b", "a@b.test"] {
            assert!(Target::parse(text, None).is_err(), "{text}");
        }
        assert_eq!(Target::parse("ws://h/peerjs?key=a", Some("b/c")).unwrap().encoded_key(), "b%2Fc");
    }

    #[test]
    fn an_authority_has_brackets_and_no_usual_port() {
        let of = |text| Target::parse(text, None).unwrap();
        assert_eq!(of("https://[::1]/x").url(true), "https://[::1]/x/");
        assert_eq!(of("http://[::1]:9000").to_string(), "http://[::1]:9000/");
        assert_eq!(of("h:443").to_string(), "https://h/");
    }

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
