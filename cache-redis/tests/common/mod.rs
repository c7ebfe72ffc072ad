//! What the tests of this crate share.
// Each test program uses a part of it.
#![allow(dead_code)]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cache_core::{Error, PartitionKey, Protector, Result};
use cache_crypto::{Envelope, Key};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::redis::Server;
use tokio::runtime::Runtime;

pub(crate) const SHARED: PartitionKey = PartitionKey::Shared;

/// A loaded machine needs more patience than a web app has.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What all connections of a test program run on.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
});

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

pub(crate) fn protector() -> Arc<dyn Protector> {
    protector_of(7)
}

pub(crate) fn protector_of(seed: u8) -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::from_bytes(&[seed; Key::LEN])))
}

pub(crate) fn at(server: &Server) -> RedisStoreBuilder {
    RedisStore::at(server.url()).deadline(PATIENCE).validation_deadline(PATIENCE)
}

pub(crate) fn protected(server: &Server) -> RedisStore {
    at(server).protector(protector()).open().expect("a usable address")
}

pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.expect_err("this must not succeed")
}
