//! What was made of a cache is what the store holds afterwards, in stores of every kind and whoever else writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use cache_core::schema::AccessToken;
use cache_core::{
    Blob, CacheStore, Clock, DocumentStore, Documents, Edit, EditFn, Entry, EntryId, ManualClock, MemoryStore,
    Modified, PartitionKey, PersistedTokenCache, Result, StoredDocument, TokenCache, Version, async_trait, blocking,
};
use proptest::prelude::*;
use serde_json::Value;

use super::alphabet::{Alphabet, NOW, alphabets, environments};
use super::cases;
use super::steps::{Step, signed_in, steps, steps_of_account, steps_of_user};

/// Entries by their ids, by the meaning of their JSON: a field that is null is as good as none.
type Meaning = BTreeMap<EntryId, Value>;

fn meaning(entries: impl Iterator<Item = Entry>) -> Meaning {
    let value = |json: &Blob| {
        let mut value: Value = serde_json::from_slice(json.expose()).expect("JSON");
        value.as_object_mut().into_iter().for_each(|fields| fields.retain(|_, field| !field.is_null()));
        value
    };
    entries.map(|entry| (entry.id, value(&entry.json))).collect()
}

/// A cache at the end of a change: its entries, and those of them that every write drops.
struct Made {
    entries: Meaning,
    dropped: BTreeSet<EntryId>,
}

impl Made {
    fn of(cache: &TokenCache) -> Self {
        let entries = meaning(cache.entries());
        let is_over = |token: &AccessToken| token.extended.is_some() && token.expires_on < Some(NOW);
        let dropped = cache.access_tokens().filter(|(_, token)| is_over(token)).map(|(id, _)| id).collect();
        Self { entries, dropped }
    }

    /// What is said of the entries of this user.
    fn of_user(mut self, home_account_id: &str) -> Self {
        self.entries.retain(|_, entity| entity["home_account_id"] == home_account_id);
        self
    }

    fn and(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self.dropped.extend(other.dropped);
        self
    }

    /// What of `stored` must equal [`kept`](Self::kept): a refresh token without a time gets one with the write.
    fn seen(&self, mut stored: Meaning) -> Meaning {
        for (id, entity) in &mut stored {
            const TIME: &str = "last_modification_time";
            let timeless = self.entries.get(id).is_some_and(|made| made.get(TIME).is_none());
            if let (true, "RefreshToken", Some(fields)) = (timeless, id.section(), entity.as_object_mut()) {
                fields.remove(TIME);
            }
        }
        stored.retain(|id, _| !self.dropped.contains(id));
        stored
    }

    fn kept(&self) -> Meaning {
        let kept = self.entries.iter().filter(|(id, _)| !self.dropped.contains(*id));
        kept.map(|(id, entity)| (id.clone(), entity.clone())).collect()
    }
}

/// Makes the changes, their entities numbered from `first`.
fn make(texts: &Alphabet, changes: &[Step], first: usize, cache: &mut TokenCache) -> Result<Made, TestCaseError> {
    changes.iter().enumerate().try_for_each(|(n, step)| step.apply(texts, first + n, cache))?;
    Ok(Made::of(cache))
}

/// A partition that nothing else uses, seen through two caches as two processes have them.
struct Place {
    over: &'static Over,
    partition: PartitionKey,
}

/// A store, and the caches over it.
struct Over {
    store: Arc<dyn CacheStore>,
    caches: [blocking::PersistedTokenCache; 2],
}

/// A place in a store of each kind: one of entries, one of entries that are merged by tags alone, one of documents.
fn places() -> impl Iterator<Item = Place> {
    // Made once, since a cache has room for many partitions and takes its time to be made.
    static STORES: LazyLock<[Over; 3]> = LazyLock::new(|| {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
        let stores: [Arc<dyn CacheStore>; 3] = [
            Arc::new(MemoryStore::with_clock(Arc::clone(&clock))),
            Arc::new(MemoryStore::sealed(Arc::clone(&clock))),
            Arc::new(Documents::with_clock(Memory::default(), Arc::clone(&clock))),
        ];
        stores.map(|store| {
            let cache = |()| {
                let builder = PersistedTokenCache::builder(Arc::clone(&store)).environments(environments());
                blocking::PersistedTokenCache::new(builder.clock(Arc::clone(&clock)).build())
            };
            Over { caches: [(), ()].map(cache), store }
        })
    });
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let partition = PartitionKey::custom(&COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    STORES.iter().map(move |over| Place { over, partition: partition.clone() })
}

impl Place {
    /// Fails unless the store, and each cache over it, holds what was made.
    fn holds(&self, made: &Made) -> Result<(), TestCaseError> {
        let (Over { store, caches }, expected) = (self.over, made.kept());
        let snapshot = pollster::block_on(store.load(&self.partition)).expect("memory");
        let stored = snapshot.into_iter().flat_map(|snapshot| snapshot.entries).map(|stored| stored.entry);
        prop_assert_eq!(made.seen(meaning(stored)), expected.clone(), "stored in {}", store.name());
        for cache in caches {
            let read = cache.read(&self.partition, |tokens| meaning(tokens.entries())).expect("memory");
            prop_assert_eq!(made.seen(read), expected.clone(), "read from {}", store.name());
        }
        Ok(())
    }

    /// Makes the changes of each round in one update.
    fn goes_through(&self, texts: &Alphabet, rounds: &[Vec<Step>]) -> Result<(), TestCaseError> {
        let mut first = 0;
        for changes in rounds {
            let cache = &self.over.caches[0];
            let updated = cache.update(&self.partition, |tokens| make(texts, changes, first, tokens)).expect("memory");
            prop_assert!(updated.skipped.is_empty(), "{:?} in {}", updated.skipped, self.over.store.name());
            self.holds(&updated.value?)?;
            first += changes.len();
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn a_store_holds_what_was_made_of_its_content(
        texts in alphabets(),
        rounds in prop::collection::vec(prop::collection::vec(steps(), 1..10), 1..4),
    ) {
        places().try_for_each(|place| place.goes_through(&texts, &rounds))?;
    }

}

proptest! {
    #![proptest_config(cases(320))]

    /// The same of one account and few changes, so that each order of them comes up.
    #[test]
    fn an_account_comes_and_goes(
        texts in alphabets(),
        changes in prop::collection::vec(steps_of_account(), 2..10),
    ) {
        places().try_for_each(|place| place.goes_through(&texts, &[signed_in(), changes.clone()]))?;
    }

}

proptest! {
    #![proptest_config(cases(64))]

    /// Each of two caches changes the entries of a user of its own, the second one while the first one is at it.
    #[test]
    fn two_caches_lose_nothing_of_each_other(
        texts in alphabets(),
        rounds in prop::collection::vec(
            (prop::collection::vec(steps_of_user(0), 1..8), prop::collection::vec(steps_of_user(1), 1..8)),
            1..4,
        ),
    ) {
        // Key texts are lower-cased: entries of such users would stand under the same ones.
        prop_assume!(texts.id(0).to_lowercase() != texts.id(1).to_lowercase());
        for place in places() {
            let (Over { store, caches }, partition) = (place.over, &place.partition);
            let mut first = 0;
            for (n, changes) in rounds.iter().enumerate() {
                // They take turns at being the one that is overtaken.
                let (outer, inner) = (&caches[n % 2], &caches[1 - n % 2]);
                let second = first + changes.0.len();
                let mut overtaking = None;
                let overtaken = outer
                    .update(partition, |tokens| {
                        let made = make(&texts, &changes.0, first, tokens);
                        overtaking = Some(inner.update(partition, |tokens| make(&texts, &changes.1, second, tokens)));
                        made
                    })
                    .expect("memory");
                let overtaking = overtaking.expect("it was called").expect("memory");
                prop_assert!(overtaken.skipped.is_empty() && overtaking.skipped.is_empty(), "{}", store.name());
                // Of each user what the one who changed that user's entries said.
                place.holds(&overtaken.value?.of_user(&texts.id(0)).and(overtaking.value?.of_user(&texts.id(1))))?;
                first = second + changes.1.len();
            }
        }
    }
}

/// Documents in memory, each with the number of times that it was written.
#[derive(Debug, Default)]
struct Memory(Mutex<HashMap<PartitionKey, (Blob, u64)>>);

impl Memory {
    fn stamped((bytes, writes): &(Blob, u64)) -> StoredDocument {
        StoredDocument { bytes: bytes.clone(), stamp: Version::new(&writes.to_le_bytes()) }
    }
}

#[async_trait]
impl DocumentStore for Memory {
    fn name(&self) -> &'static str {
        "documents"
    }

    async fn read(&self, partition: &PartitionKey) -> Result<Option<StoredDocument>> {
        Ok(self.0.lock().expect("no panic").get(partition).map(Self::stamped))
    }

    async fn modify(&self, partition: &PartitionKey, mut edit: EditFn) -> Result<Modified> {
        let mut documents = self.0.lock().expect("no panic");
        let before = documents.get(partition).cloned();
        match edit(before.as_ref().map(|(bytes, _)| bytes))? {
            Edit::Keep => {}
            // What no document has left stays as an empty one, so that no stamp comes again.
            edit => {
                let bytes = if let Edit::Replace(bytes) = edit { bytes } else { Blob::copy_of(b"{}") };
                let writes = before.as_ref().map_or(1, |(_, writes)| writes + 1);
                documents.insert(partition.clone(), (bytes, writes));
            }
        }
        let stamp = |document: Option<&_>| document.map(Self::stamped).map(|document| document.stamp);
        Ok(Modified { before: stamp(before.as_ref()), after: stamp(documents.get(partition)) })
    }

    async fn partitions(&self, _: Option<&PartitionKey>, _: usize) -> Result<Vec<PartitionKey>> {
        Ok(self.0.lock().expect("no panic").keys().cloned().collect())
    }
}
