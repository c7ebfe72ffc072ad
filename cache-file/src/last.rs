//! The document that this process has written last: as long as its file stands there unchanged, the next change need
//! not read and open it again.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use cache_core::Blob;

use crate::layout::Place;
use crate::stamp::Stat;

/// Of a larger document, memory is dearer than another read.
const MOST_BYTES: usize = 8 << 20;

/// One document for all partitions of a store.
#[derive(Debug, Default)]
pub(crate) struct Last(Mutex<Option<Written>>);

#[derive(Debug)]
struct Written {
    path: PathBuf,
    stat: Stat,
    /// In plaintext, as the resident cache that it came from; wiped when the next one takes its place.
    document: Blob,
}

impl Last {
    /// Keeps the document that was written to this file.
    pub(crate) fn keep(&self, place: &Place, stat: Stat, document: &Blob) {
        let written = Written { path: place.path.clone(), stat, document: document.clone() };
        self.set((document.len() <= MOST_BYTES).then_some(written));
    }

    /// The document in this file, if it was the last one written and the file is still the same.
    pub(crate) fn document(&self, place: &Place, stat: &Stat) -> Option<Blob> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = last.as_ref().filter(|written| written.path == place.path && written.stat == *stat);
        written.map(|written| written.document.clone())
    }

    /// Wipes what was kept.
    pub(crate) fn forget(&self) {
        self.set(None);
    }

    fn set(&self, written: Option<Written>) {
        // What was kept is wiped when the lock is free again.
        let _before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), written);
    }
}
