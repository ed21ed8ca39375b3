//! The pace of a connection: how much it reads in one turn, and the time for which it reads nothing.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use crate::Node;
use peerbroker_router::Disconnect;
use peerbroker_transport::{self as transport, Flow};

/// Reads before other tasks of the worker get their turn. Only a flood fills even one.
pub(super) const READS_PER_TURN: usize = 2;

/// Most frames that are handled before other tasks of the worker get their turn. One read may bring
/// thousands.
pub(super) const FRAMES_PER_TURN: u32 = 32;

/// Most frames that are passed on unread before other tasks of the worker get their turn.
pub(super) const UNREAD_FRAMES_PER_TURN: u32 = 512;

/// Deliveries of a message that count as another frame: one to a room has many.
const DELIVERIES_PER_FRAME: u32 = 16;

/// Longest part of a [`Rest`]. Shorter than a probe.
const PART: Duration = Duration::from_millis(250);

/// The connection goes on, or ends.
pub(super) type Step = Result<(), Disconnect>;

/// The frames that are left of a turn.
pub(super) struct Budget(u32);

impl Budget {
    /// Counts a frame, and the deliveries that it caused. Breaks if the turn ends behind it.
    #[inline]
    pub(super) fn take_frame(&mut self, deliveries: u32) -> Flow {
        self.0 = self.0.saturating_sub(1 + deliveries / DELIVERIES_PER_FRAME);
        if self.0 > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Reads until nothing is left to read, the connection ends, or its turn is over.
#[inline]
pub(super) fn poll_turn<E>(
    cx: &mut task::Context<'_>,
    frames: u32,
    mut read: impl FnMut(&mut task::Context<'_>, &mut Budget) -> Poll<Result<(), E>>,
) -> Poll<E> {
    let mut budget = Budget(frames);
    for _ in 0..READS_PER_TURN {
        if let Err(end) = ready!(read(cx, &mut budget)) {
            return Poll::Ready(end);
        }
        if budget.0 == 0 {
            break;
        }
    }
    transport::give_way(cx);
    Poll::Pending
}

/// The time for which nothing is read from a client, cut into parts so that we notice when it leaves.
#[derive(Default)]
pub(super) struct Rest(Option<Pin<Box<dyn Future<Output = ()>>>>);

impl Rest {
    /// A rest that is as long as this, or is over.
    pub(super) fn of(time: Option<Duration>, node: &Node) -> Self {
        Rest(time.map(|time| Box::pin(node.clock().sleep(time.min(PART))) as _))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_none()
    }

    /// Waits. After each part, `left` says for how much longer.
    pub(super) fn poll(
        &mut self,
        cx: &mut task::Context<'_>,
        node: &Node,
        mut left: impl FnMut(&mut task::Context<'_>) -> Result<Option<Duration>, Disconnect>,
    ) -> Poll<Step> {
        while let Some(part) = &mut self.0 {
            ready!(part.as_mut().poll(cx));
            *self = Rest::of(left(cx)?, node);
        }
        Poll::Ready(Ok(()))
    }
}
