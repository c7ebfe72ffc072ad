//! What this process has met and could not read, so that its next write may take its place.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cache_crypto::rows::{PartitionTag, Tag};

use crate::count::{Count, What};

/// So many are remembered, and so many bytes of them.
const MOST: usize = 1_000;
const MOST_BYTES: usize = 16 << 20;

/// Entries that could not be read.
pub(crate) struct Unreadable {
    met: Mutex<Met>,
    damaged: Count,
    of_other_key: Count,
}

/// By the tags of partition and entry, as the script that commits takes them.
#[derive(Default)]
struct Met {
    entries: HashMap<(Tag, Tag), Box<[u8]>>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is not what it says it is: whatever is put takes its place.
    Damaged,
    /// It may be newer than what is put, and others may read it.
    OtherKey,
}

impl Unreadable {
    pub(crate) fn new() -> Self {
        Self { met: Mutex::default(), damaged: Count::of(What::Damaged), of_other_key: Count::of(What::OtherKey) }
    }

    /// How often some was met.
    pub(crate) fn count(&self) -> u64 {
        self.damaged.get() + self.of_other_key.get()
    }

    pub(crate) fn note(&self, partition: PartitionTag, entry: Tag, why: Why, stored: &[u8]) {
        let (count, why): (_, &[u8]) = match why {
            Why::Damaged => (&self.damaged, b"d"),
            Why::OtherKey => (&self.of_other_key, b"k"),
        };
        count.add_one();
        if stored.len() >= MOST_BYTES {
            return;
        }
        let mut met = self.met();
        met.forget((partition.0, entry));
        // Any other one makes room: what nobody writes again must not keep all else from healing.
        while met.entries.len() >= MOST || met.bytes + stored.len() > MOST_BYTES {
            let Some(other) = met.entries.keys().next().copied() else { break };
            met.forget(other);
        }
        met.bytes += why.len() + stored.len();
        met.entries.insert((partition.0, entry), [why, stored].concat().into());
    }

    /// What was met there. It stays: a commit may fail, and what was written over is met nowhere.
    pub(crate) fn get(&self, partition: PartitionTag, entry: Tag) -> Option<Box<[u8]>> {
        self.met().entries.get(&(partition.0, entry)).cloned()
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Met {
    fn forget(&mut self, of: (Tag, Tag)) {
        if let Some(gone) = self.entries.remove(&of) {
            self.bytes -= gone.len();
        }
    }
}
