//! No look finds what a commit or a removal that returned before it has replaced, whatever else happens at the time.
//!
//! The clock stands still and the store tells no stamp without a future: content that is resident is served for ever,
//! so that any content kept in error is seen.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::lookup_term::LookupTerm;

/// A store whose answers come late: between a read and its answer others have their turn.
#[derive(Debug)]
struct Late {
    store: MemoryStore,
    /// Whether it finds single entries, and takes every partition for large.
    finds: bool,
}

impl Late {
    fn new(finds: bool) -> Self {
        Self { store: MemoryStore::new(), finds }
    }
}

fn late<T>(answer: T) -> T {
    for _ in 0..3 {
        std::thread::yield_now();
    }
    answer
}

#[async_trait]
impl CacheStore for Late {
    fn name(&self) -> &'static str {
        "late"
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        late(self.store.load(partition).await)
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        if !self.finds {
            return late(self.store.load_within(partition, limit).await);
        }
        Ok(late(self.store.stamp(partition).await?).map(Extent::Large))
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        late(self.store.find(partition, terms).await)
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<crate::entry::Stored>>> {
        self.store.get(partition, ids).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        late(self.store.commit(partition, changes).await)
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        late(self.store.remove(partition).await)
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.store.partitions(after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<crate::entry::Version>> {
        late(self.store.stamp(partition).await)
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.store.lease(partition, name, wait).await
    }
}

/// The operations of one thread on a token of its own: the `n`-th writes the secret `n`, or, every third, removes it.
#[derive(Default)]
struct Operations {
    begun: AtomicU64,
    done: AtomicU64,
}

const COUNT: u64 = 300;

fn removes(n: u64) -> bool {
    n.is_multiple_of(3)
}

impl Operations {
    fn run(&self, operation: impl Fn(u64)) {
        for n in 1..=COUNT {
            self.begun.store(n, SeqCst);
            operation(n);
            self.done.store(n, SeqCst);
        }
    }

    /// Looks until all is done.
    fn watch(&self, look: impl Fn() -> Option<u64>) {
        while self.done.load(SeqCst) < COUNT {
            let before = self.done.load(SeqCst);
            let found = look();
            let after = self.begun.load(SeqCst);
            match found {
                Some(n) => assert!((before..=after).contains(&n), "found {n} between {before} and {after}"),
                None => assert!((before..=after).any(removes), "found nothing between {before} and {after}"),
            }
        }
    }
}

fn secret(cache: &PersistedTokenCache, owner: &str) -> Option<u64> {
    let query = AccessTokenQuery::user(owner, "client", "s").with_realm("home");
    let found = pollster::block_on(cache.access_token(&P, &query)).expect("reach");
    found.map(|token| token.secret.expose().parse().expect("a number"))
}

fn put(cache: &PersistedTokenCache, owner: &str, n: u64) {
    let token = AccessToken { home_account_id: Some(owner.into()), ..token("s", &n.to_string()) };
    let updated = pollster::block_on(cache.update(&P, |tokens| tokens.insert(token))).expect("update");
    updated.value.expect("complete");
    assert!(updated.skipped.is_empty());
}

/// A cache over either kind of store, with a clock that stands still.
fn caches(bytes: u64) -> [PersistedTokenCache; 2] {
    [false, true].map(|finds| {
        let builder = PersistedTokenCache::builder(Late::new(finds)).clock(clock()).resident_bytes(bytes);
        // An entry more than none is too many.
        builder.resident_entries(if finds { 0 } else { 1000 }).build()
    })
}

#[test]
fn removals_of_the_partition_and_room_for_others() {
    for cache in caches(10_000) {
        remove_and_make_room(&cache);
    }
}

fn remove_and_make_room(cache: &PersistedTokenCache) {
    let operations = Operations::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| operations.watch(|| secret(cache, "alice")));
        }
        scope.spawn(|| {
            // Other partitions, which hold nothing, take turns with this one.
            for n in (0..).take_while(|_| operations.done.load(SeqCst) < COUNT) {
                let other = PartitionKey::user(&format!("user-{}", n % 100));
                assert!(pollster::block_on(cache.read(&other, TokenCache::is_empty)).expect("read"));
            }
        });
        operations.run(|n| {
            if removes(n) {
                pollster::block_on(cache.remove_partition(&P)).expect("remove");
            } else {
                put(cache, "alice", n);
            }
        });
    });
    assert!(cache.stats().hits > COUNT);
}

#[test]
fn two_writers_of_one_partition() {
    for cache in caches(1 << 20) {
        write_and_remove(&cache);
    }
}

fn write_and_remove(cache: &PersistedTokenCache) {
    let owners = [("alice", Operations::default()), ("bob", Operations::default())];
    std::thread::scope(|scope| {
        for (owner, operations) in &owners {
            scope.spawn(move || operations.watch(|| secret(cache, owner)));
            scope.spawn(move || {
                operations.run(|n| {
                    if removes(n) {
                        let remove = |tokens: &mut TokenCache| tokens.remove_account(owner, "login.windows.net");
                        assert!(pollster::block_on(cache.update(&P, remove)).expect("update").value);
                    } else {
                        put(cache, owner, n);
                    }
                });
            });
        }
    });
    assert!(cache.stats().hits > COUNT);
}
