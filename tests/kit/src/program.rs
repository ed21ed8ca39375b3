//! The program under test. The drop ends it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::api::Api;
use crate::http_client::{HttpConnection, Response, TIMEOUT};
use crate::raw_client::RawClient;
use crate::signal;
use crate::tools::built_program;
use crate::wait::{look_for, wait_for};

/// Time for a start. Under valgrind and beside other tests, it takes longer than anything else. A program
/// that ends is noticed at once.
const START: Duration = Duration::from_secs(120);

/// The variable for another program than the one that Cargo built.
pub const PROGRAM: &str = "PEERBROKER_BIN";

pub struct Program {
    child: Child,
    lines: Receiver<String>,
    stderr: Arc<Mutex<Vec<u8>>>,
    reader_of_stderr: Option<JoinHandle<()>>,
    /// The output read so far.
    seen: Vec<String>,
    pub address: SocketAddr,
}

/// The result of a program that has ended.
pub struct Ended {
    pub status: ExitStatus,
    /// All lines of stdout.
    pub stdout: Vec<String>,
    pub stderr: String,
}

/// The path of the program under test.
pub fn path() -> PathBuf {
    std::env::var_os(PROGRAM).map_or_else(built_program, PathBuf::from)
}

/// The program with an empty environment, not started yet.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// Runs a program until it ends by itself.
pub fn run(args: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut program = Program::spawn(command(args).envs(env.iter().copied()), true);
    program.wait()
}

impl Program {
    /// Starts on a free port of the loopback interface.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with_env(args, &[])
    }

    pub fn start_with_env(args: &[&str], env: &[(&str, &str)]) -> Self {
        let args = [&["--host", "127.0.0.1", "--port", "0"], args].concat();
        Self::start_command(command(&args).envs(env.iter().copied()))
    }

    /// Starts this command and waits for the start line.
    pub fn start_command(command: &mut Command) -> Self {
        let mut program = Self::spawn(command, true);
        let line = program.expect_line_within(START);
        program.address = ([127, 0, 0, 1], port_of(&line)).into();
        program
    }

    /// The same, with its stdin.
    pub fn start_with_stdin(command: &mut Command) -> (Self, ChildStdin) {
        let mut program = Self::start_command(command.stdin(Stdio::piped()));
        let stdin = program.child.stdin.take().expect("a pipe");
        (program, stdin)
    }

    /// The same, but reads nothing of stdout after the start line.
    pub fn start_unread(args: &[&str]) -> (Self, BufReader<ChildStdout>) {
        let args = [&["--host", "127.0.0.1", "--port", "0"], args].concat();
        let mut program = Self::spawn(&mut command(&args), false);
        let mut stdout = BufReader::with_capacity(1, program.child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        program.address = ([127, 0, 0, 1], port_of(line.trim_end())).into();
        (program, stdout)
    }

    /// Starts with `--stdio`, as the child of another program: returns its stdin, and its stdout after the
    /// first line.
    pub fn start_stdio(args: &[&str]) -> (Self, ChildStdin, BufReader<ChildStdout>) {
        let args = [&["--stdio", "--host", "127.0.0.1", "--port", "0"], args].concat();
        let mut program = Self::spawn(command(&args).stdin(Stdio::piped()), false);
        let stdin = program.child.stdin.take().unwrap();
        let mut stdout = BufReader::new(program.child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.split('"').nth(7).and_then(|address| address.parse().ok());
        program.address = address.unwrap_or_else(|| panic!("the first line: {line}"));
        (program, stdin, stdout)
    }

    fn spawn(command: &mut Command, read_stdout: bool) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        let (line, lines) = channel();
        if read_stdout {
            let stdout = BufReader::new(child.stdout.take().unwrap());
            thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        }
        let mut pipe = child.stderr.take().unwrap();
        let stderr: Arc<Mutex<Vec<u8>>> = Arc::default();
        let read = Arc::clone(&stderr);
        let reader = thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut part) {
                read.lock().unwrap().extend_from_slice(&part[..length]);
            }
        });
        let address = ([0, 0, 0, 0], 0).into();
        Program { child, lines, stderr, reader_of_stderr: Some(reader), seen: Vec::new(), address }
    }

    /// The next line of stdout.
    pub fn expect_line(&mut self) -> String {
        self.expect_line_within(TIMEOUT)
    }

    fn expect_line_within(&mut self, timeout: Duration) -> String {
        let line = self.lines.recv_timeout(timeout).expect("a line of stdout");
        self.seen.push(line.clone());
        line
    }

    /// The next line about a client or the end.
    pub fn expect_event(&mut self) -> String {
        loop {
            let line = self.expect_line();
            if line.starts_with("Client ") || line.starts_with("Http ") {
                return line;
            }
        }
    }

    /// The API, and the end of the line about it.
    pub fn expect_api(&mut self) -> (Api, String) {
        const LINE: &str = "The API listens on http://";
        let line = std::iter::repeat_with(|| self.expect_line()).find(|line| line.contains(LINE)).unwrap();
        let (_, rest) = line.split_once(LINE).unwrap();
        let (address, rest) = rest.split_once("/api").unwrap();
        let address: SocketAddr = address.parse().unwrap();
        (Api { address, headers: String::new() }, rest.to_owned())
    }

    /// Waits until the log has this text.
    pub fn expect_log(&self, text: &str) {
        let found = look_for(|| self.stderr().contains(text).then_some(()));
        assert!(found.is_some(), "the log has no {text:?}: {}", self.stderr());
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal::send(name, self.id());
    }

    /// Waits until the program has ended by itself.
    pub fn wait(&mut self) -> Ended {
        let status = wait_for("the program to end", || self.child.try_wait().unwrap());
        self.reader_of_stderr.take().expect("waited for once").join().unwrap();
        let stderr = self.stderr();
        let stdout = std::mem::take(&mut self.seen).into_iter().chain(self.lines.iter()).collect();
        Ended { status, stdout, stderr }
    }

    /// Stops the program as an operator does.
    pub fn stop(&mut self) -> Ended {
        self.signal("-TERM");
        self.wait()
    }

    pub fn get(&self, target: &str) -> Response {
        self.request(target, "")
    }

    pub fn request(&self, target: &str, headers: &str) -> Response {
        HttpConnection::open(self.address).request("GET", target, headers)
    }

    /// A client whose handshake is accepted.
    pub fn connect(&self, target: &str) -> RawClient {
        let mut client = RawClient::connect(self.address, target);
        client.send_raw(RawClient::handshake(target));
        client.expect_accepted();
        client
    }

    /// A registered client.
    pub fn client(&self, id: &str) -> RawClient {
        let mut client = self.connect(&format!("/peerjs?key=peerjs&id={id}&token=t"));
        client.expect_open();
        client
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port_of(start_line: &str) -> u16 {
    let port = start_line.split("port: ").nth(1).and_then(|rest| rest.split(',').next());
    port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("a start line: {start_line}"))
}
