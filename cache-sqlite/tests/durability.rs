//! What is stored stays stored: full disks, and others who hold the database.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use cache_core::{CacheStore as _, Change, Changes, ErrorKind, PartitionKey, Result};
use cache_sqlite::{Durability, SqliteStore};
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::entries::access_token;
use cache_testkit::folder::{names, text};
use cache_testkit::process::{self, Process};
use cache_testkit::promises::{length, say};
use cache_testkit::worker_name;

use common::slow::{SlowProtector, Step};
use common::{Folder, SHARED, connection, failure, integrity};

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

/// However many they are: each waits as long as it was told, not as long as all before it together.
#[test]
fn threads_that_wait_for_one_that_writes_are_all_busy_while_it_does() {
    let folder = Folder::in_memory();
    put(&folder.protected(), &SHARED, "a").expect("written");
    let protector = SlowProtector::new();
    let store = folder.at().protector(protector.clone()).lock_wait(Duration::from_millis(100)).open().expect("a path");
    let held_up = protector.hold_up(Step::Protection);
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| put(&store, &SHARED, "b").map(drop));
        held_up.wait();
        let (says, said) = mpsc::channel();
        for n in 0..10 {
            let (store, says) = (&store, says.clone());
            scope.spawn(move || says.send(put(store, &SHARED, &n.to_string()).map_err(|error| error.kind()).map(drop)));
        }
        let said: std::result::Result<Vec<_>, _> = (0..10).map(|_| said.recv_timeout(process::DEADLINE)).collect();
        drop(held_up);
        assert_eq!(said, Ok(vec![Err(ErrorKind::Busy); 10]));
        holder.join().expect("no panic").expect("it was first");
    });
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b"]);
}

#[test]
fn a_process_that_makes_the_database_for_longer_than_the_lock_wait_is_busy() {
    let folder = Folder::new();
    let store = impatient(&folder);
    let holder = hold(&text(&folder.beside(".lock")), "turn");
    let error = failure(put(&store, &SHARED, "a"));
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(keys(&store, &SHARED).expect("readers need no turn").is_empty());
    holder.finish();
    put(&store, &SHARED, "a").expect("free again");
    assert_eq!(folder.names(), ["tokens.db", "tokens.db-shm", "tokens.db-wal", "tokens.db.lock"]);
}

/// `rm tokens.db*`, while one makes the database and another waits for the right to make it.
#[cfg(target_os = "linux")]
#[test]
fn a_lock_file_that_is_deleted_lets_no_second_one_make_the_database() {
    let folder = Folder::new();
    let lock = folder.beside(".lock");
    let first = hold(&text(&lock), "turn");
    let store = folder.at().plaintext().lock_wait(Duration::from_secs(2)).open().expect("a path");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| put(&store, &SHARED, "a").map_err(|error| error.kind()).map(drop));
        while !is_open(&lock) && !waiter.is_finished() {
            std::thread::yield_now();
        }
        std::fs::remove_file(&lock).expect("it is there");
        let second = hold(&text(&lock), "turn");
        first.finish();
        assert_eq!(waiter.join().expect("no panic"), Err(ErrorKind::Busy), "the second one is at it still");
        assert!(!folder.database().exists());
        second.finish();
    });
    put(&store, &SHARED, "a").expect("free again");
}

/// Whether this process has the file open.
#[cfg(target_os = "linux")]
fn is_open(path: &std::path::Path) -> bool {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("Linux has it").flatten();
    descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok()).any(|open| open == path)
}

/// As a program leaves one that had the database in rollback mode and was killed.
#[test]
fn a_rollback_journal_that_an_earlier_database_left_is_no_part_of_a_new_one() {
    let (earlier, folder) = (Folder::in_memory(), Folder::in_memory());
    for n in 0..100 {
        put(&earlier.plaintext(), &SHARED, &n.to_string()).expect("written");
    }
    let program = connection(&earlier.database());
    program.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get::<_, String>(0)).expect("set");
    // So little memory that pages are written, and their old content to the journal, before the transaction ends.
    program.execute_batch("PRAGMA cache_size = 2; BEGIN; UPDATE entry SET value = zeroblob(900)").expect("updated");
    std::fs::copy(earlier.beside("-journal"), folder.beside("-journal")).expect("it is there");
    assert!(folder.beside("-journal").metadata().expect("copied").len() > 4096);

    let user = PartitionKey::user("u");
    put(&folder.plaintext(), &user, "new").expect("made");
    assert_eq!(keys(&folder.plaintext(), &user).expect("read"), ["new"]);
    assert!(keys(&folder.plaintext(), &SHARED).expect("read").is_empty(), "another database's content");
    assert_eq!(integrity(&folder.database()), "ok");
}

#[test]
fn the_log_stays_bounded_while_there_are_always_readers() {
    const BOUND: u64 = 24 << 20;
    let folder = Folder::in_memory();
    let store = folder.at().plaintext().durability(Durability::Normal).open().expect("a path");
    let large = PartitionKey::user("large");
    let entries = (0..500).map(|n| Change::put(access_token(&n.to_string()).entry())).collect();
    pollster::block_on(store.commit(&large, &Changes::new(entries))).expect("written");
    let (is_over, mut largest, mut written) = (AtomicBool::new(false), 0, 0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(
                        pollster::block_on(store.load(&large)).expect("read").expect("there").entries.len(),
                        500
                    );
                }
            });
        }
        for n in 0..length(30_000, 3_000) {
            let entry = access_token("small").secret(&format!("{n} {}", "x".repeat(9_000))).entry();
            let put = pollster::block_on(store.commit(&SHARED, &Changes::new(vec![Change::put(entry)])));
            written += 9_000;
            let log = folder.beside("-wal").metadata().expect("in use").len();
            largest = largest.max(log);
            if put.is_err() || log > BOUND {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    say(&format!("{written} bytes written beside 3 readers, {largest} in the log at most"));
    assert!(written > BOUND && largest < BOUND, "{largest} bytes");
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
    use cache_testkit::folder::Mount;
    use cache_testkit::other_user::is_root;

    if !is_root() {
        return;
    }
    for durability in [Durability::Full, Durability::Normal] {
        let parent = Folder::new();
        let Some(mount) = Mount::new(parent.path().join("mount"), "size=2m,mode=0700") else { return };
        let path = mount.path().join("tokens.db");
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
        let ballast = mount.path().join("ballast");
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
    use cache_testkit::folder::Mount;
    use cache_testkit::other_user::is_root;

    if !is_root() {
        return;
    }
    let parent = Folder::new();
    let Some(mount) = Mount::new(parent.path().join("mount"), "size=32k,mode=0700") else { return };
    let store = SqliteStore::at(mount.path().join("tokens.db")).plaintext().open().expect("a path");
    let error = failure(put(&store, &SHARED, "a"));
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(names(mount.path()), ["tokens.db.lock"], "nothing half is left");
    assert!(keys(&store, &SHARED).expect("nothing is there").is_empty());
}
