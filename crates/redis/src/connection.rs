//! Commands, and their way to a server or cluster: from its URL, and the certificates on the way there, to a
//! connection.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Arg, AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, TlsCertificates,
    TlsMode, ToRedisArgs, Value,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::{BadRedis, CA, CERT, KEY};
use peerbroker_config::RedisAddress;
use peerbroker_system::files;
use peerbroker_tls as tls;

/// Part of the crate's error for a certificate that is no authority.
const BAD_ANCHOR: &str = "trust anchors";

/// Time limit for the error of a server that refuses connections.
const GREETING_TIMEOUT: Duration = Duration::from_millis(500);

/// Most bytes of that error.
const MAX_GREETING: u64 = 200;

/// Most bytes of a file. A chain of certificates has a few KB.
const MAX_BYTES: u64 = 1 << 20;

/// The server or cluster that connections lead to.
pub(super) enum Target {
    One(Client),
    Cluster(ClusterClient),
    Sentinel(SentinelClient),
}

/// Checks the form of the URL, and the files.
pub fn check_redis(address: &RedisAddress) -> Result<(), BadRedis> {
    Target::of(address).map(drop)
}

impl Target {
    /// The files; `None` if none are set.
    fn certificates(address: &RedisAddress) -> Result<Option<TlsCertificates>, BadRedis> {
        let root_cert = address.ca.as_deref().map(read_ca).transpose()?;
        let client_tls = address.client.as_ref().map(|(cert, key)| read_pair(cert, key)).transpose()?;
        let any = root_cert.is_some() || client_tls.is_some();
        Ok(any.then_some(TlsCertificates { client_tls, root_cert }))
    }

    pub(super) fn of(address: &RedisAddress) -> Result<Self, BadRedis> {
        let certificates = Target::certificates(address)?;
        let url = &address.url;
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (base, kind) = scheme.split_once(['-', '+']).unwrap_or((scheme, ""));
        if certificates.is_some() && !matches!(base, "rediss" | "valkeys") {
            return Err(BadRedis::NoTls);
        }
        check_letters(url, base, kind, rest)?;
        let (hosts, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let target = match kind {
            "cluster" => {
                let nodes = each_host(base, hosts, "")?;
                let mut builder = ClusterClient::builder(nodes).tcp_settings(tcp());
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                builder.build().map(Target::Cluster)
            }
            "sentinel" if fragment.is_empty() => return Err(BadRedis::NoMaster),
            "sentinel" => {
                sentinel(each_host(base, hosts, ":26379")?, fragment, certificates).map(Target::Sentinel)
            }
            _ => match certificates {
                Some(certificates) => Client::build_with_tls(info(url)?, certificates),
                None => Client::open(info(url)?),
            }
            .map(Target::One),
        };
        target.map_err(|error| match &address.ca {
            // The files were read before, so this error can only be about the authority.
            Some(ca) if error.to_string().contains(BAD_ANCHOR) => BadRedis::Unusable(ca.clone()),
            _ => malformed(url, &error),
        })
    }

    /// Sets `cut` when the connection ends, or any one of those to a cluster.
    pub(super) async fn connect(&mut self, cut: Arc<AtomicBool>) -> RedisResult<Connection> {
        let on_push = move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                cut.store(true, Ordering::Relaxed);
            }
            Ok(())
        };
        // The caller has the only timeout: a blocking read waits for longer than any other call.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(on_push.clone());
        match self {
            Target::One(client) => {
                let opened = client.get_multiplexed_async_connection_with_config(&config).await;
                match opened {
                    Err(error) if error.is_io_error() && !error.is_connection_refusal() => {
                        Err(refused_at_once(client).await.unwrap_or(error))
                    }
                    opened => opened.map(Connection::One),
                }
            }
            Target::Sentinel(sentinel) => {
                sentinel.get_async_connection_with_config(&config).await.map(Connection::One)
            }
            Target::Cluster(cluster) => {
                let config = ClusterConfig::new().set_push_sender(on_push);
                cluster.get_async_connection_with_config(config).await.map(Connection::Cluster)
            }
        }
    }
}

/// Refuses what is a part of a password by its look: the crate would take the rest for another host, and
/// ignore a fragment.
fn check_letters(url: &str, base: &str, kind: &str, rest: &str) -> Result<(), BadRedis> {
    let (before, fragment) =
        rest.split_once('#').map_or((rest, None), |(before, after)| (before, Some(after)));
    let is_path = base == "unix" || kind == "unix";
    let behind_host = before.find(['/', '?']).and_then(|end| before.get(end..)).unwrap_or_default();
    let is_odd = match fragment {
        Some(master) if kind == "sentinel" => master.contains(['#', '@']),
        fragment => fragment.is_some(),
    };
    if is_odd || !is_path && behind_host.contains('@') {
        let why = "in a user name, a password or a path, write # as %23, @ as %40, / as %2F and ? as %3F";
        return Err(BadRedis::Malformed { url: shown(url), why: why.to_owned() });
    }
    Ok(())
}

fn malformed(url: &str, error: &RedisError) -> BadRedis {
    BadRedis::Malformed { url: shown(url), why: plain(error) }
}

/// A URL without user, password, query and fragment: somebody may have written a password anywhere in them.
pub(super) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let is_sentinel = scheme.ends_with("-sentinel") || scheme.ends_with("+sentinel");
    if rest.contains('#') && !is_sentinel {
        return format!("{scheme}://…");
    }
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let hidden = if host.len() < rest.len() { "…@" } else { "" };
    match rest.find('?') {
        // An '@' in the query, or a '?' in the password.
        Some(query) if query < rest.len() - host.len() => format!("{scheme}…"),
        Some(_) => format!("{scheme}{hidden}{}?…", host.split('?').next().unwrap_or_default()),
        None => format!("{scheme}{hidden}{host}"),
    }
}

/// The error that a server sends before it closes the connection, as in protected mode. The crate may fail to
/// send first, and reads nothing then.
async fn refused_at_once(client: &Client) -> Option<RedisError> {
    let ConnectionAddr::Tcp(host, port) = client.get_connection_info().addr() else { return None };
    let mut greeting = Vec::new();
    let stream = TcpStream::connect((host.as_str(), *port)).await.ok()?;
    // A reset behind the text does not matter, and a server without one waits for a command.
    let _ = timeout(GREETING_TIMEOUT, stream.take(MAX_GREETING).read_to_end(&mut greeting)).await;
    let text = String::from_utf8_lossy(greeting.strip_prefix(b"-")?).into_owned();
    let line = text.lines().next().unwrap_or_default().escape_debug().to_string();
    Some(RedisError::from((ErrorKind::Io, "", line)))
}

/// The text of an error without the names of the crate, and without the quotes that it adds.
pub(super) fn plain(error: &RedisError) -> String {
    match (error.kind(), error.code(), error.detail()) {
        (ErrorKind::Server(_), Some(code), Some(detail)) => format!("{code} {detail}"),
        // An error without a description begins with its kind.
        (kind, ..) => {
            error.to_string().replace(&format!(" - {kind:?}"), "").trim_start_matches(": ").to_owned()
        }
    }
}

/// Small requests, each of which is waited for.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// The parameters of a connection, with RESP3: it tells a client at once that a connection has ended.
fn info(url: &str) -> Result<ConnectionInfo, BadRedis> {
    let info: ConnectionInfo = url.parse().map_err(|error| malformed(url, &error))?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        tls::install_default_provider();
    }
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp()))
}

/// `user:password@a,b:1/2` as one URL for each host.
fn each_host(base: &str, rest: &str, port: &str) -> Result<Vec<ConnectionInfo>, BadRedis> {
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let at = if user.is_empty() { "" } else { "@" };
    let urls = hosts.split(',').map(|host| {
        // An IPv6 address is in brackets, and has colons as well.
        let with_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let port = if with_port { "" } else { port };
        format!("{base}://{user}{at}{host}{port}{path}")
    });
    urls.map(|url| info(&url)).collect()
}

/// The user and the database are those of the master, as Lettuce has it; Sentinels are asked without a
/// password.
fn sentinel(
    hosts: Vec<ConnectionInfo>,
    master: &str,
    certificates: Option<TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let addresses = hosts.iter().map(|host| host.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_tcp_settings(tcp());
    if let Some(host) = hosts.first() {
        let settings = host.redis_settings();
        builder =
            builder.set_client_to_redis_protocol(settings.protocol()).set_client_to_redis_db(settings.db());
        if let Some(user) = settings.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if matches!(host.addr(), ConnectionAddr::TcpTls { .. }) {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build()
}

fn read_ca(path: &Path) -> Result<Vec<u8>, BadRedis> {
    let pem = read(CA, path)?;
    chain(CA, path, &pem)?;
    Ok(pem)
}

fn read_pair(cert: &Path, key: &Path) -> Result<ClientTlsConfig, BadRedis> {
    let client_cert = read(CERT, cert)?;
    let client_key = read(KEY, key)?;
    let chain = chain(CERT, cert, &client_cert)?;
    let private = PrivateKeyDer::from_pem_slice(&client_key).map_err(|_| BadRedis::NoKey(key.to_owned()))?;
    // Otherwise the first connection would fail, and each later one.
    tls::certified_key(chain, private).map_err(|error| {
        let cert = cert.display();
        let key = key.display();
        BadRedis::File(format!("{CERT} {cert} and {KEY} {key} cannot be used together: {error}"))
    })?;
    Ok(ClientTlsConfig { client_cert, client_key })
}

fn chain(flag: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadRedis> {
    let chain: Option<Vec<_>> = CertificateDer::pem_slice_iter(pem).map(Result::ok).collect();
    chain.filter(|chain| !chain.is_empty()).ok_or_else(|| {
        let why = "has no certificate: it must be a PEM file with 'BEGIN CERTIFICATE'";
        BadRedis::File(format!("{flag} {} {why}", path.display()))
    })
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, BadRedis> {
    // Never a pipe: it could be read once only.
    files::read_regular(path, MAX_BYTES)
        .map_err(|error| BadRedis::File(format!("cannot read {flag} {}: {error}", path.display())))
}

/// A script in Lua.
pub(super) struct Script {
    text: &'static str,
    loaded: redis::Script,
}

impl Script {
    pub(super) fn new(text: &'static str) -> Self {
        Script { text, loaded: redis::Script::new(text) }
    }
}

/// A command, and the one key that it is about.
pub struct Call {
    key: String,
    command: Cmd,
    /// Loaded if the server does not know it.
    script: Option<&'static Script>,
}

impl Call {
    /// A script about one key, called by its digest.
    pub(super) fn script(script: &'static Script, key: String) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.loaded.get_hash()).arg(1).arg(&key);
        Call { key, command, script: Some(script) }
    }

    /// A command with its key as the first argument.
    pub(super) fn command(name: &str, key: String) -> Self {
        let mut command = redis::cmd(name);
        command.arg(&key);
        Call { key, command, script: None }
    }

    /// `XREAD` has its key behind its options.
    pub(super) fn raw(command: Cmd, key: String) -> Self {
        Call { key, command, script: None }
    }

    /// The text of its script, if it is one.
    pub fn script_text(&self) -> Option<&'static str> {
        self.script.map(|script| script.text)
    }

    /// The words of its command; of a script, its key and its arguments.
    pub fn words(&self) -> Vec<&[u8]> {
        let word = |arg| if let Arg::Simple(word) = arg { Some(word) } else { None };
        // In front of the key of a script are `EVALSHA`, its digest, and the number of its keys.
        let skipped = if self.script.is_some() { 3 } else { 0 };
        self.command.args_iter().filter_map(word).skip(skipped).collect()
    }

    /// The command to send. Only a script is copied: copies of long commands would be expensive.
    fn take(&mut self) -> Cmd {
        if self.script.is_some() { self.command.clone() } else { std::mem::take(&mut self.command) }
    }

    /// Appends an argument.
    pub(super) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.command.arg(arg);
        self
    }
}

/// A connection, to one server or to those of a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Runs calls as one batch: on one server in this order, in a cluster those about one key.
    pub(super) async fn run(&mut self, mut calls: Vec<Call>) -> RedisResult<Vec<Value>> {
        let mut answers = self.send(&mut calls).await?;
        let is_unknown = |answer: &RedisResult<Value>| {
            let no_script = ErrorKind::Server(ServerErrorKind::NoScript);
            answer.as_ref().is_err_and(|error| error.kind() == no_script)
        };
        // The server is new, or has lost its scripts. Only these calls were not executed.
        let (unanswered, mut again): (Vec<_>, Vec<_>) =
            answers.iter_mut().zip(calls).filter(|(answer, _)| is_unknown(answer)).unzip();
        if !again.is_empty() {
            let scripts = again.iter().filter_map(|call: &Call| call.script);
            let scripts: BTreeMap<_, _> =
                scripts.map(|script| (script.loaded.get_hash(), &script.loaded)).collect();
            for script in scripts.into_values() {
                match self {
                    Connection::One(connection) => script.load_async(connection).await?,
                    Connection::Cluster(connection) => script.load_async(connection).await?,
                };
            }
            let second = self.send(&mut again).await?;
            unanswered.into_iter().zip(second).for_each(|(answer, second)| *answer = second);
        }
        answers.into_iter().collect()
    }

    /// The texts in which all masters describe themselves. None if the user may not ask.
    pub(super) async fn infos(&mut self) -> RedisResult<Vec<String>> {
        let command = redis::cmd("INFO");
        let answer = match self {
            Connection::One(connection) => connection.req_packed_command(&command).await,
            Connection::Cluster(connection) => connection.req_packed_command(&command).await,
        };
        let texts = match answer {
            // Of a cluster, by the address of each master.
            Ok(Value::Map(texts)) => texts.into_iter().map(|(_, text)| text).collect(),
            Ok(text) => vec![text],
            Err(error) if is_refusal(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(texts.into_iter().filter_map(|text| redis::from_redis_value(text).ok()).collect())
    }

    /// Takes the commands out of the calls, but keeps scripts: they may have to be sent again.
    async fn send(&mut self, calls: &mut [Call]) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Connection::One(connection) => {
                let mut pipeline = Pipeline::with_capacity(calls.len());
                for call in calls.iter_mut() {
                    pipeline.add_command(call.take());
                }
                let answers = connection.req_packed_commands(&pipeline, 0, calls.len()).await?;
                Ok(answers.into_iter().map(Value::extract_error).collect())
            }
            Connection::Cluster(connection) => Ok(spread(connection, calls).await),
        }
    }
}

/// True if the user may not ask, or the server does not know the command.
fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError))
}

/// Sends all at once, but calls for the same key one after the other. A pipeline of a cluster cannot be used:
/// all its keys have to be in one slot, and it does not follow slots that move.
async fn spread(connection: &ClusterConnection, calls: &mut [Call]) -> Vec<RedisResult<Value>> {
    let mut by_key: BTreeMap<&str, Vec<(usize, Cmd)>> = BTreeMap::new();
    for (at, call) in calls.iter_mut().enumerate() {
        let command = call.take();
        by_key.entry(&call.key).or_default().push((at, command));
    }
    let in_turn = async |commands: Vec<(usize, Cmd)>| {
        let mut connection = connection.clone();
        let mut answers = Vec::with_capacity(commands.len());
        for (at, command) in commands {
            let answer = connection.req_packed_command(&command).await;
            answers.push((at, answer.and_then(Value::extract_error)));
        }
        answers
    };
    let answers = join_all(by_key.into_values().map(in_turn)).await;
    let in_order: BTreeMap<_, _> = answers.into_iter().flatten().collect();
    in_order.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(infos: &[ConnectionInfo]) -> Vec<String> {
        let parts = |info: &ConnectionInfo| {
            let redis = info.redis_settings();
            let user = redis.username().unwrap_or("-");
            let password = redis.password().unwrap_or("-");
            format!("{} {user} {password} {} {:?}", info.addr(), redis.db(), redis.protocol())
        };
        infos.iter().map(parts).collect()
    }

    #[test]
    fn each_host_of_a_url_has_the_same_user_and_database() {
        let infos = each_host("redis", "u%40:p%2C@a,b:1,[::1],[::1]:2/3", ":26379").unwrap();
        let expected = ["a:26379", "b:1", "::1:26379", "::1:2"].map(|at| format!("{at} u@ p, 3 RESP3"));
        assert_eq!(shown(&infos), expected);
    }

    #[test]
    fn a_shown_url_has_no_part_of_a_password() {
        for (url, expected) in [
            ("redis://h", "redis://h"),
            ("redis://h:1/2", "redis://h:1/2"),
            ("h:6379", "h:6379"),
            ("redis://:hush@h", "redis://…@h"),
            ("rediss://user:hu/sh@hush@h:1/2", "rediss://…@h:1/2"),
            ("redis://hush@h", "redis://…@h"),
            ("hush@h", "…@h"),
            ("redis-sentinel://:hush@a,b/1#m", "redis-sentinel://…@a,b/1#m"),
            ("unix:///a/b?db=1&pass=hush", "unix:///a/b?…"),
            ("unix:///a/b?pass=hu@sh", "unix://…"),
            ("redis://:hu?sh@h", "redis://…"),
            ("redis://user:hu@sh#hu/sh@h", "redis://…"),
            ("redis://user:hu#sh", "redis://…"),
        ] {
            assert_eq!(super::shown(url), expected);
        }
    }

    #[test]
    fn urls_of_every_kind_are_understood() {
        for url in ["redis://h", "rediss://:p@h:1/2", "valkey://h", "unix:///a/b?db=1", "redis+unix:///a/b"] {
            assert!(matches!(Target::of(&url.into()), Ok(Target::One(_))), "{url}");
        }
        for url in ["redis-cluster://a,b:1", "rediss+cluster://u:p@a", "valkey-cluster://a/0"] {
            assert!(matches!(Target::of(&url.into()), Ok(Target::Cluster(_))), "{url}");
        }
        for url in ["redis-sentinel://a,b/1#m", "rediss-sentinel://:p@a#m", "redis+sentinel://a#m"] {
            assert!(matches!(Target::of(&url.into()), Ok(Target::Sentinel(_))), "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_and_its_password_not_shown() {
        for url in
            ["", "h:6379", "http://h", "redis://:hush@h/x", "redis-cluster://:hush@", "redis-x://:hush@h"]
        {
            let Err(error) = Target::of(&url.into()) else { panic!("{url}") };
            assert!(error.to_string().contains("expected redis://"), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        assert!(matches!(Target::of(&"redis-sentinel://:hush@a".into()), Err(BadRedis::NoMaster)));
    }

    #[test]
    fn letters_that_end_a_host_have_to_be_written_in_percent_code() {
        for url in [
            "redis://u:hu@sh#hush/hush@h:6379",
            "redis://u:hu@sh/hush@h",
            "redis://u:hu@sh?hush@h",
            "redis://h#hush",
            "rediss-cluster://u:hu@sh#hush@a,b",
            "redis-sentinel://u:hu#sh@a,b#m",
            "unix:///run/hush#1.sock",
        ] {
            let Err(error) = Target::of(&url.into()) else { panic!("{url}") };
            assert!(error.to_string().contains("write # as %23, @ as %40"), "{url}: {error}");
            assert!(!error.to_string().contains("hush"), "{url}: {error}");
        }
        assert!(Target::of(&"redis://u:p%40ss%23w%2Frd@h".into()).is_ok());
        assert!(Target::of(&"unix:///run/a@b?user=u".into()).is_ok());
    }
}
