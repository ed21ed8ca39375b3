//! Lists that clients ask all nodes for. Each costs every node some work, and one that hangs costs two seconds, so clients
//! that ask for the same list at the same time share one question, and few questions are asked at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::membership::Membership;
use super::tenant::lock;
use crate::cluster::packet::{Answer, Question};

/// Lists that are asked for at a time.
const AT_ONCE: usize = 16;

/// How long a list waits for its turn. After that, only this node answers, as if no other one had.
const TURN: Duration = Duration::from_secs(2);

type Answers = OnceCell<Vec<Answer>>;

pub(super) struct Listings {
    turns: Semaphore,
    /// Those that somebody waits for.
    asked: Mutex<HashMap<Question, Weak<Answers>>>,
}

/// One that waits for a list. The last one to leave forgets the list, so nobody gets an old one.
struct Waiting<'a> {
    listings: &'a Listings,
    question: Question,
    answers: Option<Arc<Answers>>,
}

impl Default for Listings {
    fn default() -> Self {
        Listings { turns: Semaphore::new(AT_ONCE), asked: Mutex::default() }
    }
}

impl Listings {
    /// What the other nodes answer.
    pub(super) async fn ask(&self, membership: &Membership, question: Question) -> Vec<Answer> {
        let waiting = self.wait_for(question);
        let Some(answers) = &waiting.answers else { return Vec::new() };
        // If the one that asks leaves, the next one asks.
        let answers = answers.get_or_init(async || match timeout(TURN, self.turns.acquire()).await {
            Ok(Ok(_turn)) => membership.ask_all(waiting.question.clone()).await,
            _ => Vec::new(),
        });
        answers.await.clone()
    }

    fn wait_for(&self, question: Question) -> Waiting<'_> {
        let mut asked = lock(&self.asked);
        let known = asked.get(&question).and_then(Weak::upgrade);
        let answers = known.unwrap_or_else(|| {
            let answers = Arc::default();
            asked.insert(question.clone(), Arc::downgrade(&answers));
            answers
        });
        Waiting { listings: self, question, answers: Some(answers) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut asked = lock(&self.listings.asked);
        self.answers = None;
        if let Entry::Occupied(entry) = asked.entry(self.question.clone())
            && entry.get().strong_count() == 0
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::Clock;
    use crate::config::ClusterConfig;

    fn page(after: &str) -> Question {
        Question::Page { key: "k".to_owned(), realm: None, after: Some(after.to_owned()), limit: 10 }
    }

    fn ids(id: &str) -> Vec<Answer> {
        vec![Answer::Ids(vec![id.to_owned()])]
    }

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// What was asked of the other nodes since the last call.
    fn asked(membership: &Membership) -> Vec<(Question, oneshot::Sender<Vec<Answer>>)> {
        std::mem::take(&mut membership.state().questions)
    }

    fn membership() -> Arc<Membership> {
        Membership::new(ClusterConfig::new("redis://h", "a"), Clock::manual())
    }

    #[tokio::test]
    async fn clients_that_want_the_same_list_at_a_time_share_one_question() {
        let (listings, membership) = (Listings::default(), membership());
        let mut first = pin!(listings.ask(&membership, page("a")));
        let mut second = pin!(listings.ask(&membership, page("a")));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        let mut asked_now = asked(&membership);
        assert_eq!(asked_now.len(), 1);
        asked_now.remove(0).1.send(ids("x")).unwrap();
        assert_eq!((first.await, second.await), (ids("x"), ids("x")));
        // A later one wants to know anew.
        let mut third = pin!(listings.ask(&membership, page("a")));
        assert!(poll(third.as_mut()).is_pending());
        assert_eq!(asked(&membership).len(), 1);
    }

    #[tokio::test]
    async fn a_list_is_asked_for_anew_if_the_client_that_asked_for_it_leaves() {
        let (listings, membership) = (Listings::default(), membership());
        let mut first = Box::pin(listings.ask(&membership, page("a")));
        let mut second = pin!(listings.ask(&membership, page("a")));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(asked(&membership));
        drop(first);
        assert!(poll(second.as_mut()).is_pending());
        asked(&membership).remove(0).1.send(ids("x")).unwrap();
        assert_eq!(second.await, ids("x"));
        assert!(lock(&listings.asked).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn few_lists_are_asked_for_at_a_time_and_the_others_wait_within_a_bound() {
        let (listings, membership) = (Listings::default(), membership());
        let mut waiting: Vec<_> =
            (0..AT_ONCE + 2).map(|n| Box::pin(listings.ask(&membership, page(&n.to_string())))).collect();
        waiting.iter_mut().for_each(|one| assert!(poll(one.as_mut()).is_pending()));
        let mut asked_now = asked(&membership);
        assert_eq!(asked_now.len(), AT_ONCE);
        asked_now.remove(0).1.send(ids("x")).unwrap();
        assert_eq!(waiting.remove(0).await, ids("x"));
        let mut last = waiting.pop().unwrap();
        assert!(waiting.iter_mut().all(|one| poll(one.as_mut()).is_pending()));
        assert_eq!(asked(&membership).len(), 1, "its turn has come");
        assert_eq!(last.as_mut().await, [], "two seconds later");
    }
}
