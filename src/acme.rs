//! A certificate that the server orders and renews by itself (ACME, RFC 8555).

mod answers;
mod certificate;
mod challenge;
mod client;
mod directory;
mod error;
mod failure;
mod http01;
mod order;
mod redis;
mod schedule;
mod store;
mod window;

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use crate::clock::Clock;
use crate::config::{AcmeConfig, AcmeStore};
use crate::events::{Event, Events};
use crate::tls::Certificates;
use answers::Answers;
use certificate::Certificate;
use challenge::ChallengeKind;
use client::AcmeClient;
use directory::Directory;
use failure::{Failure, span};
use http01::HttpPort;
use redis::{RedisStore, SharedAnswers};
use schedule::{FailureKind, Schedule};
use store::{CertificateStore, OrderLock, StoreError};

pub use error::AcmeError;
use window::Asked;

/// A certificate by ACME, which is not renewed yet.
pub(crate) struct Acme {
    config: AcmeConfig,
    store: Box<dyn CertificateStore>,
    client: AcmeClient,
    certificates: Arc<Certificates>,
    schedule: Schedule,
    current: Option<Certificate>,
}

/// The outcome of an attempt to order.
enum Attempt {
    Done,
    /// Another process orders, or pauses after a refusal.
    Elsewhere,
    Failed,
}

/// The thread that orders and renews. The drop ends it.
pub(crate) struct Renewal(#[allow(dead_code, reason = "the drop ends the thread")] oneshot::Sender<()>);

/// The parts of the server that the thread needs.
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
        let store = open_store(config)?;
        let provisional = answers::provisional(&config.names).map_err(AcmeError::Provisional)?;
        let mut acme = Acme {
            config: config.clone(),
            store,
            client,
            certificates: Certificates::new(provisional),
            schedule: Schedule { jitter: rand::random(), ..Schedule::default() },
            current: None,
        };
        let stored = acme.adopt_before_start()?;
        // Its connection has ended with the runtime.
        acme.store = open_store(config)?;
        if !stored {
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

    /// Where the certificate is, if it is there.
    pub(crate) fn loaded(&self) -> Option<String> {
        self.current.as_ref().map(|_| self.store.place())
    }

    /// Starts the thread that orders and renews.
    pub(crate) fn start(self, surroundings: Surroundings) -> io::Result<Renewal> {
        let (running, mut stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (mut acme, threads) = (self, surroundings.events.threads().clone());
        threads.keep("acme", move || {
            // The connections of Redis stay on this thread.
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    _ = &mut stopped => {}
                    () = acme.run(&surroundings) => {}
                }
            });
        })?;
        Ok(Renewal(running))
    }

    async fn run(&mut self, Surroundings { events, clock, http, https_port }: &Surroundings) {
        let shared = match &self.config.store {
            AcmeStore::Directory(_) => None,
            AcmeStore::Redis(address) => match SharedAnswers::open(address) {
                Ok(shared) => Some(shared),
                Err(error) => return log::error!("the certificate is not renewed: {error}"),
            },
        };
        let kinds = match (&shared, &http) {
            // The validator may come to any node, and only this one would have the certificate of TLS-ALPN-01.
            (Some(_), _) => [ChallengeKind::Http01].as_slice(),
            (None, Some(_)) => &[ChallengeKind::Http01, ChallengeKind::TlsAlpn01],
            (None, None) => &[ChallengeKind::TlsAlpn01],
        };
        let answers = Answers::new(Arc::clone(&self.certificates), shared);
        if let Some(listener) = http {
            let (names, https_port) = (self.config.names.clone(), *https_port);
            match listener.try_clone() {
                Ok(listener) => {
                    let port = HttpPort { answers: Rc::clone(&answers), names, https_port };
                    spawn_local(port.serve(listener));
                }
                Err(error) => log::error!("HTTP-01 is not possible: {error}"),
            }
        }
        let mut ask_at = 0;
        loop {
            match self.adopt_stored().await {
                Ok(true) => self.tell_loaded(events),
                Ok(false) => {}
                Err(error) => log::debug!("{error}"),
            }
            let now = seconds(clock);
            if now >= ask_at && self.current.is_some() {
                ask_at = now.saturating_add(self.ask_for_window().await);
            }
            let next = self.schedule.next();
            if next <= now {
                match self.attempt(kinds, &answers, clock).await {
                    Attempt::Done => {
                        self.tell_loaded(events);
                        ask_at = 0;
                        continue;
                    }
                    Attempt::Elsewhere => {}
                    Attempt::Failed => continue,
                }
            }
            let pause = Duration::from_secs(next.saturating_sub(now))
                .clamp(Duration::from_secs(1), self.store.look_interval());
            wait(clock, pause).await;
        }
    }

    /// Orders a certificate, stores it and shows it.
    async fn attempt(&mut self, kinds: &[ChallengeKind], answers: &Rc<Answers>, clock: &Clock) -> Attempt {
        let lock = match self.store.lock().await {
            Ok(Some(lock)) => lock,
            Ok(None) => return Attempt::Elsewhere,
            Err(error) => {
                self.failed(&error.into(), clock);
                return Attempt::Failed;
            }
        };
        let result = self.locked(kinds, answers, seconds(clock), &lock).await;
        let Err(failure) = result else {
            self.store.unlock(lock, Duration::ZERO).await;
            return Attempt::Done;
        };
        let pause = self.failed(&failure, clock);
        // An ACME server counts refusals, whichever node asks.
        let pause = if failure.kind() == FailureKind::Refused { pause } else { 0 };
        self.store.unlock(lock, Duration::from_secs(pause)).await;
        Attempt::Failed
    }

    /// Orders a certificate while no other process does.
    async fn locked(
        &mut self,
        kinds: &[ChallengeKind],
        answers: &Rc<Answers>,
        now: u64,
        lock: &OrderLock,
    ) -> Result<(), Failure> {
        // Another process may have ordered while this one waited.
        if self.adopt_stored().await? && self.schedule.next() > now {
            return Ok(());
        }
        log::info!("orders a certificate for {} from {}", self.names(), self.config.directory);
        let pem = tokio::select! {
            pem = self.order_with_account(kinds, answers) => pem?,
            () = self.store.lost(lock) => return Err(StoreError::LostLock.into()),
        };
        let kept = self.store.keep_certificate(&pem).await;
        // It is shown even if it could not be stored.
        self.adopt(pem.as_bytes());
        self.schedule.ordered = Some(now);
        Ok(kept?)
    }

    /// Orders, with a new account if the ACME server does not know the old one.
    async fn order_with_account(
        &self,
        kinds: &[ChallengeKind],
        answers: &Rc<Answers>,
    ) -> Result<String, Failure> {
        match self.order(kinds, answers).await {
            Err(failure) if failure.is_about_account() => {
                log::warn!("{failure}. A new account is made");
                self.store.forget_account().await?;
                self.order(kinds, answers).await
            }
            ordered => ordered,
        }
    }

    /// Orders with one challenge after another.
    async fn order(&self, kinds: &[ChallengeKind], answers: &Rc<Answers>) -> Result<String, Failure> {
        let account = order::account(&self.config, &*self.store, self.client.clone()).await?;
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

    /// Shows the stored certificate before the port opens.
    fn adopt_before_start(&mut self) -> Result<bool, AcmeError> {
        // A thread of its own: the caller may be in a runtime.
        let adopted = thread::scope(|scope| {
            let adopting = scope.spawn(|| {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let adopted = runtime.block_on(self.adopt_stored());
                // A drop would wait for a slow DNS.
                runtime.shutdown_background();
                Ok::<_, AcmeError>(adopted)
            });
            adopting.join().unwrap_or_else(|_| Err(io::Error::other("it has ended").into()))
        })?;
        match adopted {
            Err(error) if error.is_outage() => {
                log::warn!("{error}. The server tries it again");
                Ok(false)
            }
            adopted => Ok(adopted?),
        }
    }

    /// Shows the stored certificate. True if it is another one than before.
    async fn adopt_stored(&mut self) -> Result<bool, StoreError> {
        Ok(self.store.certificate().await?.is_some_and(|pem| self.adopt(&pem)))
    }

    /// Shows a certificate. True if it is another one than before.
    fn adopt(&mut self, pem: &[u8]) -> bool {
        let certificate = match Certificate::parse(pem) {
            Ok(certificate) => certificate,
            Err(why) => {
                if self.certificates.set_problem(Some(why.clone())) {
                    log::warn!("{} cannot be used: {why}. A new certificate is ordered", self.store.place());
                }
                return false;
            }
        };
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

    /// Asks when the ACME server wants the certificate to be renewed. Returns the seconds until the next question.
    async fn ask_for_window(&mut self) -> u64 {
        let asked =
            match (self.current.as_ref().and_then(Certificate::identifier), self.store.account().await) {
                (Some(certificate), Ok(Some(_))) => {
                    match order::account(&self.config, &*self.store, self.client.clone()).await {
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

    /// Counts a failure and logs it. Returns the seconds until the next attempt.
    fn failed(&mut self, failure: &Failure, clock: &Clock) -> u64 {
        let now = seconds(clock);
        self.schedule.failed(failure.kind(), now, self.client.take_retry_after());
        let pause = self.schedule.next().saturating_sub(now);
        let what = match &self.current {
            Some(_) => "the certificate is not renewed, and the old one stays in use",
            None => "there is no certificate yet",
        };
        self.certificates.set_problem(Some(failure.to_string()));
        log::error!("{what}: {failure}. Next attempt in {}", span(pause));
        pause
    }

    fn tell_loaded(&self, events: &Events) {
        events.emit(|| Event::CertificateLoaded { path: self.store.place() });
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.config.names.iter().map(ToString::to_string).collect();
        names.join(", ")
    }
}

fn seconds(clock: &Clock) -> u64 {
    clock.unix_millis() / 1000
}

/// Does not connect yet.
fn open_store(config: &AcmeConfig) -> Result<Box<dyn CertificateStore>, AcmeError> {
    Ok(match &config.store {
        AcmeStore::Directory(dir) => Box::new(Directory::open(dir, &config.directory)?),
        AcmeStore::Redis(address) => Box::new(RedisStore::open(address, config)?),
    })
}

async fn wait(clock: &Clock, pause: Duration) {
    match clock.advanced(pause) {
        Some(advanced) => advanced.await,
        None => sleep(pause).await,
    }
}

#[cfg(test)]
mod tests;
