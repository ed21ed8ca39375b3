//! Outcomes of TLS handshakes.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{AlertDescription, Error, HandshakeKind};

use peerbroker_core::vocabulary::labels;

labels! {
    /// The outcome of a TLS handshake.
    pub enum Handshake {
        /// The connection is secure.
        Done = "ok",
        /// The connection is secure, with the keys of a session of before: no certificate and no signature.
        Resumed = "resumed",
        /// The client spoke plain HTTP.
        PlainHttp = "plain_http",
        /// The client's bytes are not TLS.
        NotTls = "not_tls",
        /// The handshake took too long.
        TimedOut = "timeout",
        /// The client ended the connection without a reason.
        Left = "left",
        /// The client does not accept the certificate.
        CertificateRefused = "certificate_refused",
        /// Client and server have no version, cipher or group in common.
        Incompatible = "incompatible",
        /// The server has no certificate for this client, such as a validator that comes too late.
        NoCertificate = "no_certificate",
        /// Any other error.
        Other = "other",
    }
}

/// The number of handshakes by outcome. All threads share the counters: a handshake costs far more.
#[derive(Debug, Default)]
pub struct Handshakes([AtomicU64; Handshake::ALL.len()]);

impl Handshake {
    /// The outcome of a successful handshake.
    pub fn done(kind: Option<HandshakeKind>) -> Self {
        if kind == Some(HandshakeKind::Resumed) { Handshake::Resumed } else { Handshake::Done }
    }

    /// The outcome for the error of a failed handshake.
    pub fn failed(error: &io::Error) -> Self {
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
    pub fn count(&self, ended: Handshake) {
        if let Some(count) = self.0.get(ended as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of handshakes by the label of their outcome.
    pub fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Handshake::ALL.into_iter().map(Handshake::label).zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_has_a_label_and_a_counter_of_its_own() {
        let handshakes = Handshakes::default();
        for ended in Handshake::ALL {
            handshakes.count(ended);
        }
        assert!(handshakes.totals().all(|(_, count)| count == 1));
        let labels: std::collections::BTreeSet<_> = handshakes.totals().map(|(label, _)| label).collect();
        assert_eq!(labels.len(), Handshake::ALL.len());
    }
}
