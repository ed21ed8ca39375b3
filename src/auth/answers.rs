//! What the webhook said, for a while, and what it is being asked. Pure: the time is given.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::error::Denied;

/// How long an answer counts.
const YES_FOR: Duration = Duration::from_secs(30);
const NO_FOR: Duration = Duration::from_secs(2);

/// Most answers that are kept.
pub(super) const MAX_ANSWERS: usize = 1000;

/// Most questions that are open.
pub(super) const MAX_ASKING: usize = 64;

/// A keyed hash of everything that is asked.
pub(super) type Hash = [u8; 32];

pub(super) type Answer = Result<(), Denied>;

pub(super) struct Answers {
    known: HashMap<Hash, Known>,
    /// Who asks holds the question; a weak one that is dead was given up.
    asking: HashMap<Hash, Weak<Question>>,
    places: Arc<Semaphore>,
}

struct Known {
    answer: Answer,
    until: Instant,
}

/// A question that somebody is asking; all that want to know the same wait for one answer.
pub(super) struct Question {
    pub(super) answer: OnceCell<Answer>,
    _place: OwnedSemaphorePermit,
}

pub(super) enum Found {
    Answer(Answer),
    Question(Arc<Question>),
}

impl Answers {
    pub(super) fn new() -> Self {
        let places = Arc::new(Semaphore::new(MAX_ASKING));
        Answers { known: HashMap::new(), asking: HashMap::new(), places }
    }

    /// The answer, or the question that is to be asked: by whoever comes first to its cell.
    pub(super) fn find(&mut self, hash: Hash, now: Instant) -> Found {
        if let Some(known) = self.known.get(&hash).filter(|known| now < known.until) {
            return Found::Answer(known.answer.clone());
        }
        if let Some(question) = self.asking.get(&hash).and_then(Weak::upgrade) {
            return Found::Question(question);
        }
        self.asking.retain(|_, question| question.strong_count() > 0);
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Found::Answer(Err(Denied::Overloaded));
        };
        let question = Arc::new(Question { answer: OnceCell::new(), _place: place });
        self.asking.insert(hash, Arc::downgrade(&question));
        Found::Question(question)
    }

    /// Keeps an answer; of all that waited for it, once.
    pub(super) fn keep(&mut self, hash: Hash, question: &Arc<Question>, answer: &Answer, now: Instant) {
        let is_this = |asked: &Weak<Question>| std::ptr::eq(asked.as_ptr(), Arc::as_ptr(question));
        if !self.asking.get(&hash).is_some_and(is_this) {
            return;
        }
        self.asking.remove(&hash);
        if self.known.len() >= MAX_ANSWERS && !self.known.contains_key(&hash) {
            self.make_room(now);
        }
        let until = now + if answer.is_ok() { YES_FOR } else { NO_FOR };
        self.known.insert(hash, Known { answer: answer.clone(), until });
    }

    /// Drops what does not count any more; if there is nothing, what would be the next.
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
    fn questions_that_were_given_up_are_forgotten() {
        let (mut answers, now) = (Answers::new(), Instant::now());
        for number in 0..u8::MAX {
            drop(answers.find([number; 32], now));
        }
        assert_eq!(answers.asking.len(), 1);
    }
}
