//! Clients that connect without a pause, one after another in each thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use rustls::ClientConfig;

use crate::raw_client::RawClient;
use testkit::wait::wait_until;

/// Threads that connect.
const THREADS: usize = 4;

/// Clients that each thread keeps connected.
const KEPT: usize = 25;

pub struct Load {
    opened: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins to connect, over TLS if there is a configuration for it.
    pub fn start(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        let opened = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let begin = |thread: usize| {
            let opened = Arc::clone(&opened);
            let is_over = Arc::clone(&is_over);
            let tls = tls.clone();
            thread::spawn(move || {
                let mut kept = VecDeque::new();
                for number in 0.. {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    kept.push_back(open(address, &format!("peer-{thread}-{number}"), tls.as_ref()));
                    opened.fetch_add(1, Ordering::SeqCst);
                    kept.drain(..kept.len().saturating_sub(KEPT));
                }
            })
        };
        let threads = (0..THREADS).map(begin).collect();
        Load { opened, is_over, threads }
    }

    /// Waits until so many more clients have opened, or one has failed.
    pub fn go_on(&self, more: usize) {
        let goal = self.opened.load(Ordering::SeqCst) + more;
        wait_until("clients to open", || {
            self.opened.load(Ordering::SeqCst) >= goal || self.threads.iter().any(JoinHandle::is_finished)
        });
    }

    /// Stops, and says how many have opened. Fails if a single one has not.
    pub fn end(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("every client opens");
        }
        self.opened.load(Ordering::SeqCst)
    }
}

fn open(address: SocketAddr, id: &str, tls: Option<&Arc<ClientConfig>>) -> RawClient {
    let mut client = match tls {
        Some(tls) => RawClient::connect_tls(address, id, Arc::clone(tls)),
        None => RawClient::connect(address, id),
    };
    client.send_raw(RawClient::handshake(&format!("/peerjs?key=peerjs&id={id}&token=t")));
    client.expect_accepted();
    client.expect_open();
    client
}
