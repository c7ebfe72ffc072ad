//! Texts that repeat from entity to entity, kept once.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Gives equal texts the same memory while a cache is loaded: home account ids, environments, client ids, realms and
/// targets repeat in every entry.
#[derive(Default)]
pub(crate) struct Texts {
    known: HashTable<Arc<str>>,
    hashing: RandomState,
}

impl Texts {
    /// The text, in memory that it shares with every equal one.
    pub(crate) fn share(&mut self, text: &str) -> Arc<str> {
        let hash = self.hashing.hash_one(text);
        let entry = self.known.entry(hash, |known| **known == *text, |known| self.hashing.hash_one(&**known));
        Arc::clone(entry.or_insert_with(|| text.into()).get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_kept_once() {
        let mut texts = Texts::default();
        let (a, b, c) = (texts.share("tenant"), texts.share("tenant"), texts.share("Tenant"));
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!(&*c, "Tenant");
    }
}
