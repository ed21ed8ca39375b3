//! A certificate that the server orders and renews by itself (ACME, RFC 8555).

mod answers;
mod certificate;
mod client;
mod error;
mod failure;
mod http01;
mod order;
mod schedule;
mod store;
mod window;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::config::AcmeConfig;
use crate::events::{Event, Events};
use crate::tls::Certificates;
use answers::{Answers, ChallengeKind};
use certificate::Certificate;
use client::AcmeClient;
use failure::Failure;
use http01::HttpPort;
use schedule::Schedule;
use store::Store;

use store::StoreError;

pub use error::AcmeError;
use window::Asked;

/// How often the store is looked at for a certificate of another process, and the longest wait at a time: a machine may sleep.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// A certificate by ACME, which is not renewed yet.
pub(crate) struct Acme {
    config: AcmeConfig,
    store: Store,
    client: AcmeClient,
    certificates: Arc<Certificates>,
    schedule: Schedule,
    current: Option<Certificate>,
}

/// The thread that orders and renews. The drop ends it.
pub(crate) struct Renewal(#[allow(dead_code, reason = "the drop ends the thread")] oneshot::Sender<()>);

/// What the thread needs of the server.
pub(crate) struct Surroundings {
    pub(crate) events: Events,
    pub(crate) clock: Clock,
    /// The bound HTTP port, if there is one.
    pub(crate) http: Option<TcpListener>,
    /// The port of HTTPS as clients see it.
    pub(crate) https_port: u16,
}

impl Acme {
    /// Checks what can be checked without creating or changing anything.
    pub(crate) fn check(config: &AcmeConfig) -> Result<(), AcmeError> {
        AcmeClient::new(config.ca.as_deref()).map(drop)
    }

    /// Reads the stored certificate, or makes a provisional one.
    pub(crate) fn open(config: &AcmeConfig) -> Result<Self, AcmeError> {
        let client = AcmeClient::new(config.ca.as_deref())?;
        let store = Store::open(&config.dir, &config.directory)?;
        let provisional = answers::provisional(&config.names).map_err(AcmeError::Provisional)?;
        let mut acme = Acme {
            config: config.clone(),
            store,
            client,
            certificates: Certificates::new(provisional),
            schedule: Schedule { jitter: rand::random(), ..Schedule::default() },
            current: None,
        };
        if !acme.adopt_stored()? {
            log::warn!(
                "there is no certificate for {} yet: clients refuse the self-signed one that stands in until the ACME server {} \
                 has given one",
                acme.names(),
                config.directory
            );
        }
        Ok(acme)
    }

    pub(crate) fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// The file of the certificate, if it is there.
    pub(crate) fn loaded(&self) -> Option<String> {
        self.current.as_ref().map(|_| self.path())
    }

    /// Starts the thread that orders and renews.
    pub(crate) fn start(self, surroundings: Surroundings) -> io::Result<Renewal> {
        let (running, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("acme".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = self.run(surroundings) => {}
                }
            });
        })?;
        Ok(Renewal(running))
    }

    async fn run(mut self, surroundings: Surroundings) {
        let Surroundings { events, clock, http, https_port } = surroundings;
        let answers = Answers::new(Arc::clone(&self.certificates));
        let kinds = match http {
            Some(listener) => {
                let names = self.config.names.clone();
                let port = HttpPort { answers: Arc::clone(&answers), names, https_port };
                tokio::spawn(port.serve(listener));
                [ChallengeKind::Http01, ChallengeKind::TlsAlpn01].as_slice()
            }
            None => &[ChallengeKind::TlsAlpn01],
        };
        let mut ask_at = 0;
        loop {
            match self.adopt_stored() {
                Ok(true) => self.tell_loaded(&events),
                Ok(false) => {}
                Err(error) => log::debug!("{error}"),
            }
            let now = seconds(&clock);
            if now >= ask_at && self.current.is_some() {
                ask_at = now.saturating_add(self.ask_for_window().await);
            }
            let next = self.schedule.next();
            if next <= now {
                let result = self.attempt(kinds, &answers, now).await;
                match result {
                    Ok(true) => {
                        self.tell_loaded(&events);
                        ask_at = 0;
                        continue;
                    }
                    // Another process orders.
                    Ok(false) => {}
                    Err(failure) => {
                        self.failed(&failure, &clock);
                        continue;
                    }
                }
            }
            let pause =
                Duration::from_secs(next.saturating_sub(now)).clamp(Duration::from_secs(1), LOOK_INTERVAL);
            wait(&clock, pause).await;
        }
    }

    /// Orders a certificate, stores it and shows it. False if another process orders.
    async fn attempt(
        &mut self,
        kinds: &[ChallengeKind],
        answers: &Arc<Answers>,
        now: u64,
    ) -> Result<bool, Failure> {
        let Some(_lock) = self.store.lock()? else { return Ok(false) };
        // Another process may have ordered while this one waited.
        if self.adopt_stored()? && self.schedule.next() > now {
            return Ok(true);
        }
        log::info!("orders a certificate for {} from {}", self.names(), self.config.directory);
        let pem = match self.order(kinds, answers).await {
            Err(failure) if failure.is_about_account() => {
                log::warn!("{failure}. A new account is made");
                self.store.forget_account()?;
                self.order(kinds, answers).await?
            }
            ordered => ordered?,
        };
        self.store.keep_certificate(&pem)?;
        self.adopt_stored()?;
        self.schedule.ordered = Some(now);
        Ok(true)
    }

    /// Orders with one challenge after another.
    async fn order(&self, kinds: &[ChallengeKind], answers: &Arc<Answers>) -> Result<String, Failure> {
        let account = order::account(&self.config, &self.store, self.client.clone()).await?;
        let replaces = self.current.as_ref().filter(|_| self.schedule.window.is_some());
        let replaces = replaces.and_then(Certificate::identifier);
        let mut kinds = kinds.iter().peekable();
        loop {
            let Some(kind) = kinds.next() else {
                return Err(Failure::Unusable("no challenge can be answered".to_owned()));
            };
            let ordered = order::order(&self.config, &account, *kind, answers, replaces.clone()).await;
            match (&ordered, kinds.peek()) {
                (Err(failure), Some(next)) if failure.is_about_challenge() => {
                    log::warn!("{failure}. {next} is tried at once");
                }
                _ => return ordered,
            }
        }
    }

    /// Shows the stored certificate. True if it is another one than before.
    fn adopt_stored(&mut self) -> Result<bool, StoreError> {
        let Some(pem) = self.store.certificate()? else { return Ok(false) };
        let certificate = match Certificate::parse(&pem) {
            Ok(certificate) => certificate,
            Err(why) => {
                if self.certificates.set_problem(Some(why.clone())) {
                    log::warn!("{} cannot be used: {why}. A new certificate is ordered", self.path());
                }
                return Ok(false);
            }
        };
        if self.current.as_ref().is_some_and(|current| current.certified.cert == certificate.certified.cert) {
            return Ok(false);
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
        Ok(true)
    }

    /// Asks when the ACME server wants the certificate to be renewed. Returns the seconds until the next question.
    async fn ask_for_window(&mut self) -> u64 {
        let asked = match (self.current.as_ref().and_then(Certificate::identifier), self.store.account()) {
            (Some(certificate), Ok(Some(_))) => {
                match order::account(&self.config, &self.store, self.client.clone()).await {
                    Ok(account) => window::ask(&account, &certificate).await,
                    Err(failure) => {
                        log::debug!("cannot ask when to renew the certificate: {failure}");
                        Asked::FAILED
                    }
                }
            }
            _ => Asked::NOBODY,
        };
        match asked {
            Asked::Window(window, pause) => {
                self.schedule.window = Some(window);
                pause
            }
            Asked::Nothing(pause) => {
                self.schedule.window = None;
                pause
            }
            Asked::Failed(pause) => pause,
        }
    }

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

    fn tell_loaded(&self, events: &Events) {
        events.emit(|| Event::CertificateLoaded { path: self.path() });
    }

    fn path(&self) -> String {
        self.store.certificate_path().display().to_string()
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.config.names.iter().map(ToString::to_string).collect();
        names.join(", ")
    }
}

fn seconds(clock: &Clock) -> u64 {
    clock.unix_millis() / 1000
}

/// A time for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3600),
    }
}

async fn wait(clock: &Clock, pause: Duration) {
    match clock.advanced(pause) {
        Some(advanced) => advanced.await,
        None => sleep(pause).await,
    }
}

#[cfg(test)]
mod tests;
