//! Commits that fail since the server is away: they are written when it is back, in order, and nothing of them shows before.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use cache_core::schema::section;
use cache_core::{
    CacheStore as _, Change, Changes, Clock, EntryId, Error, ErrorKind, Guard, ManualClock, PartitionKey, Result,
    UnixMillis, UnixSeconds,
};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{ALICE, HOST, anybodys_keys, keys, put, secret_of};
use cache_testkit::entries::{access_token, refresh_token};
use cache_testkit::redis::{Server, is_installed};
use pollster::block_on;

use common::nodes::{NO_REPLICAS, Nodes, commit, is_queued, remove_account, written};
use common::{SHARED, SHORT, connected, failure, impatient, protected, protector, wait_until};

/// A store that is connected to the server, where the partition holds `before`. Another store has written it.
fn open(server: &Server, store: RedisStoreBuilder) -> RedisStore {
    put(&protected(server), &SHARED, "before").expect("written");
    connected(store.protector(protector()).open().expect("a usable address"))
}

fn is_refused(result: Result<impl std::fmt::Debug>) -> Error {
    let error = failure(result);
    assert!(!error.is_queued(), "{error}");
    error
}

#[test]
fn what_failed_while_the_server_was_gone_is_written_by_itself() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let store = open(&server, impatient(&server));
    server.kill();
    // More than it takes until the others fail at once.
    for n in 0..8 {
        is_queued(put(&store, &SHARED, &format!("meanwhile-{n}")));
        assert_eq!(failure(keys(&store, &SHARED)).kind(), ErrorKind::Unavailable, "never a miss");
    }
    assert_eq!((store.stats().queued_now, store.stats().replayed), (8, 0));
    server.restart();
    wait_until(|| store.stats().replayed == 8);
    assert_eq!(store.stats().queued_now, 0);
    let found = keys(&protected(&server), &SHARED).expect("read");
    assert_eq!((found.len(), &*found[0]), (9, "before"));
}

#[test]
fn a_removal_comes_after_what_was_queued_before_it() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    let handle = nodes.disturbed.clone();
    let account = Change::put(access_token("second").of(ALICE, HOST).entry());
    for (queued, removal) in [(true, true), (true, false), (false, true), (false, false)] {
        nodes.refuse(NO_REPLICAS);
        is_queued(put(&nodes.disturbed, &SHARED, "first"));
        is_queued(commit(&nodes.disturbed, account.clone()));
        let remove = || if removal { block_on(handle.remove(&SHARED)) } else { commit(&handle, remove_account()) };
        if queued {
            is_queued(remove());
        }
        // The task that writes what is queued waits a second by now, and whoever comes meanwhile writes it.
        nodes.allow();
        if !queued {
            remove().expect("removed");
        }
        put(&nodes.disturbed, &SHARED, "after").expect("written");
        written(&nodes.disturbed);
        assert_eq!(nodes.keys(), ["after"], "queued: {queued}, of the partition: {removal}");
    }
    assert_eq!(nodes.disturbed.stats().dropped, 0);
}

#[test]
fn a_read_finds_what_was_queued_once_it_can_be_written() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    nodes.refuse(NO_REPLICAS);
    is_queued(put(&nodes.disturbed, &SHARED, "queued"));
    let before = block_on(nodes.disturbed.stamp(&SHARED)).expect("it can be read");
    assert_eq!(keys(&nodes.disturbed, &SHARED).expect("it can be read"), ["before"]);
    nodes.allow();
    assert_ne!(block_on(nodes.disturbed.stamp(&SHARED)).expect("read"), before);
    assert_eq!(nodes.keys(), ["before", "queued"]);
    let ids = [EntryId::new(section::ACCESS_TOKEN, "before")];
    for (key, read) in [
        ("load", &(|| keys(&nodes.disturbed, &SHARED).map(drop)) as &dyn Fn() -> Result<()>),
        ("get", &|| block_on(nodes.disturbed.get(&SHARED, &ids)).map(drop)),
        ("find", &|| block_on(nodes.disturbed.find(&SHARED, &[])).map(drop)),
    ] {
        nodes.refuse(NO_REPLICAS);
        is_queued(put(&nodes.disturbed, &SHARED, key));
        nodes.allow();
        read().expect("read");
        assert!(nodes.keys().contains(&key.to_owned()), "{key}");
    }
}

#[test]
fn replicas_that_take_no_writes_get_them_when_they_do() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::with(|store| store.deadline(SHORT));
    for reply in [
        "-READONLY You can't write against a read only replica.\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-MISCONF Redis is configured to save RDB snapshots\r\n",
        NO_REPLICAS,
    ] {
        nodes.refuse(reply);
        let key = reply.split(' ').next().expect("a code");
        is_queued(put(&nodes.disturbed, &SHARED, key));
        assert!(!nodes.keys().contains(&key.to_owned()));
        nodes.allow();
        written(&nodes.disturbed);
        assert!(nodes.keys().contains(&key.to_owned()), "{key}");
    }
}

#[test]
fn what_the_server_has_no_room_for_is_given_up() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    nodes.refuse(NO_REPLICAS);
    for key in ["1", "2"] {
        is_queued(put(&nodes.disturbed, &SHARED, key));
    }
    // It lets removals through, which must not wait.
    nodes.refuse("-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    written(&nodes.disturbed);
    assert_eq!((nodes.disturbed.stats().dropped, nodes.keys().len()), (2, 1));
    assert_eq!(is_refused(put(&nodes.disturbed, &SHARED, "3")).kind(), ErrorKind::Unavailable);
}

/// A server may come back before its users are known to it. What is signed out meanwhile stays so.
#[test]
fn what_the_server_does_not_permit_for_a_while_is_written_later() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    nodes.refuse(NO_REPLICAS);
    let put_account = || commit(&nodes.disturbed, Change::put(access_token("signed-out").of(ALICE, HOST).entry()));
    for remove in [|store: &_| commit(store, remove_account()), |store: &RedisStore| block_on(store.remove(&SHARED))] {
        nodes.refuse(NO_REPLICAS);
        is_queued(put_account());
        nodes.refuse("-NOPERM this user has no permissions to run the 'evalsha' command\r\n");
        // Behind what waits.
        is_queued(remove(&nodes.disturbed));
        let read = failure(keys(&nodes.disturbed, &SHARED));
        assert!(matches!(read.kind(), ErrorKind::Denied | ErrorKind::Unavailable), "{read}");
        nodes.allow();
        written(&nodes.disturbed);
        assert_eq!((nodes.disturbed.stats().dropped, nodes.keys()), (0, vec![]));
        nodes.refuse("-NOPERM this user has no permissions to run the 'evalsha' command\r\n");
        assert_eq!(is_refused(put_account()).kind(), ErrorKind::Denied, "nothing waits");
    }
}

#[test]
fn conditions_hold_when_it_is_written() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    let refresh = |secret: &str, at: i64| {
        let at = UnixMillis(1_700_000_000_000 + at);
        Change::put(refresh_token("refresh").of("bob", HOST).secret(secret).at(at).entry())
    };
    let guarded = Change::Put {
        entry: access_token("guarded").of("bob", HOST).entry(),
        replaces: None,
        guard: Some(Guard::Entry(EntryId::new(section::REFRESH_TOKEN, "refresh"))),
    };
    commit(&nodes.other, refresh("first", 0)).expect("written");
    nodes.refuse(NO_REPLICAS);
    is_queued(commit(&nodes.disturbed, refresh("old", 1)));
    commit(&nodes.other, refresh("new", 2)).expect("written");
    nodes.allow();
    written(&nodes.disturbed);
    let ids = [EntryId::new(section::REFRESH_TOKEN, "refresh")];
    let found = block_on(nodes.other.get(&SHARED, &ids)).expect("read").remove(0).expect("it is there");
    assert!(String::from_utf8_lossy(found.entry.json.expose()).contains("\"new\""), "the newest one stays");

    nodes.refuse(NO_REPLICAS);
    is_queued(commit(&nodes.disturbed, guarded));
    let fenced = Changes::new(vec![Change::put(access_token("fenced").entry())]);
    is_queued(block_on(nodes.disturbed.commit(&SHARED, &fenced.clone().with_fence("refresh", 1))));
    let remove = Changes::new(vec![Change::remove(ids[0].clone())]);
    block_on(nodes.other.commit(&SHARED, &remove.with_fence("refresh", 2))).expect("removed");
    nodes.allow();
    written(&nodes.disturbed);
    assert_eq!(nodes.keys(), ["before"], "a sign-out elsewhere stands");
    assert_eq!(nodes.disturbed.stats().dropped, 0);
}

#[test]
fn a_server_that_was_emptied_gets_what_is_queued() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    nodes.refuse(NO_REPLICAS);
    is_queued(put(&nodes.disturbed, &SHARED, "queued"));
    nodes.server.flush();
    nodes.allow();
    written(&nodes.disturbed);
    wait_until(|| nodes.keys() == ["queued"]);
    assert_eq!(block_on(nodes.other.partitions(None, 9)).expect("listed"), [SHARED]);
}

#[test]
fn two_nodes_queue_for_one_partition() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let nodes = [(); 2].map(|()| open(&server, impatient(&server)));
    server.kill();
    for n in 0..6 {
        for (node, store) in nodes.iter().enumerate() {
            is_queued(put(store, &SHARED, &format!("{n}-of-{node}")));
        }
    }
    server.restart();
    nodes.iter().for_each(written);
    let found = keys(&protected(&server), &SHARED).expect("read");
    assert_eq!(found.len(), 13, "{found:?}");
}

#[test]
fn a_caller_who_is_gone_has_queued_it_all_the_same() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = open(&server, impatient(&server));
    server.stop();
    let changes =
        Changes::new(vec![Change::put(access_token("gone").of(ALICE, HOST).secret(&secret_of("gone")).entry())]);
    let mut begun = store.commit(&SHARED, &changes);
    assert!(begun.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(begun);
    wait_until(|| store.stats().queued == 1);
    server.go_on();
    wait_until(|| store.stats().replayed == 1);
    assert_eq!(keys(&protected(&server), &SHARED).expect("read"), ["before", "gone"]);
}

#[test]
fn a_full_queue_says_so() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let [small, none] = [2, 0].map(|changes| open(&server, impatient(&server).queue(changes, 1 << 20)));
    server.kill();
    is_refused(put(&none, &SHARED, "nowhere"));
    let refresh = |key: &str| Change::put(refresh_token(key).of(ALICE, HOST).entry());
    is_queued(put(&small, &SHARED, "access"));
    is_queued(commit(&small, refresh("1")));
    is_queued(commit(&small, refresh("2")));
    assert_eq!(small.stats().dropped, 1, "an access token can be had again");
    assert_eq!(is_refused(commit(&small, refresh("3"))).kind(), ErrorKind::Unavailable);
    is_refused(put(&small, &SHARED, "access"));
    server.restart();
    written(&small);
    assert_eq!(anybodys_keys(&protected(&server), &SHARED).expect("read"), ["1", "2", "before"]);
}

#[test]
fn after_an_hour_it_is_not_written_any_more() {
    if !is_installed() {
        return;
    }
    let clock = Arc::new(ManualClock::at(UnixSeconds(1_800_000_000)));
    let nodes = Nodes::with(|store| store.clock(Arc::clone(&clock) as Arc<dyn Clock>));
    nodes.refuse(NO_REPLICAS);
    is_queued(put(&nodes.disturbed, &SHARED, "old"));
    clock.advance(Duration::from_secs(1800));
    is_queued(put(&nodes.disturbed, &SHARED, "young"));
    clock.advance(Duration::from_secs(1801));
    // Comes after whatever try is under way.
    is_queued(put(&nodes.disturbed, &SHARED, "new"));
    nodes.allow();
    written(&nodes.disturbed);
    let stats = nodes.disturbed.stats();
    assert_eq!((stats.replayed, stats.dropped), (2, 1));
    assert_eq!(nodes.keys(), ["before", "new", "young"]);
}

#[test]
fn a_program_that_ends_is_told_what_is_left() {
    if !is_installed() {
        return;
    }
    let mut server = Server::options().appendonly().start();
    let store = open(&server, impatient(&server));
    block_on(store.flush(Duration::ZERO)).expect("nothing is queued");
    server.kill();
    let bob = PartitionKey::user("bob");
    for partition in [&SHARED, &bob] {
        is_queued(put(&store, partition, "queued"));
    }
    let left = failure(block_on(store.flush(SHORT)));
    assert!(left.kind() == ErrorKind::Unavailable && left.message().starts_with("2 commits"), "{left}");
    server.restart();
    written(&store);
    for partition in [&SHARED, &bob] {
        assert!(keys(&protected(&server), partition).expect("read").contains(&"queued".to_owned()));
    }
}

/// What waits goes with the last handle: nothing writes for a store that nobody has any more.
#[test]
fn the_queue_ends_with_its_store() {
    if !is_installed() {
        return;
    }
    let nodes = Nodes::start();
    nodes.refuse(NO_REPLICAS);
    is_queued(put(&nodes.disturbed, &SHARED, "lost"));
    let Nodes { server, disturbed, other, refusal } = nodes;
    assert_eq!(clients(&server), 2);
    drop(disturbed);
    // Nor is it connected any more.
    wait_until(|| clients(&server) == 1);
    *refusal.lock().expect("no panic") = None;
    assert_eq!(keys(&other, &SHARED).expect("read"), ["before"]);
}

/// How many stores are connected to the server; tests look into it by another kind of connection.
fn clients(server: &Server) -> usize {
    let list = server.command(&["CLIENT", "LIST"]).to_string();
    list.lines().filter(|client| client.contains(" addr=127.0.0.1:")).count()
}
