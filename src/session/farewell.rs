//! The end of a connection that is not broken.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::sessions::Sessions;
use crate::transport::{Disconnect, Socket};

/// Sends the last frames with `send`, waits for the client's close frame unless it came already, and ends the connection.
/// Closing a socket with unread input resets it, and the client may lose the last frames.
pub(super) async fn farewell<S: Socket>(
    socket: &mut S,
    mut send: impl FnMut(&mut Context<'_>, &mut S) -> Poll<io::Result<()>>,
    sessions: &Sessions,
    closed_by_client: bool,
) {
    let close_timeout = sessions.config().close_timeout;
    let goodbye = async {
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

/// Reads at full speed while a connection closes. A well-behaved client needs fewer.
const FREE_READS: usize = 4;

/// Pause between further reads: their input is ignored, so a flood must not cost much.
const REST: Duration = Duration::from_millis(50);

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
