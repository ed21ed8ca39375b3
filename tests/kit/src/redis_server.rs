//! A redis-server of a test: a child process on a free port, killed when the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::{Client, Connection};

use crate::http_client::TIMEOUT;
use crate::ports::free_ports;
use crate::signal;
use crate::tools::find;
use crate::wait::look_for;

/// The user of docs/CLUSTER.md, with its password.
pub const USER: &str = "peerbroker:secret";

pub struct RedisServer {
    port: u16,
    bus_port: u16,
    tls_port: u16,
    directory: PathBuf,
    options: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(options: &[&str]) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("peerbroker-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let mut options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        if !options.iter().any(|option| option == "--sentinel") {
            options.extend(documented_user());
        }
        let mut server = RedisServer { port: 0, bus_port: 0, tls_port: 0, directory, options, process: None };
        // Another test may take the port first.
        for _ in 0..10 {
            [server.port, server.bus_port, server.tls_port] = free_ports();
            if server.try_start() {
                return server;
            }
        }
        panic!("redis-server does not start: {}", server.log());
    }

    fn try_start(&mut self) -> bool {
        let mut command =
            Command::new(find("redis-server").expect("redis-server, which scripts/setup.sh gets"));
        if self.options.iter().any(|option| option == "--sentinel") {
            // Sentinel rewrites its file.
            fs::write(self.directory.join("sentinel.conf"), "").expect("a file");
            command.arg("sentinel.conf");
        }
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        command.arg(&self.directory).args(["--logfile", "log"]).args(&self.options);
        if self.options.iter().any(|option| option == "--cluster-enabled") {
            command.args(["--cluster-port", &self.bus_port.to_string()]);
        }
        if self.options.iter().any(|option| option == "--tls-cert-file") {
            command.args(["--tls-port", &self.tls_port.to_string()]);
        }
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("redis-server");
        let pid = process.id().to_string();
        // Another server may have the port: then this one ends, and the one that answers is not ours.
        let answers = look_for(|| match process.try_wait().expect("a child") {
            None => (self.pid_that_answers().as_ref() == Some(&pid)).then_some(true),
            Some(_) => Some(false),
        });
        if answers == Some(true) {
            self.process = Some(process);
            return true;
        }
        let _ = process.kill();
        let _ = process.wait();
        false
    }

    /// The process that answers on the port.
    fn pid_that_answers(&self) -> Option<String> {
        let password = self.options.iter().skip_while(|option| *option != "--requirepass").nth(1);
        let user = password.map(|password| format!(":{password}@")).unwrap_or_default();
        let client = Client::open(format!("redis://{user}127.0.0.1:{}", self.port)).expect("an address");
        let mut connection = client.get_connection_with_timeout(TIMEOUT).ok()?;
        let info: String = redis::cmd("INFO").arg("server").query(&mut connection).ok()?;
        info.lines().find_map(|line| line.strip_prefix("process_id:")).map(str::to_owned)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// On which the nodes of a cluster talk.
    pub fn bus_port(&self) -> u16 {
        self.bus_port
    }

    /// On which it speaks TLS, if its options name a certificate.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// For a user with the permissions that the documentation names.
    pub fn url_of_user(&self) -> String {
        format!("redis://{USER}@127.0.0.1:{}", self.port)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A connection of the test's own.
    pub fn client(&self) -> Connection {
        let client = Client::open(self.url()).expect("an address");
        client.get_connection_with_timeout(TIMEOUT).expect("a connection")
    }

    /// Stops it at once, and leaves its files.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on its port.
    pub fn start_again(&mut self) {
        assert!(self.try_start(), "redis-server does not start: {}", self.log());
    }

    pub fn signal(&self, name: &str) {
        signal::send(name, self.process.as_ref().expect("a running server").id());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The user of docs/CLUSTER.md, as options of a server.
fn documented_user() -> impl Iterator<Item = String> {
    let page = include_str!("../../../docs/CLUSTER.md");
    let line = page.lines().map(str::trim).find_map(|line| line.strip_prefix("user peerbroker "));
    let words = line.expect("the line of the documentation").split(' ');
    ["--user", "peerbroker"].into_iter().chain(words).map(str::to_owned)
}
