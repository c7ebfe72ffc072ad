//! What the benchmarks share: caches of any size, what is asked of them, the physical limits, and how to measure.
//!
//! | command | what it gives |
//! |---|---|
//! | `cargo bench -p benches` | every group with its limits in the same run (criterion); `BENCH_FULL=1` adds 1M tokens and 325 MB |
//! | `cargo run --release -p benches --bin figures` | one table: ours, limit, ratio, target |
//! | `cargo run --release -p benches --bin simulation` | what reaches the server of a web app with a million users |
//! | `benches/instructions/run.sh` | instructions of the hot lookup against the committed figures |

#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc)] // a measurement that cannot go on always panics
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_wrap)] // counts and places in lists are small and not negative

pub mod disk;
pub mod document_limit;
pub mod measure;
mod population;
mod probe;
mod readers;
mod remote;
pub mod sqlite;
pub mod users;

pub use population::{CLIENT, HOST, NOW, Population, Random};
pub use probe::{Asked, BuiltKeyMap, Probe, probes};
pub use readers::{beside_writer, lookups_of_threads, same_tokens, save_one_change};
pub use remote::Remote;

use std::sync::Arc;

use cache_core::schema::AccessToken;
use cache_core::{CacheStore, Freshness, PartitionKey, PersistedTokenCache, TokenCache};

/// The partition of every benchmark.
pub const PARTITION: PartitionKey = PartitionKey::Shared;

/// Whether the long rows are asked for too: `BENCH_FULL=1`.
pub fn is_full() -> bool {
    std::env::var_os("BENCH_FULL").is_some_and(|value| value == "1")
}

/// A persisted cache over `store`, large enough to keep every benchmark's partition resident.
pub fn persisted(store: impl CacheStore, freshness: Freshness) -> PersistedTokenCache {
    PersistedTokenCache::builder(store).freshness(freshness).resident_bytes(16 << 30).build()
}

/// Asks a persisted cache for the probe's token, which is there.
pub async fn hit(cache: &PersistedTokenCache, probe: &Probe) -> Arc<AccessToken> {
    let found = cache.access_token(&PARTITION, &probe.query()).await;
    found.expect("the store is in reach").expect("a hit")
}

/// Commits all of `content` to `cache`, and looks until it is resident for good.
pub fn fill(cache: &PersistedTokenCache, content: &TokenCache) {
    let updated = pollster::block_on(cache.update(&PARTITION, |tokens| {
        content.entries().for_each(|entry| tokens.insert_entry(entry));
    }));
    assert!(updated.expect("a fresh store takes everything").skipped.is_empty());
    let held = pollster::block_on(cache.read(&PARTITION, TokenCache::len)).expect("it was just written");
    assert_eq!(held, content.len());
    // A file store does not trust a file that is younger than its clock's tick.
    std::thread::sleep(std::time::Duration::from_millis(50));
    pollster::block_on(cache.read(&PARTITION, |_| ())).expect("it was just read");
}
