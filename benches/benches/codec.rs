//! Loading and saving a unified document, beside `serde_json` from and into structs that borrow the text.

use benches::document_limit::BorrowedDocument;
use benches::{Population, is_full};
use cache_core::TokenCache;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.sample_size(10);
    let sizes: &[usize] = if is_full() { &[1_000, 100_000] } else { &[1_000] };
    for &tokens in sizes {
        let json = Population::Users.document(tokens);
        let cache = TokenCache::deserialize(&json).expect("sound");
        let document = BorrowedDocument::parse(&json);
        let mut buffer = Vec::new();
        group.throughput(Throughput::Bytes(json.len() as u64));
        group.bench_function(BenchmarkId::new("load", tokens), |bencher| {
            bencher.iter_with_large_drop(|| TokenCache::deserialize(&json).expect("sound"));
        });
        group.bench_function(BenchmarkId::new("limit of load: serde_json, borrowed", tokens), |bencher| {
            bencher.iter_with_large_drop(|| BorrowedDocument::parse(&json));
        });
        group.bench_function(BenchmarkId::new("save", tokens), |bencher| {
            bencher.iter_with_large_drop(|| cache.serialize());
        });
        group.bench_function(BenchmarkId::new("limit of save: serde_json, reused buffer", tokens), |bencher| {
            bencher.iter(|| document.write_into(&mut buffer));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
