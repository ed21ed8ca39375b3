//! Statistics of a Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use redis::{Client, Connection};

use crate::measured::RedisWork;
use crate::process::Process;

/// A Redis on this machine.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    process: Process,
}

/// The work of a Redis up to some moment.
pub struct Work {
    cpu: Duration,
    commands: BTreeMap<String, u64>,
}

/// The bound of every question.
const PATIENCE: Duration = Duration::from_secs(20);

/// Its own commands, and those that clients send when they connect.
const NOT_COUNTED: [&str; 5] = ["info", "hello", "client|setinfo", "config|resetstat", "dbsize"];

impl Redis {
    /// The one that answers on a port.
    pub fn at(port: u16) -> Result<Self> {
        let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
        let info: String =
            redis::cmd("INFO").arg("server").query(&mut client.get_connection_with_timeout(PATIENCE)?)?;
        let pid = value(&info, "process_id:").and_then(|pid| pid.parse().ok()).context("no process id")?;
        Ok(Redis { client, process: Process(pid) })
    }

    pub fn process(&self) -> Process {
        self.process
    }

    /// Bytes that it uses for data and connections, without memory that its allocator has kept.
    pub fn used_bytes(&self) -> Result<u64> {
        let used = value(&self.info("memory")?, "used_memory:").and_then(|bytes| bytes.parse().ok());
        used.context("no memory in INFO")
    }

    /// The number of keys.
    pub fn keys(&self) -> Result<usize> {
        Ok(redis::cmd("DBSIZE").query(&mut self.connection()?)?)
    }

    /// The number of keys with this prefix. It answers nobody else meanwhile.
    pub fn keys_with(&self, prefix: &str) -> Result<usize> {
        let count =
            redis::cmd("EVAL").arg("return #redis.call('KEYS', ARGV[1] .. '*')").arg(0).arg(prefix).clone();
        Ok(count.query(&mut self.connection()?)?)
    }

    pub fn work(&self) -> Result<Work> {
        let info = self.info("commandstats")?;
        let calls = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse().ok()?;
            (!NOT_COUNTED.contains(&name)).then(|| (name.to_owned(), calls))
        };
        Ok(Work { commands: info.lines().filter_map(calls).collect(), cpu: self.process.cpu()? })
    }

    fn info(&self, section: &str) -> Result<String> {
        Ok(redis::cmd("INFO").arg(section).query(&mut self.connection()?)?)
    }

    fn connection(&self) -> Result<Connection> {
        let connection = self.client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }
}

impl Work {
    /// Its work since then, for each of `count` operations.
    pub fn since(&self, before: &Work, count: usize) -> RedisWork {
        let per_operation = |(name, calls): (&String, &u64)| {
            let since = calls - before.commands.get(name).copied().unwrap_or_default();
            (since > 0).then(|| (name.clone(), since as f64 / count as f64))
        };
        RedisWork {
            cpu_us: (self.cpu - before.cpu).as_secs_f64() * 1e6 / count as f64,
            commands: self.commands.iter().filter_map(per_operation).collect(),
        }
    }
}

fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
