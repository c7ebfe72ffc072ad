//! What the tests of this crate share.
// Each test program uses a part of it.
#![allow(dead_code)]

pub(crate) mod nodes;
pub(crate) mod proxy;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use cache_core::{Error, PartitionKey, Protector, Result};
use cache_crypto::{Envelope, Key};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::keys;
use cache_testkit::process::DEADLINE;
use cache_testkit::redis::{Reply, Server};
use tokio::runtime::{Handle, Runtime};

pub(crate) const SHARED: PartitionKey = PartitionKey::Shared;

/// A loaded machine needs more patience than a web app has.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a web app has. Whatever must be answered within it may fail on a machine that stands still for a moment.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

/// What all connections of a test program run on.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
});

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// For stores that are called from outside of it.
pub(crate) fn runtime() -> Handle {
    RUNTIME.handle().clone()
}

pub(crate) fn protector() -> Arc<dyn Protector> {
    protector_of(7)
}

pub(crate) fn protector_of(seed: u8) -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::from_bytes(&[seed; Key::LEN])))
}

pub(crate) fn at(server: &Server) -> RedisStoreBuilder {
    at_url(&server.url())
}

/// A store that can be called from any thread.
pub(crate) fn at_url(url: &str) -> RedisStoreBuilder {
    patient(RedisStore::at(url)).runtime(runtime())
}

/// A store that waits as long as a loaded machine may need. Both deadlines: what a store goes by is validated now and then by
/// whatever it is asked.
pub(crate) fn patient(store: RedisStoreBuilder) -> RedisStoreBuilder {
    store.deadline(PATIENCE).validation_deadline(PATIENCE)
}

/// A store that gives up soon.
pub(crate) fn impatient(server: &Server) -> RedisStoreBuilder {
    at(server).deadline(SHORT)
}

pub(crate) fn protected(server: &Server) -> RedisStore {
    protected_at(&server.url())
}

pub(crate) fn protected_at(url: &str) -> RedisStore {
    at_url(url).protector(protector()).open().expect("a usable address")
}

/// The store, once it is connected. By reads, since a commit that a loaded machine keeps waiting would be queued, and counted.
#[track_caller]
pub(crate) fn connected(store: RedisStore) -> RedisStore {
    read(&store);
    store
}

/// What the store finds once it is answered in time.
#[track_caller]
pub(crate) fn read(store: &RedisStore) -> Vec<String> {
    let mut found = None;
    wait_until(|| {
        found = keys(store, &SHARED).ok();
        found.is_some()
    });
    found.expect("waited for")
}

/// The names of all keys in the server that match the pattern, in order.
pub(crate) fn names(server: &Server, pattern: &str) -> Vec<String> {
    let mut names: Vec<String> = server.command(&["KEYS", pattern]).items().iter().map(Reply::to_string).collect();
    names.sort();
    names
}

/// The name of the key of the only partition under the prefix.
#[track_caller]
pub(crate) fn only_partition(server: &Server, prefix: &str) -> String {
    let mut names = names(server, &format!("{prefix}:{{*}}:h"));
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}

/// The fields of a hash with their values, in order of their names.
pub(crate) fn fields(server: &Server, key: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all = server.command(&["HGETALL", key]);
    let bytes = |reply: &Reply| match reply {
        Reply::Bytes(bytes) => bytes.clone(),
        other => panic!("no value: {other}"),
    };
    all.items().chunks_exact(2).map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect()
}

/// The stored entries among the fields of a partition, by their tags.
pub(crate) fn entries(server: &Server, key: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let entries = fields(server, key).into_iter().filter(|(name, _)| name.len() == 17 && name[0] == b'e');
    entries.map(|(name, stored)| (name[1..].to_vec(), stored)).collect()
}

/// Writes a field of a hash, past the store.
pub(crate) fn set_field(server: &Server, key: &str, field: &[u8], value: &[u8]) {
    let reply = server.command(&[b"HSET", key.as_bytes(), field, value]);
    assert!(matches!(reply, Reply::Integer(_)), "{reply}");
}

/// The field of a partition that holds the entry of this tag.
pub(crate) fn entry_field(tag: &[u8]) -> Vec<u8> {
    [b"e", tag].concat()
}

pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.expect_err("this must not succeed")
}

/// What the page of a Prometheus exporter says of this series, which it must.
#[track_caller]
pub(crate) fn number(page: &str, series: &str) -> u64 {
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number of {series} in\n{page}"))
}

/// Returns once it holds.
#[track_caller]
pub(crate) fn wait_until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE / 4, "it does not come to that");
        std::thread::sleep(Duration::from_millis(10));
    }
}
