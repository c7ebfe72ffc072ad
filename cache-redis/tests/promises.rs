//! The promises about processes that share one encrypted store in one server, with real processes and real kills.
//!
//! Short by default; `TOKEN_CACHE_FULL_LENGTH=1` runs every test at the length that the project promises, and each prints
//! what it saw:
//!
//!     TOKEN_CACHE_FULL_LENGTH=1 cargo test --release -p cache-redis --test promises -- --nocapture
#![cfg(unix)]

mod common;

use cache_core::{CacheStore, PersistedTokenCache, blocking};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::process::{self, Process};
use cache_testkit::promises::{self, Kills, SignOuts, length, lost, say};
use cache_testkit::random::Random;
use cache_testkit::redis::{Cluster, Server, is_installed};
use cache_testkit::worker_name;

use common::{SHARED, at_url, names, patient, protected_at, protector, runtime};

fn add(store: &RedisStore, key: &str) {
    let committed = put(store, &SHARED, key).expect("an update of a usable store");
    assert!(committed.skipped.is_empty(), "nobody else writes this token: {:?}", committed.skipped);
}

/// The names of the tokens in the server, read by a store that has not written them.
fn stored(url: &str) -> Vec<String> {
    keys(&protected_at(url), &SHARED).expect("a sound store")
}

#[test]
#[ignore = "a worker process of other tests"]
fn writer() {
    process::work(worker_name!(writer), |worker| promises::write(worker, protected_at, add));
}

#[test]
#[ignore = "a worker process of other tests"]
fn paced_writer() {
    process::work(worker_name!(paced_writer), |worker| promises::write_what_is_heard(worker, protected_at, add));
}

/// The eight find an empty server: who makes the head of the store, and who comes second, is part of every run.
#[test]
fn eight_processes_lose_no_update() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for _ in 0..length(10, 1) {
        server.flush();
        promises::no_update_is_lost(worker_name!(writer), &server.url(), 8, 200, || stored(&server.url()));
    }
}

#[test]
fn processes_that_all_make_the_store_lose_nothing() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (runs, processes) = (length(40, 6), 8);
    for run in 0..runs {
        server.flush();
        let url = server.url();
        promises::no_update_is_lost(worker_name!(writer), &url, processes, 2, || stored(&url));
        assert_eq!(names(&server, "*:h").len(), 1, "one partition, whoever was first, in run {run}");
    }
    say(&format!("{runs} stores made by {processes} processes at once: no update lost"));
}

/// The addresses of the nodes, for the argument of a worker, and back.
const BETWEEN_URLS: char = ' ';

fn clustered_at(urls: &str) -> RedisStore {
    let store = patient(RedisStore::cluster(urls.split(BETWEEN_URLS))).runtime(runtime());
    store.protector(protector()).open().expect("usable addresses")
}

#[test]
#[ignore = "a worker process of other tests"]
fn clustered_writer() {
    process::work(worker_name!(clustered_writer), |worker| promises::write(worker, clustered_at, add));
}

#[test]
fn eight_processes_lose_no_update_in_a_cluster() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let urls = cluster.urls().join(&BETWEEN_URLS.to_string());
    let stored = || keys(&clustered_at(&urls), &SHARED).expect("a sound store");
    promises::no_update_is_lost(worker_name!(clustered_writer), &urls, 8, length(200, 50), stored);
}

#[test]
fn a_killed_process_loses_nothing_and_blocks_nobody() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let url = server.url();
    let mut kills = Kills::beside(worker_name!(paced_writer), &url);
    for kill in 1..=length(200, 15) {
        // Whoever comes next can write at once, and finds everything that was acknowledged.
        kills.kill(worker_name!(writer), |key| add(&protected_at(&url), key));
        assert_eq!(lost(kills.acknowledged(), stored(&url)), 0, "after {kill} kills");
    }
    kills.assert_nothing_lost(|| stored(&url));
}

/// Makes one store after the other in the server; says when it is connected, and when the store is made.
#[test]
#[ignore = "a worker process of other tests"]
fn maker() {
    process::work(worker_name!(maker), |worker| {
        let [url, prefix] = worker.arguments().to_vec().try_into().expect("address, prefix");
        for n in 0.. {
            let store = prefixed(&url, &format!("{prefix}-{n}"));
            assert!(keys(&store, &SHARED).expect("a server").is_empty(), "nobody has made it");
            worker.say("connected");
            put(&store, &SHARED, "a").expect("made");
            worker.say("made");
        }
    });
}

fn prefixed(url: &str, prefix: &str) -> RedisStore {
    at_url(url).protector(protector()).prefix(prefix).open().expect("a usable address")
}

#[test]
fn a_process_that_is_killed_while_it_makes_a_store_leaves_a_whole_one_or_none() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let kills = length(200, 20);
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    let mut begun = 0;
    for kill in 0..kills {
        let mut maker = Process::start(worker_name!(maker), &[&server.url(), &format!("k{kill}")]);
        promises::kill_within_an_update(&mut maker, &mut random, 3);
        let made = maker.lines().iter().filter(|line| *line == "made").count();
        for n in 0..=made {
            let prefix = format!("k{kill}-{n}");
            let store = prefixed(&server.url(), &prefix);
            let found = keys(&store, &SHARED).expect("sound");
            begun += usize::from(n == made && !names(&server, &format!("{prefix}:*")).is_empty());
            assert!(n == made || found == ["a"], "kill {kill}, store {n}");
            put(&store, &SHARED, "b").expect("it is made, or goes on");
            let listed = pollster::block_on(store.partitions(None, 9)).expect("listed");
            assert_eq!(listed, [SHARED], "kill {kill}, store {n}");
        }
    }
    say(&format!("{kills} kills while stores were made: all sound, {begun} of them were begun and not acknowledged"));
}

fn cache(url: &str) -> blocking::PersistedTokenCache {
    blocking::PersistedTokenCache::new(PersistedTokenCache::builder(protected_at(url)).build())
}

#[test]
#[ignore = "a worker process of other tests"]
fn refresher() {
    process::work(worker_name!(refresher), |worker| promises::refresh(worker, 40, cache));
}

#[test]
fn a_removed_account_stays_removed_whoever_refreshes() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let mut sign_outs = SignOuts::default();
    for _ in 0..length(100, 6) {
        server.flush();
        sign_outs.run(worker_name!(refresher), &server.url(), cache);
        sign_outs.add_left(names(&server, "*:h").len());
    }
    sign_outs.assert_nothing_left();
}

#[test]
fn a_lease_has_one_holder() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    promises::a_lease_has_one_holder(length(5_000, 200), || protected_at(&server.url()));
}
