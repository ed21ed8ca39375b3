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
        "reload doctor backup_command keys_command systemd takeover cli console peerbroker",
        "actix_web::rt anyhow log rlimit tikv_jemallocator tokio::signal tokio::select tokio::sync",
    ),
    layer("reload", "console cli peerbroker", "log"),
    // A client like any other: it knows nothing of the server's code.
    layer(
        "doctor",
        "console cli peerbroker",
        "futures_util http_body_util hyper hyper_util jiff percent_encoding rustls rustls_pki_types serde serde_json stun_types thiserror \
         tokio tokio_rustls tokio_tungstenite turn_types url uuid webpki webpki_roots x509_parser",
    ),
    layer("backup_command", "cli peerbroker", "thiserror"),
    layer("keys_command", "console cli peerbroker", "jiff serde serde_json thiserror"),
    layer("console", "cli peerbroker", "arc_swap env_filter env_logger jiff log qrcode serde_json"),
    layer(
        "cli",
        "peerbroker",
        "clap clap_complete clap_mangen env_filter gethostname ipnet rand serde strsim thiserror toml",
    ),
    layer("systemd", "peerbroker", "log sd_notify tokio::time"),
    layer("takeover", "peerbroker", "log tokio::task::spawn_blocking tokio::time"),
    // The library's front: re-exports.
    layer(
        "peerbroker",
        "fuzzing server embed ops http app acme admin session transport node client_options limits auth dialect directory broker cluster events config \
         turn relay tls files lan keys redis_link wire clock rate_limit webhooks http_client address threads",
        "",
    ),
    // The fuzz targets, which look into every other layer.
    layer("fuzzing", "http session transport auth dialect limits config keys wire", "actix_http serde_json"),
    // What speaks HTTP.
    layer(
        "server",
        "embed http ops app acme transport turn limits events config tls lan clock",
        "actix_codec actix_http actix_server actix_service actix_tls actix_web listenfd log rustls socket2 thiserror \
         tokio",
    ),
    layer(
        "embed",
        "http ops app admin session node turn relay webhooks events config tls keys lan clock wire threads",
        "actix_web log",
    ),
    layer(
        "ops",
        "http app admin node turn relay webhooks limits events config tls keys clock wire",
        "actix_web base64 bytes futures_core log mime percent_encoding procfs ring::hmac rust_embed serde serde_json subtle tokio::select \
         tokio::sync tokio::time utoipa utoipa_actix_web",
    ),
    layer(
        "http",
        "app admin session transport client_options limits events config keys wire",
        "actix_codec actix_files actix_http actix_web base64 form_urlencoded log mime mime_guess percent_encoding pulldown_cmark rand ring::digest rust_embed serde_json tokio \
         uuid",
    ),
    // The parts of a broker, put together.
    layer(
        "app",
        "admin session node turn relay webhooks cluster limits events config tls keys clock wire threads",
        "arc_swap log rand rustls strsim tokio::runtime::Builder tokio::task::LocalSet",
    ),
    // A certificate from an ACME server. Its `ring` digests a name, and is that of rustls.
    layer(
        "acme",
        "events config tls files redis_link clock",
        "base64 http_body_util hyper hyper_rustls hyper_util instant_acme log rand rcgen redis ring::digest rustix::fs rustix::io rustls rustls_pki_types \
         serde serde_json thiserror tokio webpki x509_parser",
    ),
    // Everything that changes the running server.
    layer(
        "admin",
        "node auth webhooks limits events config keys clock wire threads",
        "log serde_json thiserror",
    ),
    // Events to the endpoints of others.
    layer(
        "webhooks",
        "http_client events config keys clock wire threads",
        "base64 http_body_util hyper jiff log rand ring::hmac rustls serde_json thiserror tokio",
    ),
    // One connected client.
    layer(
        "session",
        "transport node auth dialect directory broker limits events config keys clock wire",
        "arc_swap form_urlencoded log rand tokio::select tokio::time tokio::sync tokio::task tokio::runtime",
    ),
    layer(
        "transport",
        "broker limits wire",
        "actix_codec actix_http actix_tls actix_web actix_ws bytes bytestring futures_core futures_sink log socket2 \
         tokio::io tokio::net tokio::time tokio::test tokio::join",
    ),
    // Whose peers these are, and where they are.
    layer(
        "node",
        "relay auth dialect directory broker cluster events config keys clock wire",
        "dashmap log ring::digest serde serde_json tokio::select tokio::sync tokio::task tokio::test tokio::time utoipa",
    ),
    // What many nodes share. It knows nothing of brokers.
    layer("cluster", "redis_link wire", "postcard rand redis serde thiserror"),
    layer("client_options", "config wire", "percent_encoding"),
    // Its `ring` is that of rustls.
    layer(
        "auth",
        "http_client keys files wire",
        "base64 curve25519_dalek http_body_util hyper jsonwebtoken log rand ring rustls rustls_pki_types \
         serde serde_json simple_asn1 thiserror tokio::join tokio::sync tokio::task tokio::test tokio::time uuid",
    ),
    // Plain Rust: no runtime, and none of the three knows of the others.
    layer("dialect", "wire", "memchr serde_json"),
    layer(
        "turn",
        "relay limits config clock rate_limit address threads",
        "base64 bytes dashmap log rand ring::hmac rustls socket2 stun_types thiserror tokio tokio_rustls turn_types",
    ),
    layer(
        "relay",
        "events limits config clock rate_limit address wire threads",
        "bytes dashmap log quinn_udp rand socket2 stun_types thiserror tokio",
    ),
    layer("directory", "config clock wire", "dashmap rand"),
    layer(
        "http_client",
        "address",
        "http_body_util hyper hyper_rustls hyper_util rustls tokio::net tokio::test tower_service",
    ),
    layer("broker", "events config clock rate_limit wire", "dashmap tokio::sync"),
    layer("limits", "config rate_limit wire", "dashmap"),
    layer("events", "wire threads", "tokio::runtime tokio::select tokio::sync tokio::test"),
    layer(
        "config",
        "tls keys redis_link wire",
        "arc_swap base64 ipnet rand ring::hmac rustls_pki_types thiserror",
    ),
    layer(
        "keys",
        "redis_link wire threads",
        "base64 log percent_encoding rand redis rusqlite rustix::fs serde serde_json thiserror tokio::runtime::Builder tokio::sync utoipa",
    ),
    layer("redis_link", "tls files", "redis rustls_pki_types thiserror tokio::sync tokio::task tokio::time"),
    layer(
        "tls",
        "lan files threads",
        "arc_swap jiff log ring::default_provider rustls rustls_pki_types thiserror webpki x509_parser",
    ),
    layer("lan", "", "rustix::system"),
    layer("files", "", "libc thiserror"),
    layer("threads", "", "log thiserror tokio::sync::watch tokio::test"),
    layer("clock", "", "tokio::sync tokio::time"),
    layer("rate_limit", "", ""),
    layer("address", "", ""),
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
pub const PROGRAM: &[&str] =
    &["main", "reload", "doctor", "backup_command", "keys_command", "systemd", "takeover", "console", "cli"];

/// The only layers that may know actix.
pub const ACTIX: &[&str] = &["main", "fuzzing", "server", "embed", "http", "ops", "transport"];

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

/// Whether a place is in the file of a module, or below it.
fn is_in(place: &str, module: &str) -> bool {
    place.strip_prefix(module).is_some_and(|rest| rest.starts_with(['.', '/']))
}
