//! What terms led to when they were last looked up: a guess at what they lead to now, which spares the server a script.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cache_crypto::rows::Tag;

/// The entries that terms led to, all by their tags, which also tell partitions apart. To be compared with what is stored now.
#[derive(Default)]
pub(crate) struct Guesses(Mutex<HashMap<Tag, Arc<[Tag]>>>);

/// So many terms are remembered: at most 3 MB.
const MOST: usize = 1 << 14;

/// Of a term that leads to more entries, nothing is: they take longer than the script does.
const MOST_ENTRIES: usize = 8;

impl Guesses {
    /// What the term led to.
    pub(crate) fn get(&self, term: &Tag) -> Option<Arc<[Tag]>> {
        self.terms().get(term).cloned()
    }

    /// The term leads to these, in this order.
    pub(crate) fn note(&self, term: Tag, entries: Vec<Tag>) {
        let mut terms = self.terms();
        if entries.len() > MOST_ENTRIES {
            terms.remove(&term);
            return;
        }
        // It begins anew: what is looked up often is soon there again.
        if terms.len() >= MOST {
            terms.clear();
        }
        terms.insert(term, entries.into());
    }

    fn terms(&self) -> MutexGuard<'_, HashMap<Tag, Arc<[Tag]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let guesses = Guesses::default();
        let term = |n: usize| (n as u128).to_be_bytes();
        for n in 0..MOST {
            guesses.note(term(n), vec![[1; 16]]);
        }
        guesses.note(term(0), vec![[2; 16]; MOST_ENTRIES + 1]);
        assert_eq!(guesses.get(&term(0)), None, "too many entries");
        assert_eq!(guesses.get(&term(1)).as_deref(), Some(&[[1; 16]][..]));
        for n in MOST..MOST + 2 {
            guesses.note(term(n), Vec::new());
        }
        assert_eq!(guesses.get(&term(1)), None, "too many terms");
        assert_eq!(guesses.get(&term(MOST + 1)).as_deref(), Some(&[][..]));
        assert!(guesses.terms().len() <= MOST);
    }
}
