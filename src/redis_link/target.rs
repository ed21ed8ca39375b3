//! From a URL to a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::cluster::{ClusterClient, ClusterConfig};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisResult, TlsCertificates, TlsMode,
};

use super::address::{BadRedis, BadUrl, RedisAddress};
use super::connection::Connection;
use crate::tls;

/// Part of what the crate says of a certificate that is no authority.
const BAD_ANCHOR: &str = "trust anchors";

/// What connections lead to.
pub(super) enum Target {
    One(Client),
    Cluster(ClusterClient),
    Sentinel(SentinelClient),
}

impl RedisAddress {
    /// Checks the form of the URL, and the files.
    pub fn check(&self) -> Result<(), BadRedis> {
        Target::of(self).map(drop)
    }
}

impl Target {
    pub(super) fn of(address: &RedisAddress) -> Result<Self, BadRedis> {
        let certificates = address.certificates()?;
        let (scheme, _) = address.url.split_once("://").unwrap_or_default();
        if certificates.is_some() && !matches!(scheme.split(['-', '+']).next(), Some("rediss" | "valkeys")) {
            return Err(BadRedis::NoTls);
        }
        Self::parse(&address.url, certificates).map_err(|error| match (error, &address.ca) {
            // What comes from certificates that were read before can only be this.
            (BadUrl::Malformed(why), Some(ca)) if why.contains(BAD_ANCHOR) => BadRedis::Unusable(ca.clone()),
            (error, _) => error.into(),
        })
    }

    fn parse(url: &str, certificates: Option<TlsCertificates>) -> Result<Self, BadUrl> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (base, kind) = scheme.split_once(['-', '+']).unwrap_or((scheme, ""));
        // The fragment is the crate's elsewhere, and no part of a server's address here.
        let (hosts, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let target = match kind {
            "cluster" => {
                let nodes = each_host(base, hosts, "")?;
                let builder = ClusterClient::builder(nodes).tcp_settings(tcp());
                let builder = match certificates {
                    Some(certificates) => builder.certs(certificates),
                    None => builder,
                };
                builder.build().map(Target::Cluster)
            }
            "sentinel" if fragment.is_empty() => return Err(BadUrl::NoMaster),
            "sentinel" => {
                sentinel(each_host(base, hosts, ":26379")?, fragment, certificates).map(Target::Sentinel)
            }
            _ => match certificates {
                Some(certificates) => Client::build_with_tls(info(url)?, certificates),
                None => Client::open(info(url)?),
            }
            .map(Target::One),
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
        assert!(matches!(
            Target::of(&"redis-sentinel://:hush@a".into()),
            Err(BadRedis::Url(BadUrl::NoMaster))
        ));
    }
}
