//! Two nodes of one server, one of which can be kept from writing.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use cache_core::{CacheStore as _, Change, Changes, ErrorKind, PartitionKey, Result};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{ALICE, HOST, anybodys_keys, put};
use cache_testkit::redis::Server;
use pollster::block_on;

use super::proxy::{self, Asked, Request};
use super::{PATIENCE, SHARED, at_url, connected, failure, protected, protector};

/// The server can be read, and takes no writes.
pub(crate) const NO_REPLICAS: &str = "-NOREPLICAS Not enough good replicas to write.\r\n";

/// Two nodes of one server. The first one's commits are answered as it is said; the second one is not disturbed.
pub(crate) struct Nodes {
    pub(crate) server: Server,
    pub(crate) disturbed: RedisStore,
    pub(crate) other: RedisStore,
    pub(crate) refusal: Arc<Mutex<Option<&'static str>>>,
}

impl Nodes {
    pub(crate) fn start() -> Self {
        Self::with(|store| store)
    }

    /// The disturbed one with settings of its own.
    pub(crate) fn with(settings: impl FnOnce(RedisStoreBuilder) -> RedisStoreBuilder) -> Self {
        let server = Server::start();
        let refusal = Arc::new(Mutex::new(None));
        let url = proxy::in_front_of(&server, {
            let refusal = Arc::clone(&refusal);
            move |request| {
                let refusal: Option<&str> = *refusal.lock().expect("no panic");
                refusal.filter(|_| is_write(request)).map(|reply| reply.as_bytes().to_vec())
            }
        });
        let disturbed = settings(at_url(&url)).protector(protector()).open().expect("a usable address");
        let other = protected(&server);
        // The head is there, and the partition.
        put(&other, &SHARED, "before").expect("written");
        Self { server, disturbed: connected(disturbed), other, refusal }
    }

    pub(crate) fn refuse(&self, reply: &'static str) {
        *self.refusal.lock().expect("no panic") = Some(reply);
    }

    pub(crate) fn allow(&self) {
        *self.refusal.lock().expect("no panic") = None;
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys_in(&SHARED)
    }

    pub(crate) fn keys_in(&self, partition: &PartitionKey) -> Vec<String> {
        anybodys_keys(&self.other, partition).expect("read")
    }
}

fn is_write(request: &Request) -> bool {
    request.asked() == Asked::Commit || request.is("UNLINK")
}

pub(crate) fn commit(store: &RedisStore, change: Change) -> Result<()> {
    commit_to(store, &SHARED, change)
}

pub(crate) fn commit_to(store: &RedisStore, partition: &PartitionKey, change: Change) -> Result<()> {
    block_on(store.commit(partition, &Changes::new(vec![change]))).map(drop)
}

#[track_caller]
pub(crate) fn is_queued(result: Result<impl Debug>) {
    let error = failure(result);
    assert!(error.is_queued() && error.kind() == ErrorKind::Unavailable, "{error}");
    assert_eq!((error.store(), error.to_string().contains("queued")), (Some("redis"), true), "{error}");
}

#[track_caller]
pub(crate) fn written(store: &RedisStore) {
    block_on(store.flush(PATIENCE)).expect("the server is back");
    let stats = store.stats();
    assert_eq!((stats.queued_now, stats.queued_bytes), (0, 0), "{stats:?}");
    assert_eq!(stats.queued, stats.replayed + stats.dropped, "{stats:?}");
}

pub(crate) fn remove_account() -> Change {
    Change::RemoveAccount { home_account_id: ALICE.into(), environments: vec![HOST.into()].into() }
}
