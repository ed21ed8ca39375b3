//! Stores of keys: one suite for all stores, and tests of the file.

mod backup;
mod file;
mod import;
mod kills;
mod processes;
mod redis;
mod suite;

use testkit::{directory, redis_server};

use std::path::Path;

use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::sqlite::SqliteKeys;
use peerbroker_keys::{Key, Settings};
use peerbroker_redis::RedisKeys;

fn key(text: &str) -> ApiKey {
    ApiKey::parse(text).expect("a valid key")
}

/// A key with default settings, created at this time.
fn made_at(created: u64, text: &str) -> Key {
    Key { created, ..Key::new(Some(key(text)), "", Settings::default()) }
}

fn open(dir: &Path) -> SqliteKeys {
    SqliteKeys::open(dir).expect("a database")
}

fn keys_in(redis: &redis_server::RedisServer) -> RedisKeys {
    RedisKeys::open(&redis.url_of_user()).expect("a URL")
}
