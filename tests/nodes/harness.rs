//! A cluster of processes, and clients that note what they see.

pub mod client;
pub mod cluster;
pub mod node;
pub mod proxy;
pub mod redis;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use testkit::signal;
use tokio::runtime;
use tokio::task::LocalSet;
use tokio::time::sleep;

pub use client::{Client, Seen};
pub use cluster::Cluster;

/// Longest time of anything before a test fails. Far more than it takes on an idle machine.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
pub const LOOK: Duration = Duration::from_millis(5);

/// Runs a test on one thread: nodes and Redis are processes, all else are tasks.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test)
}

/// Waits for a condition. False after `bound`.
pub async fn becomes(bound: Duration, mut happened: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + bound;
    loop {
        if happened().await {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK).await;
    }
}

/// Waits for a condition, and fails after a bound.
pub async fn until(what: &str, happened: impl AsyncFnMut() -> bool) {
    assert!(becomes(TIMEOUT, happened).await, "waited for {what}");
}

/// A process that ends with its test.
pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        Process(command.spawn().expect("a program"))
    }

    pub fn signal(&self, name: &str) {
        signal::send(name, self.0.id());
    }

    /// Waits until it has ended, for whatever reason.
    pub async fn ended(&mut self) {
        until("the end of a process", async || self.has_ended()).await;
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
