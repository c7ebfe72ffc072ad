//! Texts that repeat from entity to entity, kept once.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Gives equal texts the same memory while a cache is loaded: home account ids, environments, client ids, realms and
/// targets repeat in every entry.
#[derive(Default)]
pub(crate) struct Texts(HashSet<Arc<str>, RandomState>);

impl Texts {
    /// The text, in memory that it shares with every equal one.
    pub(crate) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
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
