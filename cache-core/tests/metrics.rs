//! What is counted goes to the recorder that was installed when the cache was built: each name once it should, without a
//! text of any partition, and without an allocation on the hot path.
#![cfg(feature = "metrics")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{
    AccessTokenQuery, CacheStore, Change, Changes, Clock, Committed, EntryId, Error, ErrorKind, Extent, Lease,
    LookupTerm, ManualClock, MemoryStore, PartitionKey, PersistedTokenCache, Result, Snapshot, Stored, TokenCache,
    UnixSeconds, Version, async_trait,
};
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use pollster::block_on;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const HOST: &str = "login.windows.net";
/// Stands in every text that is somebody's.
const PLANTED: &str = "PLANTED";

#[test]
fn a_lookup_is_counted_once_by_who_answered_it_and_how() {
    let node = Node::new();
    assert!(!node.looks("a"));
    node.put("a");
    assert!(node.looks("a"));
    node.clock.advance(Duration::from_secs(60));
    assert!(node.looks("a"));
    assert!(node.looks("a"));
    assert_eq!(node.requests(), [("l1 hit", 2), ("l2 hit", 1), ("l2 miss", 1)], "within the window, after it");

    node.clock.advance(Duration::from_secs(60));
    for (kind, result) in [
        (ErrorKind::Unavailable, "l2 unavailable"),
        (ErrorKind::Busy, "l2 unavailable"),
        (ErrorKind::Undecryptable, "l2 undecipherable"),
        (ErrorKind::KeyUnavailable, "l2 undecipherable"),
        (ErrorKind::Corrupt, "l2 error"),
    ] {
        node.store.fail(Some(kind));
        let before = node.request(result);
        node.lookup("b").expect_err("the store fails");
        assert_eq!(node.request(result), before + 1, "{kind:?}");
    }
    node.store.fail(Some(ErrorKind::Unavailable));
    assert!(node.looks("a"));
    assert_eq!(node.request("l1 stale_hit"), 1);

    let stats = node.cache.stats();
    let sum = |results: &[&str]| results.iter().map(|result| node.request(result)).sum::<u64>();
    assert_eq!(stats.hits, sum(&["l1 hit", "l2 hit"]));
    assert_eq!(stats.misses, sum(&["l1 miss", "l2 miss"]));
    assert_eq!(stats.stale_hits, 1);
    let errors = ["unavailable", "undecipherable", "error"];
    let errors = errors.map(|result| node.recorded.sum("token_cache.errors", &format!("result={result},")));
    assert_eq!(errors, [3, 2, 1], "and the stale hit asked in vain");
    assert_eq!(stats.errors, 6);
}

#[test]
fn a_miss_of_resident_content_is_one_of_the_first_level() {
    let recorded = Recorded::default();
    let cache = recorded.build(|| PersistedTokenCache::builder(MemoryStore::new()).build());
    for _ in 0..3 {
        assert_eq!(block_on(cache.access_token(&PartitionKey::Shared, &query("a"))).expect("reach"), None);
    }
    let of = |result| recorded.get(&format!("token_cache.requests level=l1,result={result},"));
    assert_eq!([of("hit"), of("miss")], [0, 2], "the first one loads");
}

#[test]
fn each_operation_of_the_store_is_timed() {
    let node = Node::new();
    node.put("a");
    node.clock.advance(Duration::from_secs(60));
    assert!(node.looks("a"));
    // Another node puts more than are resident whole: they are found one by one.
    let other = PersistedTokenCache::builder(Arc::clone(&node.store)).build();
    block_on(other.update(&partition(), |tokens| fill(tokens, 20))).expect("written").value.expect("complete");
    node.clock.advance(Duration::from_secs(60));
    assert!(node.looks("7"));
    block_on(node.cache.remove_account_everywhere(&of_user("alice"), HOST)).expect("removed");
    block_on(node.cache.remove_partition(&partition())).expect("removed");
    for operation in ["load", "find", "stamp", "commit", "remove", "list"] {
        let times = node.recorded.get(&format!("token_cache.duration level=l2,op={operation},"));
        assert!(times > 0, "{operation}\n{}", node.recorded.page());
    }
    let stats = node.cache.stats();
    let of = |operation| node.recorded.get(&format!("token_cache.duration level=l2,op={operation},"));
    assert_eq!([of("commit"), of("find")], [stats.commits, stats.finds]);

    node.store.fail(Some(ErrorKind::Unavailable));
    let commits = of("commit");
    let removed = block_on(node.cache.remove_account_everywhere(&of_user("alice"), HOST));
    assert_eq!(removed.map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
    assert_eq!(of("commit"), commits);
    assert_eq!(node.recorded.sum("token_cache.errors", "op=list,result=unavailable"), 1);
}

#[test]
fn each_change_is_counted_by_what_became_of_it() {
    let node = Node::new();
    let outcomes = |node: &Node| {
        ["applied", "skipped_older", "guard_failed", "fenced", "no_match"]
            .map(|outcome| node.recorded.get(&format!("token_cache.merge outcome={outcome},")))
    };
    node.put("a");
    assert_eq!(outcomes(&node), [2, 0, 0, 0, 0], "a token and its account");

    // Another node signs the account out meanwhile: what is put for it is skipped.
    block_on(node.cache.update(&partition(), |tokens| {
        let other = Changes::new(vec![Change::RemoveAccount {
            home_account_id: of_user("alice").into(),
            environments: [HOST.into()].into(),
        }]);
        block_on(node.store.inner.commit(&partition(), &other)).expect("signed out");
        tokens.insert(token("b"))
    }))
    .expect("committed")
    .value
    .expect("complete");
    assert_eq!(outcomes(&node), [2, 0, 1, 0, 0]);
    for (skip, at) in [
        (cache_core::Skip::NewerPresent, 1),
        (cache_core::Skip::GuardGone, 2),
        (cache_core::Skip::Fenced, 3),
        (cache_core::Skip::NoMatch, 4),
    ] {
        let before = outcomes(&node);
        *node.store.skips.lock().expect("no panic") = Some(skip);
        node.put("c");
        let mut after = before;
        after[at] += 2;
        assert_eq!(outcomes(&node), after, "{skip:?}");
    }
    let stats = node.cache.stats();
    assert_eq!(stats.skipped, outcomes(&node)[1..].iter().sum::<u64>());
}

#[test]
fn gauges_are_the_sum_of_all_caches_and_go_with_them() {
    let recorded = Recorded::default();
    let gauges = || ["partitions", "bytes"].map(|what| recorded.get(&format!("token_cache.l1.{what} ")));
    let of = |cache: &PersistedTokenCache| [cache.stats().resident_partitions, cache.stats().resident_bytes];
    let fill = |cache: &PersistedTokenCache, n: usize| {
        for n in 0..n {
            let user = PartitionKey::user(&of_user(&n.to_string()));
            block_on(cache.update(&user, |tokens| tokens.insert(token("a"))))
                .expect("written")
                .value
                .expect("complete");
        }
    };
    let build =
        |bytes| recorded.build(|| PersistedTokenCache::builder(MemoryStore::new()).resident_bytes(bytes).build());
    let (small, large) = (build(8 * 1024), build(1 << 20));
    assert_eq!(gauges(), [0, 0]);
    fill(&large, 3);
    assert_eq!(gauges(), of(&large));
    fill(&small, 30);
    let [one, other] = [of(&small), of(&large)];
    assert_eq!(gauges(), [one[0] + other[0], one[1] + other[1]]);
    assert_eq!(recorded.get("token_cache.l1.evictions "), 30 - one[0], "all others had to make room");
    drop(large);
    assert_eq!(gauges(), one);
    block_on(small.remove_partition(&PartitionKey::user(&of_user("29")))).expect("removed");
    assert_eq!(gauges(), of(&small));
    drop(small);
    assert_eq!(gauges(), [0, 0]);
}

#[test]
fn no_name_and_no_label_is_anybodys() {
    let node = Node::new();
    node.put("a");
    assert!(node.looks("a"));
    node.store.fail(Some(ErrorKind::Unavailable));
    node.clock.advance(Duration::from_secs(60));
    assert!(node.looks("a"));
    node.lookup("b").expect_err("the store fails");
    let page = node.recorded.page();
    assert!(!page.contains(PLANTED), "{page}");
    assert!(page.lines().count() > 20 && page.contains("described token_cache.requests"), "{page}");
}

#[test]
fn a_counted_hit_allocates_nothing() {
    let recorded = Recorded::default();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let cache = recorded.build(|| PersistedTokenCache::builder(MemoryStore::new()).clock(clock).build());
    block_on(cache.update(&partition(), |tokens| tokens.insert(token("a")))).expect("written").value.expect("complete");
    let (partition, query) = (partition(), query("a"));
    let look = || block_on(cache.access_token(&partition, &query)).expect("reach");
    // The first call sets up what a thread needs once.
    assert!(look().is_some());
    let mut found = None;
    let measured = allocation_counter::measure(|| found = look());
    assert!(found.is_some());
    assert_eq!(measured.count_total, 0);
    assert_eq!(recorded.get("token_cache.requests level=l1,result=hit,"), 2);
}

/// A cache over a store that can fail, and what it has counted.
struct Node {
    recorded: Recorded,
    store: Arc<Moody>,
    clock: Arc<ManualClock>,
    cache: PersistedTokenCache,
}

impl Node {
    fn new() -> Self {
        let (recorded, store) = (Recorded::default(), Arc::new(Moody::default()));
        let clock = Arc::new(ManualClock::at(NOW));
        let builder =
            PersistedTokenCache::builder(Arc::clone(&store)).clock(Arc::<ManualClock>::clone(&clock) as Arc<dyn Clock>);
        let cache = recorded.build(|| builder.resident_entries(10).build());
        Self { recorded, store, clock, cache }
    }

    fn put(&self, name: &str) {
        let put = |tokens: &mut TokenCache| tokens.insert(account()).and_then(|()| tokens.insert(token(name)));
        block_on(self.cache.update(&partition(), put)).expect("written").value.expect("complete");
    }

    fn lookup(&self, name: &str) -> Result<bool> {
        block_on(self.cache.access_token(&partition(), &query(name))).map(|token| token.is_some())
    }

    fn looks(&self, name: &str) -> bool {
        self.lookup(name).expect("an answer")
    }

    fn request(&self, level_and_result: &str) -> u64 {
        let (level, result) = level_and_result.split_once(' ').expect("two words");
        self.recorded.get(&format!("token_cache.requests level={level},result={result},"))
    }

    /// Those that were counted.
    fn requests(&self) -> Vec<(&'static str, u64)> {
        let all = ["l1 hit", "l1 miss", "l1 stale_hit", "l2 hit", "l2 miss", "l2 unavailable", "l2 error"];
        all.into_iter().map(|one| (one, self.request(one))).filter(|(_, count)| *count > 0).collect()
    }
}

fn partition() -> PartitionKey {
    PartitionKey::user(&of_user("alice"))
}

fn of_user(name: &str) -> String {
    format!("{PLANTED}-{name}.home")
}

fn account() -> Account {
    Account {
        home_account_id: of_user("alice").into(),
        environment: HOST.into(),
        realm: PLANTED.into(),
        username: PLANTED.into(),
        ..Account::default()
    }
}

fn token(name: &str) -> AccessToken {
    AccessToken {
        home_account_id: Some(of_user("alice").into()),
        environment: HOST.into(),
        client_id: PLANTED.into(),
        realm: PLANTED.into(),
        target: format!("{PLANTED}/{name}").into(),
        secret: PLANTED.into(),
        cached_at: Some(NOW),
        expires_on: Some(NOW.plus(3600)),
        ..AccessToken::default()
    }
}

fn fill(tokens: &mut TokenCache, count: usize) -> Result<()> {
    tokens.insert(RefreshToken {
        home_account_id: of_user("alice").into(),
        environment: HOST.into(),
        client_id: PLANTED.into(),
        secret: PLANTED.into(),
        ..RefreshToken::default()
    })?;
    (0..count).try_for_each(|n| tokens.insert(token(&n.to_string())))
}

/// Finds the token of this name.
fn query(name: &str) -> AccessTokenQuery<'static> {
    let (user, scope) = (of_user("alice").leak(), format!("{PLANTED}/{name}").leak());
    AccessTokenQuery::user(user, PLANTED, &*scope).with_environment(HOST).with_realm(PLANTED)
}

/// A store far away, without a stamp at hand, that fails when it is told to.
#[derive(Debug, Default)]
struct Moody {
    inner: MemoryStore,
    fails: Mutex<Option<ErrorKind>>,
    /// Why it skips all changes of the next commit.
    skips: Mutex<Option<cache_core::Skip>>,
}

impl Moody {
    fn fail(&self, kind: Option<ErrorKind>) {
        *self.fails.lock().expect("no panic") = kind;
    }

    fn reach(&self) -> Result<()> {
        let kind = *self.fails.lock().expect("no panic");
        kind.map_or(Ok(()), |kind| Err(Error::new(kind, "cut off")))
    }
}

#[async_trait]
impl CacheStore for Moody {
    fn name(&self) -> &'static str {
        "moody"
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        self.reach()?;
        self.inner.load(partition).await
    }

    async fn load_within(&self, partition: &PartitionKey, limit: usize) -> Result<Option<Extent>> {
        let snapshot = self.load(partition).await?;
        let extent = |snapshot: Snapshot| {
            if snapshot.entries.len() > limit { Extent::Large(snapshot.stamp) } else { Extent::Whole(snapshot) }
        };
        Ok(snapshot.map(extent))
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<Stored>>> {
        self.reach()?;
        self.inner.get(partition, ids).await
    }

    async fn find(&self, partition: &PartitionKey, terms: &[LookupTerm]) -> Result<Option<Snapshot>> {
        self.reach()?;
        self.inner.find(partition, terms).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        self.reach()?;
        let Some(why) = self.skips.lock().expect("no panic").take() else {
            return self.inner.commit(partition, changes).await;
        };
        let stamp = self.inner.stamp(partition).await?;
        let skipped = changes.iter().filter_map(|change| match change {
            Change::Put { entry, .. } => Some((entry.id.clone(), why)),
            Change::Remove { .. } | Change::RemoveAccount { .. } => None,
        });
        let (skipped, written) = (skipped.collect(), Vec::new());
        Ok(Committed { before: stamp.clone(), after: stamp, skipped, written, others_changed: false })
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.reach()?;
        self.inner.remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.reach()?;
        self.inner.partitions(after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<Version>> {
        self.reach()?;
        self.inner.stamp(partition).await
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.inner.lease(partition, name, wait).await
    }
}

/// A recorder that keeps a number for each name with its labels; of a histogram, how many values it has.
#[derive(Debug, Clone, Default)]
struct Recorded(Arc<Mutex<BTreeMap<String, Arc<Number>>>>);

impl Recorded {
    /// What `build` registers is recorded here, whatever thread counts it.
    fn build<T>(&self, build: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(self, build)
    }

    /// The number of this name, a space, and labels with a comma behind each.
    #[track_caller]
    fn get(&self, name: &str) -> u64 {
        let numbers = self.0.lock().expect("no panic");
        numbers.get(name).unwrap_or_else(|| panic!("{name} is not registered")).0.load(Ordering::SeqCst)
    }

    /// The sum of all numbers with this name and label.
    fn sum(&self, name: &str, label: &str) -> u64 {
        let numbers = self.0.lock().expect("no panic");
        let with_label = numbers.iter().filter(|(key, _)| key.starts_with(name) && key.contains(label));
        with_label.map(|(_, number)| number.0.load(Ordering::SeqCst)).sum()
    }

    /// Everything, a line each.
    fn page(&self) -> String {
        self.0.lock().expect("no panic").iter().fold(String::new(), |mut page, (key, number)| {
            // Writing into a String cannot fail.
            let _ = writeln!(page, "{key}: {}", number.0.load(Ordering::SeqCst));
            page
        })
    }

    fn number(&self, key: &Key) -> Arc<Number> {
        let mut name = format!("{} ", key.name());
        for label in key.labels() {
            let _ = write!(name, "{}={},", label.key(), label.value());
        }
        Arc::clone(self.0.lock().expect("no panic").entry(name).or_default())
    }

    fn describe(&self, name: &KeyName, description: &str) {
        let described = format!("described {}: {description}", name.as_str());
        self.0.lock().expect("no panic").entry(described).or_default();
    }
}

impl metrics::Recorder for Recorded {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, &description);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, &description);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.number(key))
    }
}

/// A whole number.
#[derive(Debug, Default)]
struct Number(AtomicU64);

impl CounterFn for Number {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::SeqCst);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }
}

#[allow(clippy::cast_sign_loss)] // gauges of sizes are never below zero
impl GaugeFn for Number {
    fn increment(&self, value: f64) {
        if value < 0.0 {
            self.0.fetch_sub(-value as u64, Ordering::SeqCst);
        } else {
            self.0.fetch_add(value as u64, Ordering::SeqCst);
        }
    }

    fn decrement(&self, value: f64) {
        GaugeFn::increment(self, -value);
    }

    fn set(&self, value: f64) {
        self.0.store(value as u64, Ordering::SeqCst);
    }
}

impl HistogramFn for Number {
    fn record(&self, value: f64) {
        assert!(value >= 0.0, "a duration");
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
