//! What a lookup costs: in the cache alone, and through the persisted cache. Each group runs its physical limit beside it:
//! a probe of a hash map with a key that is ready, and a clone of what it finds.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use benches::{CLIENT, HOST, NOW, PER_ACCOUNT, app, home_account_id, one_user, scope, tenant, users};
use cache_core::{AccessTokenQuery, Clock, ManualClock, MemoryStore, PartitionKey, PersistedTokenCache, TokenCache};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// Queries that are asked in turn, spread over the whole cache.
const PROBES: usize = 1_000;

struct Probe {
    home: String,
    realm: String,
    scopes: String,
}

impl Probe {
    fn user(&self) -> AccessTokenQuery<'_> {
        AccessTokenQuery::user(&self.home, CLIENT, &self.scopes).with_realm(&self.realm).with_environment(HOST)
    }

    fn app(&self) -> AccessTokenQuery<'_> {
        AccessTokenQuery::app(CLIENT, &self.scopes).with_realm(&self.realm).with_environment(HOST)
    }
}

/// Probes of tokens that are there: `exact` asks for every scope of the token, else for one.
fn probes(tokens: usize, exact: bool, of: impl Fn(usize) -> (String, String, usize)) -> Vec<Probe> {
    let probe = |n: usize| {
        let (home, realm, resource) = of(n * 7_919 % tokens);
        let read = scope(resource);
        let scopes = if exact { format!("{read} https://resource-{resource}.example/Data.Write") } else { read };
        Probe { home, realm, scopes }
    };
    (0..PROBES).map(probe).collect()
}

fn of_users(n: usize) -> (String, String, usize) {
    (home_account_id(n / PER_ACCOUNT), tenant(n / 5 % 2), n % 5)
}

fn cycle<'p>(probes: &'p [Probe]) -> impl FnMut() -> &'p Probe {
    let mut next = 0;
    move || {
        next = (next + 1) % probes.len();
        &probes[next]
    }
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for size in SIZES {
        let cache = users(size);
        for (name, exact) in [("user exact", true), ("user subset", false)] {
            let probes = probes(size, exact, of_users);
            let mut next = cycle(&probes);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| cache.access_token(black_box(&next().user()), NOW).map(Arc::clone).expect("a hit"));
            });
        }
        let mut missing = probes(size, false, of_users);
        for probe in &mut missing {
            probe.scopes.push_str(".Other");
        }
        let mut next = cycle(&missing);
        group.bench_function(BenchmarkId::new("user miss", size), |bencher| {
            bencher.iter(|| assert!(cache.access_token(black_box(&next().user()), NOW).is_none()));
        });
        limit(&mut group, &cache, size);

        let (crowd, one) = (app(size), one_user(size));
        let tenants = probes(size, false, |n| (String::new(), tenant(n), 0));
        let mut next = cycle(&tenants);
        group.bench_function(BenchmarkId::new("app, a tenant per token", size), |bencher| {
            bencher.iter(|| crowd.access_token(black_box(&next().app()), NOW).map(Arc::clone).expect("a hit"));
        });
        let resources = probes(size, false, |n| (home_account_id(0), tenant(0), n));
        let mut next = cycle(&resources);
        group.bench_function(BenchmarkId::new("one user, all tokens", size), |bencher| {
            bencher.iter(|| one.access_token(black_box(&next().user()), NOW).map(Arc::clone).expect("a hit"));
        });
    }
    group.finish();
}

/// A hash map with the key text at hand: no query can be cheaper in this process.
fn limit(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>, cache: &TokenCache, size: usize) {
    let map: HashMap<String, Arc<_>> =
        cache.access_tokens().map(|(id, token)| (id.key().to_owned(), Arc::clone(token))).collect();
    let keys: Vec<&String> = map.keys().step_by((map.len() / PROBES).max(1)).collect();
    let mut next = 0;
    group.bench_function(BenchmarkId::new("limit: a ready key in a hash map", size), |bencher| {
        bencher.iter(|| {
            next = (next + 1) % keys.len();
            map.get(black_box(keys[next])).map(Arc::clone).expect("a hit")
        });
    });
}

fn persisted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("persisted, memory store");
    for size in [10, 1_000, 100_000] {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
        let cache = PersistedTokenCache::builder(MemoryStore::with_clock(Arc::clone(&clock)))
            .clock(clock)
            .resident_bytes(4 << 30)
            .build();
        let partition = PartitionKey::Shared;
        let content = users(size);
        let updated = pollster::block_on(cache.update(&partition, |tokens| {
            content.entries().for_each(|entry| tokens.insert_entry(entry));
        }));
        assert!(updated.expect("memory does not fail").skipped.is_empty());
        let probes = probes(size, false, of_users);
        let mut next = cycle(&probes);
        group.bench_function(BenchmarkId::new("user subset", size), |bencher| {
            bencher.iter(|| {
                let found = pollster::block_on(cache.access_token(&partition, black_box(&next().user())));
                found.expect("memory does not fail").expect("a hit")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookup, persisted);
criterion_main!(benches);
