//! Handshakes in turns. While everybody comes at once, the clients that are there are served between two
//! handshakes.

use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// The turns in which the new connections of a worker are served: a few, and then the others.
///
/// Clients send their first bytes whenever the network lets them, so hundreds may have come when the worker
/// looks. It would make all their handshakes before it looks again.
#[derive(Clone)]
pub(super) struct HandshakeTurns(Rc<Semaphore>);

impl HandshakeTurns {
    /// Serves so many connections at once.
    pub(super) fn of(connections: usize) -> Self {
        HandshakeTurns(Rc::new(Semaphore::new(connections)))
    }

    /// Waits for the first bytes of a connection, at most for `limit`, and then for its turn.
    pub(super) async fn begin(&self, readable: impl Future, limit: Duration) -> Result<(), Elapsed> {
        timeout(limit, readable).await?;
        let _turn = self.0.acquire().await;
        // The runtime looks for input before it continues this task.
        yield_now().await;
        // The recipients of messages in that input go first.
        requeue().await;
        Ok(())
    }
}

/// Lets those tasks run first that can run now. The runtime does not look for input.
async fn requeue() {
    let mut is_requeued = false;
    poll_fn(|cx| {
        if mem::replace(&mut is_requeued, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::{pending, ready};

    use tokio::sync::Notify;
    use tokio::task::{JoinSet, LocalSet, spawn_local};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn others_are_served_after_a_few_handshakes() {
        LocalSet::new()
            .run_until(async {
                let turns = HandshakeTurns::of(2);
                let begun = Rc::new(Cell::new(0));
                let mut clients = JoinSet::new();
                for _ in 0..7 {
                    let turns = turns.clone();
                    let begun = Rc::clone(&begun);
                    clients.spawn_local(async move {
                        turns.begin(ready(()), LIMIT).await.unwrap();
                        begun.set(begun.get() + 1);
                    });
                }
                let mut after_each_turn = Vec::new();
                while begun.get() < 7 {
                    yield_now().await;
                    after_each_turn.push(begun.get());
                }
                after_each_turn.dedup();
                assert_eq!(after_each_turn, [0, 2, 4, 6, 7]);
            })
            .await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn recipients_of_messages_are_served_before_a_handshake() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use tokio::net::UnixStream;

        LocalSet::new()
            .run_until(async {
                let turns = HandshakeTurns::of(1);
                let served = Rc::new(RefCell::new(Vec::new()));
                let (mut sender, mut session) = UnixStream::pair().unwrap();
                let queue = Rc::new(Notify::new());
                let recipient = Rc::clone(&served);
                let queued = Rc::clone(&queue);
                spawn_local(async move {
                    loop {
                        queued.notified().await;
                        recipient.borrow_mut().push("message");
                    }
                });
                spawn_local(async move {
                    while session.read_u8().await.is_ok() {
                        queue.notify_one();
                    }
                });
                // Each handshake begins while a message waits in the socket.
                for _ in 0..3 {
                    sender.write_u8(0).await.unwrap();
                    turns.begin(ready(()), LIMIT).await.unwrap();
                    served.borrow_mut().push("handshake");
                }
                assert_eq!(*served.borrow(), ["message", "handshake"].repeat(3));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_takes_no_turn_and_times_out() {
        let turns = HandshakeTurns::of(1);
        let silent = turns.begin(pending::<()>(), LIMIT);
        let others = async {
            for _ in 0..3 {
                turns.begin(ready(()), LIMIT).await.unwrap();
            }
        };
        tokio::pin!(silent);
        tokio::select! {
            biased;
            ended = &mut silent => panic!("{ended:?}"),
            () = others => {}
        }
        silent.await.unwrap_err();
    }
}
