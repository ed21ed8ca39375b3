//! The cookie of a session, which stands for the admin token in a browser.
//!
//! Nothing is stored. The cookie is the second at which it expires, and an HMAC of that by the token. So it is valid on all
//! nodes with the same token, and ends when the token changes.

use std::fmt::Write as _;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::problem::Problem;
use crate::config::AdminToken;
use crate::keys::unix_time;

/// Cookies do not know ports, so two servers at one host name share it.
const COOKIE: &str = "peerbroker_session";

/// How long a session lasts, in seconds.
const LIFETIME: u64 = 12 * 60 * 60;

/// The cookie of a new session.
pub(super) fn of_new_session(request: &HttpRequest, token: &AdminToken) -> Result<HeaderValue, Problem> {
    cookie(request, &value(token, unix_time().saturating_add(LIFETIME)), LIFETIME)
}

/// The cookie that removes itself.
pub(super) fn of_no_session(request: &HttpRequest) -> Result<HeaderValue, Problem> {
    cookie(request, "", 0)
}

/// Whether the request has a cookie of a session that has not ended.
pub(super) fn has_session(token: &AdminToken, headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::COOKIE).filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.any(|(name, value)| name == COOKIE && is_valid(token, value, unix_time()))
}

fn cookie(request: &HttpRequest, value: &str, max_age: u64) -> Result<HeaderValue, Problem> {
    let mut cookie = format!("{COOKIE}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Strict");
    // Anybody may send this header: it only makes the sender's own cookie stricter.
    let proto = request.headers().get(header::X_FORWARDED_PROTO);
    if proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https")) {
        let _ = write!(cookie, "; Secure");
    }
    HeaderValue::from_str(&cookie).map_err(|_| Problem::internal())
}

fn value(token: &AdminToken, expires: u64) -> String {
    let tag = hmac::sign(&key(token), signed(expires).as_bytes());
    format!("{expires}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn is_valid(token: &AdminToken, value: &str, now: u64) -> bool {
    let Some((expires, tag)) = value.split_once('.') else { return false };
    let (Ok(expires), Ok(tag)) = (expires.parse::<u64>(), URL_SAFE_NO_PAD.decode(tag)) else { return false };
    // ring compares in constant time.
    expires > now && hmac::verify(&key(token), signed(expires).as_bytes(), &tag).is_ok()
}

fn key(token: &AdminToken) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.as_str().as_bytes())
}

/// The text that is signed. It says its purpose, in case the token signs something else one day.
fn signed(expires: u64) -> String {
    format!("peerbroker session until {expires}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> AdminToken {
        AdminToken::parse(text).unwrap()
    }

    #[test]
    fn a_session_ends_with_its_time_and_with_its_token() {
        let (token, other) = (token("a-token-of-the-operator"), token("a-token-of-another-one"));
        let value = value(&token, 1000);
        assert!(is_valid(&token, &value, 999));
        assert!(!is_valid(&token, &value, 1000), "it has expired");
        assert!(!is_valid(&other, &value, 999), "the token has changed");
    }

    #[test]
    fn a_session_cannot_be_changed_or_made_up() {
        let token = token("a-token-of-the-operator");
        let value = value(&token, 1000);
        let (_, tag) = value.split_once('.').unwrap();
        let cut = &value[..value.len() - 1];
        for other in [&format!("2000.{tag}"), &format!("01000.{tag}x"), cut, "1000.", "1000", ".", "", "x.y"]
        {
            assert!(!is_valid(&token, other, 0), "{other}");
        }
    }
}
