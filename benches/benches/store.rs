//! What a store costs: an access when nothing changed, the save of one change, a cold open; beside the limits: one stat,
//! and serialize + seal + write + fsync + rename of the same content by hand.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use benches::disk::{CommitParts, stat};
use benches::{Asked, PARTITION, Population, Remote, fill, hit, persisted, probes, save_one_change};
use cache_core::{CacheStore, Freshness, MemoryStore, Protector, TokenCache, blocking};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;
use cache_sqlite::SqliteStore;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};

/// A store under a protection.
struct Subject {
    name: &'static str,
    /// Opens the store anew, on what it held before.
    open: Box<dyn Fn() -> Arc<dyn CacheStore>>,
}

impl Subject {
    fn of<S: CacheStore>(name: &'static str, open: impl Fn() -> S + 'static) -> Self {
        Self { name, open: Box::new(move || Arc::new(open())) }
    }
}

/// Every store, each in a place of its own within `directory`. A further store is a further line.
fn subjects(directory: &Path, protector: &Arc<dyn Protector>) -> Vec<Subject> {
    let (memory, protector) = (MemoryStore::new(), Arc::clone(protector));
    let (plain, sealed) = (FileStore::at(directory.join("plain")), FileStore::at(directory.join("sealed")));
    let (plain, sealed) = (plain.plaintext(), sealed.protector(Arc::clone(&protector)));
    let [open_rows, sealed_rows] = ["plain.db", "sealed.db"].map(|name| SqliteStore::at(directory.join(name)));
    let (open_rows, sealed_rows) = (open_rows.plaintext(), sealed_rows.protector(protector));
    vec![
        Subject::of("memory", move || memory.clone()),
        Subject::of("file, plaintext", move || plain.clone().open().expect("a usable path")),
        Subject::of("file, encrypted", move || sealed.clone().open().expect("a usable path")),
        Subject::of("sqlite, plaintext", move || open_rows.clone().open().expect("a usable path")),
        Subject::of("sqlite, encrypted", move || sealed_rows.clone().open().expect("a usable path")),
    ]
}

fn store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let protector: Arc<dyn Protector> =
        Arc::new(Envelope::with_key(Key::generate().expect("the system's random numbers")));
    for tokens in [10, 1_000] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let content = Population::Users.cache(tokens);
        for subject in subjects(directory.path(), &protector) {
            one_store(&mut group, &subject, tokens, &content);
        }
        limits(&mut group, directory.path(), &*protector, tokens, &content);
    }
    group.finish();
}

fn one_store(group: &mut BenchmarkGroup<'_, WallTime>, subject: &Subject, tokens: usize, content: &TokenCache) {
    let name = |what: &str| BenchmarkId::new(format!("{}: {what}", subject.name), tokens);
    let probes = probes(Population::Users, tokens, Asked::Exact);
    let mut turn = probes.iter().cycle();
    let mut next = || black_box(turn.next().expect("a cycle has no end"));

    let cache = persisted((subject.open)(), Freshness::Strict);
    fill(&cache, content);
    group.bench_function(name("no change, async"), |bencher| {
        bencher.iter_custom(|calls| {
            pollster::block_on(async {
                let started = std::time::Instant::now();
                for _ in 0..calls {
                    black_box(hit(&cache, next()).await);
                }
                started.elapsed()
            })
        });
    });
    let same = blocking::PersistedTokenCache::new(cache.clone());
    group.bench_function(name("no change, blocking"), |bencher| {
        bencher.iter(|| same.access_token(&PARTITION, &next().query()).expect("reach").expect("a hit"));
    });
    let window = persisted(Remote((subject.open)()), Freshness::default());
    pollster::block_on(hit(&window, next()));
    group.bench_function(name("within the freshness window"), |bencher| {
        bencher.iter(|| pollster::block_on(hit(&window, next())));
    });
    let mut serial = 0;
    group.bench_function(name("save of one change"), |bencher| {
        bencher.iter(|| {
            serial += 1;
            save_one_change(&cache, Population::Users, tokens, serial);
        });
    });
    group.bench_function(name("cold open and hit"), |bencher| {
        bencher.iter(|| pollster::block_on(hit(&persisted((subject.open)(), Freshness::Strict), next())));
    });
}

fn limits(
    group: &mut BenchmarkGroup<'_, WallTime>,
    directory: &Path,
    protector: &dyn Protector,
    tokens: usize,
    content: &TokenCache,
) {
    let name = |what: &str| BenchmarkId::new(format!("limit: {what}"), tokens);
    for (kind, protector) in [("plaintext", None), ("encrypted", Some(protector))] {
        let parts = CommitParts::new(directory, protector);
        group.bench_function(name(&format!("parts of a save, {kind}")), |bencher| bencher.iter(|| parts.run(content)));
    }
    let path = directory.join("plain");
    group.bench_function(name("one stat"), |bencher| bencher.iter(|| stat(black_box(&path))));
}

criterion_group!(benches, store);
criterion_main!(benches);
