//! Answers of resident content: at once, the same on both sides, and all of them counted.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

#[test]
fn a_hit_is_ready_at_once_and_its_future_small() {
    let clock = clock();
    let near = over(MemoryStore::new(), &clock);
    let far = over(Remote::over(MemoryStore::new()), &clock);
    for cache in [near, far] {
        insert(&cache, "one", "1");
        let query = AccessTokenQuery::user("alice", "client", "one").with_realm("home");
        let hit = cache.access_token(&P, &query);
        assert!(size_of_val(&hit) <= 128, "{} bytes", size_of_val(&hit));
        let polled = pin!(hit).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(Some(_)))));
    }
}

#[test]
fn the_blocking_side_answers_as_the_async_one_does() {
    let clock = clock();
    let remote = Remote::over(MemoryStore::new());
    let cache = over(Arc::clone(&remote), &clock);
    let blocking = crate::blocking::PersistedTokenCache::new(cache.clone());
    let [one, two] = ["one", "two"].map(|scope| AccessTokenQuery::user("alice", "client", scope).with_realm("home"));
    assert!(blocking.access_token(&P, &one).expect("reach").is_none());
    insert(&cache, "one", "1");
    assert!(blocking.access_token(&P, &one).expect("reach").is_some());
    assert!(blocking.access_token(&P, &two).expect("reach").is_none());
    remote.cut(true);
    clock.advance(Duration::from_secs(60));
    assert!(blocking.access_token(&P, &one).expect("served stale").is_some());
    assert!(blocking.access_token(&P, &two).is_err());
    let stats = blocking.stats();
    assert_eq!((stats.hits, stats.misses, stats.stale_hits, stats.errors), (1, 2, 1, 2));
}

#[test]
fn what_many_threads_count_is_exact() {
    let clock = clock();
    let cache = over(MemoryStore::new(), &clock);
    insert(&cache, "one", "1");
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| (0..100).for_each(|_| assert!(find(&cache, "one").expect("reach").is_some())));
        }
    });
    assert_eq!(cache.stats().hits, 4000);
}
