//! Servers that are killed, hang, are emptied, or give their place to another: the store says so, and goes on without being
//! opened anew.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cache_core::{CacheStore as _, ErrorKind};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::process::DEADLINE;
use cache_testkit::redis::{Cluster, Sentinels, Server, is_installed};

use common::{
    SHARED, SHORT, at_url, failure, only_partition, patient, protected, protector, proxy, read, runtime, wait_until,
};

fn impatient(server: &Server) -> RedisStore {
    common::impatient(server).protector(protector()).open().expect("a usable address")
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_the_store_goes_on() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let (patient, impatient) = (protected(&server), impatient(&server));
    let mut acknowledged = Vec::new();
    for n in 0..3 {
        for store in [&patient, &impatient] {
            let key = format!("{n}-{}", acknowledged.len());
            wait_until(|| put(store, &SHARED, &key).is_ok());
            acknowledged.push(key);
        }
        server.kill();
        for error in [
            failure(put(&impatient, &SHARED, "queued")),
            failure(keys(&impatient, &SHARED)),
            failure(pollster::block_on(impatient.stamp(&SHARED))),
            failure(pollster::block_on(impatient.partitions(None, 9))),
            failure(pollster::block_on(impatient.lease(&SHARED, "refresh", Duration::ZERO)).map(drop)),
        ] {
            // Never a miss.
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        server.restart();
        // Who has asked in vain a few times asks again a little later, and then writes what was queued.
        wait_until(|| keys(&impatient, &SHARED).is_ok() && impatient.stats().queued_now == 0);
        let stored = [&acknowledged[..], &["queued".to_owned()]].concat();
        for store in [&patient, &impatient, &protected(&server)] {
            assert_eq!(read(store), stored);
        }
    }
}

/// A request that waits while the server starts again is answered, not refused.
#[test]
fn who_has_patience_sees_no_restart() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let store = protected(&server);
    put(&store, &SHARED, "before").expect("written");
    server.kill();
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| put(&store, &SHARED, "meanwhile"));
        server.restart();
        writer.join().expect("no panic")
    });
    written.expect("within the deadline");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["before", "meanwhile"]);
}

#[test]
fn a_server_that_hangs_is_unavailable_and_works_when_it_goes_on() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (known, never_connected) = (impatient(&server), impatient(&server));
    wait_until(|| put(&known, &SHARED, "before").is_ok());
    for _ in 0..2 {
        server.stop();
        for store in [&known, &never_connected] {
            let began = Instant::now();
            for error in [failure(keys(store, &SHARED)), failure(put(store, &SHARED, "unknown"))] {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            }
            assert!(began.elapsed() < DEADLINE / 4, "given up at the deadline");
        }
        server.go_on();
        for store in [&known, &never_connected] {
            wait_until(|| put(store, &SHARED, "after").is_ok());
            // What it did with the request that nobody waits for any more is unknown.
            let mut found = read(store);
            found.retain(|key| key != "unknown");
            assert_eq!(found, ["after", "before"]);
        }
    }
}

/// Connecting takes a part of the deadline here, and requests keep coming: each has less left than connecting takes.
#[test]
fn a_busy_program_connects_again_after_a_hang() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let hangs = Arc::new(AtomicBool::new(false));
    let url = proxy::in_front_of(&server, {
        let hangs = Arc::clone(&hangs);
        move |request| {
            while hangs.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            // The greeting.
            if request.is("CLIENT") || request.is("HELLO") {
                std::thread::sleep(SHORT / 5);
            }
            None
        }
    });
    let store = at_url(&url).deadline(SHORT).protector(protector()).open().expect("a usable address");
    wait_until(|| put(&store, &SHARED, "a").is_ok());
    let (in_vain, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let began = Instant::now();
                while !is_over.load(Ordering::SeqCst) && began.elapsed() < DEADLINE {
                    if keys(&store, &SHARED).is_err() {
                        in_vain.fetch_add(1, Ordering::SeqCst);
                        // As a program does that has other things to do.
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            });
        }
        hangs.store(true, Ordering::SeqCst);
        wait_until(|| in_vain.load(Ordering::SeqCst) > 20);
        hangs.store(false, Ordering::SeqCst);
        wait_until(|| keys(&store, &SHARED).is_ok_and(|keys| keys == ["a"]));
        is_over.store(true, Ordering::SeqCst);
    });
}

/// Two nodes that have worked together, and one that comes when the server is empty.
#[test]
fn nodes_find_each_other_again_after_the_server_was_emptied() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let nodes = [protected(&server), protected(&server)];
    for run in 0..3 {
        for node in &nodes {
            put(node, &SHARED, "before").expect("written");
        }
        server.flush();
        for node in &nodes {
            assert!(keys(node, &SHARED).expect("read").is_empty(), "what is gone is gone");
        }
        let third = protected(&server);
        // Whoever writes first, in each run another one.
        let mut all = [&nodes[0], &nodes[1], &third];
        all.rotate_left(run);
        let mut written = Vec::new();
        for (n, node) in all.into_iter().enumerate() {
            let key = format!("{n}");
            put(node, &SHARED, &key).expect("written");
            written.push(key);
            for other in all {
                // A miss is believed for a second.
                wait_until(|| keys(other, &SHARED).expect("read") == written);
            }
        }
        only_partition(&server, "token-cache");
    }
}

#[test]
fn writes_go_on_after_a_fail_over_by_sentinels() {
    if !is_installed() {
        return;
    }
    let mut sentinels = Sentinels::start();
    let open = || {
        let store = patient(RedisStore::sentinel(sentinels.urls(), Sentinels::NAME)).runtime(runtime());
        store.protector(protector()).open().expect("usable addresses")
    };
    let (idle, store) = (open(), open());
    put(&store, &SHARED, "before").expect("written");
    keys(&idle, &SHARED).expect("connected");
    replicated(&sentinels.nodes()[0], "any");
    let port = sentinels.primary().expect("they agree").port();
    sentinels.primary().expect("they agree").kill();
    sentinels.wait_for_fail_over_from(port);
    for (store, key) in [(&store, "after"), (&idle, "idle")] {
        put(store, &SHARED, key).expect("the next primary takes writes");
    }
    assert_eq!(keys(&store, &SHARED).expect("read"), ["after", "before", "idle"]);
    // The one that comes back is a replica, and nobody writes to it.
    sentinels.nodes_mut()[0].restart();
    put(&store, &SHARED, "late").expect("written");
    assert_eq!(keys(&idle, &SHARED).expect("read"), ["after", "before", "idle", "late"]);
}

#[test]
fn writes_go_on_after_a_fail_over_in_a_cluster() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let store = patient(RedisStore::cluster(cluster.urls())).runtime(runtime());
    let store = store.protector(protector()).open().expect("usable addresses");
    put(&store, &SHARED, "before").expect("written");
    // Braces make the slot: the partition's key is on one of the primaries.
    let found = cluster.nodes()[..3].iter().flat_map(|node| common::names(node, "*:h")).collect::<Vec<_>>();
    let [key] = &found[..] else { panic!("one partition: {found:?}") };
    let primary = cluster.primary_of(key);
    replicated(primary, key);
    let port = primary.port();
    primary.kill();
    cluster.wait_for_fail_over_from(port, key);
    put(&store, &SHARED, "after").expect("the replica has taken its place");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["after", "before"]);
}

/// Returns when a replica has what was written so far. `WAIT` is for writes of its own connection: there is one, in the slot
/// of this key.
fn replicated(primary: &Server, key: &str) {
    let mut connection = primary.connect();
    assert_eq!(connection.command(&["SET", &format!("{key}:mark"), ""]).expect("a primary").to_string(), "OK");
    assert_eq!(connection.command(&["WAIT", "1", "60000"]).expect("a primary").to_string(), "1");
}
