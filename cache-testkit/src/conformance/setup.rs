//! What a case works with, and the questions that cases share.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use cache_core::{
    CacheStore, Change, Changes, Committed, Entry, EntryId, ManualClock, PartitionKey, Skip, Stored, UnixMillis,
    Version,
};
use serde_json::Value;

use super::{Partitions, Place};
use crate::fixtures::NOW;
use crate::process::DEADLINE;

/// The home account id of the account that most cases are about.
pub(super) const ALICE: &str = "a11ce000-0000-4000-8000-000000000001.11111111-1111-4111-8111-111111111111";
/// Another account.
pub(super) const BOB: &str = "b0b00000-0000-4000-8000-000000000002.22222222-2222-4222-8222-222222222222";
/// Two host names of one cloud.
pub(super) const PUBLIC: [&str; 2] = ["login.windows.net", "login.microsoftonline.com"];
/// A host name of another cloud.
pub(super) const CHINA: &str = "login.partner.microsoftonline.cn";

/// The place of one case, its clock, and a handle that is open on it.
pub struct Setup<'p> {
    place: &'p dyn Place,
    clock: Arc<ManualClock>,
    store: Arc<dyn CacheStore>,
    partition: PartitionKey,
}

impl<'p> Setup<'p> {
    pub(super) async fn new(place: &'p dyn Place, clock: Arc<ManualClock>) -> Self {
        let store = place.open().await.expect("the place opens");
        let partition = match place.partitions() {
            Partitions::Any => PartitionKey::user(ALICE),
            Partitions::SharedOnly => PartitionKey::Shared,
            // Users' partitions may be kept clear of other users, whom some cases are about.
            Partitions::Keyed => PartitionKey::custom("conformance"),
        };
        Self { place, clock, store, partition }
    }

    /// The store under test.
    pub fn store(&self) -> &dyn CacheStore {
        &*self.store
    }

    /// Another handle on the same place.
    ///
    /// # Panics
    /// If the place does not open.
    pub async fn another_handle(&self) -> Arc<dyn CacheStore> {
        self.place.open().await.expect("the place opens again")
    }

    /// The place itself.
    pub fn place(&self) -> &dyn Place {
        self.place
    }

    /// The clock that the store merges by.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// A partition that the place can hold.
    pub fn partition(&self) -> &PartitionKey {
        &self.partition
    }

    /// A partition of that name; the only one where the place holds no other.
    pub(super) fn partition_named(&self, name: &str) -> PartitionKey {
        match self.place.partitions() {
            Partitions::Any | Partitions::Keyed => PartitionKey::custom(name),
            Partitions::SharedOnly => PartitionKey::Shared,
        }
    }

    /// Runs `work` on `threads` threads at once and waits for all of them.
    pub(super) fn on_threads(&self, threads: usize, work: impl AsyncFn(usize) + Sync) {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let work = &work;
                scope.spawn(move || self.place.run(Box::pin(work(thread))));
            }
        });
    }

    pub(super) async fn commit(&self, changes: impl Into<Changes>) -> Committed {
        commit_to(self.store(), &self.partition, changes).await
    }

    /// Commits changes of which all apply.
    pub(super) async fn apply(&self, changes: impl Into<Changes>) -> Committed {
        let done = self.commit(changes).await;
        assert_eq!(done.skipped, [], "every change applies");
        done
    }

    /// Puts an entry without conditions into where nothing forbids it, and answers its version.
    pub(super) async fn given(&self, entry: &Entry) -> Version {
        self.apply(vec![Change::put(entry.clone())]).await;
        self.present(&entry.id).await.expect("a put entry is present").version
    }

    pub(super) async fn present(&self, id: &EntryId) -> Option<Stored> {
        let mut found = self.store.get(&self.partition, std::slice::from_ref(id)).await.expect("get");
        assert_eq!(found.len(), 1, "one answer for one id");
        found.remove(0)
    }

    pub(super) async fn stamp(&self) -> Option<Version> {
        self.store.stamp(&self.partition).await.expect("stamp")
    }

    /// Fails unless the partition holds these entries, and nothing else.
    pub(super) async fn expect_only(&self, expected: &[&Entry]) {
        expect_only(self.store(), &self.partition, expected).await;
    }
}

impl std::fmt::Debug for Setup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Where threads of a case arrive and others wait for them; not forever, since a thread may fail before.
#[derive(Default)]
pub(super) struct Gate {
    arrived: Mutex<usize>,
    arrival: Condvar,
}

impl Gate {
    pub(super) fn arrive(&self) {
        *self.arrived.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.arrival.notify_all();
    }

    pub(super) fn wait_for(&self, count: usize) {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let (arrived, _) = self
            .arrival
            .wait_timeout_while(arrived, DEADLINE, |arrived| *arrived < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(*arrived >= count, "{} of {count} threads came within {DEADLINE:?}", *arrived);
    }
}

pub(super) async fn commit_to(
    store: &dyn CacheStore,
    partition: &PartitionKey,
    changes: impl Into<Changes>,
) -> Committed {
    store.commit(partition, &changes.into()).await.expect("commit")
}

/// Fails unless the partition holds these entries, and nothing else. `load` and `get` must agree.
pub(super) async fn expect_only(store: &dyn CacheStore, partition: &PartitionKey, expected: &[&Entry]) {
    let expected: BTreeMap<EntryId, &Entry> = expected.iter().map(|entry| (entry.id.clone(), *entry)).collect();
    let loaded = match store.load(partition).await.expect("load") {
        Some(snapshot) => {
            assert_eq!(snapshot.unreadable, [], "every entry is readable");
            snapshot.entries
        }
        None => Vec::new(),
    };
    let ids: Vec<EntryId> = expected.keys().cloned().collect();
    let mut found: Vec<EntryId> = loaded.iter().map(|stored| stored.entry.id.clone()).collect();
    found.sort();
    assert_eq!(found, ids, "the ids that are present");
    let gotten = store.get(partition, &ids).await.expect("get");
    for stored in loaded {
        let id = &stored.entry.id;
        expect_same(&stored.entry, expected[id]);
        let at = ids.iter().position(|other| other == id).expect("compared above");
        let gotten = gotten[at].as_ref().expect("get finds what load finds");
        expect_same(&gotten.entry, expected[id]);
        assert_eq!(gotten.version, stored.version, "load and get agree on the version of {id:?}");
    }
}

/// Fails unless both entries say the same, value for value.
pub(super) fn expect_same(found: &Entry, expected: &Entry) {
    assert_eq!(found.id, expected.id);
    let id = &expected.id;
    assert!(found.account == expected.account, "the account of {id:?}");
    assert_eq!(found.written_at, expected.written_at, "the time of writing of {id:?}");
    assert_eq!(found.expires_on, expected.expires_on, "the expiry of {id:?}");
    if found.json != expected.json {
        let parse = |entry: &Entry| serde_json::from_slice::<Value>(entry.json.expose()).expect("an entity is JSON");
        // Not assert_eq, which would print a 10 MB secret.
        assert!(parse(found) == parse(expected), "the content of {id:?}");
    }
}

/// A put of `entry` by a writer that saw the version `seen`.
pub(super) fn put_over(entry: &Entry, seen: &Version) -> Change {
    Change::Put { entry: entry.clone(), replaces: Some(seen.clone()), guard: None }
}

/// The one change that was skipped.
pub(super) fn skip(entry: &Entry, reason: Skip) -> [(EntryId, Skip); 1] {
    [(entry.id.clone(), reason)]
}

/// The time `seconds` after the start of the case.
pub(super) fn now_plus(seconds: i64) -> UnixMillis {
    NOW.plus(seconds).to_millis()
}

pub(super) fn hosts(names: &[&str]) -> Arc<[Box<str>]> {
    names.iter().map(|&name| name.into()).collect()
}
