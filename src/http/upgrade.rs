//! Takes over connections that upgrade, before actix-web sees their requests.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::{Request, h1};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endpoint;
use super::handshake::{self, Refused};
use super::mounted::Mounted;
use crate::limits::LimitExceeded;
use crate::transport::connection_state::ConnectionState;
use crate::transport::upgrade::{Upgradable, UpgradedSocket};
use crate::wire::HandshakeRefusal;

/// How long a client may take to read a refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers the handshake and starts the session as a task of its own, so that the task of HTTP can end.
pub(crate) async fn upgrade<T>(mounted: Arc<Mounted>, request: Request, framed: Framed<T, h1::Codec>)
where
    T: Upgradable + AsyncWrite + Unpin + 'static,
{
    let connection = request.conn_data::<Rc<ConnectionState>>();
    let opened = match handshake::open(&mounted, request.head(), mounted.secure, connection) {
        Some(opened) => opened,
        // actix-http also hands over CONNECT requests.
        None => Err(Refused::new(HandshakeRefusal::NotFound, &mounted, request.head(), mounted.secure)),
    };
    let (accepted, request) = match opened {
        Ok(opened) => opened,
        Err(refused) => {
            mounted.parts.events.counters().handshake_refused(refused.why);
            return refuse(framed, refused).await;
        }
    };
    let parts = &mounted.parts;
    let socket = UpgradedSocket::new(framed.into_parts(), accepted.to_bytes(), endpoint::bounds(parts));
    accepted.endpoint.serve(socket, &mounted, request);
}

/// Tells a client that its address has too many connections, if the socket takes the answer at once.
pub(crate) async fn refuse_connection(io: &TcpStream, too_many: LimitExceeded) {
    let sent = io.writable().await.and_then(|()| io.try_write(&Refused::too_many(too_many).into_bytes()));
    if let Err(error) = sent {
        log::debug!("cannot send a refusal: {error}");
    }
}

async fn refuse<T: AsyncWrite + Unpin>(framed: Framed<T, h1::Codec>, refused: Refused) {
    let FramedParts { mut io, write_buf, .. } = framed.into_parts();
    let sent = async {
        // Answers to earlier requests of this connection.
        io.write_all(&write_buf).await?;
        io.write_all(&refused.into_bytes()).await?;
        io.shutdown().await
    };
    if let Ok(Err(error)) = timeout(REFUSAL_TIMEOUT, sent).await {
        log::debug!("cannot send a refusal: {error}");
    }
}
