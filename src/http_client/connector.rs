//! TCP connections to the host of a URL. Each address is checked, and the checked address is connected to: no second
//! resolution can give another one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::reach::Reach;

type Connecting<T> =
    Pin<Box<dyn Future<Output = Result<T, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// Connects to the host of a URL, if that may be reached.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    reach: Reach,
}

/// Gives the addresses of a name that may be reached.
#[derive(Clone)]
pub(crate) struct Resolver(Reach);

impl Connector {
    pub(super) fn new(reach: Reach) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(reach));
        // The layer of TLS above it refuses other schemes.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Connector { tcp, reach }
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        // An address in a URL is not resolved.
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let checked = host.parse().map_or(Ok(()), |address| self.reach.check(address));
        let connecting = self.tcp.call(url);
        Box::pin(async move {
            checked?;
            Ok(connecting.await?)
        })
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Resolver(reach) = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let checked: Result<Vec<_>, _> = found.iter().map(|found| reach.check(found.ip())).collect();
            let reachable: Vec<_> =
                found.into_iter().filter(|found| reach.check(found.ip()).is_ok()).collect();
            // One public address is enough.
            if reachable.is_empty() {
                checked?;
            }
            Ok(reachable.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{client, parse_url, reason};
    use super::*;

    async fn failure(url: &str, reach: Reach) -> String {
        let client = client(reach, 0).unwrap();
        reason(&client.get(parse_url(url).unwrap()).await.unwrap_err())
    }

    #[tokio::test]
    async fn no_form_of_a_private_address_is_connected_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0",
            "0.0.0.0",
            "localhost",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "169.254.169.254",
            "10.0.0.1",
            "[fe80::1]",
            "[fd00::1]",
        ] {
            let why = failure(&format!("http://{host}:{port}/"), Reach::Public).await;
            assert!(why.contains("is not an address of the Internet"), "{host}: {why}");
        }
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn an_operators_own_url_may_lead_anywhere() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        for host in ["127.0.0.1", "2130706433", "localhost"] {
            let why = failure(&format!("http://{host}:{port}/"), Reach::Anywhere).await;
            assert!(!why.contains("address of the Internet"), "{host}: {why}");
        }
    }
}
