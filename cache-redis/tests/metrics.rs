//! What a store counts stands on the page of an exporter, under the names of the crate's page: each once it should, what goes
//! up comes down again, and no label says whose it is.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cache_core::{CacheStore as _, Freshness, PersistedTokenCache, TokenCache};
use cache_crypto::{Envelope, Key, KeyRing};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::redis::{Server, is_installed};
use cache_testkit::secrets::{Exposure, capture_traces};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use common::{
    SHARED, SHORT, at, at_url, block_on, connected, entries, entry_field, failure, impatient, number, only_partition,
    protector, proxy, set_field, wait_until,
};

/// An exporter of a test's own.
struct Page(PrometheusRecorder);

impl Page {
    fn new() -> Self {
        Self(PrometheusBuilder::new().build_recorder())
    }

    fn open(&self, store: RedisStoreBuilder) -> RedisStore {
        metrics::with_local_recorder(&self.0, || store.open()).expect("a usable address")
    }

    fn text(&self) -> String {
        self.0.handle().render()
    }

    /// What the page says of this series.
    #[track_caller]
    fn get(&self, series: &str) -> u64 {
        number(&self.text(), series)
    }

    /// Depth and bytes of the queue, and what became of commits that were queued.
    fn queue(&self) -> [u64; 4] {
        let commits = ["queued", "replayed", "dropped"];
        let [queued, replayed, dropped] =
            commits.map(|event| self.get(&format!("token_cache_queue_commits{{event=\"{event}\"}}")));
        let depth = self.get("token_cache_queue_depth");
        assert_eq!(self.get("token_cache_queue_bytes") > 0, depth > 0);
        [depth, queued, replayed, dropped]
    }
}

#[test]
fn an_outage_shows_and_so_does_its_end() {
    if !is_installed() {
        return;
    }
    let page = Page::new();
    let mut server = Server::options().appendonly().start();
    let patient = [(); 2].map(|()| page.open(at(&server).protector(protector())));
    assert_eq!(page.get("token_cache_connections"), 0);
    for store in &patient {
        put(store, &SHARED, "before").expect("written");
    }
    assert_eq!(page.get("token_cache_connections"), 2);
    assert_eq!((page.get("token_cache_breaker_state"), page.get("token_cache_unanswered")), (0, 0));
    assert_eq!(page.queue(), [0, 0, 0, 0]);
    drop(patient);

    // From here on nobody waits for long.
    let open = || connected(page.open(impatient(&server).queue(2, 1 << 20).protector(protector())));
    let (store, other) = (open(), open());
    assert_eq!((page.get("token_cache_breaker_state"), page.queue()), (0, [0, 0, 0, 0]));
    server.kill();
    for n in 0..5 {
        failure(put(&store, &SHARED, &format!("{n}")));
    }
    assert_eq!(page.queue(), [2, 5, 0, 3], "there is room for two");
    wait_until(|| {
        failure(keys(&store, &SHARED));
        page.get("token_cache_breaker_state") == 1
    });
    // The task that looks for the server goes on asking.
    wait_until(|| page.get("token_cache_unanswered") == store.stats().unanswered + other.stats().unanswered);
    failure(put(&other, &SHARED, "of another one"));
    assert_eq!(page.queue(), [3, 6, 0, 3], "the sum of both");
    drop(other);
    // The task that looks for the server holds the store now and then.
    wait_until(|| page.get("token_cache_queue_depth") == 2);
    assert_eq!(page.queue(), [2, 6, 0, 3], "what it had queued is gone");

    server.restart();
    wait_until(|| store.stats().queued_now == 0);
    assert_eq!(page.queue(), [0, 6, 2, 3]);
    wait_until(|| page.get("token_cache_breaker_state") == 0);
    let stats = store.stats();
    assert_eq!((stats.queued, stats.replayed, stats.dropped), (5, 2, 3));
}

#[test]
fn a_store_that_ends_in_an_outage_takes_its_share_along() {
    if !is_installed() {
        return;
    }
    let page = Page::new();
    let mut server = Server::start();
    let store = page.open(impatient(&server).protector(protector()));
    server.kill();
    wait_until(|| {
        failure(keys(&store, &SHARED));
        page.get("token_cache_breaker_state") == 1
    });
    drop(store);
    wait_until(|| page.get("token_cache_breaker_state") == 0);
}

#[test]
fn entries_that_cannot_be_read_are_told_apart() {
    if !is_installed() {
        return;
    }
    let page = Page::new();
    let server = Server::start();
    let unreadable =
        || ["damaged", "other_key"].map(|why| page.get(&format!("token_cache_unreadable{{why=\"{why}\"}}")));
    let store = page.open(at(&server).protector(protector()));
    put(&store, &SHARED, "a").expect("written");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
    assert_eq!(unreadable(), [0, 0]);

    let partition = only_partition(&server, "token-cache");
    for tag in entries(&server, &partition).keys() {
        set_field(&server, &partition, &entry_field(tag), b"damaged");
    }
    assert!(keys(&store, &SHARED).expect("read").is_empty());
    assert_eq!(unreadable(), [1, 0]);
    assert_eq!(store.stats().unreadable, 1);

    // A node that has the next key already writes what this one cannot open.
    let [next, present] = [9, 7].map(|seed| KeyRing::from(Key::from_bytes(&[seed; Key::LEN])));
    let ahead = at(&server).protector(Arc::new(Envelope::with_key_ring(next.and(present))));
    put(&ahead.open().expect("a usable address"), &SHARED, "b").expect("written");
    keys(&store, &SHARED).expect("read");
    assert_eq!(unreadable()[1], 1);
    assert_eq!(unreadable().iter().sum::<u64>(), store.stats().unreadable);
}

#[test]
fn pushed_changes_are_counted_while_servers_are_watched() {
    if !is_installed() {
        return;
    }
    let page = Page::new();
    let mut server = Server::start();
    let far = page.open(at(&server).protector(protector()));
    assert_eq!(page.get("token_cache_watching"), 0);
    let cache = PersistedTokenCache::builder(far.clone()).freshness(Freshness::push()).build();
    wait_until(|| page.get("token_cache_watching") == 1);
    let near = at(&server).protector(protector()).open().expect("a usable address");
    assert!(block_on(cache.read(&SHARED, TokenCache::is_empty)).expect("read"));
    put(&near, &SHARED, "a").expect("written");
    // More of them may come meanwhile.
    wait_until(|| page.get("token_cache_notices") >= 1 && page.get("token_cache_notices") == far.stats().notices);
    server.kill();
    wait_until(|| page.get("token_cache_watching") == 0);
}

#[test]
fn what_an_operator_must_know_is_told_once() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let is_away = Arc::new(AtomicBool::new(false));
    let url = proxy::in_front_of(&server, {
        let is_away = Arc::clone(&is_away);
        move |_| is_away.load(Ordering::SeqCst).then(|| b"-LOADING Redis is loading the dataset in memory\r\n".to_vec())
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads");
    let store = RedisStore::at(&url).deadline(SHORT).validation_deadline(SHORT).protector(protector());
    let store = store.open().expect("a usable address");
    wait_until(|| runtime.block_on(store.stamp(&SHARED)).is_ok());
    // On this thread alone, whose traces are captured.
    let traces = capture_traces(|| {
        runtime.block_on(async {
            is_away.store(true, Ordering::SeqCst);
            for _ in 0..9 {
                failure(store.remove(&SHARED).await);
            }
            is_away.store(false, Ordering::SeqCst);
            store.flush(Duration::from_secs(60)).await.expect("the server is back");
        });
    });
    for (level, event) in [
        ("WARN", "the server does not answer"),
        ("WARN", "the server takes no commits"),
        ("INFO", "the server answers again"),
        ("INFO", "all queued commits are written"),
    ] {
        let told: Vec<_> = traces.lines().filter(|line| line.contains(event)).collect();
        assert!(matches!(told[..], [one] if one.contains(level)), "{event}: {told:?}");
    }
}

#[test]
fn no_label_says_whose_it_is() {
    if !is_installed() {
        return;
    }
    let check = Exposure::new();
    let page = Page::new();
    let server = Server::start();
    let store = page.open(at_url(&server.url()).prefix(check.session.text()).protector(protector()));
    let cache = metrics::with_local_recorder(&page.0, || PersistedTokenCache::builder(store.clone()).build());
    check.use_all(&store);
    for partition in check.partitions() {
        let removed = block_on(cache.remove_account_everywhere(check.home.text(), "login.windows.net"));
        removed.expect("reach");
        assert!(block_on(cache.read(&partition, |_| ())).is_ok());
    }
    let text = page.text();
    for planted in check.all() {
        planted.assert_absent_from(&text);
    }
    assert!(text.lines().count() > 60, "{text}");
}
