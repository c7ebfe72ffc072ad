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
        let is_worth_it = !document.is_empty() && document.len() <= MOST_BYTES;
        self.set(is_worth_it.then_some(written));
    }

    /// Hands out the document that was written to this file, and the stat that the file had then. It is kept no longer:
    /// whatever comes of it, it is wiped or written anew.
    pub(crate) fn take(&self, place: &Place) -> Option<(Stat, Blob)> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.take_if(|written| written.path == place.path).map(|written| (written.stat, written.document))
    }

    fn set(&self, written: Option<Written>) {
        // What was kept is wiped when the lock is free again.
        let _before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), written);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::stamp::{FileKind, FileTime};

    const TIME: FileTime = FileTime { seconds: 1_700_000_000, nanos: 1 };

    fn place(name: &str) -> Place {
        Place::new(&Path::new("/folder").join(name), None).expect("a usable path")
    }

    fn stat(size: u64) -> Stat {
        let (kind, mode, owner) = (FileKind::Regular, Some(0o600), Some(0));
        Stat { modified: TIME, changed: TIME, size, inode: 1, device: 1, kind, mode, owner }
    }

    #[test]
    fn what_is_taken_is_kept_no_longer() {
        let (last, ours, other) = (Last::default(), place("ours"), place("other"));
        last.keep(&ours, stat(2), &Blob::copy_of(b"{}"));
        assert!(last.take(&other).is_none(), "partitions do not get each other's");
        let (stat, document) = last.take(&ours).expect("was kept");
        assert_eq!((stat.size, document.expose()), (2, &b"{}"[..]));
        assert!(last.take(&ours).is_none());
    }

    #[test]
    fn neither_nothing_nor_much_is_kept_nor_what_was_before() {
        let (last, place) = (Last::default(), place("ours"));
        for size in [0, MOST_BYTES + 1] {
            last.keep(&place, stat(2), &Blob::copy_of(b"{}"));
            last.keep(&place, stat(size as u64), &Blob::new(vec![b' '; size]));
            assert!(last.take(&place).is_none(), "{size}");
        }
    }
}
