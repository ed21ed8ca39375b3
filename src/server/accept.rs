//! New connections: counted towards the limits of their address, or refused; then their first bytes, and
//! their TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::error::DispatchError;
use parking_lot::Mutex;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::secure;
use super::turns::HandshakeTurns;
use crate::http::public::endpoint;
use crate::http::public::handshake::RefusedHandshake;
use crate::runtime::Runtime;
use peerbroker_events::Mistake;
use peerbroker_system::descriptors;
use peerbroker_transport::client_stream::ClientStream;
use peerbroker_transport::connection::{Connection, REQUEST_TIMEOUT, is_tls};
use peerbroker_transport::proxy_protocol;
use peerbroker_transport::tls_stream::{TlsStream, is_http};

/// The answer of actix-http to a head that is late, for clients that send nothing.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The answer to a proxy that sends the PROXY protocol, and may not. Also its client reads it, and so does
/// the doctor.
const NO_PROXY_PROTOCOL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Access-Control-Allow-Origin: *\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: 137\r\n\r\n\
    400: the proxy in front sends the PROXY protocol, and this broker does not take it\n\
    from there. See --proxy_protocol and --trusted_proxy.\n";

/// The answer to clients while the last descriptors are kept for operators.
const NO_DESCRIPTOR: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The errors of a process and of a system that have too many files open, on all Unix systems: EMFILE and
/// ENFILE.
const TOO_MANY_FILES: [i32; 2] = [24, 23];

/// Time between two lines about connections that cannot be accepted.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Time for the header of a TCP proxy, for the first bytes of a client, and then for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Counts a plain connection, or refuses it. Returns its client's address, too. `is_of_clients` is false at
/// the port of the API: no ban keeps an operator out, and no connection there is one of the relay.
pub(super) async fn accept_plain(
    mut io: ClientStream,
    runtime: Arc<Runtime>,
    turns: HandshakeTurns,
    is_of_clients: bool,
) -> Result<(Connection<ClientStream>, Option<SocketAddr>), DispatchError> {
    if is_of_clients && is_scarce(&io) {
        refuse(&mut io, NO_DESCRIPTOR).await;
        return Err(refused().into());
    }
    let address = client_of(&mut io, &runtime, is_of_clients).await?;
    match endpoint::count_connection(&runtime, address, is_of_clients) {
        Ok(permit) => {
            if let Err(silent) = turns.begin(io.readable(), REQUEST_TIMEOUT).await {
                refuse(&mut io, TOO_LATE).await;
                return Err(io::Error::from(silent).into());
            }
            let take = on_first_bytes(&runtime, address, is_tls, tls_on_plain, is_of_clients);
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
    mut io: ClientStream,
    config: Arc<ServerConfig>,
    runtime: Arc<Runtime>,
    turns: HandshakeTurns,
    is_of_clients: bool,
) -> Result<(Connection<Box<TlsStream<ClientStream>>>, Option<SocketAddr>), DispatchError> {
    if is_of_clients && is_scarce(&io) {
        return Err(refused().into());
    }
    let address = client_of(&mut io, &runtime, is_of_clients).await?;
    // Before the handshake, which costs the most CPU.
    let permit = endpoint::count_connection(&runtime, address, is_of_clients).map_err(|_| refused())?;
    let accepting = async {
        turns.begin(io.readable(), HANDSHAKE_TIMEOUT).await?;
        let take = on_first_bytes(&runtime, address, is_http, http_on_tls, is_of_clients);
        timeout(HANDSHAKE_TIMEOUT, TlsStream::accept(io, config, take)).await
    };
    let io = secure::counted(accepting.await, address, &runtime)?;
    if !is_of_clients {
        return Ok((Connection::new(io, permit), address));
    }
    let (io, permit) = secure::take_turn(io, address, permit, &runtime).await.ok_or_else(refused)?;
    Ok((Connection::new(io, permit), address))
}

/// The client of a connection. A trusted TCP proxy may name it in a header, which is read.
async fn client_of(
    io: &mut ClientStream,
    runtime: &Runtime,
    is_of_clients: bool,
) -> io::Result<Option<SocketAddr>> {
    let peer = io.client();
    let is_trusted = |peer: SocketAddr| runtime.config().is_tcp_proxy(&peer.ip().to_canonical());
    if !is_of_clients || !peer.is_some_and(is_trusted) {
        return Ok(peer);
    }
    let named = timeout(HANDSHAKE_TIMEOUT, proxy_protocol::read_client(io)).await;
    let named = named.map_err(io::Error::from).flatten();
    Ok(named
        .inspect_err(|error| log::debug!("no header of the PROXY protocol from {peer:?}: {error}"))?
        .or(peer))
}

fn tls_on_plain(port: u16, of_proxy: bool) -> Mistake {
    Mistake::TlsOnPlainPort { port, of_proxy }
}

fn http_on_tls(port: u16, of_proxy: bool) -> Mistake {
    Mistake::HttpOnTlsPort { port, of_proxy }
}

/// True if a connection has one of the last descriptors.
fn is_scarce(io: &ClientStream) -> bool {
    let is_scarce = io.is_scarce();
    if is_scarce {
        tell_of_outage(&io::Error::from_raw_os_error(TOO_MANY_FILES[0]));
    }
    is_scarce
}

/// Tells the log why connections cannot be accepted, from time to time.
pub(super) fn tell_of_outage(error: &io::Error) {
    static TOLD: Mutex<Option<Instant>> = Mutex::new(None);
    let mut told = TOLD.lock();
    if told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
        return;
    }
    *told = Some(Instant::now());
    match descriptors::limit() {
        Some(limit) if error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)) => {
            log::error!(
                "cannot accept connections: too many open files. This process may open {limit}, and clients all but the last ones, which are \
             kept for the API: raise LimitNOFILE= of systemd, `ulimit -n`, or nofile of the container"
            )
        }
        _ => log::error!("cannot accept connections: {error}"),
    }
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

/// Reports the `mistake` of a client that speaks a protocol which the port does not: `is_wrong` tells how it
/// begins. Ends the connections of proxies that send the PROXY protocol, and may not. With `has_calls`, gives
/// the relay the connections that are its own, and is true for them. On these, each datagram has its length
/// in front (RFC 4571).
fn on_first_bytes(
    runtime: &Arc<Runtime>,
    client: Option<SocketAddr>,
    is_wrong: fn(&[u8]) -> bool,
    mistake: fn(u16, bool) -> Mistake,
    has_calls: bool,
) -> impl FnOnce(&ClientStream, &[u8]) -> bool + use<> {
    let runtime = Arc::clone(runtime);
    move |io: &ClientStream, first: &[u8]| {
        let tcp = io.as_tcp();
        let is_proxy = proxy_protocol::is_header(first);
        if is_proxy || is_wrong(first) && !endpoint::names_doctor(first) {
            let port = tcp.and_then(|tcp| tcp.local_addr().ok()).map_or(0, |local| local.port());
            let address = client.map(|address| address.ip().to_canonical());
            let of_proxy = address.is_some_and(|address| runtime.config().is_proxy(&address));
            let mistake = if is_proxy { Mistake::ProxyProtocol(port) } else { mistake(port, of_proxy) };
            runtime.client_mistake(mistake, None, address);
        }
        if is_proxy {
            if let Some(tcp) = tcp {
                refuse_proxy(tcp, proxy_protocol::parse(first).is_some());
            }
            return true;
        }
        has_calls && tcp.is_some_and(|tcp| take_call(tcp, first, &runtime))
    }
}

/// Refuses a connection of a proxy, and waits until the proxy closes it, because a close with unread input is
/// a reset. With `is_ahead`, the client has said nothing yet: an answer in front of its request is none to an
/// HTTP client.
fn refuse_proxy(io: &TcpStream, is_ahead: bool) {
    let Ok(mut io) = second_handle(io) else { return };
    actix_web::rt::spawn(async move {
        let refuse = async {
            if is_ahead {
                io.readable().await?;
            }
            io.write_all(NO_PROXY_PROTOCOL).await?;
            io.shutdown().await?;
            copy(&mut io, &mut sink()).await
        };
        drop(timeout(HANDSHAKE_TIMEOUT, refuse).await);
    });
}

/// Another handle of a connection. HTTP and TLS own theirs, and close it. A task with this one begins after
/// that, so the connection is counted once.
fn second_handle(io: &TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(SockRef::from(io).try_clone()?.into())
}

/// Serves a connection of the relay, on this worker. True if it is one.
fn take_call(io: &TcpStream, read: &[u8], runtime: &Runtime) -> bool {
    let relay = runtime.node.relay().filter(|relay| read.first().is_some_and(|first| relay.takes(*first)));
    let Some(relay) = relay else { return false };
    match second_handle(io) {
        Ok(stream) => drop(actix_web::rt::spawn(relay.serve(stream, read))),
        Err(error) => log::debug!("cannot give a connection to the relay: {error}"),
    }
    true
}
