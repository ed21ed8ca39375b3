//! The link of one node to Redis, which can fail alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Open,
    /// Nothing passes, and nothing is closed.
    Stalled,
    /// Redis hears the node, and the node does not hear Redis.
    Mute,
    /// Every connection is closed at once.
    Cut,
}

/// Passes bytes between a node and Redis. The drop ends all connections.
pub struct Proxy {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(redis: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (mode, seen) = watch::channel(Mode::Open);
        let serving = spawn_local(async move {
            while let Ok((node, _)) = listener.accept().await {
                spawn_local(serve(node, redis.clone(), seen.clone()));
            }
        });
        Proxy { address, mode, serving }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::Cut);
        self.serving.abort();
    }
}

async fn serve(node: tokio::net::TcpStream, redis: PathBuf, mode: watch::Receiver<Mode>) {
    let _ = node.set_nodelay(true);
    let mut cut = mode.clone();
    let mut stalled = mode.clone();
    let work = async {
        let _ = stalled.wait_for(|mode| *mode != Mode::Stalled).await;
        let Ok(redis) = UnixStream::connect(redis).await else { return };
        let (from_node, to_node) = node.into_split();
        let (from_redis, to_redis) = redis.into_split();
        let passes = |mode: Mode| mode != Mode::Stalled;
        let there = pass(from_node, to_redis, mode.clone(), passes);
        let back = pass(from_redis, to_node, mode, |mode| mode == Mode::Open);
        tokio::select! { () = there => {} () = back => {} }
    };
    tokio::select! {
        () = work => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    passes: impl Fn(Mode) -> bool,
) {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let Ok(count) = from.read(&mut chunk).await else { return };
        if count == 0 || mode.wait_for(|mode| passes(*mode)).await.is_err() {
            return;
        }
        if to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}
