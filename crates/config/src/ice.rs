//! The ICE servers that clients are told, and their time-limited credentials.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

#[cfg(doc)]
use super::RelayConfig;
use super::secret::{Hidden, InvalidSecret, STRONG};

/// The answer to `GET {path}{key}/ice`, beside the servers of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceConfig {
    /// `stun:` and `stuns:` URLs of other servers.
    pub stun_urls: Vec<String>,
    /// `turn:` and `turns:` URLs of other servers, which know [`turn_secret`](Self::turn_secret).
    pub turn_urls: Vec<String>,
    /// The secret of credentials for the TURN servers above and for this program's own.
    pub turn_secret: Option<TurnSecret>,
    /// Validity of credentials.
    pub ttl: Duration,
    /// Users of this program's TURN server with fixed passwords.
    pub turn_users: Vec<TurnUser>,
}

/// STUN and TURN servers of the program that the broker is in. Clients are told them first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnIceServers {
    /// `stun:` URLs. Do not name the port of the [relay](RelayConfig): Chromium would not use the relay then.
    pub stun_urls: Vec<String>,
    /// `turn:` URLs of servers that know [`IceConfig::turn_secret`].
    pub turn_urls: Vec<String>,
    /// The port of TURN over TLS, at the host under which the client reaches the broker.
    pub tls_port: Option<u16>,
    /// True if the broker's own port takes TURN over TLS, too.
    pub tls_at_broker: bool,
}

impl Default for IceConfig {
    fn default() -> Self {
        IceConfig {
            stun_urls: Vec::new(),
            turn_urls: Vec::new(),
            turn_secret: None,
            // A call may begin some hours after its page was loaded.
            ttl: Duration::from_hours(24),
            turn_users: Vec::new(),
        }
    }
}

/// The secret that a broker and its TURN servers share, like `static-auth-secret` of coturn. Never shown, not
/// even by `Debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnSecret(Hidden<String>);

impl TurnSecret {
    /// Accepts texts that fit into a configuration file of coturn.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        Hidden::parse(text, "secret", 1).map(TurnSecret)
    }

    /// True if it is so short that a client could find it by trying, with its own credentials.
    pub fn is_weak(&self) -> bool {
        self.as_str().len() < STRONG
    }

    /// A new secret, of 256 random bits.
    pub fn random() -> Self {
        TurnSecret(Hidden(STANDARD.encode(rand::random::<[u8; 32]>())))
    }

    /// The secret.
    pub fn as_str(&self) -> &str {
        &self.0.0
    }

    /// The username of a client of an API key until `expiry`, in seconds since 1970, and the password for it.
    pub fn credentials(&self, key: &str, expiry: u64) -> (String, String) {
        let username = format!("{expiry}:{key}");
        let credential = self.credential(&username);
        (username, credential)
    }

    /// The password of a username: its HMAC-SHA1, in Base64 (draft-uberti-behave-turn-rest-00, section 2.2).
    pub fn credential(&self, username: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.as_str().as_bytes());
        STANDARD.encode(hmac::sign(&key, username.as_bytes()))
    }
}

/// A user of TURN with a fixed password, like `user` of coturn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnUser {
    /// The username.
    pub name: String,
    password: Hidden<String>,
}

impl TurnUser {
    /// Parses `NAME:PASSWORD`. The error does not show the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, password) = text
            .split_once(':')
            .filter(|(name, _)| !name.is_empty())
            .ok_or("expected NAME:PASSWORD, or one of these a line in a file")?;
        let password = Hidden::parse(password, "password", 1).map_err(|why| why.to_string())?;
        Ok(TurnUser { name: name.to_owned(), password })
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_that_coturn_expects() {
        let secret = TurnSecret::parse("0123456789abcdef0123456789abcdef").unwrap();
        // printf 1735689600:peerjs | openssl dgst -sha1 -hmac 0123456789abcdef0123456789abcdef -binary |
        // base64
        let expected = ("1735689600:peerjs".to_owned(), "XooFo5KLJawITxUueayB0WI+YJg=".to_owned());
        assert_eq!(secret.credentials("peerjs", 1_735_689_600), expected);
    }

    #[test]
    fn a_user_has_a_name_and_a_password_that_may_have_colons_and_is_not_shown() {
        let user = TurnUser::parse("bob:a:b").unwrap();
        assert_eq!((&*user.name, user.password()), ("bob", "a:b"));
        assert!(!format!("{user:?}").contains("a:b"));
        for bad in ["", "bob", "bob:", ":hushhush", "bob:hush hush"] {
            assert!(!TurnUser::parse(bad).unwrap_err().contains("hush"), "{bad}");
        }
    }

    #[test]
    fn a_secret_that_no_file_could_have_is_refused_and_none_is_shown() {
        for bad in ["", "0123456789 abcdef", "0123456789abcdéf", &"x".repeat(4097)] {
            assert!(TurnSecret::parse(bad).is_err(), "{bad:?}");
        }
        let secret = TurnSecret::random();
        assert_ne!(secret, TurnSecret::random());
        assert!(!secret.is_weak() && TurnSecret::parse("north").unwrap().is_weak());
        assert_eq!(TurnSecret::parse(secret.as_str()), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "TurnSecret(…)");
    }
}
