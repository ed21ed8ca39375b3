//! A Redis of the benchmark. It keeps nothing on disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::child::Running;
use super::servers::free_address;
use crate::redis::Redis;

/// A redis-server that ends when it is dropped.
pub(super) struct RedisServer {
    program: PathBuf,
    cores: &'static str,
    port: u16,
    process: Option<Running>,
}

/// Time limit for its start.
const PATIENCE: Duration = Duration::from_secs(10);

impl RedisServer {
    /// Starts one on a free port.
    pub(super) fn start(program: &Path, cores: &'static str) -> Result<Self> {
        let port = free_address()?.port();
        let mut server = RedisServer { program: program.to_owned(), cores, port, process: None };
        server.start_again()?;
        Ok(server)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// To ask it.
    pub(super) fn redis(&self) -> Result<Redis> {
        Redis::at(self.port)
    }

    /// Ends it, with all that it knows.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it on its port and waits for its first answer.
    pub(super) fn start_again(&mut self) -> Result<()> {
        let port = self.port.to_string();
        let args = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"];
        let process = Running::start(self.cores, &self.program, &args.map(str::to_owned))?;
        let (pid, process) = (process.pid(), self.process.insert(process));
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Redis::at(self.port) {
                Ok(redis) => {
                    ensure!(redis.process().0 == pid, "another Redis has port {port}");
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {
                    process.check().context("redis-server does not start: `make setup` gets it")?;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}
