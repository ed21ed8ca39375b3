//! Turns the values of settings into what the server needs, and checks combinations.

use std::collections::HashSet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use gethostname::gethostname;
use peerbroker::config::{
    AcmeConfig, AdminToken, ApiTokens, BackplaneAddress, ClusterConfig, IceConfig, ListenOps, MAX_ACME_NAMES,
    RedisAddress, RelayConfig, TlsFiles, TurnConfig, TurnSecret, WebhookConfig,
};
use peerbroker::keys::WebhookSecret;
use peerbroker::wire::ApiKey;
use peerbroker::{BadWebhook, Config, Listen, check_webhook, interface_address};
use rand::distr::{Alphanumeric, SampleString as _};

use super::Cli;
use super::draft::Draft;
use super::failure::{Failure, ensure, failed, wrong};
use super::given::Source;
use super::secret_file;
use super::values::TurnAddresses;
use crate::stored_keys::StoredKeys;

/// Directory of the accounts and certificates of --acme, in the data directory.
pub const ACME_DIR: &str = "acme";

/// The settings of the server.
#[derive(Clone)]
pub struct Settings {
    pub config: Config,
    pub listen: Listen,
    /// The mount path as the user wrote it, for the start line.
    pub given_path: String,
    /// The cluster that the node is in, if it is in one.
    pub cluster: Option<ClusterConfig>,
    /// The relay for calls that cannot go directly, if there is one.
    pub relay: Option<RelayConfig>,
    /// The TURN server, or the STUN server of the relay, if there is one.
    pub turn: Option<TurnConfig>,
    /// The place of stored keys.
    pub stored_keys: StoredKeys,
}

impl Settings {
    /// A warning about settings that are surely mistakes, but show only when all files are read.
    pub fn warnings(&self) -> Option<String> {
        let secret = self.config.ice.turn_secret.as_ref()?;
        secret.is_weak().then(|| {
            "the secret of TURN servers is short: a client can find it by trying, with the credentials that it gets. `openssl \
             rand -hex 32` makes a better one"
                .to_owned()
        })
    }
}

impl Cli {
    /// Checks combinations of settings, and reads the files that they name.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let draft = &self.draft;
        let port = draft.listen.port;
        let cluster = draft.cluster()?;
        let acme = draft.acme(cluster.as_ref())?;
        let tls = draft.tls()?;
        ensure(
            draft.config.pages || !draft.config.registration.open,
            "--registration open cannot be used with --pages false: the registration form is on the landing page",
        )?;
        let config = Config {
            keys: self.file.as_ref().map(|file| file.keys.clone()).unwrap_or_default(),
            dialects: draft.dialects.iter().copied().collect(),
            // None if any origin may read answers.
            cors: draft.cors.iter().cloned().collect::<Option<_>>().unwrap_or_default(),
            ice: draft.ice()?,
            webhooks: draft.webhooks()?,
            ..draft.config.clone()
        };
        config.check()?;
        let ops = draft.ops()?;
        if let Some(ops) = ops.as_ref().filter(|ops| ops.port == port && port != 0)
            && is_same_host(&draft.listen.host, &ops.host)
        {
            let other = if port == u16::MAX { port - 1 } else { port + 1 };
            return Err(wrong(format!(
                "--port and --ops_port are both {port}: give the API a port of its own, as in --ops_port {other}"
            )));
        }
        let listen = Listen { tls, acme, ops, ..draft.listen.clone() };
        let stored_keys = draft.stored_keys(cluster.as_ref())?;
        let relay = draft.relay()?;
        let turn = draft.turn(relay.as_ref())?;
        let given_path = self.given.last("path").map(|path| path.to_string_lossy());
        Ok(Settings {
            config,
            listen,
            given_path: given_path.map_or("/".into(), |path| path.into_owned()),
            cluster,
            relay,
            turn,
            stored_keys,
        })
    }

    /// The place of the keys that `peerbroker keys` edits. A URL on the command line wins.
    pub fn keys_to_edit(&self) -> StoredKeys {
        let is_in_redis = self.draft.keys_in_redis || self.given.source("redis") == Some(&Source::Flag);
        match &self.draft.data_dir {
            _ if is_in_redis && self.given.has("redis") => StoredKeys::Redis(self.draft.redis()),
            Some(dir) => StoredKeys::Directory(dir.clone()),
            None => StoredKeys::InMemory,
        }
    }

    /// The place where a key is that `peerbroker keys` does not edit, for its error. Empty if it is nowhere.
    pub fn home_of(&self, key: &ApiKey) -> String {
        match &self.file {
            Some(file) if file.keys.iter().any(|other| other.key == *key) => format!(
                ": it is an [[api_key]] of {}. Change it there; the server reads the file again by itself",
                file.path.display()
            ),
            None if *key != self.draft.config.key => {
                ". A key of the configuration file is changed there, and --config names the file".to_owned()
            }
            _ if *key == self.draft.config.key => {
                ": it is the key of --key, and its settings are flags of the server, as in --concurrent_limit 100".to_owned()
            }
            _ => String::new(),
        }
    }
}

impl Draft {
    fn redis(&self) -> RedisAddress {
        let client = self.redis_cert.clone().zip(self.redis_key.clone());
        RedisAddress { client, ..self.redis.clone() }
    }

    /// The cluster that the node is in, if it is in one.
    fn cluster(&self) -> Result<Option<ClusterConfig>, Failure> {
        let redis = self.redis();
        if redis.url.is_empty() {
            return Ok(None);
        }
        peerbroker::check_redis(&redis).map_err(wrong)?;
        let mut cluster = ClusterConfig { backplane: BackplaneAddress::Redis(redis), ..self.cluster.clone() };
        if cluster.node_name.is_empty() {
            let random = Alphanumeric.sample_string(&mut rand::rng(), 4).to_lowercase();
            cluster.node_name = format!("{}-{random}", gethostname().to_string_lossy());
        }
        Ok(Some(cluster))
    }

    fn stored_keys(&self, cluster: Option<&ClusterConfig>) -> Result<StoredKeys, Failure> {
        let redis = cluster.map(|ClusterConfig { backplane: BackplaneAddress::Redis(redis), .. }| redis);
        StoredKeys::of_server(self.keys_in_redis, self.data_dir.as_ref(), redis)
    }

    fn tls(&self) -> Result<Option<TlsFiles>, Failure> {
        let missing = match (self.sslkey.clone(), self.sslcert.clone()) {
            (Some(key), Some(cert)) => return Ok(Some(TlsFiles { key, cert })),
            (None, None) => return Ok(None),
            (Some(_), None) => "sslcert",
            (None, Some(_)) => "sslkey",
        };
        Err(failed(format!("--sslkey and --sslcert must be used together: --{missing} is missing")))
    }

    /// The certificate by ACME, if there is to be one.
    fn acme(&self, cluster: Option<&ClusterConfig>) -> Result<Option<AcmeConfig>, Failure> {
        if self.acme.names.is_empty() {
            return Ok(None);
        }
        for (flag, file) in [("sslcert", &self.sslcert), ("sslkey", &self.sslkey)] {
            let why = "the server gets its certificate by itself, or from files";
            ensure(file.is_none(), format!("--acme cannot be used with --{flag}: {why}"))?;
        }
        let http_port = self.acme.http_port.filter(|port| *port != 0);
        ensure(
            cluster.is_none(),
            "--acme cannot be used with --redis: the ACME server may come to any node. End TLS in front of the nodes, or give \
             all of them the same --sslkey and --sslcert",
        )?;
        let Some(data_dir) = &self.data_dir else {
            return Err(wrong(
                "--acme needs --data_dir: the certificate and its key are kept there, so that a restart orders no other",
            ));
        };
        let dir = data_dir.join(ACME_DIR);
        let (mut names, mut seen) = (self.acme.names.clone(), HashSet::new());
        names.retain(|name| seen.insert(name.clone()));
        let given = names.len();
        let too_many = format!("--acme takes at most {MAX_ACME_NAMES} names, and {given} are given");
        ensure(given <= MAX_ACME_NAMES, too_many)?;
        for (flag, other) in [("port", Some(self.listen.port)), ("ops_port", self.ops_port)] {
            if let Some(port) = http_port.filter(|port| other == Some(*port)) {
                return Err(wrong(format!(
                    "--{flag} and --acme_http_port are both {port}: give the HTTP port another number, or 0 for none"
                )));
            }
        }
        Ok(Some(AcmeConfig { names, http_port, dir, ..self.acme.clone() }))
    }

    /// The servers that clients are told, and the secret for their credentials.
    fn ice(&self) -> Result<IceConfig, Failure> {
        let mut ice = self.config.ice.clone();
        if let Some(secret) = read("turn_secret_file", &self.turn_secret_file, TurnSecret::parse)? {
            ice.turn_secret = Some(secret);
        }
        ensure(
            ice.turn_urls.is_empty() || ice.turn_secret.is_some(),
            "--turn_url needs --turn_secret or --turn_secret_file: browsers use no TURN server without credentials",
        )?;
        Ok(ice)
    }

    /// The operator's webhook and its events.
    fn webhooks(&self) -> Result<WebhookConfig, Failure> {
        let mut webhooks = self.config.webhooks.clone();
        let file = &self.webhook_secret_file;
        if let Some(secrets) = read("webhook_secret_file", file, WebhookSecret::parse_all)? {
            webhooks.operator.secrets = secrets;
        }
        check_webhook(&webhooks.operator, true).map_err(|why| match why {
            BadWebhook::NoUrl => wrong("--webhook_secret does nothing without --webhook"),
            BadWebhook::NoSecret => {
                wrong(format!("--webhook needs --webhook_secret or --webhook_secret_file: {why}"))
            }
            why => wrong(format!("invalid value {:?} for '--webhook': {why}", webhooks.operator.url)),
        })?;
        Ok(webhooks)
    }

    fn ops(&self) -> Result<Option<ListenOps>, Failure> {
        let Some(port) = self.ops_port else { return Ok(None) };
        let mut ops = ListenOps { port, ..self.ops.clone() };
        let ApiTokens { admin, read: reading, metrics } = &mut ops.tokens;
        for (flag, file, token) in [
            ("admin_token_file", &self.admin_token_file, &mut *admin),
            ("read_token_file", &self.read_token_file, &mut *reading),
            ("metrics_token_file", &self.metrics_token_file, &mut *metrics),
        ] {
            *token = read(flag, file, AdminToken::parse)?.or(token.take());
        }
        for (token, name, other, other_name) in [
            (&*reading, "read_token", &*admin, "admin_token"),
            (&*metrics, "metrics_token", &*admin, "admin_token"),
            (&*metrics, "metrics_token", &*reading, "read_token"),
        ] {
            let why = format!(
                "--{name} and --{other_name} are the same: make another one with `openssl rand -hex 32`"
            );
            ensure(token.is_none() || token != other, why)?;
        }
        Ok(Some(ops))
    }

    /// The relay, if there is to be one. Its public and private addresses are those of the TURN server, too.
    fn relay(&self) -> Result<Option<RelayConfig>, Failure> {
        let RelayConfig { listen, public, private, .. } = &self.relay;
        if is_twice(public) {
            return Err(twice("relay_public"));
        }
        if listen.is_empty() {
            let has_turn = !self.turn.is_empty();
            ensure(has_turn || public.is_empty(), "--relay_public needs --relay or --turn")?;
            ensure(has_turn || !private, "--relay_private needs --relay or --turn")?;
            return Ok(None);
        }
        Ok(Some(RelayConfig { listen: addresses("relay", listen.clone())?, ..self.relay.clone() }))
    }

    /// The TURN server, or the STUN server of a relay, if the flags ask for one.
    fn turn(&self, relay: Option<&RelayConfig>) -> Result<Option<TurnConfig>, Failure> {
        let only_stun = self.turn.is_empty();
        ensure(!only_stun || self.turn_ports.is_none(), "--turn_ports needs --turn")?;
        let relay_port = relay.and_then(|relay| relay.listen.first()).map(SocketAddr::port);
        let port = relay_port.map_or(TurnConfig::DEFAULT_PORT, TurnConfig::port_beside);
        let listen = match (self.turn.as_slice(), relay) {
            ([], None) => return Ok(None),
            ([] | [TurnAddresses::Auto], Some(relay)) => {
                relay.listen.iter().map(|at| SocketAddr::new(at.ip(), port)).collect()
            }
            ([TurnAddresses::Auto], None) => {
                let found = interface_address(false).or_else(|| interface_address(true));
                let none = || {
                    wrong(
                        "--turn: this machine has no address that leads out; name one, as in --turn 198.51.100.7",
                    )
                };
                vec![SocketAddr::new(found.ok_or_else(none)?, port)]
            }
            (places, _) => {
                let at = |place: &TurnAddresses| match place {
                    TurnAddresses::Auto => Err(twice("turn")),
                    TurnAddresses::At(ip, given) => Ok(SocketAddr::new(*ip, given.unwrap_or(port))),
                };
                addresses("turn", places.iter().map(at).collect::<Result<_, _>>()?)?
            }
        };
        let is_same =
            |relay: &RelayConfig| relay.listen.iter().any(|at| at.port() != 0 && listen.contains(at));
        ensure(
            !relay.is_some_and(is_same),
            "--turn and --relay have the same port: give --turn another one, because Chromium drops what a relay sends \
             from the port of a page's TURN server",
        )?;
        let RelayConfig { public, private, .. } = self.relay.clone();
        let ports = self.turn_ports.clone();
        Ok(Some(TurnConfig { listen, public, only_stun, ports, private, loopback: false }))
    }
}

/// The secret in a file, if there is one.
fn read<T, E: Display>(
    flag: &str,
    file: &Option<PathBuf>,
    parse: fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    let Some(path) = file else { return Ok(None) };
    let parsed = parse(secret_file::of_flag(flag, path)?.trim_end());
    parsed.map(Some).map_err(|why| failed(format!("invalid value for '--{flag}': {why}")))
}

/// True if two addresses are of one family.
fn is_twice(addresses: &[IpAddr]) -> bool {
    addresses.iter().filter(|ip| ip.is_ipv4()).count() > 1
        || addresses.iter().filter(|ip| ip.is_ipv6()).count() > 1
}

fn twice(flag: &str) -> Failure {
    wrong(format!("--{flag} takes one IPv4 address, one IPv6 address, or one of each"))
}

/// At most one address of each family. Instead of an unspecified one, that of the interface that leads out.
fn addresses(flag: &str, mut given: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Failure> {
    for at in given.iter_mut().filter(|at| at.ip().is_unspecified()) {
        let ip = at.ip();
        at.set_ip(interface_address(ip.is_ipv6()).ok_or_else(|| {
            wrong(format!("--{flag} {ip}: this machine has no address that leads out; name one"))
        })?);
    }
    let ips: Vec<IpAddr> = given.iter().map(SocketAddr::ip).collect();
    if is_twice(&ips) { Err(twice(flag)) } else { Ok(given) }
}

/// True if listeners on the two hosts need different ports.
fn is_same_host(a: &str, b: &str) -> bool {
    let is_all = |host: &str| matches!(host, "::" | "[::]" | "0.0.0.0");
    a == b || is_all(a) || is_all(b)
}
