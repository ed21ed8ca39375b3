use std::fmt;

/// One connection of a peer. Never used again within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId(pub(crate) u64);

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
pub enum CloseReason {
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

impl CloseReason {
    /// Whether the id is kept for its owner for a while: the client may be there, behind a slow network,
    /// and come back.
    pub(crate) fn is_reclaimable(self) -> bool {
        matches!(self, CloseReason::Evicted | CloseReason::SlowReader)
    }

    /// Close code and reason for the client. `None` is a close frame without a code, as the
    /// reference sends it.
    pub fn close(self) -> Option<(u16, &'static str)> {
        match self {
            CloseReason::Left => Some((1000, "")),
            CloseReason::TimedOut => None,
            CloseReason::Replaced => Some((4001, "replaced by a newer connection")),
            CloseReason::Evicted => Some((4002, "did not answer, and its id was asked for")),
            CloseReason::SlowReader => Some((4003, "too slow in reading")),
            CloseReason::KeyRevoked => Some((4004, "the key is not valid any more")),
            CloseReason::Kicked => Some((4005, "removed by the operator")),
            CloseReason::Shutdown => Some((1001, "server is stopping")),
        }
    }
}

/// A version as a client names it. Kept in slot, because very many connections have one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientVersion {
    len: u8,
    bytes: [u8; ClientVersion::MAX_BYTES],
}

impl ClientVersion {
    /// Most bytes of a version.
    pub const MAX_BYTES: usize = 14;

    /// Takes printable ASCII without spaces; `None` is anything else, or longer.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_BYTES];
        let fine = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        bytes.get_mut(..text.len()).filter(|_| fine)?.copy_from_slice(text.as_bytes());
        Some(ClientVersion { len: u8::try_from(text.len()).ok()?, bytes })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len.into()).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
