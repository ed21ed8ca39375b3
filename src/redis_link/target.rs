//! From a URL to a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::cluster::{ClusterClient, ClusterConfig};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisResult, TlsMode,
};

use super::connection::Connection;
use crate::tls;

/// A URL that leads to no Redis.
#[derive(Debug, thiserror::Error)]
pub enum BadUrl {
    /// It is none, or has parts that it may not have.
    #[error(
        "{0}: expected redis://[[user]:password@]host[:port][/database], rediss:// for TLS, unix:///path, \
         redis-cluster://host,host or redis-sentinel://host,host#master"
    )]
    Malformed(String),
    /// A Sentinel watches many masters, and the URL does not say which.
    #[error("the URL of a Sentinel ends with the name of its master, as in redis-sentinel://host#mymaster")]
    NoMaster,
}

/// Checks the form of a URL.
pub fn check_url(url: &str) -> Result<(), BadUrl> {
    Target::parse(url).map(drop)
}

/// What connections lead to.
pub(super) enum Target {
    One(Client),
    Cluster(ClusterClient),
    Sentinel(SentinelClient),
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (base, kind) = scheme.split_once(['-', '+']).unwrap_or((scheme, ""));
        // The fragment is the crate's elsewhere, and no part of a server's address here.
        let (hosts, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let target = match kind {
            "cluster" => {
                let nodes = each_host(base, hosts, "")?;
                ClusterClient::builder(nodes).tcp_settings(tcp()).build().map(Target::Cluster)
            }
            "sentinel" if fragment.is_empty() => return Err(BadUrl::NoMaster),
            "sentinel" => sentinel(each_host(base, hosts, ":26379")?, fragment).map(Target::Sentinel),
            _ => Client::open(info(url)?).map(Target::One),
        };
        target.map_err(malformed)
    }

    /// Sets `cut` when the connection, or any one of those to a cluster, ends.
    pub(super) async fn connect(&mut self, cut: Arc<AtomicBool>) -> RedisResult<Connection> {
        let on_push = move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                cut.store(true, Ordering::Relaxed);
            }
            Ok(())
        };
        // Whoever calls has the only timeout: a blocking read waits for longer than any other call.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        match self {
            Target::One(client) => {
                let config = config.set_push_sender(on_push);
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
            }
            Target::Sentinel(sentinel) => {
                let config = config.set_push_sender(on_push);
                sentinel.get_async_connection_with_config(&config).await.map(Connection::One)
            }
            Target::Cluster(cluster) => {
                let config = ClusterConfig::new().set_push_sender(on_push);
                cluster.get_async_connection_with_config(config).await.map(Connection::Cluster)
            }
        }
    }
}

fn malformed(error: redis::RedisError) -> BadUrl {
    // Its text has no part of the URL, which may have a password in it.
    BadUrl::Malformed(error.to_string())
}

/// Small requests, each of which is waited for.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// What to connect to, with RESP3: it tells a client at once that a connection has ended.
fn info(url: &str) -> Result<ConnectionInfo, BadUrl> {
    let info: ConnectionInfo = url.parse().map_err(malformed)?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        tls::install_default_provider();
    }
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp()))
}

/// `user:password@a,b:1/2` as one URL for each host.
fn each_host(base: &str, rest: &str, port: &str) -> Result<Vec<ConnectionInfo>, BadUrl> {
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
        None => (rest, ""),
    };
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

/// The user and the database are those of the master, as Lettuce has it; Sentinels are asked without a password.
fn sentinel(hosts: Vec<ConnectionInfo>, master: &str) -> RedisResult<SentinelClient> {
    let mut to_master = SentinelNodeConnectionInfo::default().set_tcp_settings(tcp());
    if let Some(host) = hosts.first() {
        to_master = to_master.set_redis_connection_info(host.redis_settings().clone());
        if matches!(host.addr(), ConnectionAddr::TcpTls { .. }) {
            to_master = to_master.set_tls_mode(TlsMode::Secure);
        }
    }
    let sentinels = hosts.into_iter().map(|host| host.set_redis_settings(Default::default())).collect();
    SentinelClient::build(sentinels, master, Some(to_master), SentinelServerType::Master)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(infos: &[ConnectionInfo]) -> Vec<String> {
        let parts = |info: &ConnectionInfo| {
            let redis = info.redis_settings();
            let (user, password) = (redis.username().unwrap_or("-"), redis.password().unwrap_or("-"));
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
    fn urls_of_every_kind_are_understood() {
        for url in ["redis://h", "rediss://:p@h:1/2", "valkey://h", "unix:///a/b?db=1", "redis+unix:///a/b"] {
            assert!(matches!(Target::parse(url), Ok(Target::One(_))), "{url}");
        }
        for url in ["redis-cluster://a,b:1", "rediss+cluster://u:p@a", "valkey-cluster://a/0"] {
            assert!(matches!(Target::parse(url), Ok(Target::Cluster(_))), "{url}");
        }
        for url in ["redis-sentinel://a,b/1#m", "rediss-sentinel://:p@a#m", "redis+sentinel://a#m"] {
            assert!(matches!(Target::parse(url), Ok(Target::Sentinel(_))), "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_and_its_password_not_shown() {
        for url in
            ["", "h:6379", "http://h", "redis://:hush@h/x", "redis-cluster://:hush@", "redis-x://:hush@h"]
        {
            let Err(error) = Target::parse(url) else { panic!("{url}") };
            assert!(error.to_string().contains("expected redis://"), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        assert!(matches!(Target::parse("redis-sentinel://:hush@a"), Err(BadUrl::NoMaster)));
    }
}
