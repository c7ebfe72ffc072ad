//! The reference store: entries in the memory of this process.

mod journal;
mod rows;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::Duration;

use async_trait::async_trait;

use self::journal::Journal;
use self::rows::{Row, Tag, Tags, client};
use crate::changes::{Changes, Committed};
use crate::document_store::{Fences, fenced};
use crate::entry::{EntryId, Snapshot, Stored, Version};
use crate::error::Result;
use crate::lease::ProcessLeases;
use crate::merge::{Merged, merge};
use crate::partition::PartitionKey;
use crate::store::{CacheStore, Lease};
use crate::time::{Clock, SystemClock};

/// Keeps entries in the memory of this process: for programs that need no persistence, for tests, and as the measure of
/// other stores.
///
/// Clones are handles on the same entries, as two processes have on one file. Everything ends with the last of them.
/// Nothing is dropped because it has expired, and no size is limited.
///
/// ```
/// use cache_core::{CacheStore, Change, Changes, Entry, EntryId, MemoryStore, PartitionKey, Blob};
///
/// # pollster::block_on(async {
/// let store = MemoryStore::new();
/// let entry = Entry {
///     id: EntryId::new("RefreshToken", "uid.utid-login.windows.net-refreshtoken-client--"),
///     account: None,
///     written_at: None,
///     expires_on: None,
///     json: Blob::copy_of(br#"{"secret":"..."}"#),
/// };
/// store.commit(&PartitionKey::Shared, &Changes::new(vec![Change::put(entry.clone())])).await?;
/// let found = store.get(&PartitionKey::Shared, &[entry.id.clone()]).await?;
/// assert_eq!(found[0].as_ref().map(|stored| &stored.entry), Some(&entry));
/// # Ok::<_, cache_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    tags: Tags,
    content: RwLock<Content>,
    leases: ProcessLeases,
}

#[derive(Default)]
struct Content {
    partitions: BTreeMap<PartitionKey, Partition>,
    /// The highest fences seen of each partition; they outlive the partition, as the holder that it shuts out may.
    fences: Fences,
    /// Counts the changes of the whole store, so that a partition made anew never repeats a stamp.
    generation: u64,
}

#[derive(Default)]
struct Partition {
    rows: Rows,
    /// How many `Account` entries there are of each account, so that a guard need not look for one.
    accounts: BTreeMap<Tag, usize>,
    generation: u64,
}

type Rows = BTreeMap<Tag, Row>;

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// The same with a clock of the caller's: merging takes no entry to be newer than it.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self::with_tags(clock, Tags::Readable)
    }

    /// A store that merges by keyed hashes of ids, accounts and content, the time of writing, and whether an entry is
    /// an `Account`: all that a store may see of protected entries which it merges itself, as Redis does. It keeps
    /// every promise of the plain one but this: the same content in other words counts as other content.
    ///
    /// It shows that no merge rule needs plaintext. It protects nothing: the entries lie in memory beside the tags.
    pub fn sealed(clock: Arc<dyn Clock>) -> Self {
        Self::with_tags(clock, Tags::keyed())
    }

    fn with_tags(clock: Arc<dyn Clock>, tags: Tags) -> Self {
        Self(Arc::new(Shared { clock, tags, content: RwLock::default(), leases: ProcessLeases::default() }))
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        // No code of a caller's runs between two steps of a change, so that a poisoned lock guards whole content.
        self.0.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.0.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn present_stamp(&self, partition: &PartitionKey) -> Option<Version> {
        self.read().partitions.get(partition).map(Partition::stamp)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MemoryStore");
        let content = match self.0.content.try_read() {
            Ok(content) => content,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return shown.finish_non_exhaustive(),
        };
        let entries: usize = content.partitions.values().map(|partition| partition.rows.len()).sum();
        shown
            .field("partitions", &content.partitions.len())
            .field("entries", &entries)
            .field("sealed", &matches!(self.0.tags, Tags::Keyed(_)))
            .finish()
    }
}

#[async_trait]
impl CacheStore for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        let content = self.read();
        Ok(content.partitions.get(partition).map(|partition| Snapshot {
            entries: partition.rows.values().map(client::open).collect(),
            unreadable: Vec::new(),
            stamp: partition.stamp(),
        }))
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        let content = self.read();
        let Some(Partition { rows, .. }) = content.partitions.get(partition) else { return Ok(vec![None; ids.len()]) };
        Ok(ids.iter().map(|id| rows.get(&*self.0.tags.id(id)).map(client::open)).collect())
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let mut content = self.write();
        let before = content.partitions.get(partition).map(Partition::stamp);
        if fenced(&mut content.fences, partition, changes.fence()) {
            let Merged { skipped, written } = Merged::fenced(changes);
            return Ok(Committed { after: before.clone(), before, skipped, written, others_changed: false });
        }
        let nothing = Partition::default();
        let stored = content.partitions.get(partition).unwrap_or(&nothing);
        let mut journal = Journal::new(&self.0.tags, stored);
        let Ok(Merged { skipped, written }) = merge(&mut journal, changes, self.0.clock.now());
        let rows = journal.into_changes();
        content.apply(partition, rows);
        let after = content.partitions.get(partition).map(Partition::stamp);
        Ok(Committed { before, after, skipped, written, others_changed: false })
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.write().partitions.remove(partition);
        Ok(())
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let content = self.read();
        Ok(content.partitions.range((from, Bound::Unbounded)).take(limit).map(|(key, _)| key.clone()).collect())
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        Ok(self.present_stamp(partition))
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        Some(Ok(self.present_stamp(partition)))
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.0.leases.take(self.name(), partition, name, wait).await
    }
}

impl Content {
    fn apply(&mut self, key: &PartitionKey, written: BTreeMap<Tag, Option<Row>>) {
        if written.is_empty() {
            return;
        }
        self.generation += 1;
        let generation = self.generation;
        let partition = self.partitions.entry(key.clone()).or_default();
        partition.generation = generation;
        for (tag, row) in written {
            partition.set(tag, row);
        }
        if partition.rows.is_empty() {
            self.partitions.remove(key);
        }
    }
}

impl Partition {
    fn set(&mut self, tag: Tag, row: Option<Row>) {
        if let Some(account) = row.as_ref().and_then(Row::names_account) {
            *self.accounts.entry(Arc::clone(account)).or_default() += 1;
        }
        let old = match row {
            Some(row) => self.rows.insert(tag, row),
            None => self.rows.remove(&tag),
        };
        if let Some(account) = old.as_ref().and_then(Row::names_account)
            && let Some(count) = self.accounts.get_mut(account)
        {
            *count -= 1;
            if *count == 0 {
                self.accounts.remove(account);
            }
        }
    }

    fn stamp(&self) -> Version {
        Version::new(&self.generation.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Change;
    use crate::entry::{AccountRef, Entry};
    use crate::schema::section;
    use crate::secret::Blob;
    use crate::time::UnixMillis;

    fn entry() -> Entry {
        Entry {
            id: EntryId::new(section::ACCOUNT, "planted-key"),
            account: Some(AccountRef {
                home_account_id: "planted-home".into(),
                environment: "LOGIN.Contoso.example:443".into(),
            }),
            written_at: Some(UnixMillis(1_800_000_000_000)),
            expires_on: None,
            json: Blob::copy_of(br#"{"secret":"planted-secret"}"#),
        }
    }

    fn filled(store: &MemoryStore) -> Changes {
        let changes = Changes::new(vec![Change::put(entry())]);
        pollster::block_on(store.commit(&PartitionKey::custom("planted-partition"), &changes)).expect("commit");
        changes
    }

    #[test]
    fn a_sealed_store_sees_tags_only() {
        let store = MemoryStore::sealed(Arc::new(SystemClock));
        filled(&store);
        let content = store.read();
        let rows = content.partitions.values().flat_map(|partition| &partition.rows);
        let (mut seen, mut count) = (Vec::new(), 0);
        for (tag, row) in rows {
            seen.extend_from_slice(tag);
            seen.extend_from_slice(row.account.as_deref().expect("the entry has an account"));
            seen.extend_from_slice(row.version.as_bytes().expect("not the content itself"));
            count += 1;
        }
        assert_eq!((count, seen.len()), (1, 3 * 32));
    }

    #[test]
    fn tags_are_the_store_s_own() {
        let (a, b) = (Tags::keyed(), Tags::keyed());
        assert_ne!(a.id(&entry().id), b.id(&entry().id));
        assert_ne!(a.account("ab", "c"), a.account("a", "bc"));
        assert_eq!(a.account("ab", "Host:443"), a.account("ab", "host"));
        assert_ne!(a.account("ab", "host"), a.account("AB", "host"));
    }

    #[test]
    fn an_entry_that_comes_and_goes_in_one_commit_changes_nothing() {
        let store = MemoryStore::new();
        let changes = Changes::new(vec![Change::put(entry()), Change::remove(entry().id)]);
        let done = pollster::block_on(store.commit(&PartitionKey::Shared, &changes)).expect("commit");
        assert_eq!((done.before, done.after), (None, None));
    }

    #[test]
    fn nothing_is_dropped_because_it_has_expired() {
        let store = MemoryStore::new();
        let expired = Entry { expires_on: Some(crate::time::UnixSeconds(0)), ..entry() };
        let changes = Changes::new(vec![Change::put(expired)]);
        for _ in 0..2 {
            pollster::block_on(store.commit(&PartitionKey::Shared, &changes)).expect("commit");
            let found = pollster::block_on(store.load(&PartitionKey::Shared)).expect("load").expect("not empty");
            assert_eq!(found.entries.len(), 1);
        }
    }

    #[test]
    fn debug_counts() {
        let store = MemoryStore::new();
        filled(&store);
        assert_eq!(format!("{store:?}"), "MemoryStore { partitions: 1, entries: 1, sealed: false }");
    }
}
