use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::broker::ApiKey;
use crate::config::MountPath;

/// What a PeerJS client must be told to find a broker. Shows itself as the object that `new Peer`
/// takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The mount path.
    pub path: String,
    /// The key, percent-encoded: PeerJS puts it into its URLs as it is.
    pub key: String,
    /// Whether over TLS.
    pub secure: bool,
}

impl ClientOptions {
    /// The options for a broker at `path` with the key `key`.
    pub fn new(host: String, port: u16, path: &MountPath, key: &ApiKey, secure: bool) -> Self {
        // What JavaScript's encodeURIComponent leaves as it is.
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
}

impl fmt::Display for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClientOptions { host, port, path, key, secure } = self;
        write!(f, "{{host: {host:?}, port: {port}, path: {path:?}, key: {key:?}")?;
        f.write_str(if *secure { ", secure: true}" } else { "}" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_what_a_person_pastes() {
        let (path, key) = (MountPath::parse("x").unwrap(), ApiKey::parse("50% ü/&#-_.").unwrap());
        let options = ClientOptions::new("example.org".to_owned(), 443, &path, &key, true);
        let text = r#"{host: "example.org", port: 443, path: "/x/", key: "50%25%20%C3%BC%2F%26%23-_.", secure: true}"#;
        assert_eq!(options.to_string(), text);
    }
}
