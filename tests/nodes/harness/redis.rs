//! A Redis of the test, on a socket in its directory. The drop ends it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testkit::tools::find;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::{Process, until};

pub struct Redis {
    dir: PathBuf,
    process: Option<Process>,
}

impl Redis {
    /// Starts with no data.
    pub async fn start(dir: PathBuf) -> Self {
        fs::create_dir_all(&dir).expect("a directory");
        let mut redis = Redis { dir, process: None };
        redis.revive().await;
        redis
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Ends it at once. Everything that it has acknowledged is on disk.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("-KILL");
            process.ended().await;
        }
    }

    /// Starts it again with the data that it had.
    pub async fn revive(&mut self) {
        let socket = self.socket();
        let _ = fs::remove_file(&socket);
        let program = find("redis-server").expect("redis-server, which scripts/setup.sh gets");
        let mut command = Command::new(program);
        command
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--loglevel", "warning"])
            // The default acknowledges writes up to two seconds before it passes them to the kernel, while a
            // slow disk is synchronized. A killed Redis has lost these, although no test took its data away.
            .args(["--appendfsync", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.dir.join("log")).expect("a file"));
        self.process = Some(Process::spawn(&mut command));
        until("Redis", async || answers(&socket).await.is_some()).await;
    }

    /// Starts it again without any data.
    pub async fn revive_empty(&mut self) {
        let _ = fs::remove_dir_all(self.dir.join("appendonlydir"));
        self.revive().await;
    }

    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// The number of peers that it knows.
    pub async fn records(&self) -> usize {
        let script = "return #redis.call('KEYS', 'peerbroker:peer*')";
        let command = format!("EVAL \"{script}\" 0\r\n");
        let mut stream = BufReader::new(UnixStream::connect(self.socket()).await.expect("Redis"));
        stream.write_all(command.as_bytes()).await.expect("Redis");
        let mut answer = String::new();
        stream.read_line(&mut answer).await.expect("Redis");
        answer.trim_start_matches(':').trim_end().parse().unwrap_or_else(|_| panic!("{answer}"))
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().expect("a Redis that runs").signal(name);
    }
}

async fn answers(socket: &PathBuf) -> Option<()> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    stream.write_all(b"PING\r\n").await.ok()?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.ok()?;
    (&answer == b"+PONG\r\n").then_some(())
}
