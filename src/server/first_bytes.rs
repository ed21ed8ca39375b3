//! The first bytes of a connection to the main port: clients of the relay leave HTTP and TLS, and a wrong protocol is reported.

use std::sync::Arc;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::events::Mistake;
use crate::runtime::Runtime;

/// Reports the `mistake` of a client that speaks a protocol which the port does not: `is_wrong` tells how it begins. With
/// `has_calls`, gives the relay the connections that are its own, and is true for them. On these, each datagram has its length in
/// front (RFC 4571).
pub(super) fn on_first_bytes(
    runtime: &Arc<Runtime>,
    is_wrong: fn(&[u8]) -> bool,
    mistake: fn(u16) -> Mistake,
    has_calls: bool,
) -> impl FnOnce(&TcpStream, &[u8]) -> bool + use<> {
    let runtime = Arc::clone(runtime);
    move |io, first| {
        if is_wrong(first) {
            let port = io.local_addr().map_or(0, |local| local.port());
            let address = io.peer_addr().ok().map(|address| address.ip().to_canonical());
            runtime.client_mistake(mistake(port), None, address);
        }
        has_calls && take_call(io, first, &runtime)
    }
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
