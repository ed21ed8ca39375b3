//! A node: the program, and its own link to Redis.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::proxy::Proxy;
use super::{Process, becomes, until};

const UNREACHABLE: &str = "cannot reach the other nodes";
const LEASE_ENDED: &str = "the lease of this node has ended";

pub struct Node {
    dir: PathBuf,
    flags: Vec<String>,
    pub proxy: Proxy,
    process: Option<Process>,
    lives: usize,
    pub address: SocketAddr,
    ops: SocketAddr,
}

impl Node {
    pub async fn start(dir: PathBuf, redis: PathBuf, flags: &[&str]) -> Self {
        fs::create_dir_all(&dir).expect("a directory");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let nowhere = ([0, 0, 0, 0], 0).into();
        let proxy = Proxy::start(redis).await;
        let mut node = Node { dir, flags, proxy, process: None, lives: 0, address: nowhere, ops: nowhere };
        node.revive().await;
        node
    }

    /// Starts it, on a new port.
    pub async fn revive(&mut self) {
        self.lives += 1;
        let stdout = self.file("out");
        let stderr = self.file("err");
        let file = |path: &PathBuf| Stdio::from(fs::File::create(path).expect("a file"));
        let mut command = Command::new(program::path());
        command
            .args(["--host", "127.0.0.1", "--port", "0", "--ops_port", "0", "--workers", "1"])
            .args([
                "--messages_per_second",
                "0",
                "--connections_per_address",
                "0",
                "--concurrent_limit",
                "20000",
            ])
            .args(["--redis", &format!("redis://{}", self.proxy.address)])
            .args(&self.flags)
            .env_clear()
            .env("RUST_LOG", "info")
            // A variable, because older versions have no such flag.
            .env("PEERBROKER_DRAIN_TIMEOUT", "100")
            .stdin(Stdio::null())
            .stdout(file(&stdout))
            .stderr(file(&stderr));
        self.process = Some(Process::spawn(&mut command));
        let mut found = None;
        let process = &mut self.process;
        until("a node that listens", async || {
            assert!(
                !process.as_mut().is_some_and(Process::has_ended),
                "the node has ended: {}",
                read(&stderr)
            );
            found = addresses(&read(&stdout));
            found.is_some()
        })
        .await;
        (self.address, self.ops) = found.expect("addresses");
    }

    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("a node that runs").signal(name);
    }

    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("-KILL");
            process.ended().await;
        }
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.ended().await;
        }
    }

    /// The log of its present life.
    pub fn log(&self) -> String {
        read(&self.file("err"))
    }

    /// Waits for a line of the log with this text.
    pub async fn logs(&self, text: &str) {
        until(&format!("{text:?} in the log"), async || self.log().contains(text)).await;
    }

    /// Returns true if its log says that it takes part, after an outage or the end of a lease.
    pub fn is_back(&self) -> bool {
        let log = self.log();
        let back = log.rfind("the other nodes can be reached again");
        log.rfind(UNREACHABLE) <= back && log.rfind(LEASE_ENDED) <= back
    }

    /// The number of leases that it has lost in all its lives.
    pub fn lost_leases(&self) -> usize {
        let log = |life| read(&self.dir.join(format!("err{life}")));
        (1..=self.lives).map(|life| log(life).matches(LEASE_ENDED).count()).sum()
    }

    pub async fn stats(&self) -> Value {
        self.get("/api/stats").await.expect("statistics")
    }

    /// Waits until statistics are as wanted.
    pub async fn stats_become(&self, bound: std::time::Duration, wanted: impl Fn(&Value) -> bool) -> bool {
        becomes(bound, async || self.get("/api/stats").await.is_some_and(|stats| wanted(&stats))).await
    }

    /// JSON of the operator's API.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.ops).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{}", self.lives))
    }
}

fn read(path: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Of clients, and of the operator's API.
fn addresses(stdout: &str) -> Option<(SocketAddr, SocketAddr)> {
    let port = stdout.split("port: ").nth(1)?.split([',', '\n']).next()?;
    let ops = stdout.split("The API listens on http://").nth(1)?.split("/api").next()?;
    Some((([127, 0, 0, 1], port.parse().ok()?).into(), ops.parse().ok()?))
}
