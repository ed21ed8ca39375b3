//! Fresh ids for clients.

use rand::RngExt as _;
use uuid::Uuid;

use crate::keys::IdStyle;

/// Small letters and digits without those that look alike: 0 and o, 1, i and l.
const ALPHABET: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";

/// Characters of a short id.
const SHORT: usize = 8;

/// 1024 plain words of three to six letters, one in each line, from the English list of BIP 39 (MIT).
const WORDS: &str = include_str!("words.txt");

/// Words of an id.
const WORDS_PER_ID: usize = 4;

/// How often an id is made anew because a peer has it.
const MAX_TRIES: usize = 100;

/// An id that is not taken. If `make` finds none soon, the id is a UUID.
pub(super) async fn untaken(make: impl FnMut() -> String, is_taken: impl AsyncFn(&str) -> bool) -> String {
    for id in std::iter::repeat_with(make).take(MAX_TRIES) {
        if !is_taken(&id).await {
            return id;
        }
    }
    Uuid::new_v4().to_string()
}

/// A random id.
pub(super) fn random(style: IdStyle) -> String {
    let mut rng = rand::rng();
    match style {
        IdStyle::Uuid => Uuid::new_v4().to_string(),
        IdStyle::Short => {
            let mut letter = || ALPHABET.get(rng.random_range(..ALPHABET.len())).copied();
            (0..SHORT).filter_map(|_| letter()).map(char::from).collect()
        }
        IdStyle::Words => {
            let words: Vec<&str> = WORDS.lines().collect();
            let mut word = || words.get(rng.random_range(..words.len())).copied();
            let chosen: Vec<&str> = (0..WORDS_PER_ID).filter_map(|_| word()).collect();
            chosen.join("-")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_1024_different_words_that_can_be_typed() {
        let words: HashSet<&str> = WORDS.lines().collect();
        assert_eq!((words.len(), WORDS.lines().count()), (1024, 1024));
        for word in words {
            assert!((3..=6).contains(&word.len()) && word.bytes().all(|c| c.is_ascii_lowercase()), "{word}");
        }
    }

    #[test]
    fn ids_have_the_form_of_their_style_and_do_not_repeat() {
        for style in IdStyle::ALL {
            let ids: HashSet<String> = (0..500).map(|_| random(style)).collect();
            assert_eq!(ids.len(), 500, "{style}");
            for id in ids {
                let fits = match style {
                    IdStyle::Uuid => Uuid::parse_str(&id).is_ok(),
                    IdStyle::Short => id.len() == 8 && id.bytes().all(|c| ALPHABET.contains(&c)),
                    IdStyle::Words => {
                        let words: Vec<&str> = id.split('-').collect();
                        words.len() == 4 && words.iter().all(|word| WORDS.lines().any(|known| known == *word))
                    }
                };
                assert!(fits, "{style}: {id}");
            }
        }
    }

    #[tokio::test]
    async fn an_id_that_is_taken_is_never_given() {
        let mut numbers = 0..;
        let mut next = || format!("peer {}", numbers.next().unwrap());
        assert_eq!(untaken(&mut next, async |id| id != "peer 7").await, "peer 7");
        let only = untaken(|| "the only one".to_owned(), async |id| id == "the only one").await;
        assert!(Uuid::parse_str(&only).is_ok(), "{only}");
    }
}
