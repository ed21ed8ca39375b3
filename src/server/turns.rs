//! Admission in turns. While everybody comes at once, the clients that are there are served between two handshakes.

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::pin::Pin;
use std::task::{self, Context, Poll};

use actix_service::{Service, ServiceFactory, fn_factory};
use actix_web::rt::spawn;
use actix_web::rt::task::{JoinHandle, yield_now};

/// Connections that a worker accepts before the others get their turn. A handshake of TLS takes longer than many messages.
const ACCEPTS_PER_TURN: u32 = 4;

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
    use std::future::poll_fn;

    use actix_service::fn_service;
    use tokio::task::LocalSet;

    use super::*;

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
