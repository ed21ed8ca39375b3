//! The options with which a PeerJS client finds the broker.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::MountPath;
use peerbroker_core::vocabulary::ApiKey;

/// The options with which a PeerJS client finds a broker. `Display` writes the object that `new Peer` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The mount path.
    pub path: String,
    /// The key, percent-encoded, because PeerJS puts it into its URLs unchanged. An empty one is not written.
    pub key: String,
    /// True if the broker uses TLS.
    pub secure: bool,
}

impl ClientOptions {
    /// The options for a broker at `path` with the key `key`.
    pub fn new(host: String, port: u16, path: &MountPath, key: &ApiKey, secure: bool) -> Self {
        // The characters that JavaScript's encodeURIComponent does not escape.
        const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'_')
            .remove(b'.')
            .remove(b'!')
            .remove(b'~')
            .remove(b'*')
            .remove(b'\'')
            .remove(b'(')
            .remove(b')');
        let key = utf8_percent_encode(key.as_str(), SPECIAL).to_string();
        ClientOptions { host, port, path: path.to_string(), key, secure }
    }

    /// The origin of the broker's pages, as browsers write it.
    pub fn origin(&self) -> String {
        let ClientOptions { host, port, secure, .. } = self;
        let host = host.to_ascii_lowercase();
        let (scheme, usual) = if *secure { ("https", 443) } else { ("http", 80) };
        if *port == usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
    }
}

impl fmt::Display for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClientOptions { host, port, path, key, secure } = self;
        write!(f, "{{host: {host:?}, port: {port}, path: {path:?}")?;
        if !key.is_empty() {
            write!(f, ", key: {key:?}")?;
        }
        f.write_str(if *secure { ", secure: true}" } else { "}" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_its_port_unless_it_is_the_default_of_the_scheme() {
        let path = MountPath::default();
        let origin = |host: &str, port, secure| {
            let key = ApiKey::parse("k").unwrap();
            ClientOptions::new(host.to_owned(), port, &path, &key, secure).origin()
        };
        assert_eq!(origin("Example.org", 443, true), "https://example.org");
        assert_eq!(origin("example.org", 80, true), "https://example.org:80");
        assert_eq!(origin("example.org", 80, false), "http://example.org");
        assert_eq!(origin("[::1]", 9000, false), "http://[::1]:9000");
    }

    #[test]
    fn the_options_are_written_as_a_javascript_object() {
        let path = MountPath::parse("x").unwrap();
        let key = ApiKey::parse("50% ü/&#-_.").unwrap();
        let options = ClientOptions::new("example.org".to_owned(), 443, &path, &key, true);
        let text = r#"{host: "example.org", port: 443, path: "/x/", key: "50%25%20%C3%BC%2F%26%23-_.", secure: true}"#;
        assert_eq!(options.to_string(), text);
    }
}
