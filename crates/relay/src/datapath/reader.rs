//! Waits for datagrams.

use std::io;
use std::net::UdpSocket;

use tokio::io::Interest;

/// A socket whose thread wakes up when there is something to read. With tokio's own it also wakes up when the
/// kernel has sent a datagram, which is as often.
pub(super) struct Reader(Inner);

#[cfg(unix)]
type Inner = tokio::io::unix::AsyncFd<UdpSocket>;
#[cfg(not(unix))]
type Inner = tokio::net::UdpSocket;

impl Reader {
    /// For the runtime of this thread. The socket must be non-blocking.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        #[cfg(unix)]
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types that can lose their descriptor: this one cannot"
        )]
        let inner = Inner::with_interest(socket, Interest::READABLE)?;
        #[cfg(not(unix))]
        let inner = Inner::from_std(socket)?;
        Ok(Reader(inner))
    }

    /// Calls `read` whenever there may be something to read, until it is not `WouldBlock`. It returns a
    /// number of datagrams: fewer than `most` are all that were there, so nothing is looked for again before
    /// the kernel tells of more.
    pub(super) async fn read(
        &self,
        most: usize,
        read: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        #[cfg(not(unix))]
        {
            // There each call brings one datagram.
            let _ = most;
            self.0.async_io(Interest::READABLE, read).await
        }
        #[cfg(unix)]
        {
            let mut read = read;
            loop {
                let mut ready = self.0.readable().await?;
                let Ok(count) = ready.try_io(|_| read()) else { continue };
                if count.as_ref().is_ok_and(|count| *count < most) {
                    ready.clear_ready();
                }
                return count;
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_read_that_took_all_is_followed_by_one_when_more_comes() {
        let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        to.set_nonblocking(true).unwrap();
        let address = to.local_addr().unwrap();
        let reader = Reader::new(to.try_clone().unwrap()).unwrap();
        let calls = Cell::new(0);
        let read = || {
            calls.set(calls.get() + 1);
            to.recv(&mut [0; 8]).map(|_| 1)
        };
        for number in 1..=3 {
            let mut next = pin!(reader.read(16, read));
            assert!(timeout(Duration::ZERO, &mut next).await.is_err());
            assert_eq!(calls.get(), number - 1, "it looked where nothing was");
            from.send_to(b"a", address).unwrap();
            assert_eq!(timeout(Duration::from_secs(10), next).await.expect("a datagram").unwrap(), 1);
            assert_eq!(calls.get(), number);
        }
    }
}
