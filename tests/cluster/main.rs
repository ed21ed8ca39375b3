//! The store between nodes: one suite for all backplanes, and tests of Redis.

mod claims;
mod inboxes;
mod leases;
mod limits;
mod marks;
mod numbers;
mod outages;
mod redis_data;
mod redis_tls;
mod redis_urls;
mod registrations;
mod sim;
mod stage;

use testkit::redis_server as server;

/// Runs each test on every backplane: the test is a function of a stage.
macro_rules! on_every_backplane {
    ($($test:ident)*) => {
        mod simulated {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                super::$test(&crate::sim::SimStore::new(1)).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $test() {
                let server = crate::server::RedisServer::start();
                super::$test(&peerbroker_redis::RedisSettings::new(&server.url_of_user())).await;
            })*
        }
    };
}
pub(crate) use on_every_backplane;
