//! The ids that one client watches, in one text.

/// Most ids that one client watches.
pub const MAX_WATCHED: usize = 100;

/// Between two ids. No id has control characters.
const SEPARATOR: char = '\u{1}';

/// The ids that one client watches.
#[derive(Default)]
pub(super) struct WatchedIds(String);

impl WatchedIds {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.iter().any(|watched| watched == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_terminator(SEPARATOR)
    }

    pub(super) fn push(&mut self, id: &str) {
        // Exactly: most clients watch their ids for long.
        self.0.reserve_exact(id.len() + SEPARATOR.len_utf8());
        self.0.push_str(id);
        self.0.push(SEPARATOR);
    }

    /// False if it is not there.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let is_there = self.contains(id);
        if is_there {
            let rest: Vec<&str> = self.iter().filter(|watched| *watched != id).collect();
            let mut stay = WatchedIds::default();
            for watched in rest {
                stay.push(watched);
            }
            *self = stay;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_client_are_kept_one_behind_the_other() {
        let mut ids = WatchedIds::default();
        assert!(ids.is_empty());
        for id in ["b", "a", "ab"] {
            ids.push(id);
        }
        assert!(ids.contains("a") && !ids.contains("c") && !ids.contains(""));
        assert!(ids.remove("a") && !ids.remove("a"));
        assert_eq!((ids.len(), ids.iter().collect::<Vec<_>>()), (2, vec!["b", "ab"]));
    }
}
