//! The end of every connection that is not broken.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::admission::{ConnectRequest, Rejection};
use super::open::OpenSession;
use crate::Node;
use peerbroker_core::vocabulary::{CloseReason, Frame, REFUSED, RealmKind, Refusal};
use peerbroker_protocols::peerjs;
use peerbroker_router::Disconnect;
use peerbroker_router::{Outbox, Outgoing};
use peerbroker_transport::Socket;

/// Reads at full speed while a connection closes. A well-behaved client needs fewer.
const FREE_READS: usize = 4;

/// Pause between further reads: their input is ignored, so a flood must not cost much.
const REST: Duration = Duration::from_millis(50);

/// Tells a client that is not served at its address why, and closes its connection. Without an answer on its
/// WebSocket it would only report a lost server.
pub fn turn_away<S: Socket>(
    mut socket: S,
    node: &Arc<Node>,
    ConnectRequest { query, source, permit }: ConnectRequest,
    refusal: Refusal,
    told: &str,
) -> impl Future<Output = ()> + use<S> {
    let session = OpenSession::new(node, permit);
    let told = peerjs::error(told);
    async move {
        Rejection::of(refusal, &query, RealmKind::PeerJs).record(&session, &source);
        let outbox = socket.open_outbox(session.config().load().limits.outbox_bytes);
        close(&mut socket, outbox, &session, [told, Frame::close(refusal.ending().close())]).await;
    }
}

/// The close frame of a refusal, with a code that says if the page may come back by itself: a client may have
/// no other frame for that.
pub(super) fn refusal_close(refusal: Refusal) -> Frame {
    let ending = refusal.ending();
    let again = CloseReason::TryAgainLater.ending().code.filter(|_| ending.retry);
    let code = ending.code.or(again).unwrap_or(REFUSED);
    Frame::close(Some((code, &refusal.text())))
}

/// Closes a connection with these frames, the last of which is the close frame.
pub(super) async fn close<S: Socket>(
    socket: &mut S,
    mut outbox: Outbox,
    node: &Node,
    frames: impl IntoIterator<Item = Frame>,
) {
    for frame in frames {
        outbox.push_unbounded(Outgoing::notice(frame));
    }
    let send = move |cx: &mut task::Context<'_>, socket: &mut S| socket.poll_send(cx, &mut outbox);
    farewell(socket, send, node, false).await;
}

/// Sends the last frames with `send`, waits for the client's close frame unless it came already, and ends the
/// connection. Closing a socket with unread input resets it, and the client may lose the last frames.
pub(super) async fn farewell<S: Socket>(
    socket: &mut S,
    mut send: impl FnMut(&mut task::Context<'_>, &mut S) -> Poll<io::Result<()>>,
    node: &Node,
    closed_by_client: bool,
) {
    let close_timeout = node.config().load().close_timeout;
    let goodbye = async {
        if closed_by_client {
            socket.begin_shutdown();
        }
        // If the last message is cut off because a successor has it, there will be no close frame.
        let said = poll_fn(|cx| send(cx, socket)).await.is_ok();
        if said && !closed_by_client && next_disconnect(socket).await == Disconnect::Gone {
            return None;
        }
        drop(send);
        poll_fn(|cx| socket.poll_shutdown(cx)).await.ok()?;
        while next_disconnect(socket).await != Disconnect::Gone {}
        Some(())
    };
    // A client that does not answer is cut off.
    let _ = timeout(close_timeout, goodbye).await;
}

async fn next_disconnect<S: Socket>(socket: &mut S) -> Disconnect {
    for reads in 0_usize.. {
        if reads >= FREE_READS {
            sleep(REST).await;
        }
        let received = poll_fn(|cx| socket.poll_recv(cx, &mut |_| ControlFlow::Continue(()))).await;
        if let Err(disconnect) = received {
            return disconnect;
        }
    }
    Disconnect::Gone
}
