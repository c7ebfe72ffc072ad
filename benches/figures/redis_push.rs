//! What one node of a Redis store changes, seen by another that the server tells of it; and what a hit costs there.
//!
//! The server is this program's own, on a port of 127.0.0.1. Without `redis-server` the section is left out.

use std::time::{Duration, Instant};

use benches::measure::{async_passes, interleaved, nanoseconds, quantile};
use benches::{Asked, Population, fill, hit, persisted, probes};
use cache_core::{AccessTokenQuery, Freshness, MemoryStore, PartitionKey, PersistedTokenCache};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::{ALICE, token};
use cache_testkit::redis::{Server, is_installed};
use tokio::runtime::Runtime;

use crate::BLOCK;
use crate::table::{Table, Target, Time};

/// Fewer than would not be resident whole.
const TOKENS: usize = 500;
const ROUNDS: usize = 201;
const CHANGES: usize = 1_000;
/// Users whose tokens are changed in turn, each in a partition of its own.
const USERS: usize = 100;
/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How late a change may be seen, in nanoseconds.
const LAG: f64 = 100e6;

pub(crate) fn measure(table: &mut Table) {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the system gives threads");
    resident_hit(table, &server, &runtime);
    lag(table, &server, &runtime);
}

/// A cache that the server tells what changes.
fn node(server: &Server, runtime: &Runtime, prefix: &str) -> PersistedTokenCache {
    let store = RedisStore::at(server.url()).prefix(prefix).runtime(runtime.handle().clone());
    // Large commits are given time, and so is a loaded machine.
    let store = store.deadline(PATIENCE).validation_deadline(PATIENCE).insecure_plaintext();
    let store = store.open().expect("a usable address");
    let cache = persisted(store.clone(), Freshness::push());
    let began = Instant::now();
    while !store.stats().watching {
        assert!(began.elapsed() < PATIENCE, "the server pushes no changes");
        std::thread::sleep(Duration::from_millis(1));
    }
    cache
}

fn resident_hit(table: &mut Table, server: &Server, runtime: &Runtime) {
    let content = Population::Users.cache(TOKENS);
    let probes = probes(Population::Users, TOKENS, Asked::Exact);
    let (pushed, memory) = (node(server, runtime, "hit"), persisted(MemoryStore::new(), Freshness::default()));
    for cache in [&pushed, &memory] {
        fill(cache, &content);
    }
    let loads = pushed.stats().loads;
    let [ours, limit] = interleaved(
        ROUNDS,
        [
            async_passes(&probes, BLOCK, async |probe| hit(&pushed, probe).await),
            async_passes(&probes, BLOCK, async |probe| hit(&memory, probe).await),
        ],
    );
    assert_eq!(pushed.stats().loads, loads, "something changed under the measurement");
    table.times(
        "Redis: a resident hit that changes are pushed to",
        "`PersistedTokenCache::access_token` with `Freshness::Push`, exact hits among 500 user tokens that nobody changes; limit: \
         the same over `MemoryStore`",
        [&ours, &limit],
        Target::AtMost(2.0),
    );
}

fn lag(table: &mut Table, server: &Server, runtime: &Runtime) {
    const MEASURED: &str = "from the end of `PersistedTokenCache::update` on one node, which renews the only token of a user, to the \
                            first hit on another node that answers the new one, asked without a pause; 1,000 changes to 100 users, \
                            both nodes in one process";
    let [near, far] = [(); 2].map(|()| node(server, runtime, "lag"));
    let query = AccessTokenQuery::user(ALICE, "client", "api://api/.default").with_realm("home");
    let users: Vec<_> = (0..USERS).map(|user| PartitionKey::user(&user.to_string())).collect();
    let renew = |partition: &PartitionKey, n: usize| {
        let mut token = token("api", near.now());
        token.secret = n.to_string().into();
        let updated = pollster::block_on(near.update(partition, |tokens| tokens.insert(token)));
        updated.expect("the server is there").value.expect("a complete token");
    };
    let is_seen = |partition: &PartitionKey, n: usize| {
        let found = pollster::block_on(far.access_token(partition, &query)).expect("the server is there");
        found.expect("a hit").secret.expose() == n.to_string()
    };
    for partition in &users {
        renew(partition, 0);
        assert!(is_seen(partition, 0));
    }
    let lags: Vec<f64> = (1..=CHANGES)
        .map(|n| {
            let partition = &users[n % USERS];
            renew(partition, n);
            let began = Instant::now();
            while !is_seen(partition, n) {
                assert!(began.elapsed() < PATIENCE, "the change is not seen");
            }
            nanoseconds(began.elapsed())
        })
        .collect();
    let [half, most] = [0.5, 0.99].map(|share| quantile(&lags, share));
    table.value("Redis: a pushed change is seen, p50", MEASURED, Time(half), None);
    table.value(
        "Redis: a pushed change is seen, p99",
        MEASURED,
        Time(most),
        Some(("<= 100 ms".to_owned(), most <= LAG)),
    );
}
