//! A Redis of a test, on a socket of its own. The drop stops it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use peerbroker::keys::redis::RedisKeys;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct RedisServer {
    /// The paths of sockets are short, so not below the target directory.
    dir: PathBuf,
    process: Option<Child>,
}

impl RedisServer {
    pub fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pb-redis-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        let mut server = RedisServer { dir, process: None };
        server.start_again();
        server
    }

    /// Starts it empty, after [`stop`](Self::stop).
    pub fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no"]);
        command.arg("--unixsocket").arg(self.socket()).arg("--dir").arg(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().expect("redis-server, see CONTRIBUTING.md");
        self.process = Some(process);
        let deadline = Instant::now() + PATIENCE;
        while self.ping().is_none() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn keys(&self) -> RedisKeys {
        RedisKeys::open(&self.url()).expect("a URL")
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    fn ping(&self) -> Option<()> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).ok()?;
        (answer == *b"+PONG\r\n").then_some(())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
