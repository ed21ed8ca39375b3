//! Admission in turns. While everybody comes at once, the clients that are there are served between two handshakes.

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, ready};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Context, Poll};
use std::time::Duration;

use actix_service::{Service, ServiceFactory, fn_factory};
use actix_web::rt::spawn;
use actix_web::rt::task::{JoinHandle, yield_now};
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Connections that a worker accepts before the others get their turn.
const ACCEPTS_PER_TURN: u32 = 4;

/// The turns in which the new connections of a worker are served: a few, and then the others.
///
/// Clients send their first bytes whenever the network lets them, so hundreds may have come when the worker looks. It would make
/// all their handshakes before it looks again.
#[derive(Clone)]
pub(super) struct Turns(Rc<Semaphore>);

impl Turns {
    /// Turns for so many connections.
    pub(super) fn of(connections: usize) -> Self {
        Turns(Rc::new(Semaphore::new(connections)))
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

/// A service that a worker calls a few times only before it serves the others.
struct InTurns<S> {
    service: S,
    left: Cell<u32>,
    /// Ends with the turn. A worker asks more than once in a turn.
    turn: RefCell<Option<JoinHandle<()>>>,
}

/// Makes such a service for each worker.
pub(super) fn in_turns<R, S: Service<R> + Clone>(
    service: S,
) -> impl ServiceFactory<R, Config = (), Response = S::Response, Error = S::Error, InitError = ()> {
    fn_factory(move || {
        let (service, left) = (service.clone(), Cell::new(ACCEPTS_PER_TURN));
        ready(Ok(InTurns { service, left, turn: RefCell::default() }))
    })
}

impl<R, S: Service<R>> Service<R> for InTurns<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.left.get() == 0 {
            let mut turn = self.turn.borrow_mut();
            // The runtime looks for input before it continues this task.
            let turn_end = turn.get_or_insert_with(|| spawn(yield_now()));
            let _ = task::ready!(Pin::new(turn_end).poll(cx));
            *turn = None;
            self.left.set(ACCEPTS_PER_TURN);
        }
        self.service.poll_ready(cx)
    }

    fn call(&self, request: R) -> S::Future {
        self.left.set(self.left.get().saturating_sub(1));
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use actix_service::fn_service;
    use tokio::sync::Notify;
    use tokio::task::{JoinSet, LocalSet};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn others_are_served_after_a_few_handshakes() {
        LocalSet::new()
            .run_until(async {
                let (turns, begun) = (Turns::of(2), Rc::new(Cell::new(0)));
                let mut clients = JoinSet::new();
                for _ in 0..7 {
                    let (turns, begun) = (turns.clone(), Rc::clone(&begun));
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
                let (turns, served) = (Turns::of(1), Rc::new(RefCell::new(Vec::new())));
                let (mut sender, mut session) = UnixStream::pair().unwrap();
                let (queue, recipient) = (Rc::new(Notify::new()), Rc::clone(&served));
                let queued = Rc::clone(&queue);
                spawn(async move {
                    loop {
                        queued.notified().await;
                        recipient.borrow_mut().push("message");
                    }
                });
                spawn(async move {
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
        let turns = Turns::of(1);
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

    #[tokio::test]
    async fn others_are_served_after_a_few_connections() {
        LocalSet::new()
            .run_until(async {
                let service =
                    in_turns(fn_service(|()| ready(Ok::<_, ()>(())))).new_service(()).await.unwrap();
                let others = spawn(async {
                    for _ in 0..3 {
                        yield_now().await;
                    }
                });
                let (mut accepted, mut turns) = (0, 0);
                while !others.is_finished() {
                    let is_ready = poll_fn(|cx| {
                        // As a worker, which asks again at once.
                        let asked =
                            service.poll_ready(cx).is_pending() && service.poll_ready(cx).is_pending();
                        Poll::Ready(!asked)
                    });
                    if is_ready.await {
                        service.call(()).await.unwrap();
                        accepted += 1;
                    } else {
                        turns += 1;
                        assert_eq!(accepted, turns * ACCEPTS_PER_TURN);
                        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
                    }
                }
                assert!(turns > 0);
            })
            .await;
    }
}
