//! A lookup allocates nothing, whatever the size of the cache: in the cache alone, and in resident content over stores
//! of every kind.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use cache_core::schema::{AccessToken, ExtendedKey};
use cache_core::{
    AccessTokenQuery, Blob, CacheStore, Changes, Clock, Committed, DocumentStore, Documents, Edit, EditFn, EntryId,
    Extent, Freshness, Lease, ManualClock, MemoryStore, Modified, PartitionKey, PersistedTokenCache, Result, Snapshot,
    Stored, StoredDocument, TokenCache, UnixSeconds, Version, Watcher, async_trait, blocking,
};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn token(owner: Option<&str>, n: usize) -> AccessToken {
    AccessToken {
        home_account_id: owner.map(Into::into),
        environment: "login.windows.net".into(),
        client_id: "client".into(),
        realm: "tenant".into(),
        target: format!("api://{n}/Read api://{n}/Write openid profile").into(),
        secret: "eyJ0eXAi".into(),
        cached_at: Some(NOW),
        expires_on: Some(NOW.plus(3600)),
        ..AccessToken::default()
    }
}

fn fill(cache: &mut TokenCache) {
    for n in 0..2_000 {
        for owner in [Some("alice"), None] {
            cache.insert(token(owner, n)).expect("complete");
        }
    }
}

/// The allocations of one call, its result dropped outside of the measurement.
fn allocations<T>(call: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let measured = allocation_counter::measure(|| result = Some(call()));
    (result.expect("was called"), measured.count_total)
}

#[test]
fn a_lookup_allocates_nothing() {
    let mut cache = TokenCache::default();
    fill(&mut cache);
    let extended = ExtendedKey::new([("fmi_path", "p")]);
    let user = AccessTokenQuery::user("alice", "CLIENT", "api://7/read openid").with_environment("login.microsoft.com");
    let app = AccessTokenQuery::app("client", "api://7/Write api://7/Read").with_realm("TENANT");
    for (query, hit) in [
        (user.with_realm("tenant"), true),
        (app, true),
        (app.with_realm("other"), false),
        (app.with_extended(&extended), false),
        (user.with_realm("tenant").with_margin(4000), false),
        (user, true),
    ] {
        let (found, count) = allocations(|| cache.access_token(&query, NOW).map(Arc::clone));
        assert_eq!((found.is_some(), count), (hit, 0), "{query:?}");
    }
}

/// Calls the async and the blocking side for a hit and for a miss, over and over.
fn assert_no_allocation(store: impl CacheStore, hits_only: bool) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    // Most of these stores never watch: there this is the bound.
    let cache = PersistedTokenCache::builder(store).clock(clock).freshness(Freshness::push()).build();
    let blocking = blocking::PersistedTokenCache::new(cache.clone());
    let updated = pollster::block_on(cache.update(&SHARED, fill)).expect("update");
    assert!(updated.skipped.is_empty());
    let hit = AccessTokenQuery::user("alice", "client", "api://1999/Read").with_realm("tenant");
    let miss = hit.with_realm("other");
    // The first calls set up what a thread needs once.
    for expected in [None, Some(0), Some(0)] {
        for (query, is_hit) in [(&hit, true), (&miss, false)] {
            if hits_only && !is_hit {
                continue;
            }
            let (found, count) = allocations(|| pollster::block_on(cache.access_token(&SHARED, query)));
            assert_eq!(found.expect("reach").is_some(), is_hit);
            assert!(expected.is_none_or(|expected| expected == count), "async: {count} allocations");
            let (found, count) = allocations(|| blocking.access_token(&SHARED, query));
            assert_eq!(found.expect("reach").is_some(), is_hit);
            assert!(expected.is_none_or(|expected| expected == count), "blocking: {count} allocations");
        }
    }
    assert_eq!(cache.stats().loads, 1, "all answers were resident");
    assert!(cache.stats().finds <= 2, "one for each query at most");
}

#[test]
fn a_hit_or_miss_over_entries_in_memory_allocates_nothing() {
    assert_no_allocation(MemoryStore::new(), false);
}

#[test]
fn a_hit_or_miss_over_a_document_with_a_long_stamp_allocates_nothing() {
    assert_no_allocation(Documents::new(Document { tells_stamps: true, ..Document::default() }), false);
}

#[test]
fn a_hit_within_the_window_allocates_nothing() {
    assert_no_allocation(Documents::new(Document::default()), true);
}

#[test]
fn a_hit_in_what_a_store_watches_allocates_nothing() {
    let store = Documents::new(Document::default());
    assert_no_allocation(Shaped { store, is_large: false, is_watching: true }, true);
}

#[test]
fn a_hit_or_miss_in_a_part_of_a_large_partition_allocates_nothing() {
    assert_no_allocation(Shaped { store: MemoryStore::new(), is_large: true, is_watching: false }, false);
}

const SHARED: PartitionKey = PartitionKey::Shared;

/// A store of another shape.
#[derive(Debug)]
struct Shaped<S> {
    store: S,
    /// Finds single entries, and loads nothing, since all is too large.
    is_large: bool,
    /// Watches from the beginning, and sees nothing.
    is_watching: bool,
}

#[async_trait]
impl<S: CacheStore> CacheStore for Shaped<S> {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        self.store.load(partition).await
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        if self.is_large {
            return Ok(self.store.stamp(partition).await?.map(Extent::Large));
        }
        self.store.load_within(partition, limit).await
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        self.store.get(partition, ids).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        self.store.commit(partition, changes).await
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.store.remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.store.partitions(after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.store.stamp(partition).await
    }

    fn stamp_now(&self, partition: &PartitionKey) -> Option<Result<Option<Version>>> {
        self.store.stamp_now(partition)
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        if let Some(watcher) = watcher.upgrade().filter(|_| self.is_watching) {
            watcher.all_changed();
            watcher.watched_for(Duration::from_secs(3600));
        }
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.store.lease(partition, name, wait).await
    }
}

/// One document in memory, with stamps as long as those of files.
#[derive(Debug, Default)]
struct Document {
    /// Its content, and how often it was written.
    content: Mutex<(Option<Blob>, u8)>,
    /// Whether it tells its stamp without a future.
    tells_stamps: bool,
}

impl Document {
    fn look(&self) -> Option<StoredDocument> {
        let (bytes, writes) = &*self.content.lock().expect("no panic");
        let bytes = bytes.clone()?;
        Some(StoredDocument { bytes, stamp: Version::new(&[*writes; 46]) })
    }
}

#[async_trait]
impl DocumentStore for Document {
    fn name(&self) -> &'static str {
        "document"
    }

    async fn read(&self, _: &PartitionKey) -> Result<Option<StoredDocument>> {
        Ok(self.look())
    }

    async fn modify(&self, _: &PartitionKey, mut edit: EditFn) -> Result<Modified> {
        let before = self.look();
        {
            let (content, writes) = &mut *self.content.lock().expect("no panic");
            match edit(content.as_ref())? {
                Edit::Keep => {}
                Edit::Replace(bytes) => *content = Some(bytes),
                Edit::Remove => *content = None,
            }
            *writes += 1;
        }
        Ok(Modified {
            before: before.map(|document| document.stamp),
            after: self.look().map(|document| document.stamp),
        })
    }

    async fn partitions(&self, _: Option<&PartitionKey>, _: usize) -> Result<Vec<PartitionKey>> {
        Ok(vec![SHARED])
    }

    fn stamp_now(&self, _: &PartitionKey) -> Option<Result<Option<Version>>> {
        self.tells_stamps.then(|| Ok(self.look().map(|document| document.stamp)))
    }
}
