//! The end of a connection, as its session sees it.

use peerbroker_core::vocabulary::{CloseReason, Frame};

/// The reason for the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// The connection ended or broke. Nothing can be sent any more.
    Gone,
    /// The client sent a close frame. The close frame of the server has this code.
    Closed(Option<u16>),
    /// The server closes with this reason: the client violated the protocol, exceeded a limit, or said
    /// goodbye.
    ByServer(CloseReason),
}

impl Disconnect {
    /// The close reason, unless the broker had one before.
    pub fn reason(self) -> CloseReason {
        match self {
            Disconnect::ByServer(reason) => reason,
            Disconnect::Closed(_) | Disconnect::Gone => CloseReason::Left,
        }
    }

    /// The close frame. A client's own code is sent back to it.
    pub fn close(self) -> Frame {
        match self {
            Disconnect::Closed(code) => Frame::close(code.map(|code| (code, ""))),
            end => Frame::close(end.reason().ending().close()),
        }
    }
}
