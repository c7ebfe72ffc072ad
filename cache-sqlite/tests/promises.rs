//! The promises about processes that share one encrypted database, with real processes and real kills.
//!
//! Short by default; `TOKEN_CACHE_FULL_LENGTH=1` runs every test at the length that the project promises, and each prints
//! what it saw:
//!
//!     TOKEN_CACHE_FULL_LENGTH=1 cargo test --release -p cache-sqlite --test promises -- --nocapture

mod common;

use std::fs;

use cache_core::{PersistedTokenCache, blocking};
use cache_sqlite::SqliteStore;
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::folder::text;
use cache_testkit::process::{self, Process};
use cache_testkit::promises::{self, Kills, SignOuts, length, lost, say};
use cache_testkit::random::Random;
use cache_testkit::worker_name;

use common::{Folder, SHARED, integrity, patient, rows};

fn add(store: &SqliteStore, key: &str) {
    let committed = put(store, &SHARED, key).expect("an update of a usable database");
    assert!(committed.skipped.is_empty(), "nobody else writes this token: {:?}", committed.skipped);
}

/// The names of the tokens in the database, read by a handle that has not written it.
fn stored(path: &str) -> Vec<String> {
    keys(&patient(path), &SHARED).expect("a sound database")
}

#[test]
#[ignore = "a worker process of other tests"]
fn writer() {
    process::work(worker_name!(writer), |worker| promises::write(worker, patient, add));
}

#[test]
#[ignore = "a worker process of other tests"]
fn paced_writer() {
    process::work(worker_name!(paced_writer), |worker| promises::write_what_is_heard(worker, patient, add));
}

/// The eight find no database: who makes it, and who comes second, is part of every run.
#[test]
fn eight_processes_lose_no_update() {
    let (runs, updates) = (length(10, 1), length(200, 25));
    for _ in 0..runs {
        let folder = Folder::new();
        let path = folder.argument();
        promises::no_update_is_lost(worker_name!(writer), &path, 8, updates, || stored(&path));
        assert_eq!(integrity(&folder.database()), "ok");
    }
}

#[test]
fn processes_that_all_make_the_database_lose_nothing() {
    let (runs, processes) = (length(40, 6), 8);
    for run in 0..runs {
        let folder = Folder::in_memory();
        let path = folder.argument();
        promises::no_update_is_lost(worker_name!(writer), &path, processes, 2, || stored(&path));
        assert_eq!(integrity(&folder.database()), "ok", "run {run}");
        assert_eq!(folder.names(), ["tokens.db", "tokens.db.lock"], "run {run}");
    }
    say(&format!("{runs} databases made by {processes} processes at once: no update lost"));
}

#[test]
fn a_killed_process_loses_nothing_and_blocks_nobody() {
    let folder = Folder::new();
    let path = folder.argument();
    let mut kills = Kills::beside(worker_name!(paced_writer), &path);
    for kill in 1..=length(200, 15) {
        // Whoever comes next can write at once, finds a sound database, and everything that was acknowledged.
        kills.kill(worker_name!(writer), |key| add(&patient(&path), key));
        assert_eq!(integrity(&folder.database()), "ok", "after {kill} kills");
        assert_eq!(lost(kills.acknowledged(), stored(&path)), 0, "after {kill} kills");
    }
    kills.assert_nothing_lost(|| stored(&path));
}

/// Makes one database after the other below its folder, and says each.
#[test]
#[ignore = "a worker process of other tests"]
fn maker() {
    process::work(worker_name!(maker), |worker| {
        let folder = worker.arguments()[0].clone();
        for n in 0.. {
            let path = format!("{folder}/{n}.db");
            put(&patient(&path), &SHARED, "a").expect("made");
            worker.say(&path);
        }
    });
}

#[test]
fn a_process_that_is_killed_while_it_makes_a_database_leaves_a_whole_one_or_none() {
    let kills = length(200, 20);
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    let mut unfinished = 0;
    for kill in 0..kills {
        let folder = Folder::in_memory();
        let mut maker = Process::start(worker_name!(maker), &[&text(folder.path())]);
        promises::kill_within_an_update(&mut maker, &mut random, 2);
        let made = maker.lines().len();
        for n in 0..=made {
            let path = folder.path().join(format!("{n}.db"));
            unfinished += usize::from(n == made && !path.exists());
            let store = patient(&text(&path));
            assert!(n == made || keys(&store, &SHARED).expect("sound") == ["a"], "kill {kill}, database {n}");
            put(&store, &SHARED, "b").expect("it is made, or goes on");
            assert_eq!(integrity(&path), "ok", "kill {kill}, database {n}");
        }
    }
    say(&format!("{kills} kills while databases were made: all sound, {unfinished} not there yet"));
}

fn cache(path: &str) -> blocking::PersistedTokenCache {
    blocking::PersistedTokenCache::new(PersistedTokenCache::builder(patient(path)).build())
}

#[test]
#[ignore = "a worker process of other tests"]
fn refresher() {
    process::work(worker_name!(refresher), |worker| promises::refresh(worker, 40, cache));
}

#[test]
fn a_removed_account_stays_removed_whoever_refreshes() {
    let mut sign_outs = SignOuts::default();
    for _ in 0..length(100, 6) {
        let folder = Folder::new();
        sign_outs.run(worker_name!(refresher), &folder.argument(), cache);
        sign_outs.add_left(rows(&folder.database(), "entry") + rows(&folder.database(), "term"));
    }
    sign_outs.assert_nothing_left();
}

/// The clock that all processes of a machine share, in nanoseconds.
#[cfg(unix)]
fn monotonic() -> i128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// Adds tokens `<prefix>-<n>` without end; says each that is stored, and when its update began.
#[cfg(unix)]
#[test]
#[ignore = "a worker process of other tests"]
fn timed_writer() {
    process::work(worker_name!(timed_writer), |worker| {
        let [path, prefix] = worker.arguments().to_vec().try_into().expect("path, prefix");
        let store = patient(&path);
        for n in 0.. {
            let (key, began) = (format!("{prefix}-{n}"), monotonic());
            put(&store, &SHARED, &key).expect("an update, whatever becomes of the database");
            worker.say(&format!("{began} {key}"));
        }
    });
}

/// Deleting the file alone is how people reset a cache, whatever lies beside it.
#[cfg(unix)]
#[test]
fn a_database_that_is_deleted_while_others_write_is_made_anew_and_keeps_all_that_comes() {
    let (runs, deletions) = (length(20, 2), 10);
    let mut random = Random(0xA076_1D64_78BD_642F);
    let mut kept = 0;
    for run in 0..runs {
        let folder = Folder::new();
        let path = folder.argument();
        let start = |n| Process::start(worker_name!(timed_writer), &[&path, &format!("w{n}")]);
        let mut writers: Vec<_> = (0..4).map(start).collect();
        let mut deleted = 0;
        for _ in 0..deletions {
            let writer = &mut writers[random.below(4)];
            for _ in 0..=random.below(4) {
                until_began_after(writer, deleted);
            }
            // Another one may not have made it anew yet.
            let _ = fs::remove_file(folder.database());
            deleted = monotonic();
        }
        // Nobody is stuck: each goes on, and so has updates that began after the last deletion.
        let mut acknowledged = Vec::new();
        for writer in &mut writers {
            for _ in 0..5 {
                until_began_after(writer, deleted);
            }
        }
        for writer in &mut writers {
            writer.kill();
            let after = writer.lines().iter().map(|line| began_and_key(line)).filter(|(began, _)| *began > deleted);
            acknowledged.extend(after.map(|(_, key)| key.to_owned()));
        }
        assert_eq!(integrity(&folder.database()), "ok", "run {run}");
        assert_eq!(lost(&acknowledged, stored(&path)), 0, "run {run}");
        kept += acknowledged.len();
    }
    say(&format!(
        "{runs} x {deletions} deletions beside 4 writers: all {kept} updates begun after the last one are there"
    ));
}

/// Waits for a line about an update that began after this moment.
#[cfg(unix)]
fn until_began_after(writer: &mut Process, moment: i128) {
    while began_and_key(writer.next_line().expect("it writes without end")).0 <= moment {}
}

#[cfg(unix)]
fn began_and_key(line: &str) -> (i128, &str) {
    let (began, key) = line.split_once(' ').expect("two words");
    (began.parse().expect("a number"), key)
}
