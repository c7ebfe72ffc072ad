//! What loading and saving a unified cache document costs, beside `serde_json` checking the same bytes.

use std::hint::black_box;

use benches::users;
use cache_core::TokenCache;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.sample_size(10);
    for size in [1_000, 100_000] {
        let cache = users(size);
        let document = cache.serialize();
        group.throughput(Throughput::Bytes(document.len() as u64));
        group.bench_function(BenchmarkId::new("load", size), |bencher| {
            bencher.iter(|| TokenCache::deserialize(black_box(document.expose())).expect("our own document"));
        });
        group.bench_function(BenchmarkId::new("save", size), |bencher| bencher.iter(|| cache.serialize()));
        group.bench_function(BenchmarkId::new("limit: copy the bytes", size), |bencher| {
            bencher.iter(|| black_box(document.expose()).to_vec());
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
