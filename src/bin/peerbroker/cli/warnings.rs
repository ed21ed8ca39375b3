//! Combinations of settings that do nothing, or that lock everybody out.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use peerbroker::{InheritedSockets, Listen};
use peerbroker_config::{AcmeName, Ban, Dialect, Dialects, LETS_ENCRYPT};

use super::command::Cli;
use super::dialects::dialects_of;
use super::draft::Draft;
use super::row::{Need, variable};
use super::table::ROWS;
use super::values::{BYTE_RATE, MILLIS, MediaAddress, silences_all};
use crate::process;

/// A plain number of milliseconds below this is likely to be meant as seconds.
const SHORT: u64 = 1000;

/// A plain number of bytes per second below this is likely to be meant as kilobytes: a call without video
/// needs about as much.
const SLOW: u64 = 10_000;

/// Bytes of an unfinished message that do not count in the limit of all of them.
const UNCOUNTED: usize = 16 << 10;

/// Variables of hosts that pass HTTP only: Render, Railway, Heroku, Google Cloud Run.
const HTTP_ONLY: &[&str] = &["RENDER", "RAILWAY_ENVIRONMENT", "DYNO", "K_SERVICE"];

/// A variable of Fly.io.
const FLY: &str = "FLY_APP_NAME";

/// True if this is the main program of a container, as far as Docker, Podman and Kubernetes tell. Any other
/// program may be there for its neighbours.
fn is_of_container() -> bool {
    let has_file = || ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists());
    let has_variable =
        || ["container", "KUBERNETES_SERVICE_HOST"].iter().any(|name| variable(name).is_some());
    process::is_main() && (has_file() || has_variable())
}

/// True if only programs of this machine reach a host.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// True if one machine of the world may have the name.
fn is_public(name: &AcmeName) -> bool {
    match name {
        AcmeName::Host(name) => {
            name.contains('.') && ![".localhost", ".local", ".internal"].iter().any(|end| name.ends_with(end))
        }
        AcmeName::Ip(IpAddr::V4(ip)) => !ip.is_private() && !ip.is_loopback() && !ip.is_link_local(),
        AcmeName::Ip(IpAddr::V6(ip)) => {
            !ip.is_loopback() && !ip.is_unique_local() && !ip.is_unicast_link_local()
        }
    }
}

/// The reason why a ban is probably not meant.
fn why_odd(ban: &Ban) -> Option<&'static str> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if ban.is_over(now) { Some("it is over, so it bans nobody: leave it out") } else { ban.warning() }
}

/// A warning about the text of a network in which an address was probably meant.
fn host_bits((flag, text): (&str, &OsString)) -> Option<String> {
    let text = text.to_str()?.split(',').next()?;
    let network: IpNet = text.parse().ok()?;
    let address = network.addr();
    let whole = network.trunc();
    (network != whole).then(|| {
        format!("--{flag} {text} is all of {whole}: write that, or {address} for this address alone")
    })
}

/// A setting that a socket of the service manager has.
pub(super) struct OnSocket {
    pub(super) flag: &'static str,
    pub(super) value: String,
    purpose: &'static str,
    at: SocketAddr,
    /// True if the setting that was given agrees.
    is_same: bool,
}

impl Cli {
    /// A warning for each setting, and each combination, that is surely not meant.
    pub fn warnings(&self) -> Vec<String> {
        let of_file = self.file.iter().flat_map(|file| file.warnings.clone());
        let mut warnings: Vec<String> = self.gone.iter().cloned().chain(of_file).collect();
        for row in ROWS.iter().filter(|row| self.given.has(row.name)) {
            let name = row.name;
            if let Some(Need(needed, _)) = row.needs.filter(|Need(_, is_used)| !is_used(&self.draft)) {
                warnings.push(format!("--{name} does nothing without {needed}"));
            }
            let odd = self.given.odd(row);
            warnings.extend(odd.iter().map(|(text, odd)| format!("--{name} {text:?} {}", odd.why)));
            let plain = self.given.last(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
            match plain {
                Some(time) if row.value_name == MILLIS.value_name && (1..SHORT).contains(&time) => {
                    let meant = format!("write {time}s for seconds, or {time}ms to keep it");
                    warnings.push(format!("--{name} is {time} milliseconds: {meant}"));
                }
                Some(rate) if row.value_name == BYTE_RATE.value_name && (1..SLOW).contains(&rate) => {
                    let meant = format!("write {rate}kB/s for kilobytes, or {rate}B/s to keep it");
                    warnings.push(format!(
                        "--{name} is {rate} bytes per second, too few for a call even without video: {meant}"
                    ));
                }
                _ => {}
            }
        }
        warnings.extend(
            self.draft.config.bans.iter().filter_map(|ban| Some(format!("--ban {ban}: {}", why_odd(ban)?))),
        );
        let networks =
            ["ban", "trusted_proxy"].map(|flag| self.given.texts(flag).iter().map(move |text| (flag, text)));
        warnings.extend(networks.into_iter().flatten().filter_map(host_bits));
        let is_of_file = |flag: &&str| self.given.last(flag).is_some_and(|text| Path::new(text).is_file());
        warnings.extend(ROWS.iter().filter_map(|row| row.file_of).filter(is_of_file).map(|flag| {
            format!("the text of --{flag} is the name of a file, and not what the file has: did you mean --{flag}_file?")
        }));
        warnings.extend(self.combinations());
        warnings.into_iter().map(|text| self.given.reworded(&text)).collect()
    }

    /// The protocols that `--dialects` turns off by leaving them out, if it seems to be meant to add one.
    pub(super) fn left_out(&self) -> Option<String> {
        let given = self.given.last("dialects")?.to_str()?;
        let on = dialects_of(self.draft.config.dialects);
        let default = dialects_of(Dialects::default());
        let labels = |dialects: &[Dialect], separator: &str| {
            let labels: Vec<&str> = dialects.iter().map(|dialect| dialect.label()).collect();
            labels.join(separator)
        };
        let off: Vec<Dialect> = default.iter().copied().filter(|dialect| !on.contains(dialect)).collect();
        let added: Vec<Dialect> = on.iter().copied().filter(|dialect| !default.contains(dialect)).collect();
        if off.is_empty() || added.is_empty() || given.starts_with(['+', '-']) {
            return None;
        }
        Some(self.given.reworded(&format!(
            "--dialects {} turns these off: {}. To add to the defaults, write --dialects +{}",
            labels(&on, ","),
            labels(&off, ", "),
            labels(&added, ",+")
        )))
    }

    /// A warning if `--log` leaves the log empty, which hides all other warnings.
    pub fn silence(&self) -> Option<String> {
        let filter = self.draft.log.as_ref().filter(|filter| silences_all(filter))?;
        Some(self.given.reworded(&format!(
            "--log {filter:?} names no module of this program, so the log stays empty: write a level, as in info, or a module, \
             as in peerbroker=debug"
        )))
    }

    /// A warning for each setting that a socket of the service manager overrides.
    pub fn overridden_by(&self, sockets: &InheritedSockets) -> Vec<String> {
        let overridden = self.on(sockets).into_iter().filter(|of| !of.is_same && self.given.has(of.flag));
        let warnings = overridden.map(|OnSocket { flag, purpose, at, .. }| {
            let why = format!(
                "the service manager passes the socket for {purpose}, which is at {at}. Change it there"
            );
            self.given.reworded(&format!("--{flag} does nothing: {why}"))
        });
        warnings.collect()
    }

    /// The settings of the sockets of the service manager.
    pub(super) fn on(&self, sockets: &InheritedSockets) -> Vec<OnSocket> {
        let Draft { listen, ops, ops_port, acme, .. } = &self.draft;
        let main = ("host", &listen.host);
        let mut all = Vec::new();
        for (socket, purpose, (port_flag, port), host) in [
            (&sockets.main, "clients", ("port", Some(listen.port)), Some(main)),
            (&sockets.ops, "the API", ("ops_port", *ops_port), Some(("ops_host", &ops.host))),
            (&sockets.http, "HTTP-01", ("acme_http_port", acme.http_port), None),
        ] {
            let Some(at) = socket.as_ref().and_then(|socket| socket.local_addr().ok()) else { continue };
            // Without a port, the socket is not used.
            let Some(port) = port else { continue };
            let is_same = port == 0 || port == at.port();
            all.push(OnSocket { flag: port_flag, value: at.port().to_string(), purpose, at, is_same });
            if let Some((flag, host)) = host {
                let is_local = host == "localhost" && at.ip().is_loopback();
                let is_same = is_local || host.trim_matches(['[', ']']).parse() == Ok(at.ip());
                all.push(OnSocket { flag, value: at.ip().to_string(), purpose, at, is_same });
            }
        }
        all
    }

    /// The table of combinations: how each is seen, and the warning.
    #[rustfmt::skip]
    fn combinations(&self) -> impl Iterator<Item = String> {
        let given = &self.given;
        let config = &self.draft.config;
        let ops_host = &self.draft.ops.host;
        let limits = &config.limits;
        let is_open = config.registration.open;
        let has_api = self.draft.ops_port.is_some();
        let has_stored_keys = self.draft.data_dir.is_some() || !self.draft.keys.is_local();
        let has_own_keys = self.file.as_ref().is_some_and(|file| !file.keys.is_empty());
        let is_local = is_loopback(ops_host);
        let Listen { host, port, unix_socket, .. } = &self.draft.listen;
        let is_shut_in = unix_socket.is_none() && is_loopback(host) && is_of_container();
        let is_in_cluster = self.draft.backplane().is_some();
        let has_token = ["admin_token", "read_token", "metrics_token"].into_iter()
            .any(|token| given.has(token) || given.has(&format!("{token}_file")));
        let has_either = |token: &str| given.has(token) || given.has(&format!("{token}_file"));
        let has_admin_token = has_either("admin_token");
        let has_metrics_token = has_either("metrics_token");
        let acme = &self.draft.acme;
        let uncertified = acme.names.iter().find(|name| acme.directory == LETS_ENCRYPT && !is_public(name));
        let relay_port = self.draft.relay.tcp_port.unwrap_or_default();
        let crowded = limits.check_room_members(config.key_settings.room_members).err();
        let unfinished = config.unfinished_total_bytes;
        let relays = [("relay", &self.draft.relay_at), ("turn", &self.draft.turn)].into_iter().find(|(_, at)| !at.is_empty());
        let of_http = HTTP_ONLY.iter().find(|name| variable(name).is_some()).zip(relays);
        let has_any_address = [&self.draft.relay_at, &self.draft.turn].iter().any(|at| at.contains(&MediaAddress::All));
        let trusts_all = config.trusted_proxies.iter().find(|network| network.prefix_len() == 0 && given.has("trusted_proxy"));
        [
            (of_http.is_some(),
                of_http.map(|(host, (flag, _))| format!("this host passes HTTP only, as its variable {host} says, so no call reaches \
                    --{flag}: leave it out, and name a TURN server elsewhere with --turn_url")).unwrap_or_default()),
            (variable(FLY).is_some() && has_any_address,
                "Fly.io passes UDP to its address fly-global-services only, and only with a service in fly.toml that has protocol = \"udp\": \
                    give that address to --relay or --turn, or name a TURN server elsewhere with --turn_url".to_owned()),
            (trusts_all.is_some(),
                trusts_all.map(|network| format!("--trusted_proxy {network} trusts everybody, so every client may claim any address: \
                    list the addresses of the proxy alone")).unwrap_or_default()),
            (config.proxied && given.has("relay_tcp_port") && relay_port > 0,
                format!("--relay_tcp_port {relay_port} with --proxied: clients try the relay there in vain if that proxy reads HTTP. Leave \
                    one of them out, unless {relay_port} passes TCP unchanged to --port")),
            (is_shut_in,
                format!("--host {host} in a container: nothing outside of it reaches this server, not by a published port either. Leave \
                    --host out, and publish the port to one address, as in -p 127.0.0.1:{port}:{port}")),
            (is_in_cluster && self.draft.keys.is_local() && self.draft.data_dir.is_some(),
                "with --redis, only this node has the keys of --data_dir, so other nodes refuse their clients: --keys redis keeps \
                    keys for all nodes".to_owned()),
            (!config.default_key && given.has("key"),
                "--key does nothing with --no_default_key: there is no built-in key".to_owned()),
            (!config.default_key && !has_own_keys && !has_stored_keys && !is_open && !has_api,
                "no client can connect: --no_default_key disables the built-in key, and there are no others. Add keys with \
                 --data_dir and `peerbroker keys add`, or leave --no_default_key out".to_owned()),
            (config.key_settings.concurrent_limit == 0,
                "no client can connect: --concurrent_limit 0 refuses every client. There is no value for \"no limit\": give a \
                 large number".to_owned()),
            (crowded.is_some(),
                crowded.map(|why| format!("--room_members is too high: {why}")).unwrap_or_default()),
            (config.max_message_bytes > unfinished.saturating_add(UNCOUNTED),
                format!("--max_message_bytes {} is never reached: all unfinished messages together may have {unfinished} bytes, and the \
                    connection of a larger message is closed", config.max_message_bytes)),
            (uncertified.is_some(),
                uncertified.map(|name| format!("--acme {name}: no public authority certifies this name, because everybody has \
                    it: use --sslcert with a certificate that your devices trust, as mkcert makes it")).unwrap_or_default()),
            (has_api && !is_local && !has_token,
                format!("--ops_host {ops_host} opens the API to other machines, but without --admin_token only programs of \
                    this machine may use it")),
            (has_api && !has_admin_token && has_metrics_token,
                "--metrics_token is for metrics only: without --admin_token, every program of this machine may use the rest of the \
                    API without a token".to_owned()),
            (!has_stored_keys && (is_open || has_api) && is_in_cluster,
                "keys that are registered or added while the server runs are lost when it stops, and other nodes do not know them: \
                    --keys redis keeps keys for all nodes".to_owned()),
            (!has_stored_keys && (is_open || has_api) && !is_in_cluster,
                "keys that are registered or added while the server runs are lost when it stops: --data_dir keeps them"
                    .to_owned()),
        ].into_iter().filter_map(|(is_seen, warning)| is_seen.then_some(warning))
    }
}
