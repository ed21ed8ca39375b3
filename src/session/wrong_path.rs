//! A PeerJS client whose path is wrong. Without an answer on its WebSocket it would only say that it lost the server.

use std::sync::Arc;
use std::task::Context;

use super::admission::{Claim, ConnectRequest, values};
use super::farewell::farewell;
use super::sessions::Sessions;
use crate::broker::Outgoing;
use crate::dialect::peerjs;
use crate::transport::Socket;
use crate::wire::{Frame, Refusal};

/// Tells a client the path of this server, and closes its connection.
pub(crate) fn redirect<S: Socket>(
    mut socket: S,
    sessions: &Arc<Sessions>,
    ConnectRequest { query, source, permit }: ConnectRequest,
    path: &str,
) -> impl Future<Output = ()> + use<S> {
    let session = sessions.open(permit);
    let refusal = Refusal::WrongPath;
    let text = format!("{}: this broker is at {path}", refusal.text());
    async move {
        let [key, id] = values(&query, ["key", "id"]);
        session.refuse(Claim::reject(refusal, &key, &id), &source);
        let mut outbox = socket.open_outbox(session.config().limits.outbox_bytes);
        outbox.push_unbounded(Outgoing::notice(peerjs::error(&text)));
        outbox.push_unbounded(Outgoing::notice(Frame::close(refusal.close())));
        let send = move |cx: &mut Context<'_>, socket: &mut S| socket.poll_send(cx, &mut outbox);
        farewell(&mut socket, send, &session, false).await;
    }
}
