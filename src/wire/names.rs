use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a text cannot be an id, a token or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// A control character, which could forge a line of a log or a terminal's command.
    #[error("it has control characters")]
    ControlCharacter,
}

fn check(text: &str, max: usize) -> Result<&str, InvalidName> {
    if text.is_empty() {
        Err(InvalidName::Empty)
    } else if text.len() > max {
        Err(InvalidName::TooLong(max))
    } else if text.chars().any(char::is_control) {
        Err(InvalidName::ControlCharacter)
    } else {
        Ok(text)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($inner);

        impl $name {
            /// Most bytes of the text.
            pub const MAX_BYTES: usize = $max;

            /// Takes a text that is not empty, not longer than [`Self::MAX_BYTES`] and free of
            /// control characters.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                check(text, Self::MAX_BYTES).map(|text| Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! shown {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name!(
    /// The id of a peer: what others call it by. Compared exactly.
    PeerId, Arc<str>, 512
);
shown!(PeerId);

name!(
    /// The key of a realm.
    ApiKey, Arc<str>, 128
);
shown!(ApiKey);

name!(
    /// What a client proves with that an id is its own. Never shown, not even by `Debug`.
    Token, Box<str>, 4096
);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
