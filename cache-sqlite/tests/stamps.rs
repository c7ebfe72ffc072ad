//! Stamps: what did not change is told at next to no cost, a change is never missed, and neither is another database at
//! the path.

mod common;

use std::collections::HashSet;
use std::fs;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cache_core::{CacheStore as _, PartitionKey, Version};
use cache_sqlite::SqliteStore;
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::process::{self, Process};
use cache_testkit::{promises, worker_name};

use common::slow::{SlowProtector, Step};
use common::{Folder, SHARED, damage_last_entry, patient};

fn user() -> PartitionKey {
    PartitionKey::user("u")
}

fn stamp(store: &SqliteStore, partition: &PartitionKey) -> Option<Version> {
    pollster::block_on(store.stamp(partition)).expect("looked")
}

/// What is known without a future.
fn stamp_now(store: &SqliteStore, partition: &PartitionKey) -> Option<Version> {
    store.stamp_now(partition).expect("known without a future").expect("looked")
}

#[test]
#[ignore = "a worker process of other tests"]
fn writer() {
    process::work(worker_name!(writer), |worker| {
        promises::write_what_is_heard(worker, patient, |store, key| drop(put(store, &SHARED, key).expect("written")));
    });
}

/// The statement cache of rusqlite makes a key for each statement that it gives out; nothing else is allocated.
#[test]
fn a_look_that_finds_no_change_allocates_one_key_at_most() {
    let folder = Folder::in_memory();
    let store = folder.protected();
    put(&store, &SHARED, "a").expect("written");
    for partition in [SHARED, user()] {
        // The first look opens a connection, and the second remembers what it read.
        let expected = stamp(&store, &partition);
        for n in 0..10 {
            let mut found = None;
            let measured = allocation_counter::measure(|| found = store.stamp_now(&partition));
            let found = found.expect("known without a future").expect("looked");
            assert_eq!(found, expected);
            assert!(n == 0 || measured.count_total <= 1, "look {n}: {} allocations", measured.count_total);
            assert!(n == 0 || measured.bytes_total < 64, "look {n}: {} bytes", measured.bytes_total);
        }
    }
}

#[test]
fn a_commit_of_another_process_is_seen_at_once() {
    let folder = Folder::in_memory();
    let store = folder.protected();
    put(&store, &SHARED, "a").expect("written");
    put(&store, &user(), "b").expect("written");
    let others = stamp(&store, &user());
    let mut seen = HashSet::from([stamp(&store, &SHARED).expect("there").as_bytes().expect("a stamp").to_vec()]);
    let mut writer = Process::start(worker_name!(writer), &[&folder.argument()]);
    for n in 0..50 {
        writer.say(&n.to_string());
        writer.wait_for_lines(n + 1);
        let now = stamp_now(&store, &SHARED).expect("there");
        assert!(seen.insert(now.as_bytes().expect("a stamp").to_vec()), "after commit {n}");
        assert_eq!(stamp(&store, &SHARED).as_ref(), Some(&now));
        assert_eq!(stamp_now(&store, &user()), others, "nothing of it was changed");
    }
    writer.finish();
}

#[test]
fn a_commit_tells_the_stamp_that_holds_from_then_on() {
    let folder = Folder::in_memory();
    let (store, other) = (folder.protected(), folder.protected());
    let mut before = None;
    for n in 0..20 {
        let committed = put(&store, &SHARED, &n.to_string()).expect("written");
        assert_eq!(committed.before, before);
        assert_eq!(stamp(&store, &SHARED), committed.after, "nothing need be read again");
        assert_eq!(stamp(&other, &SHARED), committed.after, "by nobody else either");
        let read = pollster::block_on(other.load(&SHARED)).expect("read").expect("there");
        assert_eq!(Some(read.stamp), committed.after);
        before = committed.after;
    }
    let same = put(&store, &SHARED, "19").expect("nothing to write");
    assert_eq!((&same.before, &same.after), (&before, &before));
}

#[test]
fn no_stamp_ever_comes_twice() {
    let folder = Folder::in_memory();
    let mut seen = HashSet::new();
    for round in 0..30 {
        let store = folder.plaintext();
        for n in 0..3 {
            let after = put(&store, &SHARED, &n.to_string()).expect("written").after.expect("something is there");
            assert!(seen.insert(after.as_bytes().expect("a stamp").to_vec()), "round {round}");
        }
        if round % 2 == 0 {
            pollster::block_on(store.remove(&SHARED)).expect("removed");
            assert_eq!(stamp(&store, &SHARED), None);
        } else {
            drop(store);
            fs::remove_file(folder.database()).expect("removed");
        }
    }
}

#[test]
fn nothing_is_known_before_the_first_look() {
    let folder = Folder::in_memory();
    put(&folder.protected(), &SHARED, "a").expect("written");
    let store = folder.protected();
    assert!(store.stamp_now(&SHARED).is_none());
    assert!(stamp(&store, &SHARED).is_some());
    assert!(stamp_now(&store, &SHARED).is_some());
}

/// Its caller may be a thread that many futures share.
#[cfg(unix)]
#[test]
fn what_is_known_without_a_future_waits_for_nobody_who_opens_the_database() {
    let folder = Folder::in_memory();
    let protector = SlowProtector::new();
    let store = folder.at().protector(protector.clone()).open().expect("a path");
    put(&store, &SHARED, "old").expect("written");
    assert!(stamp(&store, &SHARED).is_some());
    folder.delete_database();
    put(&folder.protected(), &SHARED, "new").expect("made anew");

    let held_up = protector.hold_up(Step::Key);
    std::thread::scope(|scope| {
        // A write looks at the path and finds another database.
        scope.spawn(|| put(&store, &SHARED, "more").expect("written"));
        held_up.wait();
        let (answers, answer) = mpsc::channel();
        let (store, shared) = (&store, &SHARED);
        scope.spawn(move || answers.send(store.stamp_now(shared).is_none()));
        let is_unknown = answer.recv_timeout(process::DEADLINE);
        drop(held_up);
        assert_eq!(is_unknown, Ok(true), "it answers, while the other one is held up still, that it must look");
    });
    assert_eq!(keys(&store, &SHARED).expect("read"), ["more", "new"]);
}

/// A recovered database has the partitions of the damaged one under their numbers, and counts their changes from the start.
#[test]
fn no_stamp_comes_twice_over_a_recovery() {
    let folder = Folder::in_memory();
    let (store, other) = (folder.plaintext(), folder.plaintext());
    let mut earlier = Vec::new();
    for n in 0..3 {
        earlier.extend(stamp(&store, &user()));
        put(&store, &user(), &n.to_string()).expect("written");
    }
    put(&store, &SHARED, "damaged").expect("written");
    damage_last_entry(&folder.database());
    // This store has just looked at the path, and relies on that.
    assert!(stamp(&store, &user()).is_some());
    assert!(pollster::block_on(other.recover()).expect("recovered").aside.is_some());
    // Other threads, some of which read by connections that are opened only now.
    for _ in 0..8 {
        let stamp = std::thread::scope(|scope| scope.spawn(|| stamp(&store, &user())).join().expect("no panic"));
        let stamp = stamp.expect("it was kept");
        assert!(!earlier.contains(&stamp), "the stamp of an earlier content");
    }
    assert_eq!(earlier.len(), 2);
}

/// How long a reader may rely on the path, and a little more.
const RELIED_UPON: Duration = Duration::from_millis(1_100);

fn wait_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

#[cfg(unix)]
#[test]
fn a_database_that_was_deleted_or_replaced_is_noticed_within_a_second() {
    let folder = Folder::in_memory();
    let (reader, other) = (folder.protected(), folder.protected());
    put(&other, &SHARED, "old").expect("written");
    let old = stamp(&reader, &SHARED);
    assert_eq!(keys(&reader, &SHARED).expect("read"), ["old"]);
    fs::remove_file(folder.database()).expect("removed");
    wait_until(Instant::now() + RELIED_UPON);
    assert!(reader.stamp_now(&SHARED).is_none(), "it must look at the path, which a future does");
    assert_eq!(stamp(&reader, &SHARED), None);
    assert!(keys(&reader, &SHARED).expect("nothing is there").is_empty());

    put(&other, &SHARED, "new").expect("made anew");
    wait_until(Instant::now() + RELIED_UPON);
    assert_eq!(keys(&reader, &SHARED).expect("read"), ["new"]);
    assert!(stamp(&reader, &SHARED).is_some_and(|new| Some(new) != old));
}

/// Within the second too there is no error: what is read is the database of before, or that at the path.
#[cfg(unix)]
#[test]
fn a_database_that_was_just_deleted_is_no_error() {
    let folder = Folder::in_memory();
    // One that has written, and has not read yet.
    let store = folder.protected();
    put(&store, &SHARED, "old").expect("written");
    fs::remove_file(folder.database()).expect("removed");
    assert!(keys(&store, &SHARED).expect("nothing is there").is_empty());
    assert_eq!(stamp(&store, &SHARED), None);
    put(&store, &SHARED, "new").expect("made anew");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["new"]);
}

/// The same with another database at the path already.
#[cfg(unix)]
#[test]
fn a_database_that_was_just_replaced_is_not_read_by_the_names_of_the_old_one() {
    let folder = Folder::in_memory();
    let (store, other) = (folder.protected(), folder.protected());
    put(&store, &SHARED, "old").expect("written");
    fs::remove_file(folder.database()).expect("removed");
    put(&other, &SHARED, "new").expect("made anew");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["new"]);
    assert_eq!(stamp(&store, &SHARED), stamp(&other, &SHARED));
}

#[cfg(unix)]
#[test]
fn a_writer_notices_at_once() {
    let folder = Folder::in_memory();
    let (store, other) = (folder.protected(), folder.protected());
    for round in 0..10 {
        let key = round.to_string();
        assert_eq!(put(&store, &SHARED, &key).expect("written").before, None, "nothing is left of the last one");
        assert_eq!(keys(&store, &SHARED).expect("read"), [&*key]);
        put(&other, &SHARED, "other").expect("into the same one");
        assert_eq!(keys(&store, &SHARED).expect("read"), [&*key, "other"]);
        fs::remove_file(folder.database()).expect("removed");
    }
}
