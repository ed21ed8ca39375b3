//! The table of layers: which may use which, and what is against it.

use crate::names::{Edge, Target};

/// One layer: a top-level module of the library or of the program, with its submodules.
pub struct Layer {
    pub name: &'static str,
    /// The layers that it may use. Each stands further down in [`LAYERS`], so no way leads back up.
    layers: &'static str,
    /// The external paths that it may use, with all that is below them. `std` is free for all.
    external: &'static str,
}

const fn layer(name: &'static str, layers: &'static str, external: &'static str) -> Layer {
    Layer { name, layers, external }
}

/// From high to low.
pub const LAYERS: &[Layer] = &[
    // The program: it knows the library's public front only, and actix only as its runtime.
    layer(
        "main",
        "reload backup_command init_command keys_command console cli stdio process predecessor peerbroker",
        "actix_web::rt log peerbroker_doctor tokio::sync",
    ),
    layer("reload", "console cli peerbroker", "log"),
    layer("backup_command", "cli peerbroker", ""),
    layer("init_command", "cli peerbroker", "rand toml"),
    layer("keys_command", "console cli process peerbroker", "jiff serde serde_json"),
    layer("stdio", "console cli peerbroker", "log parking_lot serde serde_json tokio::sync"),
    layer(
        "console",
        "cli peerbroker",
        "arc_swap env_filter env_logger jiff log parking_lot qrcode serde_json",
    ),
    layer(
        "cli",
        "process peerbroker",
        "clap clap_complete clap_mangen env_filter gethostname ipnet parking_lot peerbroker_doctor percent_encoding rand serde serde_json strsim toml",
    ),
    layer(
        "process",
        "peerbroker",
        "log rlimit sd_notify tikv_jemallocator tokio::select tokio::signal tokio::time",
    ),
    layer("predecessor", "peerbroker", "log tokio::sync tokio::task tokio::time"),
    // The library's front: re-exports.
    layer(
        "peerbroker",
        "server embed http runtime acme webhooks session transport node cluster descriptions rendezvous rooms router limits keys outbound dialect redis_link tls config events single_flight lan files system media media_api threads clock rate_limit address ports wire",
        "",
    ),
    // The layers that speak HTTP.
    layer(
        "server",
        "embed http runtime acme transport limits tls config events lan system threads ports",
        "actix_codec actix_http actix_service actix_web log rustls socket2 thiserror tokio",
    ),
    layer(
        "embed",
        "http runtime webhooks node keys redis_link tls config events lan media media_api threads clock wire",
        "actix_web log",
    ),
    layer(
        "http",
        "runtime webhooks session transport node limits keys tls config events system media_api clock wire",
        "actix_codec actix_files actix_http actix_web base64 bytes form_urlencoded futures_util log mime mime_guess parking_lot percent_encoding procfs pulldown_cmark rand ring::digest ring::hmac rust_embed serde serde_json subtle thiserror tokio utoipa utoipa_actix_web uuid",
    ),
    // The parts of a broker, put together, and everything that changes them while they run.
    layer(
        "runtime",
        "webhooks session node cluster limits keys tls config events media media_api threads clock wire",
        "arc_swap log parking_lot rand rustls serde serde_json socket2 strsim thiserror tokio utoipa",
    ),
    // A certificate from an ACME server. Its `ring` digests a name, and is that of rustls.
    layer(
        "acme",
        "outbound redis_link tls config events files system threads clock wire",
        "async_trait base64 http_body_util hyper hyper_util instant_acme log parking_lot rand rcgen redis ring::digest rustls rustls_pki_types serde serde_json thiserror tokio webpki x509_parser",
    ),
    // Events to the endpoints of others.
    layer(
        "webhooks",
        "node keys outbound config events threads clock wire",
        "base64 hyper jiff log parking_lot rand ring::hmac rustls serde serde_json thiserror tokio utoipa",
    ),
    // One connected client.
    layer(
        "session",
        "transport node cluster descriptions rendezvous rooms router limits keys dialect config events clock wire",
        "form_urlencoded log rand tokio",
    ),
    layer(
        "transport",
        "router limits clock wire",
        "actix_codec actix_http actix_web actix_ws bytes bytestring futures_core futures_sink futures_util log rustls socket2 thiserror tokio tokio_rustls",
    ),
    // The state that all sessions share: keys with their clients.
    layer(
        "node",
        "cluster descriptions rendezvous rooms router limits keys dialect config events single_flight media media_api threads clock wire",
        "arc_swap dashmap log parking_lot serde serde_json tokio::select tokio::sync tokio::task tokio::test tokio::time utoipa",
    ),
    // The shared state of many nodes, and the worker that keeps it.
    layer(
        "cluster",
        "rendezvous rooms router redis_link config events threads clock wire",
        "futures_util log parking_lot postcard rand redis ring::digest serde thiserror tokio",
    ),
    // Descriptions of calls, as the relay and their keys want them.
    layer("descriptions", "router keys dialect events media media_api wire", "memchr serde_json"),
    layer("rendezvous", "router config clock wire", "dashmap rand"),
    layer("rooms", "router dialect events clock rate_limit wire", "dashmap parking_lot serde"),
    layer("router", "config events clock rate_limit wire", "dashmap tokio::sync"),
    layer("limits", "config rate_limit wire", "dashmap"),
    // Keys, their stores, and the policy of each. Its `ring` is that of rustls.
    layer(
        "keys",
        "outbound redis_link config single_flight files system threads wire",
        "base64 curve25519_dalek hyper jsonwebtoken log parking_lot percent_encoding rand redis ring rusqlite rustls rustls_pki_types serde serde_json simple_asn1 thiserror tokio uuid",
    ),
    layer(
        "outbound",
        "files address",
        "http_body_util hyper hyper_rustls hyper_util rustls rustls_pki_types thiserror tokio::net tokio::test tokio::time tower_service",
    ),
    // Plain Rust: no runtime.
    layer("dialect", "wire", "memchr serde_json smallvec strsim"),
    layer(
        "redis_link",
        "tls config files",
        "futures_util redis rustls_pki_types thiserror tokio::sync tokio::time",
    ),
    layer(
        "tls",
        "config events lan files threads clock wire",
        "arc_swap jiff log parking_lot rcgen ring::Ticketer ring::default_provider rustls rustls_pki_types thiserror webpki",
    ),
    layer(
        "config",
        "events media_api wire",
        "arc_swap base64 ipnet percent_encoding rand ring::hmac rustls_pki_types serde serde_json subtle thiserror utoipa",
    ),
    layer(
        "events",
        "media_api threads clock wire",
        "log parking_lot tokio::runtime tokio::select tokio::sync tokio::test",
    ),
    layer("single_flight", "", "parking_lot tokio::sync"),
    layer("lan", "", "gethostname"),
    layer("files", "system bounded_read", ""),
    // The differences between Unix and Windows.
    layer("system", "", "libc listenfd rustix::event rustix::fs"),
    // The media plane, or its stand-in.
    layer("media", "peerbroker_media media_api wire", "rustls"),
    layer("peerbroker_media", "relay turn datapath media_api", ""),
    layer(
        "relay",
        "turn datapath media_api threads clock rate_limit address wire",
        "bytes dashmap log parking_lot rand stun_types tokio",
    ),
    layer(
        "turn",
        "datapath media_api threads clock rate_limit address wire",
        "base64 bytes dashmap log parking_lot rand ring::hmac rustls socket2 stun_types tokio tokio_rustls turn_types",
    ),
    layer(
        "datapath",
        "media_api threads clock rate_limit ports wire",
        "bytes dashmap log parking_lot quinn_udp socket2 stun_types thiserror tokio",
    ),
    // The crate that the others share.
    layer("peerbroker_core", "media_api threads clock rate_limit address bounded_read ports wire", ""),
    layer("media_api", "threads clock wire", "arc_swap"),
    layer("threads", "", "log parking_lot thiserror tokio::runtime tokio::sync tokio::task tokio::test"),
    layer("clock", "", "parking_lot rustix::time tokio::sync tokio::test tokio::time"),
    layer("rate_limit", "", ""),
    layer("address", "", ""),
    layer("bounded_read", "", "thiserror"),
    layer("ports", "", "socket2"),
    layer("wire", "", "thiserror"),
];

impl Layer {
    pub fn layers(&self) -> impl Iterator<Item = &'static str> {
        self.layers.split_whitespace()
    }

    pub fn external(&self) -> impl Iterator<Item = &'static str> {
        self.external.split_whitespace()
    }
}

/// The layers of the program; all others are the library's.
pub const PROGRAM: &[&str] = &[
    "main",
    "reload",
    "backup_command",
    "init_command",
    "keys_command",
    "process",
    "predecessor",
    "console",
    "cli",
    "stdio",
];

/// The other crates of the workspace: the front of each, and its layers.
pub const CRATES: &[(&str, &str)] = &[
    ("peerbroker_media", "relay turn datapath"),
    ("peerbroker_core", "media_api threads clock rate_limit address bounded_read ports wire"),
];

/// The only layers that may know actix.
pub const ACTIX: &[&str] = &["main", "server", "embed", "http", "transport"];

/// Crates that only some modules of their layers may know.
pub const CONFINED: &[(&str, &[&str])] = &[
    ("rusqlite", &["src/keys/sqlite"]),
    ("instant_acme", &["src/acme"]),
    ("redis", &["src/acme/redis", "src/cluster/redis", "src/keys/redis", "src/redis_link"]),
];

pub fn violation(edge: &Edge) -> Option<String> {
    let Edge { place, layer, target } = edge;
    let Some(known) = LAYERS.iter().find(|known| known.name == layer) else {
        return Some(format!("{place}: no layer of the table"));
    };
    let fine = match target {
        Target::Layer(_) => known.layers().any(|path| target.allowed_by(path)),
        Target::External(_) => known.external().any(|path| target.allowed_by(path)),
    };
    let elsewhere = CONFINED
        .iter()
        .any(|(name, modules)| target.allowed_by(name) && !modules.iter().any(|module| is_in(place, module)));
    (!fine || elsewhere).then(|| format!("{place}: {layer} may not use {target}"))
}

/// True if a place is in the file of a module, or below it.
fn is_in(place: &str, module: &str) -> bool {
    place.strip_prefix(module).is_some_and(|rest| rest.starts_with(['.', '/']))
}
