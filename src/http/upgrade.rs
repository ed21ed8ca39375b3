//! Requests that upgrade: taken over from HTTP before actix-web sees them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::{Request, h1};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::handshake::{self, HandshakeRefusal, Refused};
use super::{Mounted, endpoint};
use crate::limits::LimitExceeded;
use crate::transport::connection_state::ConnectionState;
use crate::transport::upgrade::{Upgradable, UpgradedSocket};

/// How long a client may take to read why it was turned away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers the handshake and lets the session go on by itself, so that HTTP's task can end.
pub(crate) async fn upgrade<T>(mounted: Arc<Mounted>, request: Request, framed: Framed<T, h1::Codec>)
where
    T: Upgradable + AsyncWrite + Unpin + 'static,
{
    let exchange = request.conn_data::<Rc<ConnectionState>>();
    let opened = match handshake::open(&mounted, request.head(), mounted.secure, exchange) {
        Some(opened) => opened,
        // actix-http gives away CONNECT as well.
        None => Err(Refused::new(HandshakeRefusal::NotFound, &mounted, request.head(), mounted.secure)),
    };
    let (accepted, request) = match opened {
        Ok(opened) => opened,
        Err(refused) => return refuse(framed, refused).await,
    };
    let service = &mounted.service;
    let socket = UpgradedSocket::new(framed.into_parts(), accepted.to_bytes(), endpoint::bounds(service));
    accepted.endpoint.serve(socket, service, request);
}

/// Says to a client that its address has too many connections, if that goes through at once.
pub(crate) async fn turn_away(io: &TcpStream, too_many: LimitExceeded) {
    let said = io.writable().await.and_then(|()| io.try_write(&Refused::too_many(too_many).into_bytes()));
    if let Err(error) = said {
        log::debug!("could not turn a client away: {error}");
    }
}

async fn refuse<T: AsyncWrite + Unpin>(framed: Framed<T, h1::Codec>, refused: Refused) {
    let FramedParts { mut io, write_buf, .. } = framed.into_parts();
    let sent = async {
        // Answers to requests in front of this one.
        io.write_all(&write_buf).await?;
        io.write_all(&refused.into_bytes()).await?;
        io.shutdown().await
    };
    if let Ok(Err(error)) = timeout(PATIENCE, sent).await {
        log::debug!("could not turn a client away: {error}");
    }
}
