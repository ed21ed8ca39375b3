//! Ids of pipes and of their ends.

use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// Reads 22 characters of base64url, without padding (RFC 4648, section 5).
            pub fn parse(text: &str) -> Option<Self> {
                read(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Base64Display::new(&self.0.to_be_bytes(), &URL_SAFE_NO_PAD).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

random_id!(
    /// The id of a pipe: 128 random bits that only its two ends know, and the servers between them.
    PipeId
);
random_id!(
    /// The id of one end of a pipe. Only that end knows it, so nobody else can take its place.
    EndId
);

/// 22 characters of base64url, without padding (RFC 4648, section 5).
fn read(text: &str) -> Option<u128> {
    let mut bytes = [0; 16];
    let len = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (len == bytes.len()).then(|| u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_128_bits_of_base64url() {
        for (text, bits) in [
            ("AAAAAAAAAAAAAAAAAAAAAA", Some(0)),
            ("AAAAAAAAAAAAAAAAAAAAAQ", Some(1)),
            ("_____________________w", Some(u128::MAX)),
            ("AQIDBAUGBwgJCgsMDQ4PEA", Some(0x0102_0304_0506_0708_090A_0B0C_0D0E_0F10)),
            ("AAAAAAAAAAAAAAAAAAAAAB", None),
            ("AAAAAAAAAAAAAAAAAAAAA", None),
            ("AAAAAAAAAAAAAAAAAAAAAAA", None),
            ("AAAAAAAAAAAAAAAAAAAA+A", None),
            ("AAAAAAAAAAAAAAAAAAAAA=", None),
            ("äAAAAAAAAAAAAAAAAAAAA", None),
        ] {
            let id = PipeId::parse(text);
            assert_eq!(id, bits.map(PipeId), "{text}");
            if let Some(id) = id {
                assert_eq!(id.to_string(), text);
            }
        }
    }
}
