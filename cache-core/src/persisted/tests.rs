mod everywhere;
mod hits;
mod large;
mod outage;
mod push;
mod races;
mod rows;

use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::document_store::{DocumentStore, Documents, EditFn, Modified, StoredDocument};
use crate::error::{Error, ErrorKind};
use crate::memory::MemoryStore;
use crate::schema::{Account, RefreshToken};
use crate::store::Lease;
use crate::time::{ManualClock, UnixSeconds};
use crate::token_cache::TokenResponse;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const P: PartitionKey = PartitionKey::Shared;

/// A store far away: no stamp without a future, and it can be cut off.
#[derive(Debug)]
struct Remote {
    store: MemoryStore,
    /// How long a commit takes, from what it does to its answer.
    commits_take: Option<(Arc<ManualClock>, Duration)>,
    away: std::sync::atomic::AtomicBool,
    /// Whether it goes away with its next answer.
    leaves: std::sync::atomic::AtomicBool,
    /// Whether it says of commits that fail that it will write them.
    queues: bool,
    asked: std::sync::atomic::AtomicUsize,
    /// A partition that cannot be written.
    unwritable: std::sync::Mutex<Option<PartitionKey>>,
}

impl Remote {
    fn to(store: MemoryStore) -> Self {
        Self {
            store,
            commits_take: None,
            away: false.into(),
            leaves: false.into(),
            queues: false,
            asked: 0.into(),
            unwritable: None.into(),
        }
    }

    fn over(store: MemoryStore) -> Arc<Self> {
        Arc::new(Self::to(store))
    }

    fn reach(&self) -> Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        self.asked.fetch_add(1, SeqCst);
        if self.away.fetch_or(self.leaves.load(SeqCst), SeqCst) {
            Err(Error::new(ErrorKind::Unavailable, "cut off"))
        } else {
            Ok(())
        }
    }

    /// Answers once more.
    fn leave(&self) {
        self.leaves.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn come_back(&self) {
        self.leaves.store(false, std::sync::atomic::Ordering::SeqCst);
        self.cut(false);
    }

    fn cut(&self, away: bool) {
        self.away.store(away, std::sync::atomic::Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[async_trait]
impl CacheStore for Remote {
    fn name(&self) -> &'static str {
        "remote"
    }

    async fn load(&self, partition: &PartitionKey) -> Result<Option<Snapshot>> {
        self.reach()?;
        self.store.load(partition).await
    }

    async fn get(&self, partition: &PartitionKey, ids: &[EntryId]) -> Result<Vec<Option<crate::entry::Stored>>> {
        self.reach()?;
        self.store.get(partition, ids).await
    }

    async fn commit(&self, partition: &PartitionKey, changes: &Changes) -> Result<Committed> {
        self.reach().map_err(|error| if self.queues { error.queued() } else { error })?;
        if self.unwritable.lock().expect("no panic").as_ref() == Some(partition) {
            return Err(Error::new(ErrorKind::Unavailable, "cut off"));
        }
        let committed = self.store.commit(partition, changes).await;
        if let Some((clock, time)) = &self.commits_take {
            clock.advance(*time);
        }
        committed
    }

    async fn remove(&self, partition: &PartitionKey) -> Result<()> {
        self.reach()?;
        self.store.remove(partition).await
    }

    async fn partitions(&self, after: Option<&PartitionKey>, limit: usize) -> Result<Vec<PartitionKey>> {
        self.reach()?;
        self.store.partitions(after, limit).await
    }

    async fn stamp(&self, partition: &PartitionKey) -> Result<Option<crate::entry::Version>> {
        self.reach()?;
        self.store.stamp(partition).await
    }

    async fn lease(&self, partition: &PartitionKey, name: &str, wait: Duration) -> Result<Lease> {
        self.store.lease(partition, name, wait).await
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW))
}

fn over(store: impl CacheStore, clock: &Arc<ManualClock>) -> PersistedTokenCache {
    PersistedTokenCache::builder(store).clock(Arc::clone(clock) as Arc<dyn Clock>).build()
}

fn token(target: &str, secret: &str) -> AccessToken {
    AccessToken {
        home_account_id: Some("alice".into()),
        environment: "login.windows.net".into(),
        client_id: "client".into(),
        realm: "home".into(),
        target: target.into(),
        secret: secret.into(),
        cached_at: Some(NOW),
        expires_on: Some(NOW.plus(3600)),
        ..AccessToken::default()
    }
}

fn account() -> Account {
    Account { home_account_id: "alice".into(), environment: "login.windows.net".into(), ..Account::default() }
}

fn insert(cache: &PersistedTokenCache, target: &str, secret: &str) -> Vec<(EntryId, Skip)> {
    let updated = pollster::block_on(cache.update(&P, |tokens| tokens.insert(token(target, secret)))).expect("update");
    updated.value.expect("complete");
    updated.skipped
}

fn find(cache: &PersistedTokenCache, scope: &str) -> Result<Option<String>> {
    let query = AccessTokenQuery::user("alice", "client", scope).with_realm("home");
    let found = pollster::block_on(cache.access_token(&P, &query))?;
    Ok(found.map(|token| token.secret.expose().to_owned()))
}

#[test]
fn two_caches_over_one_store_see_each_other_at_once() {
    let clock = clock();
    let store = MemoryStore::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let (a, b) = (over(store.clone(), &clock), over(store, &clock));
    insert(&a, "one", "1");
    assert_eq!(find(&b, "one").expect("reach").as_deref(), Some("1"));
    insert(&b, "two", "2");
    insert(&a, "three", "3");
    for cache in [&a, &b] {
        for (scope, secret) in [("one", "1"), ("two", "2"), ("three", "3")] {
            assert_eq!(find(cache, scope).expect("reach").as_deref(), Some(secret));
        }
    }
}

#[test]
fn an_update_alone_stays_resident() {
    let clock = clock();
    let cache = over(MemoryStore::new(), &clock);
    for n in 0..10 {
        insert(&cache, &format!("scope-{n}"), "AT");
        assert!(find(&cache, &format!("scope-{n}")).expect("reach").is_some());
    }
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.commits, stats.hits), (1, 10, 10));
    assert_eq!(stats.resident_partitions, 1);
}

#[test]
fn versions_are_adopted_so_that_the_next_update_replaces() {
    let clock = clock();
    for store in [MemoryStore::new(), MemoryStore::sealed(Arc::clone(&clock) as Arc<dyn Clock>)] {
        let cache = over(store, &clock);
        let put = |name: &str| {
            let account = Account { name: Some(name.into()), ..account() };
            pollster::block_on(cache.update(&P, |tokens| tokens.insert(account))).expect("update").skipped
        };
        for name in ["a", "b", "c"] {
            assert!(put(name).is_empty(), "an entry without a time is replaced only in the version that was seen");
        }
        assert_eq!(cache.stats().loads, 1);
    }
}

#[test]
fn nothing_is_written_if_nothing_changed() {
    let clock = clock();
    let store = MemoryStore::new();
    let cache = over(store.clone(), &clock);
    insert(&cache, "one", "1");
    let before = pollster::block_on(store.stamp(&P)).expect("stamp");
    pollster::block_on(cache.update(&P, |tokens| tokens.len())).expect("update").skipped.clear();
    assert_eq!(pollster::block_on(store.stamp(&P)).expect("stamp"), before);
    assert_eq!(cache.stats().commits, 1);
}

#[test]
fn a_window_saves_the_question_and_a_miss_asks_all_the_same() {
    let clock = clock();
    let memory = MemoryStore::new();
    let remote = Remote::over(memory.clone());
    let (near, far) = (over(memory, &clock), over(Arc::clone(&remote), &clock));
    insert(&near, "one", "1");
    assert!(find(&far, "one").expect("reach").is_some());
    let asked = remote.asked();
    clock.advance(Duration::from_secs(29));
    assert!(find(&far, "one").expect("reach").is_some());
    assert_eq!(remote.asked(), asked, "within the window");
    insert(&near, "two", "2");
    assert!(find(&far, "two").expect("reach").is_some(), "a miss is validated");
    pollster::block_on(near.update(&P, |tokens| tokens.remove_account("alice", "login.windows.net")))
        .expect("update")
        .value
        .then_some(())
        .expect("was there");
    assert!(find(&far, "one").expect("reach").is_some(), "within the window");
    clock.advance(Duration::from_secs(31));
    assert!(find(&far, "one").expect("reach").is_none(), "after the window");
}

#[test]
fn the_window_of_committed_content_begins_before_the_commit() {
    let clock = clock();
    let commits_take = Some((Arc::clone(&clock), Duration::from_secs(20)));
    let remote = Arc::new(Remote { commits_take, ..Remote::to(MemoryStore::new()) });
    let cache = over(Arc::clone(&remote), &clock);
    insert(&cache, "one", "1");
    for (seconds, questions) in [(9, 0), (1, 1)] {
        clock.advance(Duration::from_secs(seconds));
        let asked = remote.asked();
        assert!(find(&cache, "one").expect("reach").is_some());
        assert_eq!(remote.asked() - asked, questions, "another writer may have come right after the commit");
    }
}

#[test]
fn strict_asks_every_time() {
    let clock = clock();
    let memory = MemoryStore::new();
    let near = over(memory.clone(), &clock);
    let remote = Remote::over(memory);
    let far = PersistedTokenCache::builder(Arc::clone(&remote))
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .freshness(Freshness::Strict)
        .build();
    insert(&near, "one", "1");
    assert!(find(&far, "one").expect("reach").is_some());
    pollster::block_on(near.remove_partition(&P)).expect("remove");
    assert!(find(&far, "one").expect("reach").is_none());
    remote.cut(true);
    assert_eq!(find(&far, "one").expect_err("cut off").kind(), ErrorKind::Unavailable);
}

#[test]
fn an_outage_serves_what_is_still_good_and_is_never_a_miss() {
    let clock = clock();
    let remote = Remote::over(MemoryStore::new());
    let cache = over(Arc::clone(&remote), &clock);
    insert(&cache, "one", "1");
    remote.cut(true);
    clock.advance(Duration::from_secs(60));
    assert_eq!(find(&cache, "one").expect("served stale").as_deref(), Some("1"));
    assert_eq!(find(&cache, "two").expect_err("not a miss").kind(), ErrorKind::Unavailable);
    let called = std::cell::Cell::new(false);
    let update = pollster::block_on(cache.update(&P, |_| called.set(true)));
    assert_eq!(update.expect_err("not an empty partition").kind(), ErrorKind::Unavailable);
    assert!(!called.get());
    assert_eq!(cache.stats().stale_hits, 1);
    clock.advance(Duration::from_secs(3600));
    assert!(find(&cache, "one").is_err(), "expired");
}

#[test]
fn a_refresh_does_not_undo_a_sign_out_but_a_sign_in_stands() {
    let clock = clock();
    let store = MemoryStore::new();
    let (a, b) = (over(store.clone(), &clock), over(store, &clock));
    let response = || TokenResponse {
        access_token: Some(token("s", "AT")),
        refresh_token: Some(RefreshToken {
            home_account_id: "alice".into(),
            environment: "login.windows.net".into(),
            client_id: "client".into(),
            secret: "RT".into(),
            ..RefreshToken::default()
        }),
        account: Some(account()),
        ..TokenResponse::default()
    };
    let sign_out = |tokens: &mut TokenCache| {
        tokens.remove_account("alice", "login.microsoftonline.com");
    };
    pollster::block_on(a.update(&P, |tokens| tokens.sign_in(response()))).expect("update").value.expect("complete");
    let late = pollster::block_on(a.update(&P, |tokens| {
        pollster::block_on(b.update(&P, sign_out)).expect("update").skipped.clear();
        tokens.insert_response(TokenResponse { access_token: Some(token("s", "AT-2")), ..response() })
    }));
    let skipped = late.expect("update").skipped;
    assert!(!skipped.is_empty() && skipped.iter().all(|(_, skip)| *skip == Skip::GuardGone), "{skipped:?}");
    assert_eq!(pollster::block_on(a.read(&P, TokenCache::len)).expect("read"), 0);
    let again = pollster::block_on(a.update(&P, |tokens| {
        pollster::block_on(b.update(&P, sign_out)).expect("update").skipped.clear();
        tokens.sign_in(response())
    }));
    assert!(again.expect("update").skipped.is_empty());
    assert_eq!(pollster::block_on(b.read(&P, TokenCache::len)).expect("read"), 3);
}

#[test]
fn libraries_with_whole_documents_lose_nothing() {
    let clock = clock();
    let store = MemoryStore::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let (a, b) = (over(store.clone(), &clock), over(store, &clock));
    let with = |access: &Access, scope: &str| {
        let mut theirs = TokenCache::deserialize(access.document().unwrap_or_default()).expect("our document");
        theirs.insert(token(scope, scope)).expect("complete");
        theirs.serialize()
    };
    for n in 0..20 {
        let context = AccessContext::new(&P);
        let first = pollster::block_on(a.before_access(&context)).expect("before");
        let second = pollster::block_on(b.before_access(&context)).expect("before");
        let (one, two) = (with(&first, &format!("a-{n}")), with(&second, &format!("b-{n}")));
        assert!(pollster::block_on(first.after_access(Some(one.expose()))).expect("after").is_empty());
        assert!(pollster::block_on(second.after_access(Some(two.expose()))).expect("after").is_empty());
    }
    assert_eq!(pollster::block_on(a.read(&P, TokenCache::len)).expect("read"), 40);
}

#[test]
fn a_broken_document_is_not_stored() {
    let clock = clock();
    let cache = over(MemoryStore::new(), &clock);
    insert(&cache, "one", "1");
    let access = pollster::block_on(cache.before_access(&AccessContext::new(&P))).expect("before");
    assert!(access.document().is_some());
    let error = pollster::block_on(access.after_access(Some(b"{\"AccessToken\":"))).expect_err("torn");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(find(&cache, "one").expect("reach").is_some());
}

#[test]
fn the_resident_partitions_are_bounded() {
    let store = MemoryStore::new();
    let cache = PersistedTokenCache::builder(store).resident_bytes(200_000).build();
    for n in 0..200 {
        let partition = PartitionKey::user(&format!("user-{n}"));
        let updated =
            pollster::block_on(cache.update(&partition, |tokens| tokens.insert(token("s", &"x".repeat(2000)))));
        updated.expect("update").value.expect("complete");
        assert!(cache.stats().resident_bytes <= 200_000);
    }
    let stats = cache.stats();
    assert!(stats.resident_partitions > 10 && stats.resident_partitions < 100, "{stats:?}");
}

/// A document store that fails every write after `edit` was called.
#[derive(Debug)]
struct ReadOnly;

#[async_trait]
impl DocumentStore for ReadOnly {
    fn name(&self) -> &'static str {
        "read-only"
    }

    async fn read(&self, _: &PartitionKey) -> Result<Option<StoredDocument>> {
        Ok(None)
    }

    async fn modify(&self, _: &PartitionKey, mut edit: EditFn) -> Result<Modified> {
        edit(None)?;
        Err(Error::new(ErrorKind::Denied, "this place cannot be written to"))
    }

    async fn partitions(&self, _: Option<&PartitionKey>, _: usize) -> Result<Vec<PartitionKey>> {
        Ok(Vec::new())
    }
}

#[test]
fn a_failed_commit_is_the_caller_s_to_know_and_leaves_memory_as_it_was() {
    let clock = clock();
    let cache = over(Documents::new(ReadOnly), &clock);
    let error = pollster::block_on(cache.update(&P, |tokens| tokens.insert(token("s", "AT")))).expect_err("denied");
    assert_eq!((error.kind(), error.store()), (ErrorKind::Denied, Some("read-only")));
    assert!(find(&cache, "s").expect("reach").is_none());
}

#[test]
fn futures_are_send() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let cache = PersistedTokenCache::builder(MemoryStore::new()).build();
    let query = AccessTokenQuery::app("client", "s");
    drop(is_send(cache.read(&P, TokenCache::len)));
    drop(is_send(cache.update(&P, |tokens| tokens.insert(token("s", "AT")))));
    drop(is_send(cache.access_token(&P, &query)));
    drop(is_send(cache.before_access(&AccessContext::new(&P))));
}

#[test]
fn a_late_answer_does_not_bring_old_content_back() {
    let clock = clock();
    let remote = Remote::over(MemoryStore::new());
    let cache = over(Arc::clone(&remote), &clock);
    insert(&cache, "one", "1");
    // The first update has loaded and changed its copy; the second one, in the same process, signs out meanwhile.
    let late = pollster::block_on(cache.update(&P, |tokens| {
        let sign_out = cache.update(&P, |tokens| tokens.remove_account("alice", "login.windows.net"));
        assert!(pollster::block_on(sign_out).expect("update").value);
        tokens.insert(AccessToken { home_account_id: Some("bob".into()), ..token("two", "2") })
    }));
    late.expect("update").value.expect("complete");
    assert!(find(&cache, "one").expect("reach").is_none(), "within the window, but known to be old");
}

#[test]
fn known_old_content_is_not_served_in_an_outage() {
    let clock = clock();
    let memory = MemoryStore::new();
    let remote = Remote::over(memory.clone());
    let (near, far) = (over(memory, &clock), over(Arc::clone(&remote), &clock));
    insert(&near, "one", "1");
    assert!(find(&far, "one").expect("reach").is_some());
    pollster::block_on(near.remove_partition(&P)).expect("remove");
    clock.advance(Duration::from_secs(60));
    // The stamp tells that it changed; then the store is gone.
    remote.leaves.store(true, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(find(&far, "one").expect_err("known to be old").kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn a_partition_that_fits_the_bound_is_kept() {
    let cache = PersistedTokenCache::builder(MemoryStore::new()).resident_bytes(1 << 20).build();
    let updated = pollster::block_on(cache.update(&P, |tokens| tokens.insert(token("s", &"x".repeat(700_000)))));
    updated.expect("update").value.expect("complete");
    assert_eq!(cache.stats().resident_partitions, 1);
}

#[test]
fn an_empty_document_is_no_sign_out() {
    let clock = clock();
    let cache = over(MemoryStore::new(), &clock);
    insert(&cache, "one", "1");
    let access = pollster::block_on(cache.before_access(&AccessContext::new(&P))).expect("before");
    let error = pollster::block_on(access.after_access(Some(b""))).expect_err("nothing in place of something");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(find(&cache, "one").expect("reach").is_some());
}
