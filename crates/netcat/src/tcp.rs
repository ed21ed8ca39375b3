//! TCP connections, each a stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::screen;
use crate::streams::{MAX_STREAMS, Stream, Streams};

/// The timeout of a connection to the target.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed accept, as when there are no more files.
const PAUSE: Duration = Duration::from_millis(100);

/// Joins a stream to a new connection to a target.
pub(crate) async fn connect(target: &str, stream: Stream) -> io::Result<()> {
    let connected =
        timeout(TIMEOUT, TcpStream::connect(target)).await.unwrap_or_else(|late| Err(late.into()));
    join(
        connected
            .map_err(|error| io::Error::new(error.kind(), format!("cannot connect to {target}: {error}")))?,
        stream,
    )
    .await
}

/// Gives each connection to a port a stream, until the streams have ended.
pub(crate) async fn listen(listener: &TcpListener, streams: &Streams) {
    let free = Arc::new(Semaphore::new(MAX_STREAMS));
    let mut joined = JoinSet::new();
    loop {
        // The semaphore is never closed. Further connections wait in the system's queue.
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = streams.ended() => return,
        };
        while joined.try_join_next().is_some() {}
        match accepted {
            Ok((socket, _)) => {
                let Some(stream) = streams.open().await else { return };
                joined.spawn(async move {
                    // A broken connection is the business of its program.
                    drop(join(socket, stream).await);
                    drop(permit);
                });
            }
            Err(error) => {
                screen::note(&format!("cannot accept a connection: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
}

async fn join(mut socket: TcpStream, stream: Stream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // A stream that is lost must not look like a whole one: the end of this program resets it as well.
    socket.set_zero_linger()?;
    let (read, write) = socket.split();
    stream.join(read, write, None).await?;
    SockRef::from(&socket).set_linger(None)
}
