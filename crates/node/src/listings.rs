//! Lists that clients request from all nodes. Each costs every node some work, and one that hangs costs two
//! seconds, so clients that request the same list at the same time share one question, and few questions are
//! open at a time.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use peerbroker_cluster::Membership;
use peerbroker_cluster::packet::{NodeAnswer, Question};
use peerbroker_core::single_flight::SingleFlight;

/// Lists that are asked for at a time.
const MAX_CONCURRENT: usize = 16;

/// Time for which a list waits for its turn. After that, only this node answers, as if no other one had.
const TURN: Duration = Duration::from_secs(2);

pub(super) struct Listings {
    turns: Semaphore,
    asked: SingleFlight<Question, Vec<NodeAnswer>>,
}

impl Default for Listings {
    fn default() -> Self {
        Listings { turns: Semaphore::new(MAX_CONCURRENT), asked: SingleFlight::default() }
    }
}

impl Listings {
    /// Returns the answers of the other nodes.
    pub(super) async fn ask(&self, membership: &Membership, question: Question) -> Vec<NodeAnswer> {
        let ask = async || match timeout(TURN, self.turns.acquire()).await {
            Ok(Ok(_turn)) => membership.ask_all(question.clone()).await,
            _ => Vec::new(),
        };
        self.asked.ask(question.clone(), ask).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use tokio::sync::oneshot;

    use super::*;
    use peerbroker_config::ClusterConfig;
    use peerbroker_core::clock::Clock;

    fn page(after: &str) -> Question {
        Question::Page { key: "k".to_owned(), realm: None, after: Some(after.to_owned()), limit: 10 }
    }

    fn ids(id: &str) -> Vec<NodeAnswer> {
        vec![NodeAnswer::Ids(vec![id.to_owned()])]
    }

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// The questions to the other nodes since the last call.
    fn asked(membership: &Membership) -> Vec<(Question, oneshot::Sender<Vec<NodeAnswer>>)> {
        membership.take_questions()
    }

    fn membership() -> Arc<Membership> {
        Membership::new(ClusterConfig::new("redis://h", "a"), Clock::manual())
    }

    #[tokio::test]
    async fn clients_that_want_the_same_list_at_a_time_share_one_question() {
        let listings = Listings::default();
        let membership = membership();
        let mut first = pin!(listings.ask(&membership, page("a")));
        let mut second = pin!(listings.ask(&membership, page("a")));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        let mut asked_now = asked(&membership);
        assert_eq!(asked_now.len(), 1);
        asked_now.remove(0).1.send(ids("x")).unwrap();
        assert_eq!((first.await, second.await), (ids("x"), ids("x")));
        // A later one needs a new list.
        let mut third = pin!(listings.ask(&membership, page("a")));
        assert!(poll(third.as_mut()).is_pending());
        assert_eq!(asked(&membership).len(), 1);
    }

    #[tokio::test]
    async fn a_list_is_asked_for_anew_if_the_client_that_asked_for_it_leaves() {
        let listings = Listings::default();
        let membership = membership();
        let mut first = Box::pin(listings.ask(&membership, page("a")));
        let mut second = pin!(listings.ask(&membership, page("a")));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(asked(&membership));
        drop(first);
        assert!(poll(second.as_mut()).is_pending());
        asked(&membership).remove(0).1.send(ids("x")).unwrap();
        assert_eq!(second.await, ids("x"));
        assert_eq!(listings.asked.open_questions(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn few_lists_are_asked_for_at_a_time_and_the_others_wait_within_a_bound() {
        let listings = Listings::default();
        let membership = membership();
        let mut waiting: Vec<_> = (0..MAX_CONCURRENT + 2)
            .map(|n| Box::pin(listings.ask(&membership, page(&n.to_string()))))
            .collect();
        waiting.iter_mut().for_each(|one| assert!(poll(one.as_mut()).is_pending()));
        let mut asked_now = asked(&membership);
        assert_eq!(asked_now.len(), MAX_CONCURRENT);
        asked_now.remove(0).1.send(ids("x")).unwrap();
        assert_eq!(waiting.remove(0).await, ids("x"));
        let mut last = waiting.pop().unwrap();
        assert!(waiting.iter_mut().all(|one| poll(one.as_mut()).is_pending()));
        assert_eq!(asked(&membership).len(), 1, "its turn has come");
        assert_eq!(last.as_mut().await, [], "two seconds later");
    }
}
