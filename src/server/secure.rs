//! TLS of the main port: the source of its certificate, its handshakes, and TURN inside it.

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::StartError;
use crate::acme;
use crate::runtime::Runtime;
use peerbroker_config::{Listen, TlsFiles};
use peerbroker_events::{Event, Events, Mistake};
use peerbroker_system::lan::{host_name, lan_addresses};
use peerbroker_tls::{
    self as tls, ACME_ALPN, CertificateSource, Certificates, Handshake, RenewalContext, TlsError,
};
use peerbroker_transport::client_stream::ClientStream;
use peerbroker_transport::connection::REQUEST_TIMEOUT;
use peerbroker_transport::tls_stream::{NoTls, TlsStream};

/// The protocol that clients of TURN may offer (RFC 7443, section 3).
const TURN_ALPN: &[u8] = b"stun.turn";

/// Checks the files without creating or changing anything.
pub(super) fn check(listen: &Listen) -> Result<(), StartError> {
    match (&listen.tls, &listen.acme) {
        (Some(files), _) => drop(from_files(files, listen)?),
        (None, Some(config)) => acme::check(config)?,
        (None, None) => {}
    }
    Ok(())
}

/// Reads the certificate, if there is one. Warns if clients will refuse it. `bind` opens the port of HTTP-01.
pub(super) fn open<E: Display>(
    listen: &Listen,
    events: &Events,
    bind: impl FnOnce(u16) -> Result<TcpListener, E>,
) -> Result<Option<(ServerConfig, CertificateSource)>, StartError> {
    let source = match (&listen.tls, &listen.acme) {
        (Some(files), _) => from_files(files, listen)?,
        (None, Some(config)) => acme::open(config, bind)?,
        (None, None) => return Ok(None),
    };
    let mut config = tls::server_config(Arc::clone(&source.certificates))?;
    if listen.tls.is_none() {
        // A handshake that offers other protocols only is refused (RFC 7301, section 3.2).
        config.alpn_protocols = [b"http/1.1", TURN_ALPN, ACME_ALPN].map(<[u8]>::to_vec).to_vec();
    }
    if let Some(path) = source.path.clone() {
        events.emit(|| Event::CertificateLoaded { path });
    }
    Ok(Some((config, source)))
}

fn from_files(files: &TlsFiles, listen: &Listen) -> Result<CertificateSource, TlsError> {
    let certificates = Certificates::new(tls::load(files)?);
    let names = names(listen);
    warn(files, &certificates, &names);
    let watched = files.clone();
    let shown = Arc::clone(&certificates);
    let renew = move |RenewalContext { events, .. }: RenewalContext| {
        let threads = events.threads().clone();
        let watch = tls::watch(watched, Arc::clone(&shown), &threads, move |files| {
            events.emit(|| Event::CertificateLoaded { path: files.cert.display().to_string() });
            warn(files, &shown, &names);
        })?;
        Ok(Box::new(watch) as _)
    };
    Ok(CertificateSource {
        certificates,
        path: Some(files.cert.display().to_string()),
        renew: Box::new(renew),
    })
}

/// Names by which clients may reach this machine.
fn names(listen: &Listen) -> Vec<String> {
    let host = host_name();
    let mut names = vec!["localhost".to_owned(), format!("{host}.local"), host];
    names.extend(lan_addresses().iter().map(ToString::to_string));
    if !matches!(&*listen.host, "::" | "0.0.0.0") {
        names.push(listen.host.trim_matches(['[', ']']).to_owned());
    }
    names
}

/// Warns if clients will refuse the certificate.
fn warn(files: &TlsFiles, certificates: &Certificates, names: &[String]) {
    let of_file = |warning| log::warn!("--sslcert {} {warning}", files.cert.display());
    tls::warnings(certificates, names).for_each(of_file);
}

/// Counts the end of a handshake, and passes it on. A connection that was none has no handshake.
pub(super) fn counted(
    accepted: Result<io::Result<Io>, Elapsed>,
    address: Option<SocketAddr>,
    runtime: &Runtime,
) -> io::Result<Io> {
    let ended = match &accepted {
        Ok(Ok(io)) => Handshake::done(io.handshake_kind()),
        Err(_) => Handshake::TimedOut,
        Ok(Err(error)) => match NoTls::of(error) {
            Some(NoTls::TakenOver) => return accepted?,
            Some(NoTls::PlainHttp) => Handshake::PlainHttp,
            None => Handshake::failed(error),
        },
    };
    if let Some(certificates) = runtime.certificates.get() {
        certificates.handshakes.count(ended);
    }
    if ended == Handshake::CertificateRefused {
        let address = address.map(|address| address.ip().to_canonical());
        runtime.client_mistake(Mistake::CertificateRefused, None, address);
    }
    accepted?
}

type Io = Box<TlsStream<ClientStream>>;

/// Serves a client that speaks TURN inside TLS, on this worker, and keeps its `connection` until it ends.
/// Gives back all others.
pub(super) async fn take_turn<T: 'static>(
    mut io: Io,
    address: Option<SocketAddr>,
    connection: T,
    runtime: &Runtime,
) -> Option<(Io, T)> {
    let (Some(turn), Some(address)) = (runtime.turn(), address) else {
        return Some((io, connection));
    };
    // HTTP has the same time for its first bytes, and ends the connection then.
    let first = timeout(REQUEST_TIMEOUT, io.first()).await;
    if !matches!(first, Ok(Ok(Some(first))) if turn.is_turn(first)) {
        return Some((io, connection));
    }
    let serving = turn.serve(io, address);
    actix_web::rt::spawn(async move {
        serving.await;
        drop(connection);
    });
    None
}
