//! The address of a broker, as a person writes it.

use std::fmt;
use std::net::Ipv6Addr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// The key of peerjs-server, and of a broker without `--key`.
const DEFAULT_KEY: &str = "peerjs";
/// The last segment of the WebSocket's path.
const SOCKET: &str = "peerjs";

/// The address of a broker, with an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// True if it speaks TLS; `None` if the text does not say it.
    pub secure: Option<bool>,
    /// Name or IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The mount path, as in `/` or `/x/`.
    pub path: String,
    /// The API key.
    pub key: String,
}

impl Address {
    /// Reads a URL, also without its scheme, and also that of a WebSocket or of an id. The key is `key`, or
    /// that of the URL, or `peerjs`. `None` if it is no URL of a broker.
    pub fn parse(text: &str, key: Option<&str>) -> Option<Self> {
        let text = text.trim();
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
        Some(Address { secure, host, port: url.port_or_known_default()?, path, key })
    }

    /// The host as in `Host` and URLs, with its port unless that is the scheme's.
    pub fn authority(&self, secure: bool) -> String {
        let Address { host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let default = if secure { 443 } else { 80 };
        if *port == default { host } else { format!("{host}:{port}") }
    }

    /// The key as one segment of a path, or as a value of a query.
    pub fn encoded_key(&self) -> String {
        encoded(&self.key)
    }

    /// The path of the WebSocket.
    pub fn socket_path(&self) -> String {
        format!("{}{SOCKET}", self.path)
    }

    /// The URL below which clients find the broker.
    pub fn url(&self, secure: bool) -> String {
        let scheme = if secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(secure), self.path)
    }

    /// True if it speaks TLS, of which the port decides if nothing else says it.
    pub fn is_secure(&self) -> bool {
        self.secure.unwrap_or(self.port == 443)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url(self.is_secure()))
    }
}

/// A value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
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
            let target = Address::parse(text, None).unwrap();
            let path = path.to_owned();
            let key = key.to_owned();
            assert_eq!(target, Address { secure, host: host.to_owned(), port, path, key }, "{text}");
        }
        for text in ["", "ftp://b.test", "mailto:a@b", "https://", "b.test:99999", "a b", "a@b.test"] {
            assert!(Address::parse(text, None).is_none(), "{text}");
        }
        assert_eq!(Address::parse("ws://h/peerjs?key=a", Some("b/c")).unwrap().encoded_key(), "b%2Fc");
    }

    #[test]
    fn an_authority_has_brackets_and_no_usual_port() {
        let of = |text| Address::parse(text, None).unwrap();
        assert_eq!(of("https://[::1]/x").url(true), "https://[::1]/x/");
        assert_eq!(of("http://[::1]:9000").to_string(), "http://[::1]:9000/");
        assert_eq!(of("h:443").to_string(), "https://h/");
    }
}
