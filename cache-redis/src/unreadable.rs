//! What this process has met and could not read, so that its next write may take its place.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cache_crypto::rows::{PartitionTag, Tag};

use crate::stats::Count;

/// So many are remembered.
const REMEMBERED: usize = 1_000;

/// Entries that could not be read, as they are stored.
#[derive(Default)]
pub(crate) struct Unreadable {
    met: Mutex<Met>,
    /// How often some was met.
    pub(crate) count: Count,
}

/// By the tags of partition and entry.
type Met = HashMap<(Tag, Tag), Box<[u8]>>;

impl Unreadable {
    pub(crate) fn note(&self, partition: PartitionTag, entry: Tag, stored: &[u8]) {
        self.count.add_one();
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() < REMEMBERED || met.contains_key(&(partition.0, entry)) {
            met.insert((partition.0, entry), stored.into());
        }
    }

    /// What was met there, and is not remembered from now on.
    pub(crate) fn take(&self, partition: PartitionTag, entry: Tag) -> Option<Box<[u8]>> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.is_empty() { None } else { met.remove(&(partition.0, entry)) }
    }
}
