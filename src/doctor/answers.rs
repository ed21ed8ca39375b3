//! What the answers over HTTP say: the key, the origin of pages, the clock, proxy headers, discovery.

use std::time::{Duration, UNIX_EPOCH};

use hyper::StatusCode;
use jiff::fmt::rfc2822;

use super::finding::Finding;
use super::http::{Answer, Server};
use super::told::Told;

/// A larger difference between two clocks gets a warning.
const MAX_SKEW: u64 = 30;
/// The page that asks if the user names none. Nobody can own it (RFC 2606).
const ANY_PAGE: &str = "https://page.invalid";

/// Compares the clocks.
pub(super) fn clock(answer: &Answer) -> Finding {
    let Some(theirs) = rfc2822::DateTimeParser::new().parse_timestamp(answer.header("date")).ok() else {
        return Finding::skipped("clock", "the server does not say its time");
    };
    let ours = answer.at.duration_since(UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs);
    let theirs = u64::try_from(theirs.as_second()).unwrap_or(0);
    let (apart, which) = (theirs.abs_diff(ours), if theirs > ours { "ahead of" } else { "behind" });
    if apart <= MAX_SKEW {
        return Finding::ok("clock", "the clocks of the server and of this machine agree");
    }
    Finding::warning(
        "clock",
        format!("the server's clock is {apart} s {which} the one of this machine"),
        "Set the wrong one with NTP (timedatectl set-ntp true). Credentials of TURN, tokens and certificates depend on the time.",
    )
}

/// Whether the server has the key. `answer` is that to the question for an id. `None` if it does not say it.
pub(super) fn key(server: &Server, answer: &Answer, told: Option<&Told>) -> Option<Finding> {
    let key = &server.target.key;
    if answer.status == StatusCode::FORBIDDEN {
        let (found, advice) = match &server.origin {
            Some(origin) => (
                format!(
                    "pages of {origin} may not use the key '{key}': they get 403, and PeerJS reports a server error"
                ),
                format!(
                    "Add the page: peerbroker keys set {key} --origin {origin} (with the key's other origins)."
                ),
            ),
            None => (
                format!("the key '{key}' is for pages of certain origins only"),
                "Run the doctor with --origin and the address of your page.".to_owned(),
            ),
        };
        return Some(Finding::failed("key", found, advice));
    }
    if answer.header("x-peerbroker-key") == "unknown" {
        let own = match told {
            Some(Told { key: Some(own), .. }) => format!("Its built-in key is '{own}'."),
            Some(_) => "It has no built-in key.".to_owned(),
            None => String::new(),
        };
        return Some(Finding::failed(
            "key",
            format!("the server has no key '{key}', or it is disabled"),
            format!(
                "{own} Give the key of your client with --key; `peerbroker keys list` shows the stored ones."
            )
            .trim_start(),
        ));
    }
    told.map(|_| Finding::ok("key", format!("the server has the key '{key}'")))
}

/// Whether pages may read answers. `answer` is that to the question for an id.
pub(super) async fn cors(server: &Server, answer: &Answer) -> Finding {
    let other;
    let (page, answer) = match &server.origin {
        Some(origin) => (origin.as_str(), answer),
        None => match server.get(&server.path_of_key("id"), Some(ANY_PAGE)).await {
            Ok(answer) => {
                other = answer;
                (ANY_PAGE, &other)
            }
            Err(error) => return Finding::failed("cors", error.shown(), "Run the doctor again."),
        },
    };
    let is_named = server.origin.is_some();
    let allowed: Vec<&str> = answer
        .headers
        .get_all("access-control-allow-origin")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let pages = if is_named { format!("pages of {page}") } else { "pages of any origin".to_owned() };
    match allowed.as_slice() {
        [one] if *one == "*" || *one == page => Finding::ok("cors", format!("{pages} may read the answers")),
        [_, _, ..] => Finding::failed(
            "cors",
            "the answer has Access-Control-Allow-Origin twice, so browsers refuse it",
            "The broker sets this header. Take it out of the proxy in front (nginx: add_header).",
        ),
        _ if !is_named => Finding::skipped(
            "cors",
            "only pages of certain origins may use the server: name yours with --origin to check it",
        ),
        _ => Finding::failed(
            "cors",
            format!("browsers do not let {pages} read the answers: their console has an error about CORS"),
            format!(
                "Start the broker with --cors {page} beside its other origins. A proxy must not remove the header."
            ),
        ),
    }
}

/// The text that the server has for a GET at the WebSocket's path, which names how clients reach it.
pub(super) async fn told(server: &Server) -> Option<Told> {
    let answer = server.get(&server.path("peerjs"), server.origin.as_deref()).await.ok()?;
    Told::read(&answer.body)
}

/// Whether the server knows under which address clients reach it.
pub(super) fn proxy(server: &Server, told: Option<&Told>) -> Finding {
    let Some(told) = told else {
        return Finding::skipped("proxy", "only a peerbroker tells under which address clients reach it");
    };
    let target = &server.target;
    let scheme = |secure| if secure { "https" } else { "http" };
    let seen = format!("{}://{}:{}", scheme(told.secure), told.host, told.port);
    let told_host = told.host.trim_start_matches('[').trim_end_matches(']');
    let is_host = told_host.eq_ignore_ascii_case(&target.host);
    if is_host && told.port == target.port && told.secure == server.secure {
        return Finding::ok("proxy", "the server knows the address under which clients reach it");
    }
    let header = match (is_host, told.secure == server.secure) {
        (true, true) => "X-Forwarded-Host with the port",
        (true, false) => "X-Forwarded-Proto",
        (false, true) => "X-Forwarded-Host",
        (false, false) => "X-Forwarded-Host and X-Forwarded-Proto",
    };
    Finding::warning(
        "proxy",
        format!(
            "the server believes that clients reach it at {seen}: so its pages and its peerjs.js lead there"
        ),
        format!(
            "Start the broker with --proxied, and have the proxy in front set {header}, and X-Forwarded-For too: without it, all \
             clients share the limits of one address (docs/PROXY.md)."
        ),
    )
}

/// Whether clients may list the ids of all peers. Two peers of ours are connected.
pub(super) async fn discovery(server: &Server, ours: &[&str]) -> Finding {
    let answer = match server.get(&server.path_of_key("peers"), server.origin.as_deref()).await {
        Ok(answer) => answer,
        Err(error) => return Finding::failed("discovery", error.shown(), "Run the doctor again."),
    };
    let ids: Option<Vec<String>> = serde_json::from_str(&answer.body).ok();
    match (answer.status, ids) {
        (StatusCode::OK, Some(ids)) if ours.iter().all(|id| ids.iter().any(|known| known == id)) => {
            Finding::ok(
                "discovery",
                format!("clients may list the ids of all peers of the key: {} now", ids.len()),
            )
        }
        (StatusCode::OK, Some(_)) => Finding::warning(
            "discovery",
            "the list of peers lacks a peer that is connected",
            "Several servers seem to be behind this address that do not know each other: make them a cluster (docs/CLUSTER.md).",
        ),
        (StatusCode::UNAUTHORIZED, _) => {
            Finding::ok("discovery", "off: clients cannot list the ids of other peers")
        }
        _ => Finding::skipped("discovery", format!("the server has no list of peers ({})", answer.shown())),
    }
}
