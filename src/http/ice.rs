//! `GET {path}{key}/ice`: the ICE servers for clients of a key, with time-limited credentials.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::legacy::too_many_requests;
use super::mounted::Mounted;
use super::response::plain;
use super::{endpoint, forwarded, peerjs, percent};
use crate::client_options::ClientOptions;
use crate::config::{IceConfig, OwnIceServers};
use crate::keys::{RelayMode, Settings, unix_time};

/// Answers with the servers, in the form that `RTCPeerConnection` takes. `key` is percent-encoded.
pub(super) async fn servers(mounted: &Mounted, key: &str, request: &HttpRequest) -> HttpResponse {
    let parts = &mounted.parts;
    let Some(key) = percent::decode(key) else {
        return plain(StatusCode::BAD_REQUEST, "Bad Request");
    };
    // Not as for an id: credentials for a key that does not exist help nobody.
    let Some(active) = parts.keys.get(&key) else {
        return plain(StatusCode::UNAUTHORIZED, "Unauthorized");
    };
    if !active.key.settings.ice_servers {
        return plain(StatusCode::FORBIDDEN, "ICE servers are turned off for this key\n");
    }
    if let Err(too_many) = endpoint::count_open(parts, request) {
        return too_many_requests(too_many);
    }
    if let Some(token) = peerjs::bearer(request)
        && active.id_of(token).await.is_err()
    {
        return plain(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    let here = forwarded::client_options(mounted, request);
    let config = parts.config();
    let servers = listed(&config.ice, &parts.own_ice(), &here, &key, unix_time());
    let answer = json!({ "iceServers": servers, "ttl": config.ice.ttl.as_secs() });
    let mut response = peerjs::json(answer.to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether clients of the key in the query, or of the built-in key, are told any server. If not, no page asks.
pub(super) fn has_servers(mounted: &Mounted, request: &HttpRequest) -> bool {
    let Mounted { parts, .. } = mounted;
    let (config, own) = (&parts.config().ice, &parts.own_ice());
    let turn_urls = [&own.turn_urls, &config.turn_urls];
    let has_turn =
        own.tls_port.is_some() || own.tls_at_broker || turn_urls.iter().any(|urls| !urls.is_empty());
    let has_stun = !own.stun_urls.is_empty() || !config.stun_urls.is_empty();
    let is_on = setting(mounted, request, |key| key.ice_servers).unwrap_or(true);
    is_on && (has_stun || (has_turn && config.turn_secret.is_some()))
}

/// Whether calls of the key in the query, or of the built-in key, can go through a relay of this server.
pub(super) fn has_relay(mounted: &Mounted, request: &HttpRequest) -> bool {
    let is_on = setting(mounted, request, |key| key.relay != RelayMode::Off).unwrap_or(true);
    is_on && mounted.parts.node.relay().is_some()
}

/// A setting of the key in the query of a page or script, or of the built-in key, if it exists.
fn setting<T>(mounted: &Mounted, request: &HttpRequest, of: impl Fn(&Settings) -> T) -> Option<T> {
    let query = form_urlencoded::parse(request.query_string().as_bytes());
    let asked = query.filter(|(name, _)| name == "key").map(|(_, key)| key).next();
    let active = match asked {
        Some(key) => mounted.parts.keys.get(&key),
        None => mounted.parts.keys.get(mounted.parts.config().key.as_str()),
    };
    active.map(|active| of(&active.key.settings))
}

/// STUN servers, then TURN servers; of each, this program's own first. One entry for all servers of a kind: they share
/// their credentials. `here` is how the client reaches the broker, `now` in seconds since 1970.
fn listed(config: &IceConfig, own: &OwnIceServers, here: &ClientOptions, key: &str, now: u64) -> Vec<Value> {
    let stun: Vec<&String> = own.stun_urls.iter().chain(&config.stun_urls).collect();
    let tls_ports = own.tls_port.into_iter().chain(own.tls_at_broker.then_some(here.port));
    let over_tls = tls_ports.map(|port| format!("turns:{}:{port}?transport=tcp", here.host));
    let turn: Vec<String> =
        own.turn_urls.iter().cloned().chain(over_tls).chain(config.turn_urls.iter().cloned()).collect();
    let mut servers = Vec::new();
    if !stun.is_empty() {
        servers.push(json!({ "urls": stun }));
    }
    // Without credentials, browsers throw an error.
    if let Some(secret) = config.turn_secret.as_ref().filter(|_| !turn.is_empty()) {
        let credentials = secret.credentials(key, now.saturating_add(config.ttl.as_secs()));
        servers.push(json!({
            "urls": turn,
            "username": credentials.username,
            "credential": credentials.credential,
        }));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, TurnSecret};

    fn here(host: &str) -> ClientOptions {
        let Config { path, key, .. } = Config::default();
        ClientOptions::new(host.to_owned(), 8443, &path, &key, true)
    }

    fn urls(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn own() -> OwnIceServers {
        OwnIceServers {
            stun_urls: urls(&["stun:192.0.2.1:3479"]),
            turn_urls: urls(&["turn:192.0.2.1:3479?transport=udp"]),
            tls_port: Some(3479),
            tls_at_broker: true,
        }
    }

    fn configured() -> IceConfig {
        IceConfig {
            stun_urls: urls(&["stun:stun.example.org"]),
            turn_urls: urls(&["turn:turn.example.org"]),
            turn_secret: Some(TurnSecret::parse("0123456789abcdef0123456789abcdef").unwrap()),
            ..IceConfig::default()
        }
    }

    #[test]
    fn own_servers_come_first_and_all_turn_servers_share_their_credentials() {
        let servers = listed(&configured(), &own(), &here("example.org"), "peerjs", 1_735_603_200);
        let expected = json!([
            { "urls": ["stun:192.0.2.1:3479", "stun:stun.example.org"] },
            {
                "urls": [
                    "turn:192.0.2.1:3479?transport=udp",
                    "turns:example.org:3479?transport=tcp",
                    "turns:example.org:8443?transport=tcp",
                    "turn:turn.example.org",
                ],
                "username": "1735689600:peerjs",
                "credential": "XooFo5KLJawITxUueayB0WI+YJg=",
            },
        ]);
        assert_eq!(json!(servers), expected);
    }

    #[test]
    fn a_turn_server_without_credentials_is_not_listed() {
        let config = IceConfig { turn_secret: None, ..configured() };
        let servers = listed(&config, &OwnIceServers::default(), &here("example.org"), "peerjs", 0);
        assert_eq!(json!(servers), json!([{ "urls": ["stun:stun.example.org"] }]));
        assert_eq!(
            listed(&IceConfig::default(), &OwnIceServers::default(), &here("h"), "peerjs", 0),
            [json!(null); 0]
        );
    }
}
