//! Content that the store tells the changes of.

use std::sync::{Mutex, Weak};

use super::*;
use crate::entry::{Stored, Version};
use crate::watch::Watcher;

/// The store's usual promise, renewed as it goes.
const WATCHED: Duration = Duration::from_secs(3600);

/// A store far away that tells what the test says.
#[derive(Debug)]
struct Pushing {
    remote: Arc<Remote>,
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
    /// Done between the next read and its answer.
    meanwhile: Mutex<Option<Meanwhile>>,
}

struct Meanwhile(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Pushing {
    fn over(store: MemoryStore) -> Arc<Self> {
        Arc::new(Self { remote: Remote::over(store), watchers: Mutex::default(), meanwhile: Mutex::default() })
    }

    fn watchers(&self) -> Vec<Arc<dyn Watcher>> {
        self.watchers.lock().expect("no panic").iter().filter_map(Weak::upgrade).collect()
    }

    fn tell(&self, tell: impl Fn(&(dyn Watcher + 'static))) {
        self.watchers().iter().for_each(|watcher| tell(&**watcher));
    }

    /// As a store does that has begun to watch.
    fn begin(&self) {
        self.tell(Watcher::all_changed);
        self.tell(|watcher| watcher.watched_for(WATCHED));
    }

    fn meanwhile(&self, work: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().expect("no panic") = Some(Meanwhile(Box::new(work)));
    }

    fn read<T>(&self, answer: T) -> T {
        let meanwhile = self.meanwhile.lock().expect("no panic").take();
        if let Some(Meanwhile(work)) = meanwhile {
            work();
        }
        answer
    }
}

#[async_trait]
impl CacheStore for Pushing {
    fn name(&self) -> &'static str {
        "pushing"
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        let answer = self.remote.load(partition).await;
        self.read(answer)
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        self.remote.get(partition, ids).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        let answer = self.remote.commit(partition, changes).await;
        self.read(answer)
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.remote.remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.remote.partitions(after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        let answer = self.remote.stamp(partition).await;
        self.read(answer)
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.watchers.lock().expect("no panic").push(watcher);
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.remote.lease(partition, name, wait).await
    }
}

/// A cache that changes the store without a word, one that is told, and what tells it. The second one has a token "one"
/// of secret "1".
struct Nodes {
    near: PersistedTokenCache,
    far: PersistedTokenCache,
    store: Arc<Pushing>,
    clock: Arc<ManualClock>,
}

impl Nodes {
    fn new(freshness: Freshness) -> Self {
        let (clock, memory) = (clock(), MemoryStore::new());
        let store = Pushing::over(memory.clone());
        let far = PersistedTokenCache::builder(Arc::clone(&store)).clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let far = far.freshness(freshness).build();
        let near = over(memory, &clock);
        store.begin();
        insert(&near, "one", "1");
        let nodes = Self { near, far, store, clock };
        nodes.expect("1");
        nodes
    }

    /// The far cache finds this secret.
    #[track_caller]
    fn expect(&self, secret: &str) {
        assert_eq!(find(&self.far, "one").expect("reach").as_deref(), Some(secret));
    }

    /// How many questions the far cache has for the store until it finds this secret.
    #[track_caller]
    fn questions(&self, secret: &str) -> usize {
        let asked = self.store.remote.asked();
        self.expect(secret);
        self.store.remote.asked() - asked
    }

    fn notice(&self) {
        self.store.tell(|watcher| watcher.changed(&P));
    }
}

#[test]
fn a_change_is_seen_with_its_notice_and_nothing_is_asked_before() {
    let nodes = Nodes::new(Freshness::push());
    nodes.clock.advance(Duration::from_secs(290));
    insert(&nodes.near, "one", "2");
    assert_eq!(nodes.questions("1"), 0, "nothing was told");
    nodes.notice();
    assert_eq!(nodes.questions("2"), 2, "the stamp, and the content");
    assert_eq!(nodes.questions("2"), 0);
    pollster::block_on(nodes.near.remove_partition(&P)).expect("remove");
    nodes.store.tell(Watcher::all_changed);
    assert!(find(&nodes.far, "one").expect("reach").is_none());
}

#[test]
fn a_notice_of_another_partition_costs_nothing() {
    let nodes = Nodes::new(Freshness::push());
    let others = (0..).map(|n| PartitionKey::user(&format!("user-{n}")));
    let is_elsewhere = |other: &PartitionKey| {
        let before = nodes.far.0.resident.notices(&P);
        nodes.store.tell(|watcher| watcher.changed(other));
        nodes.far.0.resident.notices(&P) == before
    };
    assert!(others.take(100).filter(is_elsewhere).count() > 90, "few share a place");
    nodes.expect("1");
    nodes.notice();
    assert_eq!(nodes.questions("1"), 1, "it has not changed");
    assert_eq!(nodes.questions("1"), 0);
}

#[test]
fn there_is_a_net_under_notices() {
    let nodes = Nodes::new(Freshness::push());
    insert(&nodes.near, "one", "2");
    nodes.clock.advance(Duration::from_secs(299));
    nodes.expect("1");
    nodes.clock.advance(Duration::from_secs(1));
    nodes.expect("2");
}

#[test]
fn a_store_that_does_not_watch_makes_it_a_bound() {
    let lost: [fn(&Nodes); 3] = [
        |nodes| nodes.store.tell(|watcher| watcher.watched_for(Duration::ZERO)),
        // It says nothing any more, and its time runs out.
        |nodes| nodes.store.tell(|watcher| watcher.watched_for(Duration::from_millis(1))),
        |nodes| nodes.store.tell(|watcher| watcher.watched_for(Duration::from_secs(9))),
    ];
    for (n, lose) in lost.into_iter().enumerate() {
        let nodes = Nodes::new(Freshness::Push { bound: Duration::from_secs(10) });
        lose(&nodes);
        insert(&nodes.near, "one", "2");
        nodes.clock.advance(Duration::from_millis(9_999));
        nodes.expect("1");
        nodes.clock.advance(Duration::from_millis(1));
        assert_eq!(nodes.questions("2"), 2, "{n}");
        // Until it watches again; what was read before is not trusted then.
        insert(&nodes.near, "one", "3");
        nodes.store.begin();
        nodes.expect("3");
    }
    let clock = clock();
    let memory = MemoryStore::new();
    let (near, remote) = (over(memory.clone(), &clock), Remote::over(memory));
    let far = PersistedTokenCache::builder(remote).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let far = far.freshness(Freshness::push()).build();
    for secret in ["1", "2", "3"] {
        insert(&near, "one", secret);
        clock.advance(Duration::from_secs(30));
        assert_eq!(find(&far, "one").expect("reach").as_deref(), Some(secret), "it cannot watch at all");
    }
}

#[test]
fn what_was_told_holds_when_the_store_does_not_watch_any_more() {
    let nodes = Nodes::new(Freshness::push());
    insert(&nodes.near, "one", "2");
    nodes.notice();
    nodes.store.tell(|watcher| watcher.watched_for(Duration::ZERO));
    nodes.expect("2");
}

#[test]
fn a_notice_wins_against_a_read_that_began_before_it() {
    // While the far cache loads; and while it asks for the stamp, which is still the old one.
    for is_resident in [false, true] {
        let nodes = Nodes::new(Freshness::push());
        if is_resident {
            nodes.notice();
        } else {
            nodes.far.0.resident.write(&P);
        }
        let (near, store) = (nodes.near.clone(), Arc::downgrade(&nodes.store));
        nodes.store.meanwhile(move || {
            insert(&near, "one", "2");
            store.upgrade().expect("it is asked").tell(|watcher| watcher.changed(&P));
        });
        nodes.expect("1");
        assert_eq!(nodes.questions("2"), 2, "what was read is not trusted");
        assert_eq!(nodes.questions("2"), 0);
    }
}

#[test]
fn content_that_was_read_before_the_store_watched_is_not_trusted() {
    let nodes = Nodes::new(Freshness::push());
    nodes.store.tell(|watcher| watcher.watched_for(Duration::ZERO));
    nodes.far.0.resident.write(&P);
    let (near, store) = (nodes.near.clone(), Arc::downgrade(&nodes.store));
    nodes.store.meanwhile(move || {
        insert(&near, "one", "2");
        store.upgrade().expect("it is asked").begin();
    });
    nodes.expect("1");
    nodes.expect("2");
}

/// The notice of an own commit may come before its answer, and after it.
#[test]
fn a_commit_of_one_s_own_is_not_loaded_again() {
    let nodes = Nodes::new(Freshness::push());
    for is_before in [true, false] {
        if is_before {
            let store = Arc::downgrade(&nodes.store);
            // Between the stamp that the update begins with and its commit.
            nodes.store.meanwhile({
                let store = store.clone();
                move || {
                    let tell = store.clone();
                    let tell = move || tell.upgrade().expect("it is asked").tell(|watcher| watcher.changed(&P));
                    store.upgrade().expect("it is asked").meanwhile(tell);
                }
            });
        }
        let loads = nodes.far.stats().loads;
        insert(&nodes.far, "one", "2");
        if !is_before {
            nodes.notice();
        }
        assert_eq!(nodes.questions("2"), 1, "the stamp");
        assert_eq!(nodes.questions("2"), 0);
        assert_eq!(nodes.far.stats().loads, loads);
    }
}

#[test]
fn a_miss_is_validated() {
    let nodes = Nodes::new(Freshness::push());
    insert(&nodes.near, "two", "2");
    assert!(find(&nodes.far, "two").expect("reach").is_some(), "the notice is still on its way");
}

#[test]
fn an_outage_serves_what_may_be_old_but_not_what_is() {
    let nodes = Nodes::new(Freshness::push());
    nodes.notice();
    nodes.store.remote.cut(true);
    nodes.expect("1");
    assert_eq!(nodes.far.stats().stale_hits, 1);
    nodes.store.remote.cut(false);
    pollster::block_on(nodes.near.remove_partition(&P)).expect("remove");
    nodes.notice();
    nodes.store.remote.leaves.store(true, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(find(&nodes.far, "one").expect_err("known to be old").kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn only_caches_that_want_to_be_told_watch_and_only_while_they_live() {
    for (freshness, watch) in [(Freshness::push(), 1), (Freshness::default(), 0), (Freshness::Strict, 0)] {
        let store = Pushing::over(MemoryStore::new());
        let cache = PersistedTokenCache::builder(Arc::clone(&store)).freshness(freshness).build();
        assert_eq!(store.watchers().len(), watch);
        drop(cache);
        assert_eq!(store.watchers().len(), 0);
    }
}

/// Of a large partition, what was found before a notice is not completed by what is found after it.
#[test]
fn a_part_is_told_too() {
    let clock = clock();
    let memory = MemoryStore::new();
    let near = over(memory.clone(), &clock);
    let store = Arc::new(Finding(Pushing::over(memory)));
    let far = PersistedTokenCache::builder(Arc::clone(&store)).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let far = far.freshness(Freshness::push()).resident_entries(9).build();
    store.0.begin();
    for scope in ["one", "two"] {
        insert(&near, scope, "1");
        store.0.tell(|watcher| watcher.changed(&P));
    }
    for scope in ["one", "two", "one", "two"] {
        assert_eq!(find(&far, scope).expect("reach").as_deref(), Some("1"));
    }
    assert_eq!(far.stats().finds, 2);
    insert(&near, "one", "2");
    store.0.tell(|watcher| watcher.changed(&P));
    for scope in ["two", "one"] {
        let secret = if scope == "one" { "2" } else { "1" };
        assert_eq!(find(&far, scope).expect("reach").as_deref(), Some(secret));
    }
}

/// The same, but that it finds single entries, and takes every partition for large.
#[derive(Debug)]
struct Finding(Arc<Pushing>);

#[async_trait]
impl CacheStore for Finding {
    fn name(&self) -> &'static str {
        "finding"
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        self.0.load(partition).await
    }

    async fn load_within(&self, partition: &PartitionKey, _: usize) -> Result<Option<Extent>> {
        Ok(self.0.stamp(partition).await?.map(Extent::Large))
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        self.0.get(partition, ids).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        self.0.commit(partition, changes).await
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.0.remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.0.partitions(after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.0.stamp(partition).await
    }

    fn watch(&self, watcher: Weak<dyn Watcher>) {
        self.0.watch(watcher);
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.0.lease(partition, name, wait).await
    }
}
