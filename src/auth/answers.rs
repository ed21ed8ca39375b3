//! The cache of the webhook's answers, and its open questions. Pure: the time is a parameter.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::error::Denied;

/// How long answers are cached.
const YES_TTL: Duration = Duration::from_secs(30);
const NO_TTL: Duration = Duration::from_secs(2);

/// Most cached answers.
pub(super) const MAX_ANSWERS: usize = 1000;

/// Most open questions.
pub(super) const MAX_QUESTIONS: usize = 64;

/// A keyed hash of a question.
pub(super) type Hash = [u8; 32];

pub(super) type Answer = Result<(), Denied>;

pub(super) struct Answers {
    known: HashMap<Hash, Known>,
    /// Clients that wait hold the question. A dead reference means that all of them left.
    asking: HashMap<Hash, Weak<Question>>,
    permits: Arc<Semaphore>,
}

struct Known {
    answer: Answer,
    until: Instant,
}

/// A question that is being asked. Clients with the same question wait for one answer.
pub(super) struct Question {
    pub(super) answer: OnceCell<Answer>,
    _permit: OwnedSemaphorePermit,
}

pub(super) enum Found {
    Answer(Answer),
    Question(Arc<Question>),
}

impl Answers {
    pub(super) fn new() -> Self {
        let permits = Arc::new(Semaphore::new(MAX_QUESTIONS));
        Answers { known: HashMap::new(), asking: HashMap::new(), permits }
    }

    /// Returns the cached answer, or the question. The first client that initializes its cell asks the webhook.
    pub(super) fn find(&mut self, hash: Hash, now: Instant) -> Found {
        if let Some(known) = self.known.get(&hash).filter(|known| now < known.until) {
            return Found::Answer(known.answer.clone());
        }
        if let Some(question) = self.asking.get(&hash).and_then(Weak::upgrade) {
            return Found::Question(question);
        }
        self.asking.retain(|_, question| question.strong_count() > 0);
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Found::Answer(Err(Denied::Overloaded));
        };
        let question = Arc::new(Question { answer: OnceCell::new(), _permit: permit });
        self.asking.insert(hash, Arc::downgrade(&question));
        Found::Question(question)
    }

    /// Caches an answer. Each waiting client calls this; only the first call has an effect.
    pub(super) fn keep(&mut self, hash: Hash, question: &Arc<Question>, answer: &Answer, now: Instant) {
        let is_this = |asked: &Weak<Question>| std::ptr::eq(asked.as_ptr(), Arc::as_ptr(question));
        if !self.asking.get(&hash).is_some_and(is_this) {
            return;
        }
        self.asking.remove(&hash);
        if self.known.len() >= MAX_ANSWERS && !self.known.contains_key(&hash) {
            self.make_room(now);
        }
        let until = now + if answer.is_ok() { YES_TTL } else { NO_TTL };
        self.known.insert(hash, Known { answer: answer.clone(), until });
    }

    /// Drops expired answers. If there are none, drops the one that expires next.
    fn make_room(&mut self, now: Instant) {
        self.known.retain(|_, known| now < known.until);
        if self.known.len() < MAX_ANSWERS {
            return;
        }
        let next = self.known.iter().min_by_key(|(_, known)| known.until).map(|(hash, _)| *hash);
        if let Some(next) = next {
            self.known.remove(&next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_without_a_waiting_client_are_dropped() {
        let (mut answers, now) = (Answers::new(), Instant::now());
        for number in 0..u8::MAX {
            drop(answers.find([number; 32], now));
        }
        assert_eq!(answers.asking.len(), 1);
    }
}
