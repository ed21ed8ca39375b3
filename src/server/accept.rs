//! New connections: counted towards the limits of their address, or refused; then their first bytes, and their TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::secure;
use super::turns::HandshakeTurns;
use crate::http::public::endpoint;
use crate::http::public::handshake::RefusedHandshake;
use crate::runtime::Runtime;
use crate::transport::client_stream::ClientStream;
use crate::transport::connection::{Connection, REQUEST_TIMEOUT, is_tls};
use crate::transport::tls_stream::{TlsStream, is_http};
use peerbroker_broker::events::Mistake;

/// The answer of actix-http to a head that is late, for clients that send nothing.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Time for the first bytes of a client, and then for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Counts a plain connection, or refuses it. Returns its client's address, too. `is_of_clients` is false at the port of the
/// API: no ban keeps an operator out, and no connection there is one of the relay.
pub(super) async fn accept_plain(
    mut io: ClientStream,
    runtime: Arc<Runtime>,
    turns: HandshakeTurns,
    is_of_clients: bool,
) -> Result<(Connection<ClientStream>, Option<SocketAddr>), DispatchError> {
    let address = io.client();
    match endpoint::count_connection(&runtime, address, is_of_clients) {
        Ok(permit) => {
            if let Err(silent) = turns.begin(io.readable(), REQUEST_TIMEOUT).await {
                refuse(&mut io, TOO_LATE).await;
                return Err(io::Error::from(silent).into());
            }
            let take = on_first_bytes(&runtime, is_tls, tls_on_plain, is_of_clients);
            Ok((Connection::new(io, permit).on_first_bytes(take), address))
        }
        Err(why) => {
            refuse(&mut io, &RefusedHandshake::from(why).into_bytes()).await;
            Err(refused().into())
        }
    }
}

/// Counts a connection, or refuses it, and makes its TLS handshake. Returns its client's address, too.
pub(super) async fn accept_tls(
    io: ClientStream,
    config: Arc<ServerConfig>,
    runtime: Arc<Runtime>,
    turns: HandshakeTurns,
) -> Result<(Connection<Box<TlsStream<ClientStream>>>, Option<SocketAddr>), DispatchError> {
    let address = io.client();
    // Before the handshake, which costs the most CPU.
    let permit = endpoint::count_connection(&runtime, address, true).map_err(|_| refused())?;
    let accepting = async {
        turns.begin(io.readable(), HANDSHAKE_TIMEOUT).await?;
        let take = on_first_bytes(&runtime, is_http, http_on_tls, true);
        timeout(HANDSHAKE_TIMEOUT, TlsStream::accept(io, config, take)).await
    };
    let io = secure::counted(accepting.await, address, &runtime)?;
    let (io, permit) = secure::take_turn(io, address, permit, &runtime).await.ok_or_else(refused)?;
    Ok((Connection::new(io, permit), address))
}

fn tls_on_plain(port: u16, of_proxy: bool) -> Mistake {
    Mistake::TlsOnPlainPort { port, of_proxy }
}

fn http_on_tls(port: u16, of_proxy: bool) -> Mistake {
    Mistake::HttpOnTlsPort { port, of_proxy }
}

fn refused() -> io::Error {
    io::ErrorKind::QuotaExceeded.into()
}

/// Answers a client before its first request. The socket is empty, so it takes the answer at once.
async fn refuse(io: &mut (impl AsyncWrite + Unpin), answer: &[u8]) {
    if let Err(error) = io.write(answer).await {
        log::debug!("cannot send a refusal: {error}");
    }
}

/// Reports the `mistake` of a client that speaks a protocol which the port does not: `is_wrong` tells how it begins. With
/// `has_calls`, gives the relay the connections that are its own, and is true for them. On these, each datagram has its length in
/// front (RFC 4571).
fn on_first_bytes(
    runtime: &Arc<Runtime>,
    is_wrong: fn(&[u8]) -> bool,
    mistake: fn(u16, bool) -> Mistake,
    has_calls: bool,
) -> impl FnOnce(&ClientStream, &[u8]) -> bool + use<> {
    let runtime = Arc::clone(runtime);
    move |io: &ClientStream, first: &[u8]| {
        let tcp = io.as_tcp();
        let is_proxy = is_proxy_protocol(first);
        if is_proxy || is_wrong(first) && !endpoint::names_doctor(first) {
            let port = tcp.and_then(|tcp| tcp.local_addr().ok()).map_or(0, |local| local.port());
            let address = io.client().map(|address| address.ip().to_canonical());
            let of_proxy = address.is_some_and(|address| runtime.config().is_proxy(&address));
            let mistake = if is_proxy { Mistake::ProxyProtocol(port) } else { mistake(port, of_proxy) };
            runtime.client_mistake(mistake, None, address);
        }
        has_calls && tcp.is_some_and(|tcp| take_call(tcp, first, &runtime))
    }
}

/// True if a connection begins with the PROXY protocol of HAProxy, of version 1 or 2.
fn is_proxy_protocol(first: &[u8]) -> bool {
    first.starts_with(b"PROXY ") || first.starts_with(b"\r\n\r\n\0\r\nQUIT\n")
}

/// Serves a connection of the relay, on this worker. True if it is one.
fn take_call(io: &TcpStream, read: &[u8], runtime: &Runtime) -> bool {
    let relay = runtime.node.relay().filter(|relay| read.first().is_some_and(|first| relay.takes(*first)));
    let Some(relay) = relay else { return false };
    // HTTP and TLS own the other handle, and close it. The task begins after that, so the connection is counted once.
    match SockRef::from(io).try_clone().and_then(|socket| TcpStream::from_std(socket.into())) {
        Ok(stream) => drop(actix_web::rt::spawn(relay.serve(stream, read))),
        Err(error) => log::debug!("cannot give a connection to the relay: {error}"),
    }
    true
}
