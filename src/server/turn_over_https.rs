//! TURN at the broker's HTTPS port, for networks that let nothing else out.

use std::net::SocketAddr;

use actix_tls::accept::rustls_0_23::TlsStream;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::Parts;
use crate::transport::connection::REQUEST_TIMEOUT;
use crate::transport::tls_port::TlsPort;
use crate::turn::is_turn;

type Io = TlsStream<TlsPort<TcpStream>>;

/// Serves a client that speaks TURN inside TLS, on this worker, and keeps its `connection` until it ends. Gives back all
/// others.
pub(super) async fn take<T: 'static>(
    mut io: Io,
    address: Option<SocketAddr>,
    connection: T,
    parts: &Parts,
) -> Option<(Io, T)> {
    let (Some(turn), Some(address)) = (parts.turn(), address) else {
        return Some((io, connection));
    };
    // HTTP has the same time for its first bytes, and ends the connection then.
    let first = timeout(REQUEST_TIMEOUT, io.fill_buf()).await;
    if !matches!(first, Ok(Ok([first, ..])) if is_turn(*first)) {
        return Some((io, connection));
    }
    let serving = turn.serve(io, address);
    actix_web::rt::spawn(async move {
        serving.await;
        drop(connection);
    });
    None
}
