//! The table of settings: a new flag is one row, and the place that uses its value.
//!
//! Flags, variables, the configuration file, `config show`, reloads, the help, the manual page, the
//! completions and the table in `docs/CONFIG.md` come from it.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use peerbroker_config::{
    AcmeName, AdminToken, Ban, Degraded, LETS_ENCRYPT, MountPath, ProxySecret, TurnSecret, TurnUser,
    WebhookEvent,
};
use peerbroker_keys::{IdStyle, Origin, RelayMode, WebhookSecret};

use super::odd;
use super::row::{KEY, NODE, Need, Row};
use super::values::{
    ANY, BYTE_RATE, BYTES, COUNT, DAYS, DIR, FILE, Kind, LogFormat, MILLIS, SECONDS, api_key, choice, cors,
    dialect, discovery, is_acme_directory, is_node_name, is_node_url, is_some, is_stun_url, is_turn_url,
    kind, media_address, network, number, off_switch, parse_filter, parsed, path, peer_rule, pipes, port,
    ports, public_host, show_media_address, show_peer_rule, switch, text, text_if, time,
};
use crate::stored_keys::KeysIn;

/// The group of the flags that are no settings, too.
pub(super) const BASICS: &str = "Basics";

const PROXIED: Need = Need("--proxied", |draft| draft.config.proxied);
const ANY_PROXY: Need =
    Need("--proxied or --proxy_protocol", |draft| draft.config.proxied || draft.config.proxy_protocol);
const ACME: Need = Need("--acme", |draft| !draft.acme.names.is_empty());
const REGISTRATION: Need = Need("--registration open", |draft| draft.config.registration.open);
const REDIS: Need = Need("--redis", |draft| !draft.redis.url.is_empty());
const CLUSTER: Need = Need("--redis", |draft| draft.backplane().is_some());
const MEDIA: Need = Need("--relay or --turn", |draft| !draft.relay_at.is_empty() || !draft.turn.is_empty());
const RELAY: Need = Need("--relay", |draft| !draft.relay_at.is_empty());
const CREDENTIALS: Need =
    Need("--turn or --turn_url", |draft| !draft.turn.is_empty() || !draft.config.ice.turn_urls.is_empty());
const TURN: Need = Need("--turn", |draft| !draft.turn.is_empty());
const PORTS: Need = Need("--turn_ports", |draft| draft.turn_ports.is_some());
const WEBHOOK: Need = Need("--webhook", |draft| !draft.config.webhooks.operator.url.is_empty());
const OPS: Need = Need("--ops_port", |draft| draft.ops_port.is_some());
const OPS_TLS: Need = Need("--ops_port, and --sslcert or --acme", |draft| {
    OPS.1(draft) && (draft.sslcert.is_some() || ACME.1(draft))
});
const REPORTS: Need = Need("--ops_port or --webhook", |draft| {
    OPS.1(draft) || WEBHOOK.1(draft) || !draft.config.key_settings.call_reports
});

/// About a year: longer times are surely mistakes.
const MAX_MILLIS: u64 = 31_536_000_000;

/// Shortest lease, in milliseconds: a busy machine may not run us for a second.
const MIN_LEASE: u64 = 1000;

const TIME: RangeInclusive<u64> = 1..=MAX_MILLIS;

/// All settings, in the order of `--help`: one line for the value, and one for the words and the rest.
#[rustfmt::skip]
pub static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    [
        group(BASICS, vec![
            Row::new("port", |d| &mut d.listen.port, port(),
                "TCP port; 0: a free one", "The start line shows it.").short('p').fallback("PORT").common().commands(&["doctor"]).of(NODE).odd(odd::port),
            Row::new("host", |d| &mut d.listen.host, text("HOST"),
                "Address or name to listen on", "`::` is IPv6 and IPv4. Of a name, the first address counts.").short('H').common().of(NODE).odd(odd::host),
            Row::new("path", |d| &mut d.config.path, kind("PATH", MountPath::parse, |path| path.shown().to_owned()),
                "Mount path", "Slashes around it are optional.").fallback("PEERSERVER_PATH").common().odd(odd::path),
            Row::new("static_dir", |d| &mut d.config.static_dir, path(DIR),
                "Directory with the files of your app", "[Served](OPERATING.md#serving-your-app) below the path.").common().live().of(NODE),
            Row::new("pages", |d| &mut d.config.pages, switch(),
                "Serve the landing page and the demos", "").live(),
            Row::new("unix_socket", |d| &mut d.listen.unix_socket, path(FILE),
                "Listen on this [Unix socket](DEPLOY.md#other-proxies) too", "").of(NODE),
            Row::new("workers", |d| &mut d.listen.workers, number(&COUNT, 0..=1024),
                "Worker threads; 0: one per core", "").of(NODE),
            Row::new("reuse_port", |d| &mut d.listen.reuse_port, switch(),
                "Let [the next server](OPERATING.md#updating-without-a-failed-connection) listen on the same ports before this one ends; Linux only", "").of(NODE),
            Row::new("drain_timeout", |d| &mut d.listen.drain_timeout, time(&MILLIS, 0..=MAX_MILLIS),
                "Time over which [a stopping server](OPERATING.md#signals-and-exit-codes) closes its clients; 0 closes all at once", "Another server is a node of the cluster, or one on the same port; with a socket of systemd, the default is 1000.").unset("10000 if another server can take them, otherwise 0").of(NODE),
            Row::new("config", |d| &mut d.file, path(FILE),
                "[File with settings](#the-file) (TOML), named as the flags", "").common().commands(&["keys", "backup", "doctor"]).of(NODE),
        ]),
        group("TLS", vec![
            Row::new("sslkey", |d| &mut d.sslkey, path(FILE),
                "Private key for HTTPS (PEM), with --sslcert", "PKCS#8, PKCS#1 or SEC1, without a passphrase.").common().of(NODE),
            Row::new("sslcert", |d| &mut d.sslcert, path(FILE),
                "Certificate and chain (PEM), with --sslkey", "It may be the same file. [No restart](TLS.md#files) after a change.").common().of(NODE),
            Row::new("acme", |d| &mut d.acme.names, parsed("NAME", AcmeName::parse),
                "Get and renew [a certificate](TLS.md#a-certificate-by-itself) for these host names and IP addresses; needs --data_dir", "You accept the terms of the ACME server. Not with --sslcert."),
            Row::new("acme_directory", |d| &mut d.acme.directory, text_if("URL", is_acme_directory, format!("the https:// URL of a directory, as in {}", LETS_ENCRYPT)),
                "Directory of the ACME server", "").needs(&ACME),
            Row::new("acme_http_port", |d| &mut d.acme.http_port, port(),
                "TCP port for HTTP-01 that redirects to HTTPS; 0: none, so port 443 must lead to --port", "").needs(&ACME).of(NODE),
            Row::new("acme_ca", |d| &mut d.acme.ca, path(FILE),
                "Authorities that may certify the ACME server (PEM)", "").unset("the public ones").needs(&ACME).of(NODE),
        ]),
        group("Behind a proxy", vec![
            Row::new("proxied", |d| &mut d.config.proxied, switch(),
                "Trust the headers of [a proxy](PROXY.md) in front", "").common().live().odd(odd::switch),
            Row::new("proxy_protocol", |d| &mut d.config.proxy_protocol, switch(),
                "Take the address of a client from the PROXY protocol of [a TCP proxy](PROXY.md#tcp-proxies) in front", "Versions 1 and 2, from trusted proxies.").live(),
            Row::new("trusted_proxy", |d| &mut d.config.trusted_proxies, parsed("CIDR", network),
                "Networks or addresses of trusted proxies, as in 10.0.0.0/8; with --proxied or --proxy_protocol", "").unset("loopback and private networks").needs(&ANY_PROXY).live(),
            Row::new("proxy_secret", |d| &mut d.config.proxy_secret, kind("SECRET", ProxySecret::parse, |secret: &ProxySecret| secret.as_str().to_owned()),
                "Secret that trusted proxies must send in X-Proxy-Secret, 16 characters or more", "").secret().needs(&PROXIED).live(),
        ]),
        group("Keys and pages that may use them", vec![
            Row::new("ban", |d| &mut d.config.bans, parsed("CIDR", Ban::parse),
                "Networks or addresses whose clients [are refused](OPERATING.md#somebody-floods-the-broker), as in 192.0.2.0/24",
                "With an end or for one key: 192.0.2.7,until=2027-01-31T12:00:00Z,key=my-game").live(),
            Row::new("key", |d| &mut d.config.key, api_key(),
                "API key that clients must send", "The built-in key: 1 to 128 bytes, not secret.").short('k').common().live().odd(odd::key),
            Row::new("no_default_key", |d| &mut d.config.default_key, off_switch(),
                "Disable the built-in key: only those of the store and the file are accepted", "").live(),
            Row::new("data_dir", |d| &mut d.data_dir, path(DIR),
                "Directory for [stored keys](KEYS.md) and certificates", "Created if missing.").common().commands(&["keys", "backup"]).of(NODE),
            Row::new("allow_discovery", |d| &mut d.config.key_settings.allow_discovery, discovery(),
                "Let clients list the ids of all peers by `GET /{key}/peers`, or `near`: those [of their network](USE.md#devices-near)", "pin: none, only rooms for those who enter the same PIN.").live().of(KEY).odd(odd::discovery),
            Row::new("leave_on_close", |d| &mut d.config.key_settings.leave_on_close, switch(),
                "Tell the peers of a client when [its page goes away](PROTOCOL.md#a-page-goes-away)", "").live().of(KEY).odd(odd::switch),
            Row::new("allow_rooms", |d| &mut d.config.key_settings.allow_rooms, switch(),
                "Let clients use [rooms](PROTOCOL.md#rooms)", "").live().of(KEY).odd(odd::switch),
            Row::new("call_reports", |d| &mut d.config.key_settings.call_reports, switch(),
                "Let pages with the served `peerjs.js` report [how their connections went](PROTOCOL.md#call-reports)", "").needs(&REPORTS).live().of(KEY).odd(odd::switch),
            Row::new("cors", |d| &mut d.cors, kind("ORIGIN", cors, |origin: &Option<Origin>| origin.as_ref().map_or("*".to_owned(), Origin::to_string)),
                "Pages that may read HTTP answers", "As https://example.org, https://*.example.org for all subdomains, or [that of an app](KEYS.md#apps-and-files); `*` for all.").unset("all").live().odd(odd::origin),
            Row::new("registration", |d| &mut d.config.registration.open, choice("open|closed", [("open", true), ("closed", false)]),
                "`open` lets anybody [register a key](KEYS.md#registration) on the landing page", "").live(),
            Row::new("registrations_per_day", |d| &mut d.config.registration.per_day, number(&COUNT, ANY),
                "Keys that one address may register within 24 hours; 0: no limit", "").needs(&REGISTRATION).live(),
            Row::new("registration_ttl", |d| &mut d.config.registration.ttl_days, number(&DAYS, ANY),
                "Delete registered keys that had no client for this long; 0 keeps them", "").live(),
            Row::new("id_style", |d| &mut d.config.key_settings.id_style, choice("STYLE", IdStyle::ALL.map(|style| (style.label(), style))),
                "Form of [the ids](SECURITY.md#ids) that the server gives: uuid, short (`7kq2mzx9`) or words (`amber-river-piano-fox`)", "").live().of(KEY),
        ]),
        group("Many nodes", vec![
            Row::new("redis", |d| &mut d.redis.url, text_if("URL", is_some, "a URL"),
                "Redis or Valkey that [a cluster](CLUSTER.md) shares", "redis://, rediss:// (TLS), redis-sentinel:// or redis-cluster://.").hidden().common().commands(&["keys"]),
            Row::new("redis_ca", |d| &mut d.redis.ca, path(FILE),
                "Authorities that may certify the Redis (PEM), for [TLS](CLUSTER.md#tls)", "The three files are read for each connection.").needs(&REDIS).commands(&["keys"]).of(NODE),
            Row::new("redis_cert", |d| &mut d.redis_cert, path(FILE),
                "Certificate and chain for the Redis (PEM), with --redis_key", "").with("redis_key").needs(&REDIS).commands(&["keys"]).of(NODE),
            Row::new("redis_key", |d| &mut d.redis_key, path(FILE),
                "Private key of --redis_cert (PEM), without a passphrase", "").with("redis_cert").commands(&["keys"]).of(NODE),
            Row::new("keys", |d| &mut d.keys, choice("STORE", KeysIn::ALL.map(|kind| (kind.label(), kind))),
                "Where stored keys are: in --data_dir (sqlite), or in the Redis (redis)", "").commands(&["keys"]),
            Row::new("node_name", |d| &mut d.cluster.node_name, text_if("NAME", is_node_name, "1 to 100 bytes of text"),
                "Name of this node", "").unset("the host's name and four random characters").needs(&CLUSTER).of(NODE),
            Row::new("node_url", |d| &mut d.listen.node_url, text_if("URL", is_node_url, "http:// or https://, a host, and a path that ends with a slash, as in http://10.0.0.2:9000/"),
                "URL of this node for the others, for [pipes](CALLS.md#pipes) between them, as in http://10.0.0.2:9000/", "").unset("its address, port and path").needs(&CLUSTER).of(NODE),
            Row::new("cluster_lease", |d| &mut d.cluster.lease, time(&MILLIS, MIN_LEASE..=MAX_MILLIS),
                "Time after which other clients may take the ids of a dead node", "").needs(&CLUSTER),
            Row::new("cluster_degraded", |d| &mut d.cluster.degraded, choice("allow|refuse", [("allow", Degraded::Allow), ("refuse", Degraded::Refuse)]),
                "Whether new clients get ids [while Redis cannot be reached](CLUSTER.md#outages)", "").needs(&CLUSTER),
        ]),
        group("Calls that cannot go directly", vec![
            Row::new("relay", |d| &mut d.relay_at, Kind { alone: Some("all"), ..kind("ADDRESS", media_address, show_media_address) },
                "Relay calls that cannot go directly", "At all addresses, or one of IPv4, one of IPv6 or both, as in 198.51.100.7 or [2001:db8::7]:3478. UDP and TCP port 3478 by default, also for STUN. Clients are told [the best address](CALLS.md).").at_most(2).common().of(NODE),
            Row::new("relay_public", |d| &mut d.relay_public, parsed("HOST", public_host),
                "Address or host name at which clients find the relay and TURN, if behind a NAT", "A name is looked up every minute.").at_most(2).unset("the best that it finds").of(NODE),
            Row::new("relay_mode", |d| &mut d.config.key_settings.relay, choice("MODE", RelayMode::ALL.map(|mode| (mode.label(), mode))),
                "Which calls of the built-in key are relayed: fallback those that cannot go directly, always all, hiding addresses, off none", "").live().of(KEY),
            Row::new("relay_tcp_port", |d| &mut d.relay.tcp_port, port(),
                "TCP port [besides the relay's](CALLS.md#one-port-for-everything) that clients are told, as in 443; 0: none", "").unset("that of --port; none with --proxied").needs(&RELAY).of(NODE),
            Row::new("relay_private", |d| &mut d.relay.private, switch(),
                "Relay for clients with private addresses too", "").of(NODE),
            Row::new("relay_drain_timeout", |d| &mut d.listen.relay_drain_timeout, time(&MILLIS, 0..=MAX_MILLIS),
                "Time for which relayed calls [may go on](OPERATING.md#relayed-calls-in-an-update) when the server stops", "").unset("600000 with --reuse_port, otherwise 0").needs(&MEDIA).of(NODE),
            Row::new("relay_calls", |d| &mut d.config.media_limits.calls, number(&COUNT, ANY),
                "Calls that the relay knows, whether they need it or not", "Half as many TURN allocations, a twentieth of these of one address.").live(),
            Row::new("relay_bytes_per_second", |d| &mut d.config.media_limits.bytes_per_second, number(&BYTE_RATE, ANY),
                "Rate of one relayed call or TURN allocation, both directions together; 0: no limit", "").live(),
            Row::new("turn", |d| &mut d.turn, Kind { alone: Some("all"), ..kind("ADDRESS", media_address, show_media_address) },
                "Address of [a TURN server](CALLS.md#turn), as in [2001:db8::7]:5349, for UDP, TCP and TLS", "As --relay; alone, at the relay's addresses, or all. Port 5349 by default, or the relay's + 1871.").at_most(2).of(NODE),
            Row::new("turn_ports", |d| &mut d.turn_ports, kind("MIN-MAX", ports, |ports: &RangeInclusive<u16>| format!("{}-{}", ports.start(), ports.end())),
                "UDP ports that the TURN server relays at, as in 50000-59999", "").unset("none").of(NODE),
            Row::new("turn_peers", |d| &mut d.turn_peers, kind("CIDR", peer_rule, show_peer_rule),
                "Networks that [TURN clients](CALLS.md#turn) may send to beside public addresses, or with ! in front may not", "").needs(&PORTS).of(NODE),
            Row::new("turn_users", |d| &mut d.config.ice.turn_users, kind("NAME:PASSWORD", TurnUser::parse, |user: &TurnUser| format!("{}:{}", user.name, user.password())),
                "Users of [TURN](CALLS.md#turn-for-other-servers) with fixed passwords", "").secret().needs(&TURN).live(),
        ]),
        group("Data without WebRTC", vec![
            Row::new("pipes", |d| &mut d.config.pipes.total, pipes(),
                "Pipes of all keys: [data that WebRTC cannot carry](CALLS.md#pipes), encrypted by the pages; off: none", "").live(),
            Row::new("pipe_total_bytes_per_second", |d| &mut d.config.pipes.total_bytes_per_second, number(&BYTE_RATE, ANY),
                "Rate of all pipes, both directions together; 0: no limit", "Half of that for one key, an eighth for one pipe.").live(),
        ]),
        group("ICE servers that clients are told", vec![
            Row::new("stun_url", |d| &mut d.config.ice.stun_urls, text_if("URL", is_stun_url, "stun:HOST or stuns:HOST, with or without a port, as in stun:stun.example.org:3478"),
                "[STUN server](CALLS.md#ice-servers) that clients are told, as in stun:stun.example.org:3478", "").live(),
            Row::new("turn_url", |d| &mut d.config.ice.turn_urls, text_if("URL", is_turn_url, "turn:HOST or turns:HOST without a user, with or without a port and ?transport=udp or ?transport=tcp, as in turn:turn.example.org:3478?transport=udp"),
                "TURN server that clients are told, as in turn:turn.example.org:3478?transport=udp", "It has to know --turn_secret.").live(),
            Row::new("turn_secret", |d| &mut d.config.ice.turn_secret, kind("SECRET", TurnSecret::parse, |secret: &TurnSecret| secret.as_str().to_owned()),
                "Secret shared with TURN servers (coturn: `static-auth-secret`), 16 random characters or more", "").secret().needs(&CREDENTIALS).live(),
            Row::new("turn_ttl", |d| &mut d.config.ice.ttl, time(&SECONDS, 1..=MAX_MILLIS / 1000),
                "Time that TURN credentials are valid", "").needs(&CREDENTIALS).live(),
        ]),
        group("Webhooks", vec![
            Row::new("webhook", |d| &mut d.config.webhooks.operator.url, text_if("URL", is_some, "a URL"),
                "URL that gets [events](WEBHOOKS.md) about clients, keys and the server", "").live(),
            Row::new("webhook_secret", |d| &mut d.config.webhooks.operator.secrets, kind("SECRET", WebhookSecret::parse, |secret: &WebhookSecret| secret.clone().into()),
                "Secret that signs the events of --webhook: whsec_ and base64 of 24 to 64 bytes; several while one replaces another", "").secret().live(),
            Row::new("webhook_events", |d| &mut d.webhook_events, choice("LIST", webhook_events()),
                "Types of [events](WEBHOOKS.md#events) that --webhook gets, as in peer.connected,peer.disconnected", "With peer.message, it gets [messages of clients](WEBHOOKS.md#messages-of-clients), and its answers go back.").commas().unset("all but peer.wanted, peer.message, room.joined and room.left").needs(&WEBHOOK).live(),
            Row::new("webhook_private", |d| &mut d.config.webhooks.private, switch(),
                "Let [webhooks of keys](WEBHOOKS.md#the-webhook-of-a-key) have private addresses and http:// URLs", "").live(),
        ]),
        group("Limits", vec![
            Row::new("concurrent_limit", |d| &mut d.config.key_settings.concurrent_limit, number(&COUNT, ANY),
                "Connected clients; 0 refuses everybody", "").short('c').live().of(KEY).odd(odd::count),
            Row::new("messages_per_second", |d| &mut d.config.key_settings.messages_per_second, number(&COUNT, ANY),
                "Messages per second and client; 0: no limit", "").live().of(KEY),
            Row::new("room_members", |d| &mut d.config.key_settings.room_members, number(&COUNT, ANY),
                "Members of one room", "").live().of(KEY),
            Row::new("room_deliveries_per_second", |d| &mut d.config.limits.room_deliveries_per_second, number(&COUNT, ANY),
                "Messages and changes per second that one member of rooms causes for others; 0: no limit", "").live(),
            Row::new("connections_per_address", |d| &mut d.config.address_limits.connections, number(&COUNT, ANY),
                "Connections per address, HTTP included; 0: no limit", "A twentieth of that may open per second.").live(),
            Row::new("max_message_bytes", |d| &mut d.config.max_message_bytes, number(&BYTES, 1..=u64::MAX),
                "Largest message", "").live(),
            Row::new("expire_timeout", |d| &mut d.config.limits.expire_timeout, time(&MILLIS, TIME),
                "Time that messages wait for an absent peer; then their sender gets EXPIRE", "").short('t').live().odd(odd::expiry),
            Row::new("alive_timeout", |d| &mut d.config.limits.alive_timeout, time(&MILLIS, TIME),
                "Time after which a silent client is disconnected", "After a third of it, the client is pinged; an end of a pipe has 2.5 times as long.").live().odd(odd::silence),
            Row::new("reclaim_timeout", |d| &mut d.config.limits.reclaim_timeout, time(&MILLIS, 0..=MAX_MILLIS),
                "Time that an id is kept for its token after its client was closed with 4002 or 4003", "").live(),
        ]),
        group("Rooms and calls", vec![
            Row::new("dialects", |d| &mut d.config.dialects, dialect(),
                "Protocols that clients may use: PeerJS; [room codes](PROTOCOL.md#room-codes), [calls](PROTOCOL.md#calls), [topics](PROTOCOL.md#topics), [Nostr](PROTOCOL.md#nostr) and a [tracker](PROTOCOL.md#tracker) at the root; [RxDB](PROTOCOL.md#rxdb) and [Matchbox](PROTOCOL.md#matchbox)", "`+NAME` adds to the defaults, `-NAME` takes off.").commas().signed().live(),
            Row::new("root_key", |d| &mut d.config.root_key, api_key(),
                "Key for clients [at the root](PROTOCOL.md#the-root) that send none, and for users of [TURN](CALLS.md#turn-for-other-servers) that are none", "").unset("that of --key; TURN refuses such users").live(),
        ]),
        group("API", vec![
            Row::new("ops_port", |d| &mut d.ops_port, port(),
                "Port of [the API](API.md)", "0 takes a free one, which stdout shows.").unset("none").common().of(NODE),
            Row::new("ops_host", |d| &mut d.ops.host, text("HOST"),
                "Address or name that the API listens on", "").needs(&OPS).of(NODE),
            Row::new("ops_tls", |d| &mut d.ops.tls, switch(),
                "Serve the API by HTTPS, with the certificate of --sslcert or --acme", "").needs(&OPS_TLS).of(NODE),
            Row::new("admin_token", |d| &mut d.ops.tokens.admin, kind("TOKEN", AdminToken::parse, |token: &AdminToken| token.as_str().to_owned()),
                "Bearer token for the API, 16 to 4096 printable ASCII characters without spaces; without it, only local programs may use it", "").secret().needs(&OPS).live().of(NODE),
            Row::new("read_token", |d| &mut d.ops.tokens.read, kind("TOKEN", AdminToken::parse, |token: &AdminToken| token.as_str().to_owned()),
                "Bearer token that may only read, dashboard included", "").secret().needs(&OPS).live().of(NODE),
            Row::new("metrics_token", |d| &mut d.ops.tokens.metrics, kind("TOKEN", AdminToken::parse, |token: &AdminToken| token.as_str().to_owned()),
                "Bearer token that may only read `/metrics`", "").secret().needs(&OPS).live().of(NODE),
        ]),
        group("Output", vec![
            Row::new("log_format", |d| &mut d.log_format, choice("FORMAT", [("text", LogFormat::Text), ("json", LogFormat::Json)]),
                "Format of all [lines](LOGS.md) on stdout and stderr: text or json", "").of(NODE),
            Row::new("log", |d| &mut d.log, parsed("FILTER", |text| parse_filter(text).map(|_| text.to_owned())),
                "Levels of the log, also by module, as in info,peerbroker_relay=debug", "The default with --quiet: `warn,peerbroker::audit=info,actix_http=off,redis=off`.").fallback("RUST_LOG").unset("warn,peerbroker=info,actix_http=off,redis=off").live().of(NODE),
            Row::new("quiet", |d| &mut d.quiet, switch(),
                "No lines about clients; log warnings only", "The start line and [the audit](API.md#audit) stay.").common().of(NODE),
            Row::new("stdio", |d| &mut d.stdio, switch(),
                "Serve the program that started this one, by stdin and stdout, until stdin ends", "Ignores SIGINT and SIGTERM. For [the npm package](MIGRATING.md#from-an-express-app).").of(NODE),
        ]),
    ].into_iter().flatten().flat_map(|row| {
        let file = row.is_in_file.then(|| secret_file(&row));
        std::iter::once(row).chain(file)
    }).collect()
});

/// The setting of the file with a secret.
fn secret_file(row: &Row) -> Row {
    // Once for each secret.
    let name: &'static str = format!("{}_file", row.name).leak();
    let help: &'static str = format!("File with --{}", row.name).leak();
    let of = row.name;
    let file = Row::new(name, move |draft| draft.secret_files.entry(of).or_default(), path(FILE), help, "");
    Row { file_of: Some(of), group: row.group, needs: row.needs, ..file.live().of(NODE) }
}

/// The types of events that `--webhook_events` names. `None` stands for the messages of clients.
fn webhook_events() -> impl Iterator<Item = (&'static str, Option<WebhookEvent>)> {
    let events = WebhookEvent::ALL.into_iter().map(|event| (event.label(), Some(event)));
    events.chain([("peer.message", None)])
}

/// The settings of older versions, which are ignored, and the words that say what holds instead.
pub(super) const GONE: &[(&str, &str)] = &[
    ("acme_email", "ACME servers write no mail any more"),
    ("backlog", "4096, within the limit of the kernel"),
    ("opens_per_second_per_address", "a twentieth of --connections_per_address"),
    ("ping_interval", "a third of --alive_timeout"),
    ("pipe_bytes_per_second", "an eighth of --pipe_total_bytes_per_second"),
    ("pipe_idle_timeout", "2.5 times --alive_timeout"),
    ("pipe_key_bytes_per_second", "half of --pipe_total_bytes_per_second"),
    ("pipes_per_address", "a twentieth of --pipes"),
    ("pipes_per_key", "half of --pipes"),
    ("pipes_total", "the number of --pipes"),
    ("probe_timeout", "3 seconds"),
    ("queue_bytes", "a sixteenth of the limit of all queues"),
    ("queue_messages", "1000"),
    ("queue_total_bytes", "64 MiB, or a sixteenth of the memory that the process may have"),
    ("registration_limit", "10000"),
    ("relay_calls_per_key", "as many as --relay_calls; 'peerbroker keys set' gives a key fewer"),
    ("relay_key_bytes_per_second", "no limit; 'peerbroker keys set' gives a key one"),
    ("relay_tcp", "the relay always takes TCP too"),
    ("room_code_players", "64"),
    ("room_code_timeout", "24 hours"),
    ("room_codes", "10000 of each key"),
    ("room_key_deliveries_per_second", "300 times --room_deliveries_per_second"),
    ("turn_allocations", "half of --relay_calls"),
    ("turn_allocations_per_address", "a fortieth of --relay_calls"),
    ("turn_allocations_per_key", "half of --relay_calls; 'keys set --relay_calls_per_key' gives a key fewer"),
    ("turn_bytes_per_second", "that of --relay_bytes_per_second"),
    ("turn_key_bytes_per_second", "no limit; 'keys set --relay_key_bytes_per_second' gives a key one"),
    ("unfinished_total_bytes", "256 MiB, or an eighth of the memory that the process may have"),
    ("webhook_messages", "peer.message in --webhook_events"),
];

/// The warning about a setting of an older version, if it is one; `given` is what gave it.
pub(super) fn gone(name: &str, given: &str) -> Option<String> {
    GONE.iter().find(|gone| gone.0 == name).map(|gone| format!("{given} is ignored. Now: {}", gone.1))
}

fn group(name: &'static str, rows: Vec<Row>) -> impl Iterator<Item = Row> {
    rows.into_iter().map(move |row| Row { group: name, ..row })
}
