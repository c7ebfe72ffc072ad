//! The connections that read: several, so that readers do not wait for each other.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use cache_core::{Error, ErrorKind, PartitionKey, Result, Version};
use cache_crypto::rows::{IndexKey, PartitionTag};
use foldhash::fast::RandomState;
use rusqlite::Connection;

use crate::connection;
use crate::patience::Patience;
use crate::place::{FileId, Place};
use crate::settings::Durability;

/// So many partitions' stamps and tags are remembered by a connection.
pub(crate) const REMEMBERED: usize = 4096;

/// A connection that reads, and the stamps that it has read since the database last changed.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    /// What `PRAGMA data_version` said when the stamps were read; it is this connection's own count.
    pub(crate) data_version: i64,
    pub(crate) stamps: HashMap<PartitionKey, Option<Version>, RandomState>,
    /// The tags of partitions that were asked for: a look at a map is several times cheaper than a keyed hash. The hash of
    /// the map withstands no chosen names, and need not: neither map grows beyond [`REMEMBERED`].
    tags: HashMap<PartitionKey, PartitionTag, RandomState>,
}

impl Reader {
    fn on(connection: Connection) -> Self {
        Self { connection, data_version: 0, stamps: HashMap::default(), tags: HashMap::default() }
    }

    /// The tag of the partition.
    pub(crate) fn tag(&mut self, tags: &IndexKey, partition: &PartitionKey) -> PartitionTag {
        if let Some(tag) = self.tags.get(partition) {
            return *tag;
        }
        if self.tags.len() >= REMEMBERED {
            self.tags.clear();
        }
        let tag = tags.partition(partition);
        self.tags.insert(partition.clone(), tag);
        tag
    }
}

/// A few readers, opened when they are first needed.
pub(crate) struct Readers {
    place: Place,
    file: FileId,
    durability: Durability,
    wait: Duration,
    slots: [Mutex<Option<Reader>>; SLOTS],
}

/// Connections take file descriptors and some hundred kilobytes each.
const SLOTS: usize = 4;

impl Readers {
    /// Readers of this file, as long as it is the one at the place.
    pub(crate) fn new(place: Place, file: FileId, durability: Durability, wait: Duration) -> Self {
        Self { place, file, durability, wait, slots: Default::default() }
    }

    /// Calls `work` with a reader that nobody else uses, if possible this thread's.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Reader) -> Result<R>) -> Result<R> {
        let mut slot = self.free().unwrap_or_else(|| self.slots[own()].lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(reader) = &mut *slot {
            return work(reader);
        }
        let mut patience = Patience::new(self.wait);
        let connection = loop {
            let connection = connection::open(&self.place.path, self.durability, self.wait)?;
            if self.place.is_settled(self.file)? {
                break connection;
            }
            if self.place.id()? != Some(self.file) || !patience.is_left() {
                // `Inner::read` looks again.
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "another database has taken the place of this one; try again",
                ));
            }
        };
        work(slot.insert(Reader::on(connection)))
    }

    /// The same without waiting and without opening anything; `None`: that was not possible.
    pub(crate) fn with_ready<R>(&self, work: impl FnOnce(&mut Reader) -> R) -> Option<R> {
        self.free()?.as_mut().map(work)
    }

    fn free(&self) -> Option<MutexGuard<'_, Option<Reader>>> {
        let own = own();
        (0..SLOTS).find_map(|n| match self.slots[(own + n) % SLOTS].try_lock() {
            Ok(slot) => Some(slot),
            Err(TryLockError::Poisoned(slot)) => Some(slot.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }
}

/// The slot that this thread tries first: the same each time, so that its statements and pages are warm.
fn own() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static OWN: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS));
    OWN.with(Cell::get)
}
