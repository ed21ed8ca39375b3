//! How TLS handshakes end.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{AlertDescription, Error};

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The connection is secure.
    Done,
    /// The client spoke plain HTTP.
    PlainHttp,
    /// What the client sent is not TLS.
    NotTls,
    /// It took too long.
    TimedOut,
    /// The client ended the connection without a reason.
    Left,
    /// The client does not accept the certificate.
    CertificateRefused,
    /// Client and server have no version, cipher or group in common.
    Incompatible,
    /// The server has no certificate for this client, such as a validator that comes too late.
    NoCertificate,
    /// Anything else.
    Other,
}

/// How many handshakes ended in each way. All threads share the counters: a handshake costs far more.
#[derive(Debug, Default)]
pub(crate) struct Handshakes([AtomicU64; Handshake::ALL.len()]);

impl Handshake {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Handshake; 9] = [
        Handshake::Done,
        Handshake::PlainHttp,
        Handshake::NotTls,
        Handshake::TimedOut,
        Handshake::Left,
        Handshake::CertificateRefused,
        Handshake::Incompatible,
        Handshake::NoCertificate,
        Handshake::Other,
    ];

    /// The name in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Handshake::Done => "ok",
            Handshake::PlainHttp => "plain_http",
            Handshake::NotTls => "not_tls",
            Handshake::TimedOut => "timeout",
            Handshake::Left => "left",
            Handshake::CertificateRefused => "certificate_refused",
            Handshake::Incompatible => "incompatible",
            Handshake::NoCertificate => "no_certificate",
            Handshake::Other => "other",
        }
    }

    /// Why a handshake failed.
    pub(crate) fn failed(error: &io::Error) -> Self {
        use AlertDescription as Alert;
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match of_tls {
            Some(Error::InvalidMessage(_)) => Handshake::NotTls,
            Some(Error::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA,
            )) => Handshake::CertificateRefused,
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Handshake::Incompatible,
            // rustls has no variant for it: its resolver gave none.
            Some(Error::General(why)) if why.contains("no server certificate") => Handshake::NoCertificate,
            Some(_) => Handshake::Other,
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Handshake::Left,
                _ => Handshake::Other,
            },
        }
    }
}

impl Handshakes {
    pub(crate) fn count(&self, ended: Handshake) {
        if let Some(count) = self.0.get(ended as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many ended in each way, by label.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Handshake::ALL.map(Handshake::label).into_iter().zip(self.0.iter().map(|n| n.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_has_a_label_and_a_counter_of_its_own() {
        let handshakes = Handshakes::default();
        Handshake::ALL.into_iter().for_each(|ended| handshakes.count(ended));
        assert!(handshakes.totals().all(|(_, count)| count == 1));
        let labels: std::collections::BTreeSet<_> = handshakes.totals().map(|(label, _)| label).collect();
        assert_eq!(labels.len(), Handshake::ALL.len());
    }
}
