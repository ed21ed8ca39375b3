//! Single flight: clients that ask the same question at the same time wait for one answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// The questions that somebody waits for. When the last one has left, the answer is gone, so nobody gets an
/// old one.
pub struct SingleFlight<Q, A>(Mutex<HashMap<Q, Weak<OnceCell<A>>>>);

impl<Q: Eq + Hash, A: Clone> SingleFlight<Q, A> {
    /// Asks, or waits for the answer to the same question. If the one that asks leaves, the next one asks.
    pub async fn ask<F: Future<Output = A>>(&self, question: Q, ask: impl FnOnce() -> F) -> A {
        let answer = {
            let mut open = self.0.lock();
            open.retain(|_, answer| answer.strong_count() > 0);
            open.get(&question).and_then(Weak::upgrade).unwrap_or_else(|| {
                let answer = Arc::default();
                open.insert(question, Arc::downgrade(&answer));
                answer
            })
        };
        answer.get_or_init(ask).await.clone()
    }

    /// The number of questions that somebody waits for.
    pub fn open_questions(&self) -> usize {
        self.0.lock().values().filter(|answer| answer.strong_count() > 0).count()
    }
}

impl<Q, A> Default for SingleFlight<Q, A> {
    fn default() -> Self {
        SingleFlight(Mutex::default())
    }
}
