//! Stamps: another one with each change, for ever, so that nobody takes an old copy for the partition as it is.
#![cfg(unix)]

mod common;

use std::collections::HashSet;

use cache_core::{CacheStore as _, Change, Changes, EntryId, Version};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::put;
use cache_testkit::redis::{Server, is_installed};

use common::{SHARED, only_partition, protected};

fn stamp(store: &RedisStore) -> Option<Version> {
    pollster::block_on(store.stamp(&SHARED)).expect("read")
}

/// The stamp that a commit of this token gives.
#[track_caller]
fn after(store: &RedisStore, key: &str) -> Version {
    put(store, &SHARED, key).expect("written").after.expect("something is there")
}

#[test]
fn a_stamp_never_comes_back_over_removals_and_an_empty_server() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (one, other) = (protected(&server), protected(&server));
    let ways: [fn(&Server, &RedisStore); 4] = [
        |_, store| pollster::block_on(store.remove(&SHARED)).expect("removed"),
        |_, store| {
            let last = Changes::new(vec![Change::remove(EntryId::new("AccessToken", "a"))]);
            assert_eq!(pollster::block_on(store.commit(&SHARED, &last)).expect("removed").after, None);
        },
        |server, _| drop(server.command(&["DEL", &only_partition(server, "token-cache")])),
        |server, _| server.flush(),
    ];
    let mut seen = HashSet::new();
    for _ in 0..10 {
        for remove in ways {
            // The same content each time.
            let stamp_of = after(&one, "a");
            assert_eq!(stamp(&one), Some(stamp_of.clone()));
            assert!(seen.insert(format!("{:?}", stamp_of.as_bytes().expect("of bytes"))), "it was there before");
            remove(&server, &other);
            assert_eq!(stamp(&one), None);
        }
    }
}

/// A replica takes the primary's place that has not heard of the last write.
#[test]
fn a_write_that_a_fail_over_lost_leaves_its_stamp_to_no_other() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = protected(&server);
    let kept = after(&store, "a");
    let partition = only_partition(&server, "token-cache");
    server.command(&["COPY", &partition, "replica"]);
    let lost = after(&store, "b");
    server.command(&["COPY", "replica", &partition, "REPLACE"]);
    assert_eq!(stamp(&store), Some(kept.clone()));

    let next = put(&store, &SHARED, "c").expect("written");
    assert_eq!(next.before, Some(kept), "who has the lost one in memory sees that it is gone");
    assert_ne!(next.after, Some(lost.clone()), "other content, another stamp");
    // The same content as that of the lost write.
    server.command(&["COPY", "replica", &partition, "REPLACE"]);
    assert_ne!(after(&store, "b"), lost);
}

/// What is put back from a backup has the stamp of its content, and no later write has it.
#[test]
fn a_partition_that_is_put_back_has_the_stamp_it_had_and_moves_on_from_there() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = protected(&server);
    let kept = after(&store, "a");
    let partition = only_partition(&server, "token-cache");
    server.command(&["COPY", &partition, "backup"]);
    let mut seen = HashSet::from([format!("{:?}", kept.as_bytes())]);
    for _ in 0..5 {
        for key in ["b", "c"] {
            assert!(seen.insert(format!("{:?}", after(&store, key).as_bytes())), "it was there before");
        }
        pollster::block_on(store.remove(&SHARED)).expect("removed");
        server.command(&["COPY", "backup", &partition]);
        assert_eq!(stamp(&store), Some(kept.clone()));
        let loaded = pollster::block_on(store.load(&SHARED)).expect("loaded").expect("it is back");
        assert_eq!(loaded.stamp, kept);
    }
}

#[test]
fn a_commit_that_changes_nothing_moves_no_stamp() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (one, other) = (protected(&server), protected(&server));
    let kept = after(&one, "a");
    for store in [&one, &other] {
        assert_eq!(after(store, "a"), kept);
        let absent = Changes::new(vec![Change::remove(EntryId::new("AccessToken", "absent"))]);
        let done = pollster::block_on(store.commit(&SHARED, &absent)).expect("committed");
        assert_eq!((done.before, done.after), (Some(kept.clone()), Some(kept.clone())));
        assert_eq!(stamp(store), Some(kept.clone()));
    }
}
