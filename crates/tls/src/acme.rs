//! A certificate that the server orders and renews (ACME, RFC 8555).

mod certificate;
mod challenge_responses;
mod client;
mod failure;
mod http01;
mod order;
mod schedule;
mod store;

use std::fmt::Display;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::{Sender, channel};
use tokio::task::spawn_local;

use crate::{CertificateSource, Certificates, RenewalContext};
use certificate::Certificate;
use challenge_responses::ChallengeResponses;
use client::AcmeClient;
use failure::{ChallengeKind, Failure, names, span};
use http01::HttpPort;
use peerbroker_config::AcmeConfig;
use peerbroker_core::clock::Clock;
use peerbroker_events::Event;
use schedule::Schedule;
use store::{Store, StoreError};

/// The port of HTTPS.
const HTTPS_PORT: u16 = 443;

/// Interval at which the store is read for a certificate of another process.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// An error that prevents certificates by ACME.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of authorities cannot be used.
    #[error("cannot use --acme_ca {}: {}", .0.display(), .1)]
    Ca(PathBuf, String),
    /// The TLS library refuses its input.
    #[error("cannot set up TLS for --acme: {0}")]
    Tls(rustls::Error),
    /// No certificate can be made for the names.
    #[error("cannot make a certificate for the names of --acme: {0}")]
    Provisional(String),
}

/// A certificate by ACME, and all that renews it.
struct Acme {
    config: AcmeConfig,
    store: Store,
    client: AcmeClient,
    certificates: Arc<Certificates>,
    schedule: Schedule,
    current: Option<Certificate>,
    /// The certificate in use, if the store could not keep it.
    unkept: Option<String>,
    /// The bound HTTP port, if there is one.
    http: Option<TcpListener>,
    /// The time at which to ask for the window of the renewal again, in seconds since 1970.
    ask_at: u64,
}

/// Runs all checks that create and change nothing.
pub fn check(config: &AcmeConfig) -> Result<(), AcmeError> {
    AcmeClient::new(config.ca.as_deref()).map(drop)
}

/// Reads the stored certificate, or makes a provisional one. `bind` opens the port of HTTP-01.
pub fn open<E: Display>(
    config: &AcmeConfig,
    bind: impl FnOnce(u16) -> Result<TcpListener, E>,
) -> Result<CertificateSource, AcmeError> {
    let client = AcmeClient::new(config.ca.as_deref())?;
    let store = Store::open(&config.dir, &config.directory)?;
    let provisional = challenge_responses::provisional(&config.names).map_err(AcmeError::Provisional)?;
    let certificates = Certificates::new(provisional);
    let mut acme = Acme {
        config: config.clone(),
        store,
        client,
        certificates: Arc::clone(&certificates),
        schedule: Schedule { jitter: rand::random(), ..Schedule::default() },
        current: None,
        unkept: None,
        http: None,
        ask_at: 0,
    };
    if !acme.adopt_stored()? {
        log::warn!(
            "there is no certificate for {} yet: clients refuse the self-signed one that stands in until the ACME server {} \
             has given one",
            names(config),
            config.directory
        );
    }
    let consequence = "HTTP-01 is not possible, only TLS-ALPN-01";
    let bind = |port| bind(port).inspect_err(|error| log::warn!("{consequence}: {error}")).ok();
    acme.http = config.http_port.and_then(bind);
    let path = acme.current.as_ref().map(|_| acme.store.place());
    let renew = Box::new(|context| Ok(Box::new(acme.start(context)?) as _));
    Ok(CertificateSource { certificates, path, renew })
}

impl Acme {
    /// Starts the thread that orders and renews. The drop of the returned value ends it.
    fn start(mut self, context: RenewalContext) -> io::Result<Sender<()>> {
        let (running, mut stopped) = channel();
        let threads = context.events.threads().clone();
        threads.keep_async("acme", async move || {
            tokio::select! {
                _ = &mut stopped => {}
                () = self.run(&context) => {}
            }
        })?;
        Ok(running)
    }

    async fn run(&mut self, context: &RenewalContext) {
        let kinds: &[ChallengeKind] = match &self.http {
            Some(_) => &ChallengeKind::ALL,
            None => &[ChallengeKind::TlsAlpn01],
        };
        let responses = ChallengeResponses::new(kinds, Arc::clone(&self.certificates));
        if let Some(listener) = &self.http {
            // With another HTTP port, something in front maps the ports.
            let https_port = if self.config.http_port == Some(80) { context.port } else { HTTPS_PORT };
            let names = self.config.names.clone();
            let responses = Rc::clone(&responses);
            match listener.try_clone() {
                Ok(listener) => drop(spawn_local(HttpPort { responses, names, https_port }.serve(listener))),
                Err(error) => log::error!("HTTP-01 is not possible: {error}"),
            }
        }
        let clock = &context.clock;
        loop {
            match self.adopt_stored() {
                Ok(true) => self.emit_loaded(context),
                Ok(false) => {}
                Err(error) => log::debug!("{error}"),
            }
            self.keep();
            let now = seconds(clock);
            if now >= self.ask_at && self.current.is_some() {
                self.ask_at = now.saturating_add(self.ask_for_window().await);
            }
            let next = self.schedule.next();
            if next <= now && self.attempt(&responses, context).await {
                continue;
            }
            let pause = Duration::from_secs(next.saturating_sub(now));
            clock.sleep(pause.clamp(Duration::from_secs(1), LOOK_INTERVAL)).await;
        }
    }

    /// Orders a certificate, stores it and shows it. False if another process orders.
    async fn attempt(&mut self, responses: &Rc<ChallengeResponses>, context: &RenewalContext) -> bool {
        let ordered = match self.store.lock() {
            Ok(true) => self.locked(responses, seconds(&context.clock)).await,
            Ok(false) => return false,
            Err(error) => Err(error.into()),
        };
        match ordered {
            Ok(()) => {
                self.emit_loaded(context);
                self.ask_at = 0;
            }
            Err(failure) => self.failed(&failure, &context.clock),
        }
        self.store.unlock();
        true
    }

    /// Orders a certificate while no other process does.
    async fn locked(&mut self, responses: &Rc<ChallengeResponses>, now: u64) -> Result<(), Failure> {
        // Another process may have ordered while this one waited.
        if self.adopt_stored()? && self.schedule.next() > now {
            return Ok(());
        }
        // A certificate that is not kept is ordered again at each start, until the ACME server refuses.
        self.store.try_to_write()?;
        log::info!("orders a certificate for {} from {}", names(&self.config), self.config.directory);
        let pem = self.order_with_account(responses).await?;
        self.adopt(pem.as_bytes());
        self.schedule.ordered = Some(now);
        self.unkept = Some(pem);
        self.keep();
        Ok(())
    }

    /// Stores the certificate in use, if the store has not kept it yet.
    fn keep(&mut self) {
        let Some(pem) = self.unkept.take() else { return };
        if let Err(error) = self.store.keep_certificate(&pem) {
            self.unkept = Some(pem);
            if self.certificates.set_problem(Some(error.to_string())) {
                log::error!(
                    "the new certificate is in use, but a restart would order another one: {error}. Tried again each minute"
                );
            }
        } else {
            self.certificates.set_problem(None);
        }
    }

    /// Orders, with a new account if the ACME server does not know the old one.
    async fn order_with_account(&self, responses: &Rc<ChallengeResponses>) -> Result<String, Failure> {
        match self.order(responses).await {
            Err(failure) if failure.is_about_account() => {
                log::warn!("{failure}. A new account is made");
                self.store.forget_account()?;
                self.order(responses).await
            }
            ordered => ordered,
        }
    }

    /// Orders with one challenge after another.
    async fn order(&self, responses: &Rc<ChallengeResponses>) -> Result<String, Failure> {
        let account = order::account(&self.config, &self.store, self.client.clone()).await?;
        let replaces = self.current.as_ref().filter(|_| self.schedule.window.is_some());
        let replaces = replaces.and_then(Certificate::identifier);
        let mut kinds = responses.kinds.iter().peekable();
        loop {
            let Some(kind) = kinds.next() else {
                return Err(Failure::Unusable("no challenge can be answered".to_owned()));
            };
            let ordered = order::order(&self.config, &account, *kind, responses, replaces.clone()).await;
            match (&ordered, kinds.peek()) {
                (Err(failure), Some(next)) if failure.is_about_challenge() => {
                    log::warn!("{failure}. {next} is tried at once");
                }
                _ => return ordered,
            }
        }
    }

    /// Shows the stored certificate. True if it has changed.
    fn adopt_stored(&mut self) -> Result<bool, StoreError> {
        // The stored one is older.
        if self.unkept.is_some() {
            return Ok(false);
        }
        Ok(self.store.certificate()?.is_some_and(|pem| self.adopt(&pem)))
    }

    /// Shows a certificate. True if it has changed.
    fn adopt(&mut self, pem: &[u8]) -> bool {
        let parsed = Certificate::parse(pem).inspect_err(|why| {
            if self.certificates.set_problem(Some(why.clone())) {
                log::warn!("{} cannot be used: {why}. A new certificate is ordered", self.store.place());
            }
        });
        let Ok(certificate) = parsed else { return false };
        if self.current.as_ref().is_some_and(|current| current.certified.cert == certificate.certified.cert) {
            return false;
        }
        let lacks = certificate.lacks(&self.config.names);
        if let Some(name) = lacks {
            log::info!("the stored certificate is not for {name}, so another one is ordered");
        }
        self.schedule.certificate = lacks.is_none().then_some(certificate.validity);
        self.schedule.window = None;
        self.schedule.jitter = rand::random();
        self.schedule.succeeded();
        self.certificates.swap(certificate.certified.clone());
        self.current = Some(certificate);
        true
    }

    /// Asks when the ACME server wants the certificate to be renewed. Returns the seconds until the next
    /// question.
    async fn ask_for_window(&mut self) -> u64 {
        let certificate = self.current.as_ref().and_then(Certificate::identifier);
        // Without an account, nobody asks: only an order makes one.
        let (Some(certificate), Ok(Some(_))) = (certificate, self.store.account()) else {
            self.schedule.window = None;
            return order::MAX_WINDOW_AGE;
        };
        let asking = async {
            let account = order::account(&self.config, &self.store, self.client.clone()).await?;
            order::window(&account, &certificate, &self.config).await
        };
        match asking.await {
            Ok((window, seconds)) => {
                self.schedule.window = window;
                seconds
            }
            // The last answer still applies.
            Err(failure) => {
                log::debug!("cannot ask when to renew the certificate: {failure}");
                order::MIN_WINDOW_AGE
            }
        }
    }

    /// Counts a failure and logs it.
    fn failed(&mut self, failure: &Failure, clock: &Clock) {
        let now = seconds(clock);
        self.schedule.failed(failure.kind(), now, self.client.take_retry_after());
        let pause = self.schedule.next().saturating_sub(now);
        let what = match &self.current {
            Some(_) => "the certificate is not renewed, and the old one stays in use",
            None => "there is no certificate yet",
        };
        self.certificates.set_problem(Some(failure.to_string()));
        log::error!("{what}: {failure}. Next attempt in {}", span(pause));
    }

    fn emit_loaded(&self, context: &RenewalContext) {
        context.events.emit(|| Event::CertificateLoaded { path: self.store.place() });
    }
}

fn seconds(clock: &Clock) -> u64 {
    clock.unix_millis().as_millis() / 1000
}

#[cfg(test)]
mod tests;
