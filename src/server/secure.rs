//! TLS of the main port: where its certificate is from, and how it stays fresh.

use std::fmt::Display;
use std::net::TcpListener;
use std::sync::Arc;

use crate::acme::{Acme, AcmeError, Renewal, Surroundings};
use crate::clock::Clock;
use crate::config::{AcmeStore, Listen, TlsFiles};
use crate::events::{Event, Events};
use crate::lan::{host_name, lan_address};
use crate::tls::{self, ACME_ALPN, Certificates, TlsError, Watch};

/// The port of HTTPS.
const HTTPS_PORT: u16 = 443;

/// What clients of TURN may offer (RFC 7443, section 3).
const TURN_ALPN: &[u8] = b"stun.turn";

/// Why there is no certificate.
pub(super) enum CertificateError {
    Files(TlsError),
    Acme(AcmeError),
}

impl From<TlsError> for CertificateError {
    fn from(error: TlsError) -> Self {
        CertificateError::Files(error)
    }
}

impl From<AcmeError> for CertificateError {
    fn from(error: AcmeError) -> Self {
        CertificateError::Acme(error)
    }
}

/// TLS of the main port.
pub(super) struct Secure {
    pub(super) config: rustls::ServerConfig,
    pub(super) certificates: Arc<Certificates>,
    source: Source,
}

enum Source {
    Files { files: TlsFiles, names: Vec<String> },
    Acme { acme: Box<Acme>, http: Option<TcpListener>, is_public: bool },
}

/// Keeps the certificate fresh until the drop.
#[allow(dead_code, reason = "the drop ends what is in it")]
pub(super) enum Upkeep {
    Files(Option<Watch>),
    Acme(Renewal),
}

/// Checks the files without creating or changing anything.
pub(super) fn check(listen: &Listen) -> Result<(), CertificateError> {
    match (&listen.tls, &listen.acme) {
        (Some(files), _) => {
            tls::load(files)?;
            warn(files, &names(listen))?;
        }
        (None, Some(config)) => Acme::check(config)?,
        (None, None) => {}
    }
    Ok(())
}

impl Secure {
    /// Reads the certificate, if there is to be one. Warns if clients will refuse it. `bind` opens the port of HTTP-01.
    pub(super) fn open<E: Display>(
        listen: &Listen,
        events: &Events,
        bind: impl FnOnce(u16) -> Result<TcpListener, E>,
    ) -> Result<Option<Self>, CertificateError> {
        let (certificates, source) = match (&listen.tls, &listen.acme) {
            (Some(files), _) => {
                let (certificate, names) = (tls::load(files)?, names(listen));
                warn(files, &names)?;
                (Certificates::new(certificate), Source::Files { files: files.clone(), names })
            }
            (None, Some(config)) => {
                let acme = Box::new(Acme::open(config)?);
                let consequence = match config.store {
                    AcmeStore::Directory(_) => "HTTP-01 is not possible, only TLS-ALPN-01",
                    AcmeStore::Redis(_) => {
                        "this node answers no validation, so orders of the cluster may fail"
                    }
                };
                let http = config.http_port.and_then(|port| {
                    bind(port).inspect_err(|error| log::warn!("{consequence}: {error}")).ok()
                });
                let is_public = config.http_port == Some(80);
                (Arc::clone(acme.certificates()), Source::Acme { acme, http, is_public })
            }
            (None, None) => return Ok(None),
        };
        let mut config = tls::server_config(Arc::clone(&certificates))?;
        let path = match &source {
            Source::Files { files, .. } => Some(files.cert.display().to_string()),
            Source::Acme { acme, .. } => {
                // A handshake that offers other protocols only is refused (RFC 7301, section 3.2).
                config.alpn_protocols = [b"http/1.1", TURN_ALPN, ACME_ALPN].map(<[u8]>::to_vec).to_vec();
                acme.loaded()
            }
        };
        if let Some(path) = path {
            events.emit(|| Event::CertificateLoaded { path });
        }
        Ok(Some(Secure { config, certificates, source }))
    }

    /// Keeps the certificate fresh from now on. `port` is the bound one.
    pub(super) fn keep_fresh(self, events: &Events, clock: Clock, port: u16) -> std::io::Result<Upkeep> {
        let events = events.clone();
        match self.source {
            Source::Files { files, names } => {
                let path = files.cert.display().to_string();
                let threads = events.threads().clone();
                let loaded = {
                    let files = files.clone();
                    move || {
                        events.emit(|| Event::CertificateLoaded { path: path.clone() });
                        // It fails if the file is gone again.
                        let _ = warn(&files, &names);
                    }
                };
                tls::watch(files, self.certificates, &threads, loaded).map(Upkeep::Files)
            }
            Source::Acme { acme, http, is_public } => {
                // With another HTTP port, something in front maps the ports.
                let https_port = if is_public { port } else { HTTPS_PORT };
                acme.start(Surroundings { events, clock, http, https_port }).map(Upkeep::Acme)
            }
        }
    }
}

/// Names by which clients may reach this machine.
fn names(listen: &Listen) -> Vec<String> {
    let host = host_name();
    let mut names = vec!["localhost".to_owned(), format!("{host}.local"), host];
    names.extend(lan_address().map(|address| address.to_string()));
    if !matches!(&*listen.host, "::" | "0.0.0.0") {
        names.push(listen.host.trim_matches(['[', ']']).to_owned());
    }
    names
}

/// Warns if clients will refuse the certificate.
fn warn(files: &TlsFiles, names: &[String]) -> Result<(), TlsError> {
    tls::warnings(files, names)?.iter().for_each(|warning| log::warn!("{warning}"));
    Ok(())
}
