//! Nonces that need no memory: a nonce holds its time and a code over that and the client's address.

use peerbroker_core::clock::Instant;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

/// Milliseconds for which a nonce is valid (RFC 8656, section 5: at least once an hour a new one).
const VALID: u64 = 3_600_000;

/// Bytes of the time, and of the code: few, to keep challenges short.
const TIME: usize = 4;
const CODE: usize = 8;

/// Makes nonces and knows them again.
pub(super) struct Nonces(hmac::Key);

impl Nonces {
    /// With a random key.
    pub(super) fn new() -> Self {
        Nonces(hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()))
    }

    /// A nonce for a client at `now`.
    pub(super) fn issue(&self, client: SocketAddr, now: Instant) -> String {
        let time = seconds(now).to_be_bytes();
        let code = self.code(client, time);
        let nonce: Vec<u8> = time.iter().chain(code.as_ref().iter().take(CODE)).copied().collect();
        URL_SAFE_NO_PAD.encode(nonce)
    }

    /// True if this is a nonce that the client got within the last hour, at the address that it still has.
    pub(super) fn is_valid(&self, nonce: &str, client: SocketAddr, now: Instant) -> bool {
        let Ok(nonce) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((time, code)) = nonce.split_first_chunk::<TIME>() else { return false };
        let issued = u32::from_be_bytes(*time);
        let is_fresh = seconds(now).checked_sub(issued).is_some_and(|age| u64::from(age) * 1000 <= VALID);
        // A guessed code admits no client: it only proves an address.
        is_fresh && code.len() == CODE && self.code(client, *time).as_ref().starts_with(code)
    }

    fn code(&self, client: SocketAddr, time: [u8; TIME]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&time);
        context.update(&client.port().to_be_bytes());
        context.update(&client.ip().to_canonical().to_string().into_bytes());
        context.sign()
    }
}

fn seconds(at: Instant) -> u32 {
    u32::try_from(at.as_millis() / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_valid_for_its_client_for_an_hour() {
        let at = Instant::from_millis;
        let nonces = Nonces::new();
        let client = "192.0.2.1:5000".parse().unwrap();
        let nonce = nonces.issue(client, at(7_000));
        assert_eq!(nonce.len(), 16);
        assert!(nonces.is_valid(&nonce, client, at(7_000)));
        assert!(nonces.is_valid(&nonce, client, at(3_607_999)));
        assert!(!nonces.is_valid(&nonce, client, at(3_608_000)), "an hour later");
        assert!(!nonces.is_valid(&nonce, client, at(6_999)), "from the future");
        for other in ["192.0.2.1:5001", "192.0.2.2:5000", "[2001:db8::1]:5000"] {
            assert!(!nonces.is_valid(&nonce, other.parse().unwrap(), at(7_000)), "{other}");
        }
        for bad in ["", "!", "AAAAAAAAAAAAAAAA", &nonce[..8], &nonce[..14], &format!("{nonce}AAAA")] {
            assert!(!nonces.is_valid(bad, client, at(7_000)), "{bad}");
        }
        assert!(!Nonces::new().is_valid(&nonce, client, at(7_000)), "of another server");
    }
}
