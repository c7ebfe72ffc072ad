//! Looking up by what an entry has, again and again: what was found before is a guess, and no more.
#![cfg(unix)]

mod common;

use std::slice;

use cache_core::{CacheStore as _, Change, Changes, Entry};
use cache_redis::RedisStore;
use cache_testkit::entries::access_token;
use cache_testkit::redis::{Server, is_installed};

use common::{SHARED, block_on, protected};

fn token(key: &str, secret: &str) -> Entry {
    access_token(key).of("alice.home", "login.windows.net").secret(secret).entry()
}

fn commit(store: &RedisStore, change: Change) {
    block_on(store.commit(&SHARED, &Changes::new(vec![change]))).expect("written");
}

/// Fails unless the first term of a token leads to these entries, and the snapshot has the present stamp.
#[track_caller]
fn expect_found(store: &RedisStore, expected: &[&Entry]) {
    let terms = token("any", "secret").lookup_terms();
    let found = block_on(store.find(&SHARED, slice::from_ref(&terms[0]))).expect("read");
    let stamp = block_on(store.stamp(&SHARED)).expect("read");
    assert_eq!(found.as_ref().map(|found| &found.stamp), stamp.as_ref());
    let mut entries: Vec<Entry> =
        found.into_iter().flat_map(|found| found.entries).map(|stored| stored.entry).collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(entries.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_others_changed_since_the_last_look_is_found() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (store, other) = (protected(&server), protected(&server));
    let [one, renewed, second] = [token("1", "one"), token("1", "renewed"), token("2", "second")];
    expect_found(&store, &[]);
    let steps: [(Change, &[&Entry]); 5] = [
        (Change::put(one.clone()), &[&one]),
        (Change::put(renewed.clone()), &[&renewed]),
        (Change::put(second.clone()), &[&renewed, &second]),
        (Change::remove(one.id.clone()), &[&second]),
        (Change::put(one.clone()), &[&one, &second]),
    ];
    for (change, expected) in steps {
        commit(&other, change);
        expect_found(&store, expected);
        expect_found(&store, expected);
    }
    block_on(other.remove(&SHARED)).expect("removed");
    expect_found(&store, &[]);
    commit(&other, Change::put(second.clone()));
    expect_found(&store, &[&second]);
}

#[test]
fn what_was_found_before_is_found_without_a_script() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = protected(&server);
    let one = token("1", "one");
    commit(&store, Change::put(one.clone()));
    for runs_script in [true, false, false] {
        server.command(&["CONFIG", "RESETSTAT"]);
        expect_found(&store, &[&one]);
        let commands = server.command(&["INFO", "commandstats"]).to_string();
        assert_eq!(commands.contains("cmdstat_eval"), runs_script, "{commands}");
    }
}
