//! Child processes that end when they are dropped, or when this process dies.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::DeserializeOwned;

use crate::process;

/// The core of the measured servers.
pub(super) const SERVER_CORE: &str = "0";
/// The core of the load generator, and of the Redis of a cluster.
pub(super) const LOAD_CORE: &str = "1";

/// A child process.
pub(super) struct Running(Child);

impl Running {
    /// Starts a program on some cores. Its stdout is a pipe that is always drained, as with a service
    /// manager; its stderr is that of this process.
    pub(super) fn start(cores: &str, program: &Path, args: &[String]) -> Result<Self> {
        let mut child = pinned(cores, program, args).spawn().with_context(|| {
            format!("cannot start {}: are setpriv and taskset (util-linux) there?", program.display())
        })?;
        if let Some(mut lines) = child.stdout.take() {
            thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        }
        Ok(Running(child))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Fails if it has already ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("the process has ended: {status}"),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program on the core of the load generator, and reads the JSON that it prints.
pub(super) fn run_load<T: DeserializeOwned>(program: &Path, args: &[String], within: Duration) -> Result<T> {
    let mut child = pinned(LOAD_CORE, program, args).spawn().context("cannot start the load")?;
    let mut stdout = child.stdout.take().context("the load has no stdout")?;
    let mut load = Running(child);
    let (whole, text) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text).map(|_| text);
        let _ = whole.send(read);
    });
    let text =
        text.recv_timeout(within).with_context(|| format!("the load took longer than {within:?}"))??;
    // It has closed its stdout, so it is about to exit.
    let status = load.0.wait()?;
    ensure!(status.success(), "the load failed: {status}");
    serde_json::from_str(&text).context("the load printed something strange")
}

// setpriv kills the child when this process ends for any reason.
fn pinned(cores: &str, program: &Path, args: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", cores]).arg(program).args(args);
    // That Redis goes and comes back is no news here.
    command.env("RUST_LOG", "error").stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Leaves the first core to the servers.
pub fn pin_to_load_core() -> Result<()> {
    let cores = thread::available_parallelism()?.get();
    ensure!(cores >= 2, "two cores are needed, one for the server and one for the load; here is {cores}");
    process::this().pin(LOAD_CORE)
}
