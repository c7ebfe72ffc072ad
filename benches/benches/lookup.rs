//! Lookups in memory and through the persisted cache, each group beside its limit: a key built from its five parts, a
//! foldhash probe of a hash map, a clone of the handle, for the same 2,000 hot probes.

use std::hint::black_box;
use std::time::Duration;

use benches::{
    Asked, BuiltKeyMap, Population, Probe, Remote, beside_writer, fill, hit, is_full, lookups_of_threads, persisted,
    probes, same_tokens,
};
use cache_core::{Freshness, MemoryStore};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn lookup(criterion: &mut Criterion) {
    for (name, population) in [
        ("lookup, users", Population::Users),
        ("lookup, on behalf of", Population::OnBehalfOf),
        ("lookup, app, a tenant per token", Population::App),
        ("lookup, one account", Population::OneAccount),
        ("lookup, one app tenant", Population::OneTenant),
    ] {
        let mut group = quick(criterion, name);
        for tokens in sizes() {
            let cache = population.cache(tokens);
            let map = BuiltKeyMap::of(&cache);
            let exact = probes(population, tokens, Asked::Exact);
            in_turn(&mut group, "limit: built key, probe, clone", tokens, &exact, |probe| map.look_up(probe));
            in_turn(&mut group, "exact", tokens, &exact, |probe| probe.look_up(&cache));
            for (name, asked) in [("subset", Asked::Subset), ("miss", Asked::Miss), ("expired", Asked::Expired)] {
                // The tokens of applications have one scope.
                if asked == Asked::Subset && matches!(population, Population::App | Population::OneTenant) {
                    continue;
                }
                let probes = probes(population, tokens, asked);
                in_turn(&mut group, name, tokens, &probes, |probe| probe.look_up(&cache));
            }
        }
    }
}

/// Through the persisted cache over memory, whose stamp costs next to nothing, and within the freshness window.
fn resident(criterion: &mut Criterion) {
    let mut group = quick(criterion, "lookup, resident partition");
    for tokens in [10, 1_000, 100_000] {
        let content = Population::Users.cache(tokens);
        let probes = probes(Population::Users, tokens, Asked::Exact);
        in_turn(&mut group, "limit: the cache alone", tokens, &probes, |probe| probe.look_up(&content));
        let stamped = persisted(MemoryStore::new(), Freshness::default());
        fill(&stamped, &content);
        in_turn(&mut group, "stamp at once", tokens, &probes, |probe| pollster::block_on(hit(&stamped, probe)));
        let window = persisted(Remote(MemoryStore::new()), Freshness::default());
        fill(&window, &content);
        in_turn(&mut group, "freshness window", tokens, &probes, |probe| pollster::block_on(hit(&window, probe)));
    }
}

/// Several threads on one cache, asking for the same tokens: the rate is that of all of them.
fn threads(criterion: &mut Criterion) {
    let mut group = quick(criterion, "lookup, threads");
    for tokens in [1_000, 100_000] {
        let content = Population::Users.cache(tokens);
        let map = BuiltKeyMap::of(&content);
        let cache = persisted(Remote(MemoryStore::new()), Freshness::default());
        fill(&cache, &content);
        for threads in [1, 2, 4] {
            let sets = same_tokens(threads, || probes(Population::Users, tokens, Asked::Exact));
            let sets: Vec<&[Probe]> = sets.iter().map(|set| &set[..]).collect();
            group.throughput(Throughput::Elements(threads as u64));
            let mut on_threads = |name: &str, ask: &(dyn Fn(&Probe) + Sync)| {
                group.bench_function(BenchmarkId::new(format!("{name}, {threads} threads"), tokens), |bencher| {
                    bencher.iter_custom(|lookups| lookups_of_threads(&sets, lookups, ask));
                });
            };
            on_threads("limit: built key, probe, clone", &|probe| drop(black_box(map.look_up(probe))));
            on_threads("the cache alone", &|probe| drop(black_box(probe.look_up(&content))));
            on_threads("resident partition", &|probe| drop(black_box(pollster::block_on(hit(&cache, probe)))));
        }
    }
}

/// A reader while another thread commits a change every 10 ms.
fn writer(criterion: &mut Criterion) {
    let mut group = quick(criterion, "lookup, beside a writer");
    for tokens in [1_000, 100_000] {
        let cache = persisted(MemoryStore::new(), Freshness::default());
        fill(&cache, &Population::Users.cache(tokens));
        let probes = probes(Population::Users, tokens, Asked::Exact);
        let ask = |probe: &Probe| pollster::block_on(hit(&cache, probe));
        in_turn(&mut group, "limit: no writer", tokens, &probes, ask);
        beside_writer(&cache, Population::Users, tokens, || {
            in_turn(&mut group, "100 commits a second", tokens, &probes, ask);
        });
    }
}

fn in_turn<R>(group: &mut Group<'_>, name: &str, tokens: usize, probes: &[Probe], ask: impl Fn(&Probe) -> R) {
    let mut turn = probes.iter().cycle();
    group.bench_function(BenchmarkId::new(name, tokens), |bencher| {
        bencher.iter(|| ask(black_box(turn.next().expect("a cycle has no end"))));
    });
}

/// Lookups take less than a microsecond: a second tells enough.
fn quick<'c>(criterion: &'c mut Criterion, name: &str) -> Group<'c> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(30).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    group
}

fn sizes() -> Vec<usize> {
    let mut sizes = vec![10, 1_000, 10_000, 100_000];
    if is_full() {
        sizes.push(1_000_000);
    }
    sizes
}

criterion_group!(benches, lookup, resident, threads, writer);
criterion_main!(benches);
