//! The table of settings: a new flag is one row, and the place that uses its value.
//!
//! Flags, variables, the configuration file, `config show`, reloads, the help, the manual page, the completions and the table in
//! `docs/CONFIG.md` come from it.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use peerbroker::config::{
    AcmeName, AdminToken, Degraded, Dialect, LETS_ENCRYPT, MountPath, ProxySecret, TurnSecret, WebhookEvent,
};
use peerbroker::keys::{IdStyle, Origin, RelayMode, WebhookSecret};

use super::odd;
use super::row::{KEY, NODE, Need, Row};
use super::values::{
    ANY, BYTE_RATE, BYTES, COUNT, DAYS, Kind, LogFormat, MILLIS, SECONDS, api_key, choice, cors,
    is_acme_directory, is_email, is_node_name, is_some, is_stun_url, is_turn_url, kind, media_address,
    network, number, off_switch, parse_filter, parsed, path, port, ports, public_host, show_media_address,
    show_public_host, switch, text, text_if, time,
};

/// The group of the flags that are no settings, too.
pub(super) const BASICS: &str = "Basics";

const PROXIED: Need = Need("--proxied", |draft| draft.config.proxied);
const ACME: Need = Need("--acme", |draft| !draft.acme.names.is_empty());
const REGISTRATION: Need = Need("--registration open", |draft| draft.config.registration.open);
const REDIS: Need = Need("--redis", |draft| !draft.redis.url.is_empty());
const MEDIA: Need = Need("--relay or --turn", |draft| !draft.relay_at.is_empty() || !draft.turn.is_empty());
const RELAY: Need = Need("--relay", |draft| !draft.relay_at.is_empty());
const TURN: Need = Need("--turn", |draft| !draft.turn.is_empty());
const CREDENTIALS: Need =
    Need("--turn or --turn_url", |draft| !draft.turn.is_empty() || !draft.config.ice.turn_urls.is_empty());
const WEBHOOK: Need = Need("--webhook", |draft| !draft.config.webhooks.operator.url.is_empty());
const ROOM_CODES: Need =
    Need("room_codes in --dialects", |draft| draft.dialects.contains(&Dialect::RoomCodes));
const OPS: Need = Need("--ops_port", |draft| draft.ops_port.is_some());

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
                "TCP port; 0: a free one", "The start line shows the port.").short('p').fallback("PORT").common().commands(&["doctor"]).of(NODE).odd(odd::port),
            Row::new("host", |d| &mut d.listen.host, text("HOST"),
                "Address or name to listen on", "`::` is IPv6 and IPv4. For a name, its first address is used.").short('H').common().of(NODE).odd(odd::host),
            Row::new("path", |d| &mut d.config.path, parsed("PATH", MountPath::parse),
                "Mount path", "With or without slashes around it.").fallback("PEERSERVER_PATH").common().odd(odd::path),
            Row::new("static_dir", |d| &mut d.config.static_dir, path("DIR"),
                "Directory with the files of your app", "The broker serves them below its path. Its index.html replaces the landing page. See [serving your app](OPERATING.md#serving-your-app).").common().live().of(NODE),
            Row::new("pages", |d| &mut d.config.pages, switch(),
                "Serve the landing page and the demos", "").live(),
            Row::new("workers", |d| &mut d.listen.workers, number(&COUNT, 0..=1024),
                "Worker threads; 0 means one per core", "").of(NODE),
            Row::new("backlog", |d| &mut d.listen.backlog, number(&COUNT, 1..=65535),
                "Connections that may wait to be accepted while many come at once", "The kernel has a limit of its own, on Linux `net.core.somaxconn`, and systemd sets it for a socket of its own. See [`peerbroker_accept_queue_overflows_total`](METRICS.md).").of(NODE),
            Row::new("reuse_port", |d| &mut d.listen.reuse_port, switch(),
                "Let the next server listen on the same ports before this one ends; Linux only", "Both need the flag, and the same user. Start the next server, then stop this one. See [updating](OPERATING.md#updating-without-a-failed-connection).").of(NODE),
            Row::new("drain_timeout", |d| &mut d.listen.drain_timeout, time(&MILLIS, 0..=MAX_MILLIS),
                "Time over which a stopping server closes its clients; 0 closes all at once", "Other servers are the nodes of a cluster, or one that listens on the same port. With a socket of systemd the default is 1000. See [signals](OPERATING.md#signals-and-exit-codes).").unset("10000 if another server can take them, otherwise 0").of(NODE),
            Row::new("config", |d| &mut d.file, path("FILE"),
                "File with settings (TOML), named as the flags", "Flags and variables override it. The server reads it again when it changes, and on SIGHUP. See [the file](#the-file).").common().commands(&["keys", "backup", "doctor"]).of(NODE),
        ]),
        group("TLS", vec![
            Row::new("sslkey", |d| &mut d.sslkey, path("FILE"),
                "Private key for HTTPS (PEM), with --sslcert", "PKCS#8, PKCS#1 or SEC1, without a passphrase.").common().of(NODE),
            Row::new("sslcert", |d| &mut d.sslcert, path("FILE"),
                "Certificate and chain (PEM), with --sslkey", "It may be the file of --sslkey. A change of the files [needs no restart](TLS.md#files).").common().of(NODE),
            Row::new("acme", |d| &mut d.acme.names, parsed("NAME", AcmeName::parse),
                "Get and renew a certificate for these host names and IP addresses by itself; needs --data_dir", "You accept the terms of the ACME server, which is Let's Encrypt by default. Port 80 or port 443 must be open to the internet. It cannot be used with --sslcert, and is [not for many nodes](TLS.md#many-nodes). See [a certificate by itself](TLS.md#a-certificate-by-itself)."),
            Row::new("acme_email", |d| &mut d.acme.email, text_if("ADDRESS", is_email, "one mail address, as in admin@example.org"),
                "Mail address that the ACME server may write to", "").needs(&ACME),
            Row::new("acme_directory", |d| &mut d.acme.directory, text_if("URL", is_acme_directory, format!("the https:// URL of a directory, as in {}", LETS_ENCRYPT)),
                "Directory of the ACME server", "That of Let's Encrypt's staging server is https://acme-staging-v02.api.letsencrypt.org/directory.").needs(&ACME),
            Row::new("acme_http_port", |d| &mut d.acme.http_port, port(),
                "TCP port that answers HTTP-01 and redirects to HTTPS; 0 means none, so port 443 must lead to --port", "").needs(&ACME).of(NODE),
            Row::new("acme_ca", |d| &mut d.acme.ca, path("FILE"),
                "Authorities that may certify the ACME server (PEM)", "").unset("the public ones").needs(&ACME).of(NODE),
        ]),
        group("Behind a proxy", vec![
            Row::new("proxied", |d| &mut d.config.proxied, switch(),
                "Trust the headers of a proxy in front", "These are X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto, from the proxies of --trusted_proxy. The landing page and 404s show the host and scheme of these headers. See [behind a proxy](PROXY.md).").common().live().odd(odd::switch),
            Row::new("trusted_proxy", |d| &mut d.config.trusted_proxies, parsed("CIDR", network),
                "Networks of trusted proxies, with --proxied", "As in 10.0.0.0/8, or addresses, as in 192.0.2.7. They are trusted for a client's address, host and scheme.").unset("loopback and private networks").needs(&PROXIED).live(),
            Row::new("proxy_secret", |d| &mut d.config.proxy_secret, kind("SECRET", ProxySecret::parse, |secret: &ProxySecret| secret.as_str().to_owned()),
                "Secret that trusted proxies must send in X-Proxy-Secret, 16 characters or more", "For machines where others can connect from the proxy's address. Set the variable or use the file of --config: other users of the machine see flags.").secret().needs(&PROXIED).live(),
        ]),
        group("Keys and pages that may use them", vec![
            Row::new("key", |d| &mut d.config.key, api_key(),
                "API key that clients must send", "The built-in key: 1 to 128 bytes. It is not a secret.").short('k').common().live().odd(odd::key),
            Row::new("no_default_key", |d| &mut d.config.default_key, off_switch(),
                "Disable the built-in key; only stored keys are accepted", "").live(),
            Row::new("data_dir", |d| &mut d.data_dir, path("DIR"),
                "Directory for stored keys and certificates", "`peerbroker keys` edits the keys while the server runs. The directory is created if it does not exist. See [API keys](KEYS.md).").common().commands(&["keys", "backup"]).of(NODE),
            Row::new("allow_discovery", |d| &mut d.config.allow_discovery, switch(),
                "Let clients list the ids of all peers", "With `GET /{key}/peers`.").live().of(KEY).odd(odd::switch),
            Row::new("leave_on_close", |d| &mut d.config.leave_on_close, switch(),
                "Tell the peers of a client when its page goes away", "They get LEAVE, so their PeerJS closes the connections at once. For the built-in key; stored keys have their own. See [a page goes away](PROTOCOL.md#a-page-goes-away).").live().of(KEY).odd(odd::switch),
            Row::new("allow_rooms", |d| &mut d.config.allow_rooms, switch(),
                "Let clients use [rooms](PROTOCOL.md#rooms)", "").live().of(KEY).odd(odd::switch),
            Row::new("cors", |d| &mut d.cors, kind("ORIGIN", cors, |origin: &Option<Origin>| origin.as_ref().map_or("*".to_owned(), Origin::to_string)),
                "Pages that may read HTTP answers", "By their origin, as in https://example.org, or https://*.example.org for all subdomains; an app has one of its own, as in app://. or capacitor://localhost. `*` means all; `null` means files, and sandboxed frames, which pages of every site can open.").unset("all").common().live().odd(odd::origin),
            Row::new("registration", |d| &mut d.config.registration.open, choice("open|closed", [("open", true), ("closed", false)]),
                "`open` lets anybody register a key, through a form on the landing page", "See [registration](KEYS.md#registration).").live(),
            Row::new("registrations_per_day", |d| &mut d.config.registration.per_day, number(&COUNT, ANY),
                "Keys that one address may register within 24 hours; 0 means no limit", "").needs(&REGISTRATION).live(),
            Row::new("registration_limit", |d| &mut d.config.registration.limit, number(&COUNT, ANY),
                "Registered keys at a time; 0 means no limit", "").needs(&REGISTRATION).live(),
            Row::new("registration_ttl", |d| &mut d.config.registration.ttl_days, number(&DAYS, ANY),
                "Delete registered keys that had no client for this long; 0 keeps them", "").live(),
            Row::new("id_style", |d| &mut d.config.id_style, choice("STYLE", IdStyle::ALL.map(|style| (style.label(), style))),
                "Form of the ids that the server gives to clients: uuid, short or words", "As `7kq2mzx9` or `amber-river-piano-fox`. For the built-in key; stored keys have their own. See [how hard they are to guess](SECURITY.md#ids).").live().of(KEY),
        ]),
        group("Many nodes", vec![
            Row::new("redis", |d| &mut d.redis.url, text_if("URL", is_some, "a URL"),
                "Redis or Valkey that a cluster shares", "redis://, rediss:// (TLS), redis-sentinel:// or redis-cluster://. The URL may hold a password: set the variable rather than the flag then, because other users of the machine see flags. See [cluster](CLUSTER.md).").secret().common().commands(&["keys"]),
            Row::new("redis_ca", |d| &mut d.redis.ca, path("FILE"),
                "Certificate authorities of the Redis, instead of the public ones: PEM", "For [TLS](CLUSTER.md#tls), with a URL that begins with rediss. The three files are read for each connection, so certificates can be renewed without a restart.").needs(&REDIS).commands(&["keys"]).of(NODE),
            Row::new("redis_cert", |d| &mut d.redis_cert, path("FILE"),
                "Certificate that the Redis wants from its clients, and its chain: PEM", "").with("redis_key").needs(&REDIS).commands(&["keys"]).of(NODE),
            Row::new("redis_key", |d| &mut d.redis_key, path("FILE"),
                "Private key of --redis_cert: PEM, without a passphrase", "").with("redis_cert").commands(&["keys"]).of(NODE),
            Row::new("keys", |d| &mut d.keys_in_redis, choice("sqlite|redis", [("sqlite", false), ("redis", true)]),
                "Where stored keys are: in --data_dir, or in the Redis of the cluster", "In Redis, all nodes have the same keys.").commands(&["keys"]),
            Row::new("node_name", |d| &mut d.cluster.node_name, text_if("NAME", is_node_name, "1 to 100 bytes of text"),
                "Name of this node, for people", "").unset("the host's name and four random characters").needs(&REDIS).of(NODE),
            Row::new("cluster_lease", |d| &mut d.cluster.lease, time(&MILLIS, MIN_LEASE..=MAX_MILLIS),
                "Time after which the ids of a dead node are free", "Until then only clients with their token get them.").needs(&REDIS),
            Row::new("cluster_degraded", |d| &mut d.cluster.degraded, choice("allow|refuse", [("allow", Degraded::Allow), ("refuse", Degraded::Refuse)]),
                "What happens to new clients while Redis cannot be reached", "`allow`: they get their ids; of two clients with one id, one loses it when Redis is back. `refuse`: they are refused.").needs(&REDIS),
        ]),
        group("Calls that cannot go directly", vec![
            Row::new("relay", |d| &mut d.relay_at, Kind { alone: Some("all"), ..kind("ADDRESS", media_address, show_media_address) },
                "Relay calls that cannot go directly, at all addresses of this machine, or at one of IPv4, one of IPv6 or both, as in 198.51.100.7 or [2001:db8::7]:3478", "UDP and TCP port 3478, unless another one is given. The port answers STUN too. Clients are told the best address that is known: see [the relay](CALLS.md).").at_most(2).common().of(NODE),
            Row::new("relay_public", |d| &mut d.relay_public, kind("HOST", public_host, show_public_host),
                "Address or host name at which clients find the relay and the TURN server, if a NAT stands in front of it", "A name is looked up every minute.").at_most(2).unset("a name of --acme, a public address of this machine, or that of the interface that leads out").of(NODE),
            Row::new("relay_mode", |d| &mut d.config.relay, choice("MODE", RelayMode::ALL.map(|mode| (mode.label(), mode))),
                "What the relay does for calls of the built-in key: fallback carries those that cannot go directly, always carries all and withholds addresses, off none", "").live().of(KEY),
            Row::new("relay_tcp", |d| &mut d.relay.tcp, switch(),
                "Relay over TCP as well, at the same address and port, for networks without UDP", "").of(NODE),
            Row::new("relay_tcp_port", |d| &mut d.relay.tcp_port, port(),
                "TCP port that clients are told besides the relay's, as in 443; 0 means none", "It must lead to --port, which takes the relay's clients too. Set it if a NAT or a TCP proxy changes the port. A proxy for HTTP cannot pass on these clients. See [one port](CALLS.md#one-port-for-everything).").unset("that of --port; none with --proxied").needs(&RELAY).of(NODE),
            Row::new("relay_private", |d| &mut d.relay.private, switch(),
                "Relay for clients with private addresses too, as in a local network", "").of(NODE),
            Row::new("relay_drain_timeout", |d| &mut d.listen.relay_drain_timeout, time(&MILLIS, 0..=MAX_MILLIS),
                "Time for which relayed calls may go on when the server stops; 0 ends them at once", "The next server has the ports meanwhile. See [calls in an update](OPERATING.md#relayed-calls-in-an-update).").unset("600000 with --reuse_port, otherwise 0").needs(&MEDIA).of(NODE),
            Row::new("relay_calls", |d| &mut d.config.relay_limits.calls, number(&COUNT, ANY),
                "Calls that the relay knows at a time, whether they need it or not", "").live(),
            Row::new("relay_calls_per_key", |d| &mut d.config.relay_limits.calls_per_key, number(&COUNT, ANY),
                "Calls of one key that the relay knows at a time", "").live(),
            Row::new("relay_bytes_per_second", |d| &mut d.config.relay_limits.bytes_per_second, number(&BYTE_RATE, ANY),
                "Rate of one relayed call, both directions together; bursts up to ten times that; 0 means no limit", "").live(),
            Row::new("relay_key_bytes_per_second", |d| &mut d.config.relay_limits.key_bytes_per_second, number(&BYTE_RATE, ANY),
                "Rate of all relayed calls of one key; bursts up to ten times that; 0 means no limit", "").live(),
            Row::new("turn", |d| &mut d.turn, Kind { alone: Some("all"), ..kind("ADDRESS", media_address, show_media_address) },
                "Address of a TURN server, as in 198.51.100.7 or [2001:db8::7]:5349, for UDP, TCP and TLS", "One of IPv4, one of IPv6, or both. Alone, it takes the relay's, or all of this machine. The port is 5349, or the relay's + 1871. With a certificate, TLS works at this port and at --port. See [TURN](CALLS.md#turn).").at_most(2).of(NODE),
            Row::new("turn_ports", |d| &mut d.turn_ports, kind("MIN-MAX", ports, |ports: &RangeInclusive<u16>| format!("{}-{}", ports.start(), ports.end())),
                "UDP ports that the TURN server relays at, as in 50000-59999", "").unset("none; clients reach each other inside this process").of(NODE),
            Row::new("turn_allocations", |d| &mut d.config.turn_limits.allocations, number(&COUNT, ANY),
                "TURN allocations at a time; a connection of a browser has two or three", "").needs(&TURN).live(),
            Row::new("turn_allocations_per_key", |d| &mut d.config.turn_limits.allocations_per_key, number(&COUNT, ANY),
                "TURN allocations of one key", "").needs(&TURN).live(),
            Row::new("turn_allocations_per_address", |d| &mut d.config.turn_limits.allocations_per_address, number(&COUNT, ANY),
                "TURN allocations of one address", "").needs(&TURN).live(),
            Row::new("turn_bytes_per_second", |d| &mut d.config.turn_limits.bytes_per_second, number(&BYTE_RATE, ANY),
                "Rate of one TURN allocation, both directions together; bursts up to ten times that; 0 means no limit", "").needs(&TURN).live(),
            Row::new("turn_key_bytes_per_second", |d| &mut d.config.turn_limits.key_bytes_per_second, number(&BYTE_RATE, ANY),
                "Rate of all TURN allocations of one key; bursts up to ten times that; 0 means no limit", "").needs(&TURN).live(),
        ]),
        group("ICE servers that clients are told", vec![
            Row::new("stun_url", |d| &mut d.config.ice.stun_urls, text_if("URL", is_stun_url, "stun:HOST or stuns:HOST, with or without a port, as in stun:stun.example.org:3478"),
                "STUN server that clients are told, as in stun:stun.example.org:3478", "See [ICE servers](CALLS.md#ice-servers).").live(),
            Row::new("turn_url", |d| &mut d.config.ice.turn_urls, text_if("URL", is_turn_url, "turn:HOST or turns:HOST, with or without a port and ?transport=udp or ?transport=tcp, as in turn:turn.example.org:3478?transport=udp"),
                "TURN server that clients are told, as in turn:turn.example.org:3478?transport=udp", "It has to know the secret of --turn_secret.").live(),
            Row::new("turn_secret", |d| &mut d.config.ice.turn_secret, kind("SECRET", TurnSecret::parse, |secret: &TurnSecret| secret.as_str().to_owned()),
                "Secret that the broker and its TURN servers share, as `static-auth-secret` of coturn; 16 random characters or more", "Other users of the machine see flags, so set the variable or use the file.").secret().excludes(&["turn_secret_file"]).needs(&CREDENTIALS).live(),
            Row::new("turn_secret_file", |d| &mut d.turn_secret_file, path("FILE"),
                "File with the secret of TURN servers", "White space at its end is ignored.").needs(&CREDENTIALS).live().of(NODE),
            Row::new("turn_ttl", |d| &mut d.config.ice.ttl, time(&SECONDS, 1..=MAX_MILLIS / 1000),
                "Time that credentials for TURN servers are valid", "").needs(&CREDENTIALS).live(),
        ]),
        group("Webhooks", vec![
            Row::new("webhook", |d| &mut d.config.webhooks.operator.url, text_if("URL", is_some, "a URL"),
                "URL that gets events about clients, keys and the server, by POST", "`http` or `https`. See [webhooks](WEBHOOKS.md).").live(),
            Row::new("webhook_secret", |d| &mut d.config.webhooks.operator.secrets, kind("SECRET", WebhookSecret::parse, |secret: &WebhookSecret| secret.clone().into()),
                "Secret that signs the events of --webhook: whsec_ and base64; several while one replaces another", "24 to 64 bytes. Other users of the machine see flags, so set the variable or use the file.").secret().excludes(&["webhook_secret_file"]).live(),
            Row::new("webhook_secret_file", |d| &mut d.webhook_secret_file, path("FILE"),
                "File with the secret that signs the events of --webhook, or with several", "One on each line.").live().of(NODE),
            Row::new("webhook_events", |d| &mut d.config.webhooks.events, choice("LIST", WebhookEvent::ALL.map(|event| (event.label(), event))),
                "Types of the events that --webhook gets, as in peer.connected,peer.disconnected", "See [events](WEBHOOKS.md#events).").commas().unset("all but room.joined and room.left").needs(&WEBHOOK).live(),
            Row::new("webhook_messages", |d| &mut d.config.webhooks.operator.messages, switch(),
                "Send messages of clients to the app to --webhook too, and its answers back", "See [messages of clients](WEBHOOKS.md#messages-of-clients).").needs(&WEBHOOK).live(),
            Row::new("webhook_private", |d| &mut d.config.webhooks.private, switch(),
                "Let the webhooks of keys have private addresses, and http:// URLs", "See [the webhook of a key](WEBHOOKS.md#the-webhook-of-a-key).").live(),
        ]),
        group("Limits", vec![
            Row::new("concurrent_limit", |d| &mut d.config.limits.concurrent_limit, number(&COUNT, ANY),
                "Connected clients at a time", "0 refuses everybody.").short('c').live().of(KEY).odd(odd::count),
            Row::new("messages_per_second", |d| &mut d.config.messages_per_second, number(&COUNT, ANY),
                "Messages per second and client; bursts up to ten times that; 0 means no limit", "For the built-in key; stored keys have their own.").live().of(KEY),
            Row::new("room_members", |d| &mut d.config.room_members, number(&COUNT, ANY),
                "Members of one room", "For the built-in key; stored keys have their own.").live().of(KEY),
            Row::new("room_deliveries_per_second", |d| &mut d.config.limits.room_deliveries_per_second, number(&COUNT, ANY),
                "Messages and changes that one member of rooms causes for the others, per second; bursts up to ten times that; 0 means no limit", "A message to a room of 100 members counts 99 times.").live(),
            Row::new("room_key_deliveries_per_second", |d| &mut d.config.limits.room_key_deliveries_per_second, number(&COUNT, ANY),
                "The same of all members of rooms of one key; 0 means no limit", "").live(),
            Row::new("connections_per_address", |d| &mut d.config.address_limits.connections, number(&COUNT, ANY),
                "Connections per address at a time, HTTP included; 0 means no limit", "Loopback and trusted proxies are not counted.").live(),
            Row::new("opens_per_second_per_address", |d| &mut d.config.address_limits.opens_per_second, number(&COUNT, ANY),
                "New WebSockets and streams per second and address; bursts up to ten times that; 0 means no limit", "").live(),
            Row::new("max_message_bytes", |d| &mut d.config.max_message_bytes, number(&BYTES, 1..=u64::MAX),
                "Largest message", "").live(),
            Row::new("unfinished_total_bytes", |d| &mut d.config.unfinished_total_bytes, number(&BYTES, ANY),
                "Bytes of [unfinished messages](LIMITS.md) of all connections; the first 16 KiB of each are not counted", "").live(),
            Row::new("queue_messages", |d| &mut d.config.limits.queue_messages, number(&COUNT, ANY),
                "Messages queued for one absent peer", "").live(),
            Row::new("queue_bytes", |d| &mut d.config.limits.queue_bytes, number(&BYTES, ANY),
                "Bytes queued for one absent peer", "").live(),
            Row::new("queue_total_bytes", |d| &mut d.config.limits.queue_total_bytes, number(&BYTES, ANY),
                "Bytes queued for all absent peers; each message is charged its size plus 512", "").live(),
            Row::new("expire_timeout", |d| &mut d.config.limits.expire_timeout, time(&MILLIS, TIME),
                "Time that messages wait for an absent peer", "Then their sender gets EXPIRE.").short('t').live().odd(odd::expiry),
            Row::new("alive_timeout", |d| &mut d.config.limits.alive_timeout, time(&MILLIS, TIME),
                "Time after which a silent client is disconnected", "").live().odd(odd::silence),
            Row::new("ping_interval", |d| &mut d.config.limits.ping_interval, time(&MILLIS, TIME),
                "Time after which a silent client is pinged; capped at a third of the alive timeout", "").live(),
            Row::new("probe_timeout", |d| &mut d.config.limits.probe_timeout, time(&MILLIS, TIME),
                "Time that the holder of an id has to answer when another client asks for the id", "").live(),
            Row::new("reclaim_timeout", |d| &mut d.config.limits.reclaim_timeout, time(&MILLIS, 0..=MAX_MILLIS),
                "Time that an id is kept for its token after its client was closed with 4002 or 4003; 0 turns it off", "So a client on a slow network can come back before a client at another address takes its id.").live(),
        ]),
        group("Rooms and calls", vec![
            Row::new("dialects", |d| &mut d.dialects, choice("LIST", Dialect::ALL.map(|dialect| (dialect.label(), dialect))).formerly("rooms", Dialect::RoomCodes),
                "Protocols that clients may use: PeerJS; [room codes](PROTOCOL.md#room-codes) and [one-to-one calls](PROTOCOL.md#calls) at the root", "").commas().live(),
            Row::new("root_key", |d| &mut d.config.root_key, api_key(),
                "Key for clients [at the root](PROTOCOL.md#the-root) that send none", "").unset("that of --key").live(),
            Row::new("room_codes", |d| &mut d.config.limits.room_codes, number(&COUNT, ANY),
                "Room codes at a time", "").formerly("rooms").needs(&ROOM_CODES).live(),
            Row::new("room_code_players", |d| &mut d.config.limits.room_code_players, number(&COUNT, ANY),
                "Players of one room code", "").formerly("room_players").needs(&ROOM_CODES).live(),
            Row::new("room_code_timeout", |d| &mut d.config.limits.room_code_timeout, time(&MILLIS, TIME),
                "Time after which an inactive room code is removed", "A join, an answer or a start counts as activity.").formerly("room_timeout").needs(&ROOM_CODES).live(),
        ]),
        group("API", vec![
            Row::new("ops_port", |d| &mut d.ops_port, port(),
                "Port of [the API](API.md) for operators", "For keys, peers and statistics; 0 takes a free one, which a line on stdout shows.").unset("none").common().of(NODE),
            Row::new("ops_host", |d| &mut d.ops.host, text("HOST"),
                "Address or name that the API listens on", "").needs(&OPS).of(NODE),
            Row::new("admin_token", |d| &mut d.ops.tokens.admin, kind("TOKEN", AdminToken::parse, |token: &AdminToken| token.as_str().to_owned()),
                "Bearer token for the API, 16 characters or more; without it, only local programs may use it", "At most 4096 printable ASCII characters without spaces.").secret().excludes(&["admin_token_file"]).needs(&OPS).live().of(NODE),
            Row::new("admin_token_file", |d| &mut d.admin_token_file, path("FILE"),
                "File with the bearer token for the API", "It may be a pipe. White space at its end is ignored.").needs(&OPS).live().of(NODE),
            Row::new("read_token", |d| &mut d.ops.tokens.read, kind("TOKEN", AdminToken::parse, |token: &AdminToken| token.as_str().to_owned()),
                "Bearer token for the API that may only read, dashboard included", "As long as --admin_token.").secret().excludes(&["read_token_file"]).needs(&OPS).live().of(NODE),
            Row::new("read_token_file", |d| &mut d.read_token_file, path("FILE"),
                "File with the bearer token that may only read", "As --admin_token_file.").needs(&OPS).live().of(NODE),
            Row::new("metrics_token", |d| &mut d.ops.tokens.metrics, kind("TOKEN", AdminToken::parse, |token: &AdminToken| token.as_str().to_owned()),
                "Bearer token for the API that may only read `/metrics`, for Prometheus", "As long as --admin_token.").secret().excludes(&["metrics_token_file"]).needs(&OPS).live().of(NODE),
            Row::new("metrics_token_file", |d| &mut d.metrics_token_file, path("FILE"),
                "File with the bearer token that may only read `/metrics`", "As --admin_token_file.").needs(&OPS).live().of(NODE),
        ]),
        group("Output", vec![
            Row::new("log_format", |d| &mut d.log_format, choice("FORMAT", [("text", LogFormat::Text), ("json", LogFormat::Json)]),
                "Format of all lines on stdout and stderr: text or json", "See [output](LOGS.md).").of(NODE),
            Row::new("log", |d| &mut d.log, parsed("FILTER", |text| parse_filter(text).map(|_| text.to_owned())),
                "Levels of the log, also by module, as in info,peerbroker_media=debug", "With --quiet the default is `warn,peerbroker::audit=info,actix_http=off`.").fallback("RUST_LOG").unset("warn,peerbroker=info,actix_http=off").live().of(NODE),
            Row::new("quiet", |d| &mut d.quiet, switch(),
                "No lines about clients; log warnings only", "The start line stays, and changes through the API are logged. See [audit](API.md#audit).").common().of(NODE),
            Row::new("stdio", |d| &mut d.stdio, switch(),
                "Serve the program that started this one, by its stdin and stdout, until stdin ends", "It ignores SIGINT and SIGTERM. For [the npm package](MIGRATING.md#from-an-express-app).").of(NODE),
        ]),
    ].into_iter().flatten().collect()
});

fn group(name: &'static str, rows: Vec<Row>) -> impl Iterator<Item = Row> {
    rows.into_iter().map(move |row| Row { group: name, ..row })
}
