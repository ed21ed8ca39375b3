//! Requests to the ACME server: one order, from the account to the certificate, and the window for its
//! renewal.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, Error, HttpClient, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use tokio::time::timeout;

use super::certificate::Certificate;
use super::challenge_responses::{ChallengeResponse, ChallengeResponses};
use super::failure::{ChallengeKind, Failure};
use super::store::{Store, StoredAccount};
use peerbroker_config::{AcmeConfig, AcmeName};

/// Time limit for the ACME server to validate, and to issue. Let's Encrypt needs seconds.
const ISSUE_TIMEOUT: Duration = Duration::from_secs(120);
/// The timeout of an order, as a guard against a server that answers each question slowly.
const ORDER_TIMEOUT: Duration = Duration::from_secs(600);
/// The limits of the time for which a renewal window holds, in seconds. After a failure, the shorter one.
pub(super) const MIN_WINDOW_AGE: u64 = 3600;
pub(super) const MAX_WINDOW_AGE: u64 = 24 * 3600;
/// The profile without which Let's Encrypt gives no certificate for an address.
const SHORT_LIVED: &str = "shortlived";

/// The stored account, or a new one.
pub(super) async fn account(
    config: &AcmeConfig,
    store: &Store,
    http: impl HttpClient,
) -> Result<Account, Failure> {
    let failed = |error| Failure::of(error, "the account", config);
    let builder = Account::builder_with_http(Box::new(http));
    if let Some(stored) = store.account()? {
        return builder.from_credentials(stored.credentials).await.map_err(failed);
    }
    let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) =
        builder.create(&new, config.directory.clone(), None).await.map_err(failed)?;
    store.keep_account(&StoredAccount { credentials })?;
    Ok(account)
}

/// The window in which the ACME server wants a certificate to be renewed, in seconds since 1970, if it has
/// one (ARI, RFC 9773). Also returns for how many seconds that holds.
pub(super) async fn window(
    account: &Account,
    certificate: &CertificateIdentifier<'_>,
    config: &AcmeConfig,
) -> Result<(Option<Range<u64>>, u64), Failure> {
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    match account.renewal_info(certificate).await {
        Ok((info, pause)) => {
            let window = info.suggested_window;
            let window = seconds(window.start.unix_timestamp())..seconds(window.end.unix_timestamp());
            Ok((Some(window), pause.as_secs().clamp(MIN_WINDOW_AGE, MAX_WINDOW_AGE)))
        }
        Err(Error::Unsupported(_)) => Ok((None, MAX_WINDOW_AGE)),
        Err(error) => Err(Failure::of(error, "the renewal window", config)),
    }
}

/// Orders a certificate, and returns its key and its chain as PEM.
pub(super) async fn order(
    config: &AcmeConfig,
    account: &Account,
    kind: ChallengeKind,
    responses: &Rc<ChallengeResponses>,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<String, Failure> {
    let ordering = async {
        let mut order = new_order(config, account, replaces).await?;
        // The answers stay until the order has ended.
        let _answers = answer(config, &mut order, kind, responses).await?;
        validated(config, &mut order, kind).await?;
        issued(config, &mut order).await
    };
    timeout(ORDER_TIMEOUT, ordering).await.unwrap_or_else(|_| Err(Failure::TooSlow(config.directory.clone())))
}

pub(super) async fn new_order(
    config: &AcmeConfig,
    account: &Account,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Order, Failure> {
    let identifiers: Vec<Identifier> = config.names.iter().map(identifier).collect();
    let has_address = config.names.iter().any(|name| matches!(name, AcmeName::Ip(_)));
    let is_short_lived = has_address && account.profiles().any(|profile| profile.name == SHORT_LIVED);
    let new = || {
        let new = NewOrder::new(&identifiers);
        if is_short_lived { new.profile(SHORT_LIVED) } else { new }
    };
    if let Some(replaces) = replaces {
        match account.new_order(&new().replaces(replaces)).await {
            Ok(order) => return Ok(order),
            // A replacement has a higher limit, but is not worth more than another attempt without it.
            Err(error) => log::debug!("the ACME server takes no order that replaces a certificate: {error}"),
        }
    }
    account.new_order(&new()).await.map_err(|error| Failure::of(error, "the order", config))
}

fn identifier(name: &AcmeName) -> Identifier {
    match name {
        AcmeName::Host(name) => Identifier::Dns(name.clone()),
        AcmeName::Ip(ip) => Identifier::Ip(*ip),
    }
}

/// The ordered name that an authorization is about.
fn name<'a>(config: &'a AcmeConfig, wanted: &Identifier) -> Option<&'a AcmeName> {
    config.names.iter().find(|name| identifier(name) == *wanted)
}

/// Answers all challenges of this kind.
async fn answer(
    config: &AcmeConfig,
    order: &mut Order,
    kind: ChallengeKind,
    responses: &Rc<ChallengeResponses>,
) -> Result<Vec<ChallengeResponse>, Failure> {
    let failed = |error| Failure::of(error, "the challenge", config);
    let mut given = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(failed)?;
        // The server remembers validations for a while.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let identifier = authorization.identifier().identifier.clone();
        let Some(name) = name(config, &identifier) else {
            return Err(Failure::Unusable(format!("it is about {identifier:?}, which was not ordered")));
        };
        let Some(mut challenge) = authorization.challenge(kind.wire()) else {
            let todo = match kind {
                ChallengeKind::Http01 => "Let port 443 of the name lead to --port of this machine",
                ChallengeKind::TlsAlpn01 => {
                    "Let port 80 of the name through, to --acme_http_port of this machine"
                }
            };
            return Err(Failure::NoChallenge { name: name.to_string(), kind, todo });
        };
        let key = challenge.key_authorization();
        given.push(responses.give(kind, name, &challenge.token, &key)?);
        challenge.set_ready().await.map_err(failed)?;
    }
    Ok(given)
}

/// Waits until all names are validated.
async fn validated(config: &AcmeConfig, order: &mut Order, kind: ChallengeKind) -> Result<(), Failure> {
    let failed = |error| Failure::of(error, "the order", config);
    let problem = match order.poll_ready(&retries()).await {
        Ok(OrderStatus::Ready) => return Ok(()),
        Ok(_) => order.state().error.clone(),
        Err(Error::Api(problem)) => Some(problem),
        Err(error) => return Err(failed(error)),
    };
    // The authorizations know why.
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(failed)?;
        let state = authorization.refresh().await.map_err(failed)?;
        let challenge =
            state.challenges.iter().find(|challenge| challenge.status == ChallengeStatus::Invalid);
        if let (Some(challenge), Some(name)) = (challenge, name(config, state.identifier().identifier)) {
            return Err(Failure::not_validated(name, kind, challenge.error.as_ref(), config));
        }
    }
    Err(problem.map_or_else(
        || Failure::Unusable("the order ended without a reason".to_owned()),
        |problem| failed(Error::Api(problem)),
    ))
}

/// Sends the request for the certificate, with a new key, and gets it.
async fn issued(config: &AcmeConfig, order: &mut Order) -> Result<String, Failure> {
    let failed = |error| Failure::of(error, "the certificate", config);
    let key = order.finalize().await.map_err(failed)?;
    let pem = key + &order.poll_certificate(&retries()).await.map_err(failed)?;
    let certificate = Certificate::parse(pem.as_bytes()).map_err(Failure::Unusable)?;
    match certificate.lacks(&config.names) {
        Some(name) => Err(Failure::Unusable(format!("it is not for {name}"))),
        None => Ok(pem),
    }
}

fn retries() -> RetryPolicy {
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(ISSUE_TIMEOUT)
}
