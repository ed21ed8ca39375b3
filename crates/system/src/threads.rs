//! Threads: one place starts, names and supervises them.
//!
//! A thread that has panicked is down until it is restarted, so the server is not ready during that time. A
//! thread that cannot be restarted, or that panics too often, is a failure: the server stops, and its service
//! manager can start it again.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::SetOnce;
use tokio::task::LocalSet;

/// The time from a panic to the restart, so that a panic at once is no busy loop.
const RESTART_DELAY: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(1) };

/// Most restarts of a thread within [`WINDOW`].
const MAX_RESTARTS: usize = 5;

/// The time in which restarts are counted.
const WINDOW: Duration = Duration::from_secs(600);

/// Most threads of one runtime that block, such as for the system's resolver.
const MAX_BLOCKING: usize = 16;

/// Most characters of a panic's text that are kept.
const MAX_TEXT: usize = 300;

/// The threads of a broker. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Threads(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    table: Mutex<BTreeMap<String, ThreadState>>,
    failure: SetOnce<String>,
}

/// Of all threads of one name.
#[derive(Debug, Default)]
struct ThreadState {
    panics: u64,
    /// Threads that have panicked and are not restarted yet.
    down: usize,
}

/// Called on a thread before it works again. It may block.
pub type OnWake = Arc<dyn Fn() + Send + Sync>;

/// A panic that was caught.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panic(String);

impl Threads {
    /// Starts a thread that is restarted after a panic.
    pub fn keep(&self, name: &str, mut work: impl FnMut() + Send + 'static) -> io::Result<()> {
        self.watched(name, move |threads, name| {
            let mut restarts = Vec::new();
            while let Err(panic) = caught(&mut work) {
                threads.went_down(name);
                let now = Instant::now();
                restarts.retain(|at| now.saturating_duration_since(*at) < WINDOW);
                if restarts.len() >= MAX_RESTARTS {
                    let times = MAX_RESTARTS + 1;
                    let minutes = WINDOW.as_secs() / 60;
                    let why =
                        format!("the thread {name} has {panic}, {times} times within {minutes} minutes");
                    return threads.fail(why);
                }
                restarts.push(now);
                log::error!("the thread {name} has {panic}; it is restarted");
                thread::sleep(RESTART_DELAY);
                threads.came_up(name);
            }
        })
    }

    /// Starts a thread with a runtime of its own, for async work that begins again after a panic.
    pub fn keep_async(&self, name: &str, mut work: impl AsyncFnMut() + Send + 'static) -> io::Result<()> {
        let mut runtime = ThreadRuntime(Some(runtime()?));
        self.keep(name, move || {
            if let Some(runtime) = &runtime.0 {
                LocalSet::new().block_on(runtime, work());
            }
            runtime.end();
        })
    }

    /// Starts a thread with a runtime of its own. A panic is a failure, because the work cannot begin again.
    pub fn once_async(&self, name: &str, work: impl AsyncFnOnce() + Send + 'static) -> io::Result<()> {
        self.once_async_waking(name, None, work)
    }

    /// Starts a thread as [`once_async`](Self::once_async) does. `on_wake` is called whenever the thread has
    /// waited for something to do, before it does it.
    pub fn once_async_waking(
        &self,
        name: &str,
        on_wake: Option<OnWake>,
        work: impl AsyncFnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let mut builder = builder();
        if let Some(on_wake) = on_wake {
            builder.on_thread_unpark(move || on_wake());
        }
        let mut runtime = ThreadRuntime(Some(builder.build()?));
        self.watched(name, move |threads, name| {
            let Some(runtime) = runtime.0.take() else { return };
            if let Err(panic) = caught(|| LocalSet::new().block_on(&runtime, work())) {
                threads.went_down(name);
                threads.fail(format!("the thread {name} has {panic}"));
            }
        })
    }

    fn went_down(&self, name: &str) {
        let mut table = self.0.table.lock();
        let state = table.entry(name.to_owned()).or_default();
        state.panics += 1;
        state.down += 1;
    }

    fn came_up(&self, name: &str) {
        if let Some(state) = self.0.table.lock().get_mut(name) {
            state.down = state.down.saturating_sub(1);
        }
    }

    fn watched(&self, name: &str, work: impl FnOnce(&Threads, &str) + Send + 'static) -> io::Result<()> {
        self.0.table.lock().entry(name.to_owned()).or_default();
        let threads = self.clone();
        let named = name.to_owned();
        start(name, move || work(&threads, &named)).map(drop)
    }

    /// Stops the broker. Only the first reason counts.
    pub fn fail(&self, why: String) {
        log::error!("{why}: the server stops");
        let _ = self.0.failure.set(why);
    }

    /// Ready with the reason once a thread has failed.
    pub async fn failed(&self) -> String {
        self.0.failure.wait().await.clone()
    }

    /// The reasons why the server should get no clients. Anybody may read it, so it has no text of a panic.
    pub fn unready(&self) -> Vec<String> {
        let down = |(name, state): (&String, &ThreadState)| {
            (state.down > 0).then(|| format!("the thread {name} has panicked, and is being restarted"))
        };
        match self.0.failure.get() {
            Some(_) => vec!["the server has failed, and stops; the log says why".to_owned()],
            None => self.0.table.lock().iter().filter_map(down).collect(),
        }
    }

    /// The panics of the threads of each name.
    pub fn panics(&self) -> BTreeMap<String, u64> {
        self.0.table.lock().iter().map(|(name, state)| (name.clone(), state.panics)).collect()
    }
}

/// The runtime of a thread. Where the thread cannot be started, async code drops it, and tokio's own drop
/// would panic there.
struct ThreadRuntime(Option<Runtime>);

impl ThreadRuntime {
    /// A drop would wait for a resolver that hangs.
    fn end(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for ThreadRuntime {
    fn drop(&mut self) {
        self.end();
    }
}

/// A runtime for the thread that calls it.
pub fn runtime() -> io::Result<Runtime> {
    builder().build()
}

fn builder() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(MAX_BLOCKING);
    builder
}

/// Calls code that may panic, such as a hook of an embedding program. Locks of this crate outlive a panic:
/// none is poisoned.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref().copied()).unwrap_or("no text");
        // It may have a text of a client in it.
        Panic(text.escape_debug().take(MAX_TEXT).collect())
    })
}

/// Starts a thread that belongs to no broker: its owner has to notice its end.
pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| unstarted(name, &error))
}

/// The system has its own words for a limit that is reached: "Resource temporarily unavailable".
fn unstarted(name: &str, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::WouldBlock => {
            ": raise TasksMax= of systemd, the limit of processes (pids) of the container, or `ulimit -u`"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot start a thread, {name}: {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    /// Waits for the end of a thread's work, which keeps the sender.
    fn wait<T>(ended: &std::sync::mpsc::Receiver<T>) {
        assert!(ended.recv().is_err());
    }

    #[test]
    fn a_limit_of_threads_is_named_with_what_raises_it() {
        // EAGAIN, as at `pids.max`.
        let text = unstarted("worker", &io::Error::from_raw_os_error(11)).to_string();
        assert!(
            text.starts_with("cannot start a thread, worker: ") && text.contains("raise TasksMax="),
            "{text}"
        );
    }

    #[test]
    fn a_thread_that_panics_now_and_then_goes_on() {
        let threads = Threads::default();
        let (work, ended) = channel::<()>();
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::new(AtomicUsize::new(0));
        let in_thread = Arc::clone(&counted);
        let during = threads.clone();
        let runs_of_thread = Arc::clone(&runs);
        threads
            .keep("sweeper", move || {
                let _work = &work;
                assert!(during.unready().is_empty(), "a thread that runs is not down");
                if runs_of_thread.fetch_add(1, Ordering::SeqCst) < MAX_RESTARTS {
                    panic!("a hook");
                }
                in_thread.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
        wait(&ended);
        assert_eq!((runs.load(Ordering::SeqCst), counted.load(Ordering::SeqCst)), (MAX_RESTARTS + 1, 1));
        assert_eq!(threads.panics(), BTreeMap::from([("sweeper".to_owned(), MAX_RESTARTS as u64)]));
        assert!(threads.unready().is_empty());
    }

    #[tokio::test]
    async fn a_thread_that_panics_too_often_or_cannot_begin_again_is_a_failure() {
        let often = Threads::default();
        often.keep("sweeper", || panic!("again {}", 7)).unwrap();
        let why = "the thread sweeper has panicked: again 7, 6 times within 10 minutes";
        assert_eq!(often.failed().await, why);
        assert_eq!(often.unready(), ["the server has failed, and stops; the log says why"]);
        let once = Threads::default();
        once.once_async("cluster", async || panic!("once\n[INFO] {}", "x".repeat(1000))).unwrap();
        let why = once.failed().await;
        let begins = "the thread cluster has panicked: once\\n[INFO] xx";
        assert!(why.starts_with(begins) && why.len() < 400, "{why}");
        assert_eq!(once.panics(), BTreeMap::from([("cluster".to_owned(), 1)]));
        once.fail("another".to_owned());
        assert_eq!(once.failed().await, why, "the first reason stays");
    }
}
