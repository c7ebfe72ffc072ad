//! What a store costs: an access when nothing changed, the save of one change, a cold open. Beside them the physical
//! limits: a `stat`, and write + fsync + rename.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use benches::{CLIENT, HOST, NOW, home_account_id, scope, tenant, user_token, users};
use cache_core::{AccessTokenQuery, Clock, ManualClock, PartitionKey, PersistedTokenCache};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const P: PartitionKey = PartitionKey::Shared;

fn open(path: &Path, key: Option<&Key>) -> PersistedTokenCache {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let store = FileStore::at(path);
    let store = match key {
        Some(key) => store.protector(Arc::new(Envelope::with_key(key.clone()))),
        None => store.plaintext(),
    };
    let store = store.open().expect("a fresh directory");
    PersistedTokenCache::builder(store).clock(clock).resident_bytes(4 << 30).build()
}

fn files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("file");
    group.sample_size(20);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = Key::generate().expect("the system's random numbers");
    for size in [10, 1_000] {
        for (protection, key) in [("plaintext", None), ("encrypted", Some(&key))] {
            let path = directory.path().join(format!("{protection}-{size}"));
            let cache = open(&path, key);
            let content = users(size);
            let updated = pollster::block_on(cache.update(&P, |tokens| {
                content.entries().for_each(|entry| tokens.insert_entry(entry));
            }));
            assert!(updated.expect("the disk has room").skipped.is_empty());
            let name = |what: &str| BenchmarkId::new(format!("{what}, {protection}"), size);

            let (home, realm, scopes) = (home_account_id(0), tenant(0), scope(0));
            let query = AccessTokenQuery::user(&home, CLIENT, &scopes).with_realm(&realm).with_environment(HOST);
            group.bench_function(name("hit, nothing changed"), |bencher| {
                bencher.iter(|| {
                    pollster::block_on(cache.access_token(&P, black_box(&query))).expect("reach").expect("hit")
                });
            });
            let mut n = 0;
            group.bench_function(name("save of one change"), |bencher| {
                bencher.iter(|| {
                    n += 1;
                    let token = user_token(&home, &realm, 1_000_000 + n % 10);
                    let updated = pollster::block_on(cache.update(&P, |tokens| tokens.insert(token)));
                    updated.expect("the disk has room").value.expect("complete");
                });
            });
            group.bench_function(name("cold open and hit"), |bencher| {
                bencher.iter(|| {
                    pollster::block_on(open(&path, key).access_token(&P, &query)).expect("reach").expect("hit")
                });
            });
            limits(&mut group, &path, size, protection);
        }
    }
    group.finish();
}

fn limits(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    path: &Path,
    size: usize,
    protection: &str,
) {
    let name = |what: &str| BenchmarkId::new(format!("limit: {what}, {protection}"), size);
    group.bench_function(name("stat"), |bencher| bencher.iter(|| fs::metadata(black_box(path)).expect("is there")));
    let bytes = fs::read(path).expect("is there");
    let (temporary, target) = (path.with_extension("tmp"), path.with_extension("limit"));
    group.bench_function(name("write, fsync, rename"), |bencher| {
        bencher.iter(|| {
            let mut file = File::create(&temporary).expect("the disk has room");
            file.write_all(&bytes).expect("the disk has room");
            file.sync_all().expect("the disk works");
            fs::rename(&temporary, &target).expect("same directory");
        });
    });
}

criterion_group!(benches, files);
criterion_main!(benches);
