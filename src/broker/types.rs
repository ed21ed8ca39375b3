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

/// One connection of a peer. Never used again within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId(pub(super) u64);

/// What a connection is made of. It decides who is greeted when an id changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A WebSocket.
    Socket,
    /// An HTTP answer without end, which its client renews or leaves for a WebSocket. Whoever takes
    /// over from it goes on with it, and is not greeted again.
    Stream,
}

/// Why the server ends a connection that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goodbye {
    /// The client closed it, or it broke.
    Left,
    /// The same id and token came on a new connection.
    Replaced,
    /// It did not answer a probe, and somebody else got its id.
    Evicted,
    /// Nothing was heard of it for the alive timeout.
    TimedOut,
    /// It did not read what was sent to it.
    SlowReader,
    /// Its key was disabled or removed.
    KeyRevoked,
    /// The operator removed it.
    Kicked,
    /// The server is stopping.
    Shutdown,
}

impl Goodbye {
    /// Whether the id is kept for its owner for a while: the client may be there, behind a slow network,
    /// and come back.
    pub(super) fn is_reclaimable(self) -> bool {
        matches!(self, Goodbye::Evicted | Goodbye::SlowReader)
    }

    /// Close code and reason for the client. `None` is a close frame without a code, as the
    /// reference sends it.
    pub fn close(self) -> Option<(u16, &'static str)> {
        match self {
            Goodbye::Left => Some((1000, "")),
            Goodbye::TimedOut => None,
            Goodbye::Replaced => Some((4001, "replaced by a newer connection")),
            Goodbye::Evicted => Some((4002, "did not answer, and its id was asked for")),
            Goodbye::SlowReader => Some((4003, "too slow in reading")),
            Goodbye::KeyRevoked => Some((4004, "the key is not valid any more")),
            Goodbye::Kicked => Some((4005, "removed by the operator")),
            Goodbye::Shutdown => Some((1001, "server is stopping")),
        }
    }
}
