//! Servers that are set up otherwise than the program takes them to be, that are busy, or that answer nonsense: each is told as
//! what it is, and nobody waits for ever.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cache_core::{CacheStore as _, Change, Changes, EntryId, Error, ErrorKind};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::redis::{Server, is_installed};

use common::proxy::{Asked, in_front_of};
use common::{
    SHARED, SHORT, at, at_url, connected, failure, impatient, names, only_partition, patient, protected, protector,
    runtime, wait_until,
};

fn open(store: RedisStoreBuilder) -> RedisStore {
    store.runtime(runtime()).protector(protector()).open().expect("usable addresses")
}

#[track_caller]
fn assert_told(store: &RedisStore, kind: ErrorKind) {
    for error in [
        failure(keys(store, &SHARED)),
        failure(put(store, &SHARED, "a")),
        failure(pollster::block_on(store.stamp(&SHARED))),
    ] {
        assert_eq!((error.kind(), error.store()), (kind, Some("redis")), "{error}");
    }
}

#[test]
fn a_place_of_another_kind_is_told() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let no_such_database = format!("redis://127.0.0.1:{}/99", server.port());
    assert_told(&open(patient(RedisStore::at(no_such_database))), ErrorKind::InvalidInput);
    assert_told(&open(patient(RedisStore::cluster([server.url()]))), ErrorKind::InvalidInput);
    assert_told(&open(at(&server).credentials(None, "needless")), ErrorKind::Denied);
    let error = failure(keys(&open(RedisStore::sentinel([server.url()], "primary").deadline(SHORT)), &SHARED));
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::InvalidInput), "{:?} {error}", error.kind());
    for nowhere in [RedisStore::cluster([""; 0]), RedisStore::sentinel([""; 0], "primary")] {
        assert_eq!(failure(nowhere.protector(protector()).open()).kind(), ErrorKind::InvalidInput);
    }
    assert!(names(&server, "*").is_empty());
}

#[test]
fn a_server_that_runs_somebodys_long_script_is_unavailable_and_works_after_it() {
    if !is_installed() {
        return;
    }
    let server = Server::options().setting("lua-time-limit 50").start();
    put(&protected(&server), &SHARED, "a").expect("written");
    let store = connected(open(impatient(&server)));
    let mut somebody = server.connect();
    somebody.send(&["EVAL", "while true do end", "0"]).expect("sent");
    // It answers nothing at all until the limit, and then this.
    wait_until(|| server.command(&["PING"]).to_string().starts_with("BUSY"));
    assert_told(&store, ErrorKind::Unavailable);
    assert_eq!(server.command(&["SCRIPT", "KILL"]).to_string(), "OK");
    wait_until(|| keys(&store, &SHARED).is_ok_and(|keys| keys == ["a"]));
}

#[test]
fn a_server_that_takes_no_more_clients_is_unavailable() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let mut one = server.connect();
    assert_eq!(one.command(&["CONFIG", "SET", "maxclients", "1"]).expect("a server").to_string(), "OK");
    let store = open(impatient(&server));
    assert_told(&store, ErrorKind::Unavailable);
    assert_eq!(one.command(&["CONFIG", "SET", "maxclients", "100"]).expect("a server").to_string(), "OK");
    wait_until(|| put(&store, &SHARED, "a").is_ok());
}

#[test]
fn a_commit_of_more_changes_than_a_server_takes_is_refused_and_nothing_is_written() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = protected(&server);
    put(&store, &SHARED, "0").expect("written");
    let removals = |count| {
        let remove = |n: usize| Change::remove(EntryId::new("AccessToken", n.to_string()));
        pollster::block_on(store.commit(&SHARED, &Changes::new((0..count).map(remove).collect())))
    };
    assert_eq!(failure(removals(100_001)).kind(), ErrorKind::TooLarge);
    assert_eq!(keys(&store, &SHARED).expect("read"), ["0"]);
    assert_eq!(removals(100_000).expect("as many as it takes").after, None);
}

/// What no script of the store answers; with some of it a reader of the protocol could be made to wait, or to allocate, without
/// an end.
const NONSENSE: [&[u8]; 13] = [
    b"*2000000000\r\n$1\r\na\r\n",
    b"$9000000000000\r\nabc",
    b":5\r\n",
    b"+OK\r\n",
    b"$-1\r\n",
    b"*-5\r\n",
    b"*1\r\n*1\r\n*1\r\n:1\r\n",
    b"*1\r\n$1\r\na\r\n",
    b"*2\r\n$4\r\nheld\r\n$2\r\n-1\r\n",
    b"*5\r\n$2\r\nok\r\n$0\r\n\r\n$24\r\naaaaaaaaaaaaaaaaaaaaaaaa\r\n$9\r\n.........\r\n$0\r\n\r\n",
    b"%1\r\n+a\r\n+b\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"-WHATEVER it is\r\n",
];

#[test]
fn nonsense_is_an_error_and_nothing_is_lost_by_it() {
    if !is_installed() {
        return;
    }
    for nonsense in NONSENSE {
        let server = Server::start();
        let lies = Arc::new(AtomicBool::new(false));
        let url = in_front_of(&server, {
            let lies = Arc::clone(&lies);
            move |request| {
                let is_script = request.asked() != Asked::Command;
                (lies.load(Ordering::SeqCst) && is_script).then(|| nonsense.to_vec())
            }
        });
        put(&protected(&server), &SHARED, "a").expect("written");
        let store = connected(open(at_url(&url).deadline(SHORT)));
        lies.store(true, Ordering::SeqCst);
        let what = String::from_utf8_lossy(nonsense);
        let put_b = failure(put(&store, &SHARED, "b"));
        // What it cannot be told now it is told when it speaks sense.
        let told: &[&str] = if put_b.is_queued() { &["a", "b"] } else { &["a"] };
        for error in [
            // A list of one or two texts may be the stamp of a partition without entries.
            pollster::block_on(store.load(&SHARED)).err(),
            Some(put_b),
            Some(failure(pollster::block_on(store.lease(&SHARED, "refresh", Duration::ZERO)).map(drop))),
        ]
        .into_iter()
        .flatten()
        {
            assert_is_told(&error, &what);
        }
        lies.store(false, Ordering::SeqCst);
        wait_until(|| keys(&store, &SHARED).is_ok_and(|keys| keys == told));
        only_partition(&server, "token-cache");
    }
}

#[track_caller]
fn assert_is_told(error: &Error, what: &str) {
    use ErrorKind::{Corrupt, Internal, Unavailable, Unsupported};
    // What no server is known to say is a defect of the program, as far as it can tell.
    let kinds = [Corrupt, Unavailable, Unsupported, Internal];
    let is_of = kinds.contains(&error.kind()) && (error.kind() != Internal || what.starts_with('-'));
    assert!(is_of && error.store() == Some("redis"), "{what:?}: {:?} {error}", error.kind());
}
