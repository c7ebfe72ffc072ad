//! The layouts that the entries of a section are known by.

use std::sync::Arc;

use crate::schema::layout::Layout;
use crate::schema::texts::Texts;
use crate::schema::varying::Varying;
use crate::secret::Blob;

/// A few layouts, those in use before the others: a section has entries of one writer, or of few.
#[derive(Clone)]
pub(super) struct Layouts<E> {
    known: Vec<Arc<Layout<E>>>,
    learned: usize,
}

/// Layouts that are tried for one entry.
const MOST: usize = 8;

/// Layouts that are learned in the life of a cache: where every entry is spelled in a way of its own, none is of use.
const MOST_LEARNED: usize = 64;

impl<E> Default for Layouts<E> {
    fn default() -> Self {
        Self { known: Vec::new(), learned: 0 }
    }
}

impl<E: Varying> Layouts<E> {
    /// Reads an entity from the beginning of `json`; answers it with its layout and its length in bytes. `None`: it is of
    /// no layout that is known.
    pub(super) fn read(
        &mut self,
        key: &str,
        json: &[u8],
        before: Option<&E>,
        texts: &mut Texts,
    ) -> Option<(Arc<Layout<E>>, E, usize)> {
        for at in 0..self.known.len() {
            if let Some((entity, length)) = self.known[at].read(key, json, before, texts) {
                // One that is met moves towards the front.
                let front = at.saturating_sub(1);
                self.known.swap(at, front);
                return Some((Arc::clone(&self.known[front]), entity, length));
            }
        }
        None
    }

    /// Learns the layout of an entity that was parsed; answers it with the entity as read by it, which shares no memory
    /// with `json`. `None`: it has none, or enough were learned.
    pub(super) fn learn(
        &mut self,
        key: &str,
        json: &Blob,
        entity: &E,
        texts: &mut Texts,
    ) -> Option<(Arc<Layout<E>>, E)> {
        if self.learned == MOST_LEARNED {
            return None;
        }
        self.learned += 1;
        let layout = Arc::new(Layout::learn(key, json, entity)?);
        let (entity, _) = layout.read(key, json.expose(), None, texts)?;
        self.known.truncate(MOST - 1);
        self.known.push(Arc::clone(&layout));
        Some((layout, entity))
    }
}
