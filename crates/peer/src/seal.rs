//! Keys and sealing: what DTLS and its fingerprints are to native WebRTC.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{Context, SHA256};
use ring::hkdf::{self, HKDF_SHA256};
use x25519_dalek::{PublicKey, StaticSecret};

/// Bytes of a record's type and counter, which its seal covers. The counter is the end of its nonce.
pub(crate) const HEADER_BYTES: usize = 9;
/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Offerer,
    Answerer,
}

impl Role {
    fn other(self) -> Self {
        if self == Role::Offerer { Role::Answerer } else { Role::Offerer }
    }
}

/// An end of a pipe, as its description names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) id: [u8; 16],
    pub(crate) key: [u8; 32],
}

/// An end with its private key.
pub(crate) struct Pair {
    secret: StaticSecret,
    pub(crate) own: Offered,
}

/// The keys of one connection.
pub(crate) struct Keys {
    pub(crate) send: Key,
    pub(crate) receive: Key,
    /// A hash of what both ends have said of themselves.
    pub(crate) binding: [u8; 32],
}

impl Pair {
    pub(crate) fn new() -> Self {
        Pair::of(rand::random(), rand::random())
    }

    fn of(id: [u8; 16], secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let key = PublicKey::from(&secret).to_bytes();
        Pair { secret, own: Offered { id, key } }
    }

    /// The keys of both directions. `None` if the other public key is of low order.
    pub(crate) fn keys(&self, role: Role, other: &Offered) -> Option<Keys> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(other.key));
        if !shared.was_contributory() {
            return None;
        }
        let sides = if role == Role::Offerer { [&self.own, other] } else { [other, &self.own] };
        let mut salt = Context::new(&SHA256);
        sides.iter().for_each(|side| salt.update(&side.id));
        sides.iter().for_each(|side| salt.update(&side.key));
        let binding: [u8; 32] = salt.finish().as_ref().try_into().ok()?;
        let source = hkdf::Salt::new(HKDF_SHA256, &binding).extract(shared.as_bytes());
        let of = |side: Role| {
            let name: &[u8] = if side == Role::Offerer { b"offerer" } else { b"answerer" };
            let info = [b"peerbroker pipe 1 ", name];
            let key = UnboundKey::from(source.expand(&info, &CHACHA20_POLY1305).ok()?);
            Some(Key(LessSafeKey::new(key)))
        };
        Some(Keys { send: of(role)?, receive: of(role.other())?, binding })
    }
}

/// The key of one direction. No two records of it have the same header.
pub(crate) struct Key(LessSafeKey);

impl Key {
    /// Seals what is behind the header of this frame, in its place. `None` if it is far too long.
    pub(crate) fn seal(&self, frame: &mut Vec<u8>) -> Option<()> {
        let (header, plain) = frame.split_first_chunk_mut::<HEADER_BYTES>()?;
        let tag = self.0.seal_in_place_separate_tag(nonce(header), Aad::from(*header), plain).ok()?;
        frame.extend_from_slice(tag.as_ref());
        Some(())
    }

    /// Opens what is behind the header of this frame, in its place. Returns how many bytes it has; `None`
    /// unless the other end has sealed it for this direction, bit by bit.
    pub(crate) fn open(&self, frame: &mut [u8]) -> Option<usize> {
        let (header, sealed) = frame.split_first_chunk_mut::<HEADER_BYTES>()?;
        self.0.open_in_place(nonce(header), Aad::from(*header), sealed).ok().map(|plain| plain.len())
    }
}

/// The nonce of RFC 8439: four zero bytes and the counter.
fn nonce([_, counter @ ..]: &[u8; HEADER_BYTES]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(counter);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn bytes<const N: usize>(value: &Value) -> [u8; N] {
        let text = value.as_str().unwrap();
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn both_ends_seal_as_the_vectors_of_the_protocol_say() {
        let vectors: Value = serde_json::from_str(include_str!("../../../tests/fixtures/pipe.json")).unwrap();
        let pair = |side: &Value| Pair::of(bytes(&side["id"]), bytes(&side["privateKey"]));
        let [offerer, answerer] = ["offerer", "answerer"].map(|side| pair(&vectors[side]));
        assert_eq!(offerer.own.key, bytes(&vectors["offerer"]["publicKey"]));
        let of_offerer = offerer.keys(Role::Offerer, &answerer.own).unwrap();
        let of_answerer = answerer.keys(Role::Answerer, &offerer.own).unwrap();
        assert_eq!(of_offerer.binding, of_answerer.binding);
        let ways = [
            ("offerer", &of_offerer.send, &of_answerer.receive),
            ("answerer", &of_answerer.send, &of_offerer.receive),
        ];
        for (side, send, receive) in ways {
            let frames = vectors[side]["frames"].as_array().unwrap();
            assert!(!frames.is_empty());
            for frame in frames {
                let expected = frame["frame"].as_str().unwrap();
                let plain = frame["plain"].as_str().unwrap();
                let mut bytes: Vec<u8> = (0..expected.len() / 2)
                    .map(|at| u8::from_str_radix(&expected[2 * at..2 * at + 2], 16).unwrap())
                    .collect();
                let length = receive.open(&mut bytes).unwrap();
                assert_eq!(hex(&bytes[HEADER_BYTES..][..length]), plain);
                bytes.truncate(HEADER_BYTES + length);
                send.seal(&mut bytes).unwrap();
                assert_eq!(hex(&bytes), expected);
                *bytes.last_mut().unwrap() ^= 1;
                assert!(receive.open(&mut bytes).is_none(), "another bit");
            }
        }
    }

    #[test]
    fn keys_of_low_order_are_refused() {
        let other = Offered { id: [1; 16], key: [0; 32] };
        assert!(Pair::new().keys(Role::Offerer, &other).is_none());
    }
}
