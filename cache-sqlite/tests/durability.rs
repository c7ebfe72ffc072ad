//! What is stored stays stored: full disks, and others who hold the database.

mod common;

use std::time::Duration;

use cache_core::{CacheStore as _, Change, Changes, ErrorKind, Result};
use cache_sqlite::{Durability, SqliteStore};
use cache_testkit::entries::access_token;
use cache_testkit::process::{self, Process};
use cache_testkit::worker_name;

use common::{Folder, SHARED, connection, failure, integrity, keys, put};

/// Holds the database, or the right to make it, until it hears a line.
#[test]
#[ignore = "a worker process of other tests"]
fn holder() {
    process::work(worker_name!(holder), |worker| {
        let [path, what] = worker.arguments().to_vec().try_into().expect("path, what");
        if what == "turn" {
            let lock = std::fs::File::create(path).expect("made");
            lock.lock().expect("locked");
            worker.say("holds");
            worker.hear();
        } else {
            let connection = connection(path.as_ref());
            connection.execute_batch(&what).expect("locked");
            worker.say("holds");
            worker.hear();
            connection.execute_batch("ROLLBACK").expect("unlocked");
        }
    });
}

fn hold(path: &str, what: &str) -> Process {
    let mut holder = Process::start(worker_name!(holder), &[path, what]);
    holder.wait_for_lines(1);
    holder
}

fn impatient(folder: &Folder) -> SqliteStore {
    folder.at().plaintext().lock_wait(Duration::from_millis(100)).open().expect("a path")
}

#[test]
fn a_process_that_writes_for_longer_than_the_lock_wait_is_busy_and_hinders_no_reader() {
    let folder = Folder::new();
    let store = impatient(&folder);
    put(&store, &SHARED, "a").expect("written");
    let holder = hold(&folder.argument(), "BEGIN IMMEDIATE; DELETE FROM entry");
    for store in [store.clone(), impatient(&folder)] {
        for error in [
            failure(put(&store, &SHARED, "b")),
            failure(pollster::block_on(store.remove(&SHARED))),
            failure(pollster::block_on(store.lease(&SHARED, "refresh", Duration::ZERO)).map(drop)),
        ] {
            assert_eq!((error.kind(), error.store()), (ErrorKind::Busy, Some("sqlite")), "{error}");
        }
        assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
        assert!(store.stamp_now(&SHARED).expect("known without a future").expect("looked").is_some());
    }
    std::thread::scope(|scope| {
        let patient = folder.at().plaintext().lock_wait(Duration::from_secs(60)).open().expect("a path");
        let writer = scope.spawn(move || put(&patient, &SHARED, "c").map(drop));
        holder.finish();
        writer.join().expect("no panic").expect("its turn comes");
    });
    put(&store, &SHARED, "b").expect("free again");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b", "c"]);
}

#[test]
fn a_process_that_makes_the_database_for_longer_than_the_lock_wait_is_busy() {
    let folder = Folder::new();
    let store = impatient(&folder);
    let holder = hold(common::text(&folder.beside(".lock")).as_str(), "turn");
    let error = failure(put(&store, &SHARED, "a"));
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(keys(&store, &SHARED).expect("readers need no turn").is_empty());
    holder.finish();
    put(&store, &SHARED, "a").expect("free again");
    assert_eq!(folder.names(), ["tokens.db", "tokens.db-shm", "tokens.db-wal", "tokens.db.lock"]);
}

/// Several entries, of which the last ones do not fit.
#[cfg(unix)]
fn put_large(store: &SqliteStore) -> Result<()> {
    let large = |n: usize| access_token(&format!("large-{n}")).secret(&"x".repeat(400_000)).entry();
    let changes = Changes::new((0..8).map(|n| Change::put(large(n))).collect());
    pollster::block_on(store.commit(&SHARED, &changes)).map(drop)
}

#[cfg(unix)]
#[test]
fn a_full_disk_in_the_middle_of_a_commit_loses_nothing() {
    use common::unix::{Mount, is_root};

    if !is_root() {
        return;
    }
    for durability in [Durability::Full, Durability::Normal] {
        let parent = Folder::new();
        let Some(mount) = Mount::new(parent.path().join("mount"), "size=2m,mode=0700") else { return };
        let path = mount.0.join("tokens.db");
        let open = || SqliteStore::at(&path).plaintext().durability(durability).open().expect("a path");
        let store = open();
        put(&store, &SHARED, "a").expect("written");
        for _ in 0..3 {
            let error = failure(put_large(&store));
            assert_eq!((error.kind(), error.store()), (ErrorKind::Unavailable, Some("sqlite")), "{error}");
            assert!(error.message().contains("full"), "{error}");
            assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
            assert_eq!(keys(&open(), &SHARED).expect("read"), ["a"]);
        }
        drop(store);
        let ballast = mount.0.join("ballast");
        let fill = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&ballast)?;
            loop {
                std::io::Write::write_all(&mut file, &[0; 512])?;
            }
        };
        assert!(fill().is_err(), "the disk is full");
        let store = open();
        assert_eq!(failure(put_large(&store)).kind(), ErrorKind::Unavailable);
        std::fs::remove_file(ballast).expect("room is made");
        put(&store, &SHARED, "b").expect("there is room again");
        assert_eq!(keys(&open(), &SHARED).expect("read"), ["a", "b"]);
        drop(store);
        assert_eq!(integrity(&path), "ok");
    }
}

#[cfg(unix)]
#[test]
fn a_disk_without_room_for_a_database_gets_none() {
    use common::unix::{Mount, is_root};

    if !is_root() {
        return;
    }
    let parent = Folder::new();
    let Some(mount) = Mount::new(parent.path().join("mount"), "size=32k,mode=0700") else { return };
    let store = SqliteStore::at(mount.0.join("tokens.db")).plaintext().open().expect("a path");
    let error = failure(put(&store, &SHARED, "a"));
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(common::names(&mount.0), ["tokens.db.lock"], "nothing half is left");
    assert!(keys(&store, &SHARED).expect("nothing is there").is_empty());
}
