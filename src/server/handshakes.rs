//! Counts how TLS handshakes end.

use std::convert::Infallible;
use std::io;

use actix_tls::accept::TlsError;

use crate::app::Parts;
use crate::tls::Handshake;
use crate::transport::tls_port::is_plain_http;

/// Counts the end of a handshake, and passes it on.
pub(super) fn counted<T>(
    accepted: Result<T, TlsError<io::Error, Infallible>>,
    parts: &Parts,
) -> Result<T, TlsError<io::Error, Infallible>> {
    let ended = match &accepted {
        Ok(_) => Handshake::Done,
        Err(TlsError::Timeout) => Handshake::TimedOut,
        Err(TlsError::Tls(error)) if is_plain_http(error) => Handshake::PlainHttp,
        Err(TlsError::Tls(error)) => Handshake::failed(error),
        Err(TlsError::Service(never)) => match *never {},
    };
    if let Some(certificates) = parts.certificates.get() {
        certificates.handshakes.count(ended);
    }
    accepted
}
