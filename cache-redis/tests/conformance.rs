//! Every promise of a `CacheStore`, on one server, a cluster and behind sentinels; those of MSAL Node's documents,
//! and of documents in a cluster, at full length only.
#![cfg(unix)]

mod common;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use cache_core::{CacheStore, Clock, Profile, Result, async_trait};
use cache_redis::{RedisPeerStoreBuilder, RedisStore, RedisStoreBuilder};
use cache_testkit::conformance::{Partitions, Place};
use cache_testkit::promises::length;
use cache_testkit::redis::{Cluster, Sentinels, Server, is_installed};

use common::{block_on, patient, protector};

/// A prefix of its own on servers that the tests of this program share.
struct Prefix {
    name: String,
    clock: Arc<dyn Clock>,
    store: fn() -> RedisStoreBuilder,
}

impl Prefix {
    fn new(clock: Arc<dyn Clock>, store: fn() -> RedisStoreBuilder) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self { name, clock, store }
    }
}

#[async_trait]
impl Place for Prefix {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        let store = patient((self.store)()).prefix(&self.name).clock(Arc::clone(&self.clock));
        Ok(Arc::new(store.open()?))
    }

    fn partitions(&self) -> Partitions {
        Partitions::Any
    }

    fn run(&self, case: Pin<Box<dyn Future<Output = ()> + '_>>) {
        if *IS_INSTALLED {
            block_on(case);
        }
    }
}

/// The documents of another library under a prefix of their own.
struct OfPeer {
    prefix: Prefix,
    layout: fn(RedisStoreBuilder, String) -> RedisPeerStoreBuilder,
    /// Whether it is left out unless the run is of full length.
    is_long: bool,
}

#[async_trait]
impl Place for OfPeer {
    async fn open(&self) -> Result<Arc<dyn CacheStore>> {
        let Prefix { name, clock, store } = &self.prefix;
        let store = patient(store()).prefix(format!("{name}-notes")).clock(Arc::clone(clock)).insecure_plaintext();
        // Entries as they are, in no library's form: some cases are about what no library would write.
        Ok(Arc::new((self.layout)(store, format!("{name}:")).profile(Profile::default()).open()?))
    }

    fn partitions(&self) -> Partitions {
        Partitions::Keyed
    }

    fn run(&self, case: Pin<Box<dyn Future<Output = ()> + '_>>) {
        if !self.is_long || length(1, 0) == 1 {
            self.prefix.run(case);
        }
    }
}

/// Asked once: where Redis is missing that is said once.
static IS_INSTALLED: LazyLock<bool> = LazyLock::new(is_installed);
static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
static SENTINELS: LazyLock<Sentinels> = LazyLock::new(Sentinels::start);

mod plaintext {
    use super::*;

    cache_testkit::conformance_suite!(|clock| Prefix::new(clock, || RedisStore::at(SERVER.url()).insecure_plaintext()));
}

mod protected {
    use super::*;

    cache_testkit::conformance_suite!(
        |clock| Prefix::new(clock, || RedisStore::at(SERVER.url()).protector(protector()))
    );
}

mod cluster {
    use super::*;

    cache_testkit::conformance_suite!(|clock| {
        Prefix::new(clock, || RedisStore::cluster(CLUSTER.urls()).protector(protector()))
    });
}

mod sentinels {
    use super::*;

    cache_testkit::conformance_suite!(|clock| {
        Prefix::new(clock, || RedisStore::sentinel(SENTINELS.urls(), Sentinels::NAME).protector(protector()))
    });
}

mod idweb {
    use super::*;

    cache_testkit::conformance_suite!(|clock| OfPeer {
        prefix: Prefix::new(clock, || RedisStore::at(SERVER.url())),
        layout: RedisStoreBuilder::idweb,
        is_long: false,
    });
}

mod node {
    use super::*;

    cache_testkit::conformance_suite!(|clock| OfPeer {
        prefix: Prefix::new(clock, || RedisStore::at(SERVER.url())),
        layout: RedisStoreBuilder::node,
        is_long: true,
    });
}

mod idweb_in_a_cluster {
    use super::*;

    cache_testkit::conformance_suite!(|clock| OfPeer {
        prefix: Prefix::new(clock, || RedisStore::cluster(CLUSTER.urls())),
        layout: RedisStoreBuilder::idweb,
        is_long: true,
    });
}
