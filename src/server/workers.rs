//! The threads that serve connections.
//!
//! The first of them accepts all connections, in turns with its other work, and gives each worker its share.
//! A thread that only accepts would interrupt a worker for each connection, which takes a fifth of the time
//! of an open.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix_service::{Service, ServiceFactory};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{spawn_local, yield_now};
use tokio::time::{sleep, timeout};

use super::accept;
use super::sockets::{Acceptor, ListeningSocket, PassedStream};
use peerbroker_system::threads::{OnWake, Threads};
use peerbroker_transport::client_stream::ClientStream;

/// Most HTTP connections for each worker. WebSockets do not count.
const MAX_HTTP_CONNECTIONS: usize = 25_000;

/// Connections that are accepted before others get their turn: some 80 µs of work. They are more than the
/// handshakes of a turn, because the system drops connections beyond its queue, 4,096 of them, and their
/// clients try again after one second, and then two.
pub(super) const ACCEPTS_PER_TURN: usize = 16;

/// Time for workers to hear what they shall do. One that is blocked does not hold the server up.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// Time to the next attempt when the system has no more files or memory.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The workers of a server. Their connections end with it.
pub(super) struct Workers {
    /// True until no more connections are accepted. Its receiver is dropped then.
    accepting: watch::Sender<bool>,
    /// True until all connections have to end. Each has a receiver.
    serving: watch::Sender<bool>,
}

/// The times at which a worker stops. While it is held, the workers wait for its holder.
#[derive(Clone)]
pub(super) struct Stops {
    accepts: watch::Receiver<bool>,
    serves: watch::Receiver<bool>,
}

impl Stops {
    /// Waits until all connections have to end.
    pub(super) async fn until_ended(self) {
        let Stops { accepts, serves } = self;
        drop(accepts);
        until_false(serves).await;
    }
}

/// A connection for another worker.
type Passed = (PassedStream, OwnedSemaphorePermit);

impl Workers {
    /// Starts this many threads, which make a service each, and serve the connections of all `sockets`. Each
    /// calls `on_wake` before it works again after a wait. Where `make` is called, a thread may begin more:
    /// an endpoint whose connections come in another way than from `sockets`.
    pub(super) fn start<F>(
        threads: &Threads,
        name: &str,
        count: usize,
        sockets: Vec<ListeningSocket>,
        on_wake: Option<&OnWake>,
        make: impl Fn(Stops) -> F + Clone + Send + 'static,
    ) -> io::Result<Self>
    where
        F: ServiceFactory<ClientStream, Config = ()>,
        F::Service: 'static,
    {
        let (accepting, accepts) = watch::channel(true);
        let (serving, serves) = watch::channel(true);
        let stops = Stops { accepts, serves };
        let mut others = Vec::new();
        for _ in 1..count {
            let (pass, mut passed) = unbounded_channel::<Passed>();
            others.push(pass);
            let make = make.clone();
            let stops = stops.clone();
            let failed = threads.clone();
            threads.once_async_waking(name, on_wake.cloned(), async move || {
                let Some(worker) = Worker::new(&make, &stops, &failed).await else { return };
                let Stops { accepts, serves } = stops;
                // It accepts nothing, and serves until the end.
                drop(accepts);
                while let Some((connection, permit)) = passed.recv().await {
                    match connection.register() {
                        Ok(connection) => worker.serve(connection, permit),
                        Err(error) => log::error!("cannot serve a connection: {error}"),
                    }
                }
                until_false(serves).await;
            })?;
        }
        let failed = threads.clone();
        threads.once_async_waking(name, on_wake.cloned(), async move || {
            let Some(worker) = Worker::new(&make, &stops, &failed).await else { return };
            let Stops { accepts, serves } = stops;
            match sockets.into_iter().map(ListeningSocket::register).collect::<io::Result<Vec<_>>>() {
                Ok(acceptors) => tokio::select! {
                    biased;
                    () = until_false(accepts) => {}
                    never = worker.accept(acceptors, others) => match never {},
                },
                Err(error) => failed.fail(format!("cannot accept connections: {error}")),
            }
            until_false(serves).await;
        })?;
        Ok(Workers { accepting, serving })
    }

    /// Accepts no more connections. False if a worker is blocked, and may not have heard it.
    pub(super) async fn leave(&self) -> bool {
        hear_end(&self.accepting, "accepting connections").await
    }

    /// Ends all connections. False as in [`leave`](Self::leave).
    pub(super) async fn end(self) -> bool {
        self.accepting.send_replace(false);
        hear_end(&self.serving, "serving").await
    }
}

/// Waits until all receivers have heard that something ends.
async fn hear_end(going_on: &watch::Sender<bool>, what: &str) -> bool {
    going_on.send_replace(false);
    let is_heard = timeout(HEARD_WITHIN, going_on.closed()).await.is_ok();
    if !is_heard {
        log::warn!("a worker is blocked and may go on {what}: the server stops without it");
    }
    is_heard
}

/// Ready when the value is false, or its sender is gone.
async fn until_false(mut value: watch::Receiver<bool>) {
    let _ = value.wait_for(|value| !value).await;
}

/// The worker of this thread.
struct Worker<S> {
    service: Rc<S>,
    serves: watch::Receiver<bool>,
}

impl<S: Service<ClientStream> + 'static> Worker<S> {
    async fn new<F: ServiceFactory<ClientStream, Config = (), Service = S>>(
        make: &impl Fn(Stops) -> F,
        stops: &Stops,
        threads: &Threads,
    ) -> Option<Self> {
        let Ok(service) = make(stops.clone()).new_service(()).await else {
            threads.fail("a worker cannot make its service".to_owned());
            return None;
        };
        Some(Worker { service: Rc::new(service), serves: stops.serves.clone() })
    }

    fn serve(&self, connection: ClientStream, permit: OwnedSemaphorePermit) {
        let service = Rc::clone(&self.service);
        let serves = self.serves.clone();
        spawn_local(async move {
            if poll_fn(|cx| service.poll_ready(cx)).await.is_ok() {
                // It has told what went wrong.
                let _ = service.call(connection).await;
            }
            drop((permit, serves));
        });
    }

    /// Accepts connections, each for the next worker.
    async fn accept(&self, acceptors: Vec<Acceptor>, others: Vec<UnboundedSender<Passed>>) -> Infallible {
        let workers = others.len() + 1;
        let room = Arc::new(Semaphore::new(workers * MAX_HTTP_CONNECTIONS));
        let mut count = 0;
        loop {
            if count % ACCEPTS_PER_TURN == 0 {
                // The runtime looks for input before it continues this task.
                yield_now().await;
            }
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { continue };
            match accept_at(&acceptors, count).await {
                Ok(connection) => {
                    match others.get(count % workers) {
                        None => self.serve(connection, permit),
                        // It ends only with its server.
                        Some(other) => {
                            drop(PassedStream::of(connection).map(|passed| other.send((passed, permit))));
                        }
                    }
                    count = count.wrapping_add(1);
                }
                Err(error) if is_of_client(&error) => {}
                Err(error) => {
                    accept::tell_of_outage(&error);
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }
}

/// Accepts a connection at any of these. Each is looked at first in its turn, so a busy one keeps no other
/// waiting.
async fn accept_at(acceptors: &[Acceptor], turn: usize) -> io::Result<ClientStream> {
    let first = turn % acceptors.len().max(1);
    poll_fn(|cx| {
        let (before, behind) = acceptors.split_at(first);
        let accepted = |acceptor: &Acceptor| match acceptor.poll_accept(cx) {
            Poll::Ready(accepted) => Some(accepted),
            Poll::Pending => None,
        };
        behind.iter().chain(before).find_map(accepted).map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// True if the client has left before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::ready;
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpListener as StdListener, TcpStream as StdStream};
    use std::sync::Barrier;

    use actix_service::fn_service;
    use tokio::io::AsyncWriteExt as _;
    use tokio::task::LocalSet;

    use super::*;

    fn listener() -> StdListener {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    }

    fn clients(count: usize, listener: &StdListener) -> Vec<StdStream> {
        let address = listener.local_addr().unwrap();
        (0..count).map(|_| StdStream::connect(address).unwrap()).collect()
    }

    /// Workers that send each client the name of their thread, and keep the connection.
    fn start(threads: &Threads, count: usize, listener: StdListener) -> Workers {
        let greet = |mut connection: ClientStream| async move {
            let thread = format!("{:?}\n", std::thread::current().id());
            connection.write_all(thread.as_bytes()).await?;
            std::future::pending::<io::Result<()>>().await
        };
        let sockets = vec![ListeningSocket::Tcp(listener)];
        Workers::start(threads, "worker", count, sockets, None, move |_| fn_service(greet)).unwrap()
    }

    fn line(mut client: &StdStream) -> String {
        let mut byte = [0];
        let bytes = std::iter::from_fn(|| (client.read(&mut byte).unwrap() == 1).then_some(byte[0]));
        String::from_utf8(bytes.take_while(|byte| *byte != b'\n').collect()).unwrap()
    }

    #[tokio::test]
    async fn others_are_served_after_a_few_connections() {
        LocalSet::new()
            .run_until(async {
                let listener = listener();
                let _clients = clients(40, &listener);
                let turn = Rc::new(Cell::new(0));
                let accepted = Rc::new(RefCell::new(Vec::new()));
                let others = Rc::clone(&turn);
                spawn_local(async move {
                    loop {
                        others.set(others.get() + 1);
                        yield_now().await;
                    }
                });
                let seen = Rc::clone(&accepted);
                let service = fn_service(move |_| {
                    seen.borrow_mut().push(turn.get());
                    ready(Ok::<_, ()>(()))
                });
                let (_running, runs) = watch::channel(true);
                let stops = Stops { accepts: runs.clone(), serves: runs };
                let worker = Worker::new(&|_| service.clone(), &stops, &Threads::default()).await.unwrap();
                let acceptors = vec![ListeningSocket::Tcp(listener).register().unwrap()];
                tokio::select! {
                    never = worker.accept(acceptors, Vec::new()) => match never {},
                    () = async { while accepted.borrow().len() < 40 { yield_now().await } } => {}
                }
                let accepted = accepted.borrow();
                let in_turns: Vec<usize> = accepted.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
                assert!(in_turns.iter().all(|count| *count <= ACCEPTS_PER_TURN), "{in_turns:?}");
            })
            .await;
    }

    #[tokio::test]
    async fn each_worker_has_its_share_until_the_server_ends() {
        let threads = Threads::default();
        let listener = listener();
        let kept = listener.try_clone().unwrap();
        let workers = start(&threads, 3, listener);
        let before = clients(9, &kept);
        let mut served: Vec<String> = before.iter().map(line).collect();
        served.sort();
        assert_eq!(served.chunk_by(|a, b| a == b).map(<[_]>::len).collect::<Vec<_>>(), [3, 3, 3]);

        assert!(workers.leave().await, "all workers hear it, and serve on");
        let late = clients(1, &kept);
        assert_eq!(kept.accept().unwrap().1, late[0].local_addr().unwrap());

        assert!(workers.end().await);
        assert!(before.iter().all(|client| line(client).is_empty()));
    }

    #[tokio::test]
    async fn a_server_that_still_accepts_ends_too() {
        let threads = Threads::default();
        let listener = listener();
        let kept = listener.try_clone().unwrap();
        let workers = start(&threads, 2, listener);
        let clients = clients(2, &kept);
        clients.iter().for_each(|client| assert!(!line(client).is_empty()));
        assert!(workers.end().await);
        assert!(clients.iter().all(|client| line(client).is_empty()));
    }

    /// The clock of the test stands still, and moves on when the test waits.
    #[tokio::test(start_paused = true)]
    async fn a_worker_that_is_blocked_does_not_hold_up_the_end() {
        let threads = Threads::default();
        let listener = listener();
        let kept = listener.try_clone().unwrap();
        let [entered, unblocked] = [(); 2].map(|()| Arc::new(Barrier::new(2)));
        let barriers = [&entered, &unblocked].map(Arc::clone);
        let make = move |_| {
            let barriers = barriers.clone();
            fn_service(move |_: ClientStream| {
                for barrier in &barriers {
                    barrier.wait();
                }
                ready(Ok::<_, ()>(()))
            })
        };
        let workers =
            Workers::start(&threads, "worker", 1, vec![ListeningSocket::Tcp(listener)], None, make).unwrap();
        let _clients = clients(1, &kept);
        entered.wait();
        assert!(!workers.end().await);
        unblocked.wait();
    }

    #[tokio::test]
    async fn a_worker_that_panics_is_a_failure() {
        let threads = Threads::default();
        let make = || fn_service(|_: ClientStream| ready(Ok::<_, ()>(())));
        let make = move |_| {
            assert!(std::thread::current().name() != Some("worker"), "no service");
            make()
        };
        let workers =
            Workers::start(&threads, "worker", 2, vec![ListeningSocket::Tcp(listener())], None, make)
                .unwrap();
        assert!(threads.failed().await.contains("no service"));
        // Nobody waits for it.
        workers.end().await;
    }
}
