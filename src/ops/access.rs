//! Decides whether a caller may use the API.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use super::health;
use super::problem::Problem;
use super::state::Ops;
use crate::app::Parts;
use crate::config::AdminToken;
use crate::limits::GuessSource;

/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Browsers set it, and pages cannot change it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Headers that proxies add.
const PROXY_HEADERS: [HeaderName; 2] = [header::FORWARDED, HeaderName::from_static("x-forwarded-for")];

pub(super) async fn guard<B: MessageBody>(
    ops: web::Data<Ops>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if health::PATHS.contains(&request.path()) {
        return timeout(REQUEST_TIMEOUT, next.call(request)).await.map_err(|_| Problem::timed_out())?;
    }
    check_site(request.headers())?;
    match &*ops.parts.admin_token.load() {
        Some(token) => check_token(&ops.parts, token, &request)?,
        None => check_local(&request)?,
    }
    timeout(REQUEST_TIMEOUT, next.call(request)).await.map_err(|_| Problem::timed_out())?
}

/// Refuses requests from pages of other sites, even with the token.
fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get(SEC_FETCH_SITE);
    let is_allowed = site.is_none_or(|site| site == "same-origin" || site == "none");
    is_allowed.then_some(()).ok_or_else(Problem::other_site)
}

/// Above the rate limit of wrong tokens, no token is compared. If the right one still passed, the limit would not limit
/// guesses.
fn check_token(parts: &Parts, token: &AdminToken, request: &ServiceRequest) -> Result<(), Problem> {
    let Some(given) = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes()) else {
        return Err(Problem::unauthorized());
    };
    let address = request.peer_addr().map(|peer| peer.ip());
    let (guesser, now) = (GuessSource::new(address, is_forwarded(request.headers())), parts.now());
    let checked = parts.admin.wrong_tokens.check(guesser, now);
    checked.inspect_err(|too_many| parts.limit_hit(too_many.limit, address))?;
    let (scheme, given) = given.split_at_checked(BEARER.len()).unwrap_or_default();
    // Compares in constant time, so the time tells nothing about the token.
    let fits = scheme.eq_ignore_ascii_case(BEARER) && bool::from(given.ct_eq(token.as_str().as_bytes()));
    if !fits {
        parts.admin.wrong_tokens.count_wrong(guesser, now);
        return Err(Problem::unauthorized());
    }
    Ok(())
}

const BEARER: &[u8] = b"Bearer ";

/// Without a token, only programs of this machine are allowed, but not web pages or proxies on it.
fn check_local(request: &ServiceRequest) -> Result<(), Problem> {
    let headers = request.headers();
    let is_local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_by_proxy_or_page = is_forwarded(headers) || headers.contains_key(header::ORIGIN);
    // DNS rebinding: a page could make its own host name resolve to this machine, and would be same-origin.
    let is_by_name =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(is_loopback_name);
    (is_local && is_by_name && !is_by_proxy_or_page).then_some(()).ok_or_else(Problem::not_local)
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    PROXY_HEADERS.iter().any(|name| headers.contains_key(name))
}

/// Whether a `Host` is `localhost` or a loopback address.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    name.is_some_and(|name| {
        name.eq_ignore_ascii_case("localhost")
            || name.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in ["localhost", "LOCALHOST:9001", "127.0.0.1:9001", "127.0.0.2", "[::1]:9001", "[::1]"] {
            assert!(is_loopback_name(local), "{local}");
        }
        for other in
            ["", "evil.test", "evil.test:9001", "localhost.evil.test", "192.0.2.1", "[2001:db8::1]:1"]
        {
            assert!(!is_loopback_name(other), "{other}");
        }
    }
}
