//! Decides whether a caller may use the API: by a token, by a session of a browser, or because it is on this
//! machine.
//!
//! A session is a cookie that stands for a token, and nothing is stored. The cookie is the second at which it
//! expires, and an HMAC of that by the token. So it is valid on all nodes with the same token, and ends when
//! the token changes.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Data, Json, ReqData};
use actix_web::{Error, HttpRequest, HttpResponse, delete, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::dashboard;
use super::object::Object;
use super::problem::Problem;
use super::state::{AdminState, Reply};
use super::target::Target;
use crate::runtime::KEYS_UNREAD;
use peerbroker_config::{AdminToken, ApiTokens};
use peerbroker_core::vocabulary::{ApiKey, printable};
use peerbroker_keys::{KeyToken, unix_time};
use peerbroker_limits::GuessSource;

/// Time limit for a request, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Browsers set it, and pages cannot change it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Headers that proxies add.
const PROXY_HEADERS: [HeaderName; 2] = [header::FORWARDED, HeaderName::from_static("x-forwarded-for")];

const UNAUTHORIZED: &str = "the admin token of the server is missing or wrong, or the session has ended: send Authorization: \
    Bearer …";

/// The error without an admin token: only these tokens can be wrong.
const READ_UNAUTHORIZED: &str =
    "the read token or the metrics token of the server is missing or wrong: send Authorization: Bearer …";
const METRICS_UNAUTHORIZED: &str =
    "the metrics token is wrong, or missing: send Authorization: Bearer …, with the text of --metrics_token";

const ONLY_READS: &str = "the read token may change nothing: use the admin token (--admin_token) for changes";

const ONLY_METRICS: &str = "the metrics token may only read GET /metrics: use the read token (--read_token) to read other things, \
    and the admin token (--admin_token) for changes";

const NOT_LOCAL: &str = "without --admin_token_file, only programs on the server's machine are allowed: send requests to \
    localhost or a loopback address, without a proxy, and not from a page of another site";

const OTHER_SITE: &str =
    "a browser sent this request for a page of another site (Sec-Fetch-Site), which is not allowed";

/// Cookies are shared across ports, so two servers at one host name share it.
const COOKIE: &str = "peerbroker_session";

/// Lifetime of a session, in seconds.
const LIFETIME: u64 = 12 * 60 * 60;

/// The path at which browsers log in.
const LOGIN: &[&str] = &["api", "session"];

/// The path of the metrics.
const METRICS: &[&str] = &["metrics"];

/// The requests that a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Read,
    Metrics,
}

impl Scope {
    fn check(self, method: &Method, target: &Target) -> Result<(), Problem> {
        let is_read = method.is_safe();
        let forbidden = match self {
            Scope::Read if !is_read && !target.is(LOGIN) => ONLY_READS,
            Scope::Metrics if !is_read || !target.is(METRICS) => ONLY_METRICS,
            _ => return Ok(()),
        };
        Err(Problem::forbidden(forbidden))
    }
}

pub(super) async fn guard<B: MessageBody + 'static>(
    ops: Data<AdminState>,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse, Error> {
    // The asterisk means the server itself (RFC 9110, section 9.3.7).
    if request.method() == Method::OPTIONS && request.path() == "*" {
        return Ok(request.into_response(HttpResponse::NoContent()));
    }
    if request.method() == Method::HEAD {
        // The codec, which has read the real method, leaves the body out of the answer.
        request.head_mut().method = Method::GET;
    }
    let target = Target::take(&mut request)?;
    // Before tokens of keys are looked for.
    if target.is_of_keys() && ops.runtime.node.awaits_keys() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, KEYS_UNREAD).into());
    }
    check(&ops, &request, &target)?;
    let answered = timeout(REQUEST_TIMEOUT, next.call(request)).await;
    let too_long = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long");
    Ok(answered.map_err(too_long)??.map_into_boxed_body())
}

fn check(ops: &AdminState, request: &ServiceRequest, target: &Target) -> Result<(), Problem> {
    // Health and readiness.
    if target.is(&["healthz"]) || target.is(&["readyz"]) {
        return Ok(());
    }
    // Without its data the dashboard is an empty page, so any page may link to it.
    let is_page = dashboard::is_page(request.request(), target);
    if !is_page {
        check_site(request.headers())?;
    }
    let tokens = ops.runtime.api_tokens.load();
    let is_login = request.method() == Method::POST && target.is(LOGIN);
    if tokens.has_login() && (is_page || dashboard::is_file(request.request(), target) || is_login) {
        return Ok(());
    }
    let given = request.headers().get(header::AUTHORIZATION).map(bearer);
    if let Some(token) = given.and_then(|given| std::str::from_utf8(given).ok())
        && let Some(key) = KeyToken::key_of(token)
    {
        return check_key_token(ops, request, target, &key, token);
    }
    let checked = match given {
        Some(given) => find(&tokens, given).map(|(_, scope)| scope).ok_or(AccessDenied::WrongToken),
        None => check_session(&tokens, request),
    };
    let refused = match checked {
        Ok(scope) => return scope.check(request.method(), target),
        Err(refused) => refused,
    };
    if tokens.admin.is_none() && !(tokens.is_some() && matches!(refused, AccessDenied::WrongToken)) {
        let local = check_local(request);
        // Without an admin token, local programs may do all.
        if local.is_ok() || !tokens.is_some() {
            return local;
        }
    }
    Err(match refused {
        AccessDenied::WrongToken => wrong_token(ops, request.request()),
        AccessDenied::NoToken => unauthorized(&tokens),
        AccessDenied::OtherSite => Problem::forbidden(OTHER_SITE),
    })
}

/// The reason why the token or the session of a request allows nothing.
enum AccessDenied {
    /// No token is given, or the session has ended.
    NoToken,
    /// The token or the session is wrong, so it may be a guess.
    WrongToken,
    /// The session is right, but a page of another site may have asked for a change.
    OtherSite,
}

/// The token of a header; empty if it is no bearer token.
fn bearer(header: &HeaderValue) -> &[u8] {
    let (scheme, token) = header.as_bytes().split_at_checked(BEARER.len()).unwrap_or_default();
    if scheme.eq_ignore_ascii_case(BEARER) { token } else { &[] }
}

/// Checks a token of a key, which allows a part of the API for that key.
fn check_key_token(
    ops: &AdminState,
    request: &ServiceRequest,
    target: &Target,
    key: &ApiKey,
    token: &str,
) -> Result<(), Problem> {
    let known = || {
        let tenant = ops.runtime.node.tenant(key.as_str())?;
        let policy = tenant.policy();
        let known = policy.settings().tokens.iter().find(|known| known.is(token))?;
        Some(known.scopes.clone())
    };
    let scopes = known().ok_or_else(|| wrong_token(ops, request.request()))?;
    let needed = target.needed(request.method());
    if needed.is_some_and(|(scope, of)| of == *key && scopes.contains(&scope)) {
        return Ok(());
    }
    let scopes = scopes.iter().map(|scope| scope.label()).collect::<Vec<_>>().join(", ");
    Err(Problem::forbidden(format!(
        "this token may do these things for the key {}, and no others: {scopes}",
        printable(key.as_str())
    )))
}

/// Refuses requests from pages of other sites, even with the token.
fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get(SEC_FETCH_SITE);
    let is_allowed = site.is_none_or(|site| site == "same-origin" || site == "none");
    is_allowed.then_some(()).ok_or_else(|| Problem::forbidden(OTHER_SITE))
}

/// The token that equals a given one, with what it allows. Hashes of all tokens are compared, in constant
/// time: the time reveals neither the length of a token nor which one is right.
fn find<'a>(tokens: &'a ApiTokens, given: &[u8]) -> Option<(&'a AdminToken, Scope)> {
    let hash = |text: &[u8]| digest(&SHA256, text);
    let given = hash(given);
    let is_right =
        |token: &AdminToken| bool::from(given.as_ref().ct_eq(hash(token.as_str().as_bytes()).as_ref()));
    scopes(tokens).filter(|(token, _)| is_right(token)).reduce(|first, _| first)
}

/// Counts a wrong token, in a header, a cookie or a login, and refuses it. The right one is never refused:
/// others of the same address, such as clients of a proxy, cannot keep an operator out. So what makes
/// guessing hopeless is the length of a token; the limit bounds the work for guesses.
fn wrong_token(ops: &AdminState, request: &HttpRequest) -> Problem {
    let runtime = &ops.runtime;
    let address = request.peer_addr().map(|peer| peer.ip());
    let guesser = GuessSource::new(address, is_forwarded(request.headers()));
    let now = runtime.now();
    match runtime.control.wrong_tokens.check(guesser, now) {
        Ok(()) => {
            runtime.control.wrong_tokens.count_wrong(guesser, now);
            unauthorized(&runtime.api_tokens.load())
        }
        Err(too_many) => {
            runtime.events.limit_hit(too_many.limit, None, address);
            too_many.into()
        }
    }
}

fn unauthorized(tokens: &ApiTokens) -> Problem {
    let detail = match tokens {
        ApiTokens { admin: None, read: None, metrics: Some(_) } => METRICS_UNAUTHORIZED,
        ApiTokens { admin: None, read: Some(_), .. } => READ_UNAUTHORIZED,
        _ => UNAUTHORIZED,
    };
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

/// The tokens, and what each allows.
fn scopes(tokens: &ApiTokens) -> impl Iterator<Item = (&AdminToken, Scope)> {
    let ApiTokens { admin, read, metrics } = tokens;
    let scopes = [(admin, Scope::All), (read, Scope::Read), (metrics, Scope::Metrics)];
    scopes.into_iter().filter_map(|(token, scope)| Some((token.as_ref()?, scope)))
}

const BEARER: &[u8] = b"Bearer ";

/// A browser sends its cookie for every page. So a change is accepted only if a page of this server asks for
/// it.
fn check_session(tokens: &ApiTokens, request: &ServiceRequest) -> Result<Scope, AccessDenied> {
    let headers = request.headers();
    let scope = find_session(tokens, headers, unix_time())?;
    let is_ours =
        headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin") || is_own_origin(headers);
    let is_allowed = request.method().is_safe() || is_ours;
    is_allowed.then_some(scope).ok_or(AccessDenied::OtherSite)
}

/// True if the page that asks is one of the host that it asks. Browsers send no `Sec-Fetch-Site` over plain
/// HTTP to another machine, but they send `Origin` with each change.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else { return false };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Allows only programs of this machine, and the dashboard in its browsers, but not pages of others or
/// proxies: the rule without an admin token.
fn check_local(request: &ServiceRequest) -> Result<(), Problem> {
    let headers = request.headers();
    let is_local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_by_page = headers.contains_key(header::ORIGIN) && !is_own_origin(headers);
    // DNS rebinding: a page could make its own host name resolve to this machine, and would be same-origin.
    let is_by_name =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(is_loopback_name);
    let is_allowed = is_local && is_by_name && !is_by_page && !is_forwarded(headers);
    is_allowed.then_some(()).ok_or_else(|| Problem::forbidden(NOT_LOCAL))
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    PROXY_HEADERS.iter().any(|name| headers.contains_key(name))
}

/// True if a `Host` is `localhost` or a loopback address.
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

/// The body of a browser's login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// The admin token, or the read token.
    token: String,
}

/// Begins a session in a browser: sets a cookie that counts as the token for 12 hours. Does nothing on a
/// server without a token.
#[utoipa::path(
    tag = "session",
    security(()),
    request_body(content = Login, example = json!({"token": "the-token-of-the-operator"})),
    responses((status = NO_CONTENT, description = "the session has begun"), Problem)
)]
#[post("/api/session")]
pub(super) async fn log_in(
    ops: Data<AdminState>,
    request: HttpRequest,
    target: ReqData<Target>,
    login: Json<Object<Login>>,
) -> Reply {
    let mut response = HttpResponse::NoContent();
    let tokens = ops.runtime.api_tokens.load();
    if tokens.has_login() {
        let found = find(&tokens, login.0.0.token.as_bytes());
        let (token, scope) = found.ok_or_else(|| wrong_token(&ops, &request))?;
        scope.check(request.method(), &target)?;
        let value = value(token, unix_time().saturating_add(LIFETIME));
        response.insert_header((header::SET_COOKIE, cookie(&request, &value, LIFETIME)?));
    }
    Ok(response.finish())
}

/// Ends the session in this browser.
#[utoipa::path(
    tag = "session",
    responses((status = NO_CONTENT, description = "the browser has no session"), Problem)
)]
#[delete("/api/session")]
pub(super) async fn log_out(request: HttpRequest) -> Reply {
    let none = cookie(&request, "", 0)?;
    Ok(HttpResponse::NoContent().insert_header((header::SET_COOKIE, none)).finish())
}

/// Cookies of one request that are looked at: others may be guesses.
const MAX_COOKIES: usize = 4;

/// The scope of the session of a request. The cookie of one that has ended is no guess.
fn find_session(tokens: &ApiTokens, headers: &HeaderMap, now: u64) -> Result<Scope, AccessDenied> {
    let lines = headers.get_all(header::COOKIE).filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    // Empty after a logout.
    let given = pairs.filter(|(name, value)| *name == COOKIE && !value.is_empty()).map(|(_, value)| value);
    let mut refused = AccessDenied::NoToken;
    for value in given.take(MAX_COOKIES) {
        // Tries all tokens, as for a token itself.
        let signed = scopes(tokens).filter_map(|(token, scope)| Some((expiry(token, value)?, scope)));
        match signed.reduce(|first, _| first) {
            Some((expires, scope)) if expires > now => return Ok(scope),
            Some(_) => {}
            None => refused = AccessDenied::WrongToken,
        }
    }
    Err(refused)
}

fn cookie(request: &HttpRequest, value: &str, max_age: u64) -> Result<HeaderValue, Problem> {
    let mut cookie = format!("{COOKIE}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Strict");
    // Any client can send this header: it only makes the sender's own cookie stricter.
    let proto = request.headers().get(header::X_FORWARDED_PROTO);
    let is_secure = request.app_data::<Data<AdminState>>().is_some_and(|ops| ops.clients.is_api_secure);
    if is_secure || proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https")) {
        let _ = write!(cookie, "; Secure");
    }
    HeaderValue::from_str(&cookie).map_err(|_| Problem::internal())
}

fn value(token: &AdminToken, expires: u64) -> String {
    let tag = hmac::sign(&key(token), signed(expires).as_bytes());
    format!("{expires}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// The second at which the session of a cookie expires, if the token has signed it.
fn expiry(token: &AdminToken, value: &str) -> Option<u64> {
    let (expires, tag) = value.split_once('.')?;
    let expires = expires.parse::<u64>().ok()?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    // ring compares in constant time.
    hmac::verify(&key(token), signed(expires).as_bytes(), &tag).is_ok().then_some(expires)
}

fn key(token: &AdminToken) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.as_str().as_bytes())
}

/// The text that is signed. It names its purpose, in case the token signs other texts one day.
fn signed(expires: u64) -> String {
    format!("peerbroker session until {expires}")
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

    fn token(text: &str) -> AdminToken {
        AdminToken::parse(text).unwrap()
    }

    /// The scope of a cookie of this value at a second, on a server with this admin token. An error tells if
    /// it counts as a guess.
    fn session(admin: &AdminToken, value: &str, now: u64) -> Result<Scope, bool> {
        let tokens = ApiTokens { admin: Some(admin.clone()), ..ApiTokens::default() };
        let request =
            TestRequest::default().insert_header((header::COOKIE, format!("a=b; {COOKIE}={value}")));
        let found = find_session(&tokens, request.to_http_request().headers(), now);
        found.map_err(|refused| matches!(refused, AccessDenied::WrongToken))
    }

    #[test]
    fn a_session_ends_with_its_time_and_with_its_token() {
        let other = token("a-token-of-another-one");
        let token = token("a-token-of-the-operator");
        let value = value(&token, 1000);
        assert_eq!(session(&token, &value, 999), Ok(Scope::All));
        assert_eq!(session(&token, &value, 1000), Err(false), "it has expired, and is no guess");
        assert_eq!(session(&other, &value, 999), Err(true), "the token has changed");
    }

    #[test]
    fn a_session_cannot_be_changed_or_made_up() {
        let token = token("a-token-of-the-operator");
        let value = value(&token, 1000);
        let (_, tag) = value.split_once('.').unwrap();
        let cut = &value[..value.len() - 1];
        for other in [&format!("2000.{tag}"), &format!("01000.{tag}x"), cut, "1000.", "1000", ".", "x.y"] {
            assert_eq!(session(&token, other, 0), Err(true), "{other}");
        }
        assert_eq!(session(&token, "", 0), Err(false), "after a logout");
    }

    #[test]
    fn more_cookies_than_a_browser_sends_are_not_tried() {
        let token = token("a-token-of-the-operator");
        let value = value(&token, 1000);
        let with = |guesses: usize| {
            session(&token, &format!("{}{value}", format!("1.x; {COOKIE}=").repeat(guesses)), 0)
        };
        assert_eq!(with(MAX_COOKIES - 1), Ok(Scope::All));
        assert_eq!(with(MAX_COOKIES), Err(true));
    }
}
