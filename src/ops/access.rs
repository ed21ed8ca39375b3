//! Decides whether a caller may use the API.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, web};
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use super::problem::Problem;
use super::state::Ops;
use super::{cookie, dashboard, health};
use crate::app::Parts;
use crate::config::AdminToken;
use crate::limits::GuessSource;

/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Browsers set it, and pages cannot change it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Headers that proxies add.
const PROXY_HEADERS: [HeaderName; 2] = [header::FORWARDED, HeaderName::from_static("x-forwarded-for")];

/// The path at which browsers log in.
const LOGIN: &str = "/api/session";

pub(super) async fn guard<B: MessageBody>(
    ops: web::Data<Ops>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    check(&ops, &request)?;
    timeout(REQUEST_TIMEOUT, next.call(request)).await.map_err(|_| Problem::timed_out())?
}

fn check(ops: &Ops, request: &ServiceRequest) -> Result<(), Problem> {
    if health::PATHS.contains(&request.path()) {
        return Ok(());
    }
    // Without its data the dashboard is an empty page, so any page may link to it.
    let is_page = dashboard::is_page(request.request());
    if !is_page {
        check_site(request.headers())?;
    }
    let Some(token) = &ops.token else { return check_local(request) };
    if is_page || dashboard::is_file(request.request()) || is_login(request) {
        return Ok(());
    }
    match request.headers().get(header::AUTHORIZATION) {
        Some(given) => {
            let (scheme, given) = given.as_bytes().split_at_checked(BEARER.len()).unwrap_or_default();
            let given = if scheme.eq_ignore_ascii_case(BEARER) { given } else { &[] };
            check_guess(&ops.parts, token, request.request(), given)
        }
        None => check_session(token, request),
    }
}

fn is_login(request: &ServiceRequest) -> bool {
    request.method() == Method::POST && request.path() == LOGIN
}

/// Refuses requests from pages of other sites, even with the token.
fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get(SEC_FETCH_SITE);
    let is_allowed = site.is_none_or(|site| site == "same-origin" || site == "none");
    is_allowed.then_some(()).ok_or_else(Problem::other_site)
}

/// Checks a token that a caller gave. Above the rate limit of wrong tokens, no token is compared. If the right one still
/// passed, the limit would not limit guesses.
pub(super) fn check_guess(
    parts: &Parts,
    token: &AdminToken,
    request: &HttpRequest,
    given: &[u8],
) -> Result<(), Problem> {
    let address = request.peer_addr().map(|peer| peer.ip());
    let (guesser, now) = (GuessSource::new(address, is_forwarded(request.headers())), parts.now());
    let checked = parts.admin.wrong_tokens.check(guesser, now);
    checked.inspect_err(|too_many| parts.limit_hit(too_many.limit, address))?;
    // Compares in constant time, so the time tells nothing about the token.
    if !bool::from(given.ct_eq(token.as_str().as_bytes())) {
        parts.admin.wrong_tokens.count_wrong(guesser, now);
        return Err(Problem::unauthorized());
    }
    Ok(())
}

const BEARER: &[u8] = b"Bearer ";

/// A browser sends its cookie whichever page asks. So a change counts only if a page of this server asks for it.
fn check_session(token: &AdminToken, request: &ServiceRequest) -> Result<(), Problem> {
    let headers = request.headers();
    if !cookie::has_session(token, headers) {
        return Err(Problem::unauthorized());
    }
    let is_ours =
        headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin") || is_own_origin(headers);
    (request.method().is_safe() || is_ours).then_some(()).ok_or_else(Problem::other_site)
}

/// Whether the page that asks is one of the host that it asks. Browsers send no `Sec-Fetch-Site` over plain HTTP to another
/// machine, but they send `Origin` with each change.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else { return false };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Without a token, only programs of this machine are allowed, and the dashboard in its browsers, but not pages of others or
/// proxies.
fn check_local(request: &ServiceRequest) -> Result<(), Problem> {
    let headers = request.headers();
    let is_local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_by_page = headers.contains_key(header::ORIGIN) && !is_own_origin(headers);
    // DNS rebinding: a page could make its own host name resolve to this machine, and would be same-origin.
    let is_by_name =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(is_loopback_name);
    let is_allowed = is_local && is_by_name && !is_by_page && !is_forwarded(headers);
    is_allowed.then_some(()).ok_or_else(Problem::not_local)
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
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn an_origin_is_that_of_the_host_with_its_port() {
        let is_own = |origin: &str, host: &str| {
            let request = TestRequest::default().insert_header((header::ORIGIN, origin));
            is_own_origin(request.insert_header((header::HOST, host)).to_http_request().headers())
        };
        assert!(is_own("http://localhost:9001", "localhost:9001"));
        assert!(is_own("https://Ops.Example.org", "ops.example.org"));
        for (origin, host) in [
            ("http://localhost:9000", "localhost:9001"),
            ("http://localhost:9001.evil.test", "localhost:9001"),
            ("http://evil.test", "localhost:9001"),
            ("null", "localhost:9001"),
            ("", ""),
            ("ftp://localhost:9001", "localhost:9001"),
        ] {
            assert!(!is_own(origin, host), "{origin} {host}");
        }
        assert!(!is_own_origin(TestRequest::default().to_http_request().headers()));
    }

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
