//! Runtimes that end and callers that stop waiting: the store goes on, and what was begun is done whole.
#![cfg(unix)]

mod common;

use std::task::{Context, Waker};

use cache_core::{CacheStore as _, Change, Changes};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{ALICE, HOST, keys, secret_of};
use cache_testkit::entries::access_token;
use cache_testkit::redis::{Cluster, Reply, Sentinels, Server, is_installed};
use tokio::runtime::Builder;

use common::{SHARED, only_partition, patient, protected, protector, wait_until};

fn puts(keys: &[&str]) -> Changes {
    let put = |key: &&str| Change::put(access_token(key).of(ALICE, HOST).secret(&secret_of(key)).entry());
    Changes::new(keys.iter().map(put).collect())
}

/// A store that has no runtime of its own, over one server, a cluster, or what sentinels name.
fn open(store: RedisStoreBuilder) -> RedisStore {
    patient(store).protector(protector()).open().expect("usable addresses")
}

/// As programs of tests have them: one each.
#[test]
fn a_store_outlives_the_runtime_that_it_connected_on() {
    if !is_installed() {
        return;
    }
    let (server, cluster, sentinels) = (Server::start(), Cluster::start(), Sentinels::start());
    for (place, store) in [
        ("one server", open(RedisStore::at(server.url()))),
        ("a cluster", open(RedisStore::cluster(cluster.urls()))),
        ("sentinels", open(RedisStore::sentinel(sentinels.urls(), Sentinels::NAME))),
    ] {
        for n in 0..3 {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
            let committed = runtime.block_on(store.commit(&SHARED, &puts(&[&n.to_string()])));
            committed.unwrap_or_else(|error| panic!("{place}, runtime {n}: {error}"));
            drop(runtime);
        }
        let last = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let found = last.block_on(store.load(&SHARED)).expect("loaded").expect("something is there");
        assert_eq!(found.entries.len(), 3, "{place}");
    }
}

/// Neither of the two drives its connection: they run only while somebody waits in them.
#[test]
fn a_store_with_a_runtime_of_its_own_is_called_from_any_other() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = protected(&server);
    let runtimes = [(); 2].map(|()| Builder::new_current_thread().build().expect("a runtime"));
    for n in 0..6 {
        let committed = runtimes[n % 2].block_on(store.commit(&SHARED, &puts(&[&n.to_string()])));
        committed.unwrap_or_else(|error| panic!("turn {n}: {error}"));
    }
    assert_eq!(keys(&store, &SHARED).expect("read"), ["0", "1", "2", "3", "4", "5"], "and from none");
}

#[test]
fn a_commit_that_nobody_waits_for_any_more_is_done_whole() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    // The first one connects, makes the head and tells the scripts.
    let store = protected(&server);
    let mut all = Vec::new();
    for n in 0..100 {
        let [one, other] = [format!("{n:03} one"), format!("{n:03} other")];
        let changes = puts(&[&one, &other]);
        let mut commit = Box::pin(store.commit(&SHARED, &changes));
        // It is polled once, or a few times, and then dropped.
        for _ in 0..=n % 5 {
            if commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
            std::thread::yield_now();
        }
        drop(commit);
        all.extend([one, other]);
    }
    let reader = protected(&server);
    wait_until(|| {
        let found = keys(&reader, &SHARED).expect("read");
        assert_eq!(found.len() % 2, 0, "both changes of a commit, or none");
        found == all
    });
    let Reply::Integer(left) = server.command(&["PTTL", &only_partition(&server, "token-cache")]) else {
        panic!("a number")
    };
    assert!(left > 0, "it expires");
    assert_eq!(keys(&store, &SHARED).expect("the store goes on"), all);
}
