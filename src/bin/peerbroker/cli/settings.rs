//! Turns the values of settings into what the server needs, and checks combinations.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gethostname::gethostname;
use ipnet::{Ipv4Net, Ipv6Net};
use peerbroker::{BadWebhook, Config, Listen, check_webhook, lan_address};
use peerbroker_config::{
    AcmeConfig, AcmeName, ApiTokens, BackplaneAddress, ClusterConfig, IceConfig, ListenOps, MAX_ACME_NAMES,
    PeerRule, RedisAddress, RelayConfig, SharedSettings, TlsFiles, TurnConfig, TurnSecret, WebhookConfig,
};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::Change;
use rand::distr::{Alphanumeric, SampleString as _};

use super::command::Cli;
use super::draft::{ACME_DIR, Draft, SecretStamps, Secrets};
use super::given::Source;
use super::odd::quotes;
use super::row::{Invalid, NODE, Need, Row};
use super::secret_file;
use super::table::ROWS;
use super::values::{MediaAddress, place_of};
use crate::calls::CallSettings;
use crate::failure::{Failure, ensure, failed, wrong};
use crate::stored_keys::{NamedPlaces, StoredKeys};

/// A number of clients that stands for no limit.
const NO_LIMIT: u64 = 1_000_000;

/// Longest value of a setting that nodes tell each other whole.
const MAX_SHARED_BYTES: usize = 200;

/// The settings of the server.
#[derive(Clone)]
pub struct Settings {
    pub config: Config,
    pub listen: Listen,
    /// The cluster that the node is in, if it is in one.
    pub cluster: Option<ClusterConfig>,
    /// The relay and the TURN server.
    pub calls: CallSettings,
    /// The place of stored keys.
    pub stored_keys: StoredKeys,
    /// The files of secrets before they were read, so that a write meanwhile counts as another change.
    pub secret_stamps: SecretStamps,
    /// The secrets in files.
    pub secrets: Secrets,
}

impl Settings {
    /// Warnings about settings that are surely mistakes, but show only when all files are read.
    pub fn warnings(&self) -> Vec<String> {
        let ApiTokens { admin, read, metrics } = match &self.listen.ops {
            Some(ops) => ops.tokens.clone(),
            None => ApiTokens::default(),
        };
        let secret = self.config.ice.turn_secret.as_ref();
        let of_turn = secret.map(|secret| ("turn_secret", secret.as_str().to_owned()));
        let tokens = [("admin_token", admin), ("read_token", read), ("metrics_token", metrics)];
        let tokens = tokens.into_iter().filter_map(|(flag, token)| Some((flag, token?.as_str().to_owned())));
        let mut warnings: Vec<String> =
            tokens.chain(of_turn).filter_map(|(flag, text)| odd_secret(flag, &text)).collect();
        let of_keys = self.config.keys.iter().filter_map(|key| Some((&key.key, key.settings.warning()?)));
        warnings.extend(of_keys.map(|(key, why)| format!("the [[api_key]] {key:?}: {why}")));
        let IceConfig { stun_urls, turn_urls, .. } = &self.config.ice;
        for (flag, url) in
            stun_urls.iter().map(|url| ("stun_url", url)).chain(turn_urls.iter().map(|url| ("turn_url", url)))
        {
            if place_of(url).is_some_and(|(host, port)| self.calls.is_relay(host, port)) {
                warnings.push(format!(
                    "--{flag} {url} is at the port of --relay, so Chromium never uses the relay: leave it out, because clients are \
                     told the STUN server of --relay and the TURN server of --turn"
                ));
            }
        }
        if secret.is_some_and(TurnSecret::is_weak) {
            warnings.push(
                "the secret of TURN servers is short: a client can find it by trying, with the credentials that it gets. \
                 `openssl rand -hex 32` makes a better one"
                    .to_owned(),
            );
        }
        warnings
    }

    /// A warning if the keys of the configuration admit more clients than the process may have files open.
    pub fn too_many_clients(&self, files: u64) -> Option<String> {
        let keys = self.config.built_in_keys();
        let limits = keys.iter().map(|key| key.settings.concurrent_limit as u64);
        let clients: u64 = limits.filter(|limit| *limit < NO_LIMIT).sum();
        (clients > files).then(|| {
            format!(
                "this process may open {files} files, fewer than the {clients} clients of --concurrent_limit and all keys of the \
                 configuration: raise LimitNOFILE= of systemd, `ulimit -n`, or nofile of the container"
            )
        })
    }
}

impl Cli {
    /// Checks combinations of settings, and reads the files that they name.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let secret_stamps = self.draft.secret_stamps();
        let (draft, secrets) = self.draft.with_secrets()?;
        let port = draft.listen.port;
        let cluster = draft.cluster()?;
        let acme = draft.acme(cluster.as_ref())?;
        let tls = draft.tls()?;
        ensure(
            draft.config.pages || !draft.config.registration.open,
            "--registration open cannot be used with --pages false: the registration form is on the landing page",
        )?;
        let mut limits = draft.config.limits.clone();
        limits.room_key_deliveries_per_second = limits.room_deliveries_per_second.saturating_mul(300);
        let mut media_limits = draft.config.media_limits;
        media_limits.allocations = media_limits.calls.div_ceil(2);
        let mut address_limits = draft.config.address_limits;
        address_limits.opens_per_second = address_limits.connections.div_ceil(20);
        let config = Config {
            limits,
            address_limits,
            media_limits,
            keys: self.file.as_ref().map(|file| file.keys.clone()).unwrap_or_default(),
            // None if any origin may read answers.
            cors: draft.cors.iter().cloned().collect::<Option<_>>().unwrap_or_default(),
            ice: draft.ice()?,
            webhooks: draft.webhooks()?,
            private_files: draft.private_files(),
            shared: self.shared(),
            ..draft.config.clone()
        };
        config.check()?;
        for key in &config.keys {
            let too_many = |why| wrong(format!("room_members of the [[api_key]] {:?}: {why}", key.key));
            config.limits.check_key(&key.settings).map_err(too_many)?;
        }
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
        let stored_keys = StoredKeys::of_server(draft.keys, self.places_of_keys())?;
        let calls = draft.calls(listen.acme.as_ref())?;
        let relay = calls.relay.as_ref().map(|relay| ("relay", &relay.listen));
        let turn = calls.turn.as_ref().filter(|turn| !turn.only_stun).map(|turn| ("turn", &turn.listen));
        let http_port = listen.acme.as_ref().and_then(|acme| acme.http_port);
        let ops = listen.ops.as_ref().map(|ops| ("ops_port", &ops.host, ops.port));
        let http = http_port.map(|port| ("acme_http_port", &listen.host, port));
        for (other, host, port) in [Some(("port", &listen.host, port)), ops, http].into_iter().flatten() {
            let is_taken = |at: &&SocketAddr| at.port() == port && is_same_host(host, &at.ip().to_string());
            for (flag, at) in relay.into_iter().chain(turn).filter(|_| port != 0) {
                let why = format!(
                    "--{other} and --{flag} are both TCP port {port}: give --{flag} a port of its own"
                );
                ensure(!at.iter().any(|at| is_taken(&at)), why)?;
            }
        }
        Ok(Settings { config, listen, cluster, calls, stored_keys, secret_stamps, secrets })
    }

    /// The settings that all nodes of a cluster should share, but for secrets, and the kinds of relay that
    /// each has.
    fn shared(&self) -> SharedSettings {
        let mut draft = self.draft.clone();
        let mut defaults = Draft::default();
        let is_shared = |row: &&Row| row.scope != NODE && !row.is_secret && self.given.has(row.name);
        let shared = ROWS.iter().filter(is_shared).filter_map(|row| {
            let value = (row.texts)(&mut draft);
            (value != (row.texts)(&mut defaults)).then(|| (row.name, value.join(" ")))
        });
        let draft = &self.draft;
        let media = [("relay", !draft.relay_at.is_empty()), ("turn", !draft.turn.is_empty())];
        let media = media.into_iter().filter(|(_, is_on)| *is_on).map(|(flag, _)| (flag, "on".to_owned()));
        shared.chain(media).map(|(flag, value)| (format!("--{flag}"), short(value))).collect()
    }

    /// The place of the keys that `peerbroker keys` edits.
    pub fn keys_to_edit(&self) -> Result<StoredKeys, Failure> {
        let is_flag = |name| self.given.source(name) == Some(&Source::Flag);
        if is_flag("redis") && is_flag("data_dir") {
            return Err(wrong("keys are stored in one place: leave --redis or --data_dir out"));
        }
        Ok(StoredKeys::to_edit(self.draft.keys, self.places_of_keys()))
    }

    fn places_of_keys(&self) -> NamedPlaces {
        let draft = &self.draft;
        NamedPlaces {
            data_dir: draft.data_dir.clone(),
            redis: (!draft.redis.url.is_empty()).then(|| draft.redis()),
            redis_is_of_command: self.given.source("redis") == Some(&Source::Flag),
        }
    }

    /// Checks a change of a key against the limits of the server, if its file has them.
    pub fn check_change(&self, change: &Change) -> Result<(), Failure> {
        let members = change.room_members.filter(|_| self.file.is_some());
        let check = |members| self.draft.config.limits.check_room_members(members);
        members.map_or(Ok(()), check).map_err(|why| wrong(format!("--room_members: {why}")))
    }

    /// The place of a key that `peerbroker keys` does not edit, for its error, if these settings have it.
    pub fn place_of(&self, key: &ApiKey) -> Option<String> {
        match self.file.as_ref().and_then(|file| file.place_of(key)) {
            Some(place) => Some(format!(
                "it is the [[api_key]] at {place}. Edit it there; the server reads the file again by itself"
            )),
            None if self.draft.config.default_key && *key == self.draft.config.key => Some(
                "it is the key of --key, and its settings are flags of the server, as in --concurrent_limit 100".to_owned(),
            ),
            None => None,
        }
    }
}

impl Draft {
    /// The settings with the secrets that are in files, and the texts of these.
    fn with_secrets(&self) -> Result<(Self, Secrets), Failure> {
        let mut draft = self.clone();
        let mut secrets = Secrets::new();
        for (name, path) in self.files_of_secrets() {
            let Some(row) = ROWS.iter().find(|row| row.name == name) else { continue };
            // A file that does nothing is a warning.
            if row.needs.is_some_and(|Need(_, is_used)| !is_used(self)) {
                continue;
            }
            let flag = format!("{name}_file");
            let text = secret_file::of_flag(&flag, path)?;
            let texts: Vec<OsString> = match row.is_list {
                true => text.split_whitespace().map(OsString::from).collect(),
                false => vec![text.trim_end().into()],
            };
            let invalid = |Invalid { why, .. }| failed(format!("invalid value for '--{flag}': {why}"));
            (row.set)(&mut draft, &texts).map_err(invalid)?;
            secrets.insert(name, text);
        }
        Ok((draft, secrets))
    }

    fn redis(&self) -> RedisAddress {
        let client = self.redis_cert.clone().zip(self.redis_key.clone());
        RedisAddress { client, ..self.redis.clone() }
    }

    /// The store that the nodes of its cluster share, if a flag names one.
    pub(super) fn backplane(&self) -> Option<BackplaneAddress> {
        let redis = self.redis();
        (!redis.url.is_empty()).then_some(BackplaneAddress::Redis(redis))
    }

    /// The cluster that the node is in, if it is in one.
    fn cluster(&self) -> Result<Option<ClusterConfig>, Failure> {
        let Some(backplane) = self.backplane() else { return Ok(None) };
        let mut cluster = ClusterConfig { backplane, ..self.cluster.clone() };
        peerbroker::check_backplane(&cluster.backplane).map_err(wrong)?;
        if cluster.node_name.is_empty() {
            let random = Alphanumeric.sample_string(&mut rand::rng(), 4).to_lowercase();
            cluster.node_name = format!("{}-{random}", gethostname().to_string_lossy());
        }
        cluster.place = self.place();
        Ok(Some(cluster))
    }

    /// The machine and the address of this server, for people. Two servers have the same only if one is the
    /// next server of the other.
    fn place(&self) -> String {
        let host = &self.listen.host;
        let machine = gethostname();
        let is_any = host.parse().is_ok_and(|host: IpAddr| host.is_unspecified());
        let host =
            lan_address().filter(|_| is_any).map_or_else(|| host.clone(), |address| address.to_string());
        let at = match self.listen.port {
            0 => format!("{host}, process {}", std::process::id()),
            port if host.contains(':') => format!("[{host}]:{port}"),
            port => format!("{host}:{port}"),
        };
        format!("{} ({at})", machine.to_string_lossy())
    }

    fn tls(&self) -> Result<Option<TlsFiles>, Failure> {
        let missing =
            |flag| failed(format!("--sslkey and --sslcert must be used together: --{flag} is missing"));
        match (self.sslkey.clone(), self.sslcert.clone()) {
            (Some(key), Some(cert)) => Ok(Some(TlsFiles { key, cert })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing("sslcert")),
            (None, Some(_)) => Err(missing("sslkey")),
        }
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
        let mut names = self.acme.names.clone();
        let mut seen = HashSet::new();
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
        let ice = self.config.ice.clone();
        ensure(
            ice.turn_urls.is_empty() || ice.turn_secret.is_some(),
            "--turn_url needs --turn_secret or --turn_secret_file: browsers use no TURN server without credentials",
        )?;
        Ok(ice)
    }

    /// The operator's webhook and its events.
    fn webhooks(&self) -> Result<WebhookConfig, Failure> {
        let mut webhooks = self.config.webhooks.clone();
        if !self.webhook_events.is_empty() {
            webhooks.events = self.webhook_events.iter().copied().flatten().collect();
            webhooks.operator.messages = self.webhook_events.contains(&None);
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
        let ops = ListenOps { port, ..self.ops.clone() };
        let ApiTokens { admin, read, metrics } = &ops.tokens;
        for (token, name, other, other_name) in [
            (read, "read_token", admin, "admin_token"),
            (metrics, "metrics_token", admin, "admin_token"),
            (metrics, "metrics_token", read, "read_token"),
        ] {
            let why = format!(
                "--{name} and --{other_name} are the same: make another one with `openssl rand -hex 32`"
            );
            ensure(token.is_none() || token != other, why)?;
        }
        Ok(Some(ops))
    }

    /// The relay and the TURN server, if there is to be one. The public and private addresses of both are the
    /// same.
    fn calls(&self, acme: Option<&AcmeConfig>) -> Result<CallSettings, Failure> {
        let address = |host: &AcmeName| if let AcmeName::Ip(ip) = host { Some(*ip) } else { None };
        let public: Vec<IpAddr> = self.relay_public.iter().filter_map(address).collect();
        let hosts = self.relay_public.iter().filter(|host| address(host).is_none());
        let mut names: Vec<String> = hosts.map(ToString::to_string).collect();
        let has_any = !self.relay_at.is_empty() || !self.turn.is_empty();
        let too_many = "--relay_public takes one host name, or one address of each family";
        ensure(!is_twice(&public) && names.len() <= 1, too_many)?;
        ensure(has_any || self.relay_public.is_empty(), "--relay_public needs --relay or --turn")?;
        ensure(has_any || !self.relay.private, "--relay_private needs --relay or --turn")?;
        let relay = match self.relay_at.as_slice() {
            [] => None,
            at => {
                let listen = listen_at("relay", at, RelayConfig::DEFAULT_PORT)?;
                Some(RelayConfig { listen, public: public.clone(), ..self.relay.clone() })
            }
        };
        let is_everywhere = self.relay_at.iter().chain(&self.turn).all(|at| *at == MediaAddress::All);
        if let Some(acme) = acme.filter(|_| is_everywhere && self.relay_public.is_empty()) {
            names.extend(acme.names.iter().map(ToString::to_string));
        }
        let mut turn = self.turn(relay.as_ref(), public.clone())?;
        if let Some(turn) = &mut turn {
            turn.realm = names.first().filter(|name| name.len() <= TurnConfig::MAX_REALM).cloned();
        }
        let host =
            self.listen.host.parse().ok().filter(|host: &IpAddr| {
                !self.config.proxied && !host.is_unspecified() && !host.is_loopback()
            });
        let private = self.relay.private;
        Ok(CallSettings {
            relay,
            turn,
            public,
            names,
            host,
            private,
            may_lack_a_family: is_everywhere,
            is_proxied: self.config.proxied,
            ..CallSettings::default()
        })
    }

    /// The TURN server, or the STUN server of a relay, if the flags ask for one.
    fn turn(&self, relay: Option<&RelayConfig>, public: Vec<IpAddr>) -> Result<Option<TurnConfig>, Failure> {
        let only_stun = self.turn.is_empty();
        ensure(!only_stun || self.turn_ports.is_none(), "--turn_ports needs --turn")?;
        let relay_port = relay.and_then(|relay| relay.listen.first()).map(SocketAddr::port);
        let port = relay_port.map_or(TurnConfig::DEFAULT_PORT, TurnConfig::port_beside);
        let listen = match (self.turn.as_slice(), relay) {
            ([], None) => return Ok(None),
            ([] | [MediaAddress::All], Some(relay)) => {
                relay.listen.iter().map(|at| SocketAddr::new(at.ip(), port)).collect()
            }
            (at, _) => listen_at("turn", at, port)?,
        };
        // An unspecified address is every address of its family.
        let overlaps = |a: &SocketAddr, b: &SocketAddr| {
            let is_any = a.ip().is_unspecified() || b.ip().is_unspecified();
            a.port() == b.port()
                && a.port() != 0
                && (a.ip() == b.ip() || is_any && a.is_ipv4() == b.is_ipv4())
        };
        let is_same = |relay: &RelayConfig| {
            relay.listen.iter().any(|at| listen.iter().any(|other| overlaps(at, other)))
        };
        ensure(
            !relay.is_some_and(is_same),
            "--turn and --relay have the same port: give --turn another one, because Chromium drops what a relay sends \
             from the port of a page's TURN server",
        )?;
        let mut peers = self.turn_peers.clone();
        if self.relay.private {
            let all = [Ipv4Net::default().into(), Ipv6Net::default().into()];
            peers.extend(all.map(|network| PeerRule { network, allows: true }));
        }
        let ports = self.turn_ports.clone();
        Ok(Some(TurnConfig { listen, public, only_stun, realm: None, ports, peers }))
    }
}

/// A value as nodes tell it to each other every few seconds: a long one by its beginning and a digest.
fn short(value: String) -> String {
    if value.len() <= MAX_SHARED_BYTES {
        return value;
    }
    let mut digest = DefaultHasher::new();
    value.hash(&mut digest);
    let beginning: String = value.chars().take(MAX_SHARED_BYTES / 4).collect();
    format!("{beginning}… ({} bytes, digest {:x})", value.len(), digest.finish())
}

/// A warning about a secret with more in it than was surely meant. It does not show the secret.
fn odd_secret(flag: &str, text: &str) -> Option<String> {
    let name = text.split_once('=').map(|(name, _)| name.trim_start_matches("export ")).unwrap_or_default();
    let is_variable = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.contains('_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let what = match text {
        _ if is_variable => format!("begins with {name}="),
        _ if quotes(text).is_some() => "has quotes of its own".to_owned(),
        _ => return None,
    };
    Some(format!(
        "the text of --{flag}, or of its file, {what}: that belongs to the secret, so clients must send it too. Leave it out"
    ))
}

/// True if two addresses are of one family.
fn is_twice(addresses: &[IpAddr]) -> bool {
    addresses.iter().filter(|ip| ip.is_ipv4()).count() > 1
        || addresses.iter().filter(|ip| ip.is_ipv6()).count() > 1
}

/// The addresses to bind: at most one of each family.
fn listen_at(flag: &str, given: &[MediaAddress], port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let mut listen = Vec::new();
    for at in given {
        match at {
            MediaAddress::All => listen.extend([
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            ]),
            MediaAddress::At(ip, given) => listen.push(SocketAddr::new(*ip, given.unwrap_or(port))),
        }
    }
    let ips: Vec<IpAddr> = listen.iter().map(SocketAddr::ip).collect();
    let twice = || wrong(format!("--{flag} takes one IPv4 address, one IPv6 address, or one of each"));
    if is_twice(&ips) { Err(twice()) } else { Ok(listen) }
}

/// True if listeners on the two hosts need different ports.
fn is_same_host(a: &str, b: &str) -> bool {
    let is_all = |host: &str| matches!(host, "::" | "[::]" | "0.0.0.0");
    a == b || is_all(a) || is_all(b)
}
