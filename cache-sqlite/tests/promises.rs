//! The promises about processes that share one encrypted database, with real processes and real kills.
//!
//! Short by default; `TOKEN_CACHE_FULL_LENGTH=1` runs every test at the length that the project promises, and each prints
//! what it saw:
//!
//!     TOKEN_CACHE_FULL_LENGTH=1 cargo test --release -p cache-sqlite --test promises -- --nocapture

mod common;

use std::fs;
use std::time::{Duration, Instant};

use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{PersistedTokenCache, TokenCache, TokenResponse, UnixSeconds, blocking};
use cache_testkit::process::{self, Process};
use cache_testkit::worker_name;

use common::{ALICE, Folder, HOST, Random, SHARED, integrity, keys, length, lost, patient, put, rows, say};

/// Adds tokens `<prefix>-<n>` and says each that is stored. Begins when it hears a line.
#[test]
#[ignore = "a worker process of other tests"]
fn writer() {
    process::work(worker_name!(writer), |worker| {
        let [path, prefix, count] = worker.arguments().to_vec().try_into().expect("path, prefix, count");
        let store = patient(&path);
        worker.hear();
        for n in 0..count.parse().expect("a number") {
            let key = format!("{prefix}-{n}");
            let committed = put(&store, &SHARED, &key).expect("an update of a usable database");
            assert!(committed.skipped.is_empty(), "nobody else writes this token: {:?}", committed.skipped);
            worker.say(&key);
        }
    });
}

/// Adds each token that it hears of, and says it when it is stored.
#[test]
#[ignore = "a worker process of other tests"]
fn paced_writer() {
    process::work(worker_name!(paced_writer), |worker| {
        let store = patient(&worker.arguments()[0].clone());
        while let Some(key) = worker.hear() {
            put(&store, &SHARED, &key).expect("an update of a usable database");
            worker.say(&key);
        }
    });
}

fn start_writers(path: &str, writers: usize, count: usize) -> Vec<Process> {
    let count = count.to_string();
    let start = |n| Process::start(worker_name!(writer), &[path, &format!("w{n}"), &count]);
    let mut writers: Vec<_> = (0..writers).map(start).collect();
    for writer in &mut writers {
        writer.say("go");
    }
    writers
}

/// The eight find no database: who makes it, and who comes second, is part of every run.
#[test]
fn eight_processes_lose_no_update() {
    let (runs, updates) = (length(10, 1), length(200, 25));
    for run in 0..runs {
        let folder = Folder::new();
        let writers = start_writers(&folder.argument(), 8, updates);
        let acknowledged: Vec<String> = writers.into_iter().flat_map(Process::finish).collect();
        let lost = lost(&acknowledged, &folder.protected());
        say(&format!("8 processes x {updates} updates, run {}: {lost} of {} lost", run + 1, acknowledged.len()));
        assert_eq!((lost, acknowledged.len()), (0, 8 * updates));
        assert_eq!(integrity(&folder.database()), "ok");
    }
}

#[test]
fn processes_that_all_make_the_database_lose_nothing() {
    let (runs, processes) = (length(40, 6), 8);
    for run in 0..runs {
        let folder = Folder::in_memory();
        let writers = start_writers(&folder.argument(), processes, 2);
        let acknowledged: Vec<String> = writers.into_iter().flat_map(Process::finish).collect();
        assert_eq!(acknowledged.len(), 2 * processes);
        assert_eq!(lost(&acknowledged, &folder.protected()), 0, "run {run}");
        assert_eq!(integrity(&folder.database()), "ok", "run {run}");
        assert_eq!(folder.names(), ["tokens.db", "tokens.db.lock"], "run {run}");
    }
    say(&format!("{runs} databases made by {processes} processes at once: no update lost"));
}

#[test]
fn a_killed_process_loses_nothing_and_blocks_nobody() {
    let kills = length(200, 15);
    let folder = Folder::new();
    let path = folder.argument();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let (mut acknowledged, mut slowest) = (Vec::new(), Duration::ZERO);
    let mut steady = Process::start(worker_name!(paced_writer), &[&path]);
    for kill in 0..kills {
        let mut victim = Process::start(worker_name!(writer), &[&path, &format!("v{kill}"), "1000000"]);
        // Another process writes at the same time.
        for n in 0..3 {
            steady.say(&format!("steady-{kill}-{n}"));
        }
        victim.say("go");
        // A random moment: after some lines, and some microseconds into the next update.
        victim.wait_for_lines(random.below(3) + 1);
        let until = Instant::now() + Duration::from_micros(random.next() & 0xFFF);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        victim.kill();
        // Whoever comes next can write at once, finds a sound database, and everything that was acknowledged.
        let came = Instant::now();
        let after = format!("after-{kill}");
        put(&patient(&path), &SHARED, &after).expect("an update after a kill");
        slowest = slowest.max(came.elapsed());
        acknowledged.extend(victim.lines().iter().cloned());
        acknowledged.push(after);
        assert_eq!(integrity(&folder.database()), "ok", "after {} kills", kill + 1);
        assert_eq!(lost(&acknowledged, &patient(&path)), 0, "after {} kills", kill + 1);
    }
    let beside = steady.finish();
    let lost = lost(acknowledged.iter().chain(&beside), &patient(&path));
    say(&format!(
        "{kills} kills: {} updates acknowledged by killed processes or right after, and {} by a process beside them, \
         {lost} lost; slowest update after a kill {slowest:?}",
        acknowledged.len(),
        beside.len()
    ));
    assert_eq!((lost, beside.len()), (0, 3 * kills));
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
        let mut maker = Process::start(worker_name!(maker), &[folder.path().to_str().expect("an ordinary path")]);
        maker.wait_for_lines(random.below(2) + 1);
        let until = Instant::now() + Duration::from_micros(random.next() & 0xFFF);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        maker.kill();
        let made = maker.lines().len();
        for n in 0..=made {
            let path = folder.path().join(format!("{n}.db"));
            unfinished += usize::from(n == made && !path.exists());
            let store = patient(path.to_str().expect("an ordinary path"));
            assert!(n == made || keys(&store, &SHARED).expect("sound") == ["a"], "kill {kill}, database {n}");
            put(&store, &SHARED, "b").expect("it is made, or goes on");
            assert_eq!(integrity(&path), "ok", "kill {kill}, database {n}");
        }
    }
    say(&format!("{kills} kills while databases were made: all sound, {unfinished} not there yet"));
}

fn response(secret: &str, now: UnixSeconds) -> TokenResponse {
    TokenResponse {
        access_token: Some(AccessToken {
            home_account_id: Some(ALICE.into()),
            environment: HOST.into(),
            client_id: "client".into(),
            realm: "home".into(),
            target: format!("api://{secret}/.default").into(),
            secret: secret.into(),
            cached_at: Some(now),
            expires_on: Some(now.plus(3600)),
            ..AccessToken::default()
        }),
        refresh_token: Some(RefreshToken {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            client_id: "client".into(),
            secret: secret.into(),
            ..RefreshToken::default()
        }),
        account: Some(Account {
            home_account_id: ALICE.into(),
            environment: HOST.into(),
            realm: "home".into(),
            username: "alice@contoso.example".into(),
            ..Account::default()
        }),
        ..TokenResponse::default()
    }
}

fn cache(path: &str) -> blocking::PersistedTokenCache {
    blocking::PersistedTokenCache::new(PersistedTokenCache::builder(patient(path)).build())
}

/// Writes refreshed tokens of the account until it is gone, and says each.
#[test]
#[ignore = "a worker process of other tests"]
fn refresher() {
    process::work(worker_name!(refresher), |worker| {
        let [path, prefix] = worker.arguments().to_vec().try_into().expect("path, prefix");
        let cache = cache(&path);
        worker.say("ready");
        worker.hear();
        for n in 0..40 {
            // The response of a refresh that began while the account was there and may arrive after it was removed.
            let response = response(&format!("{prefix}-{n}"), cache.as_async().now());
            let updated = cache.update(&SHARED, |tokens| tokens.insert_response(response));
            if !updated.expect("an update of a usable database").value.expect("a complete response") {
                break;
            }
            worker.say("refreshed");
        }
    });
}

#[test]
fn a_removed_account_stays_removed_whoever_refreshes() {
    let runs = length(100, 6);
    let (mut refreshed, mut left) = (0, 0);
    for run in 0..runs {
        let folder = Folder::new();
        let path = folder.argument();
        let cache = cache(&path);
        let now = cache.as_async().now();
        let signed_in = cache.update(&SHARED, |tokens| tokens.sign_in(response("first", now))).expect("an update");
        signed_in.value.expect("a complete response");
        let mut refreshers: Vec<_> =
            (0..4).map(|n| Process::start(worker_name!(refresher), &[&path, &format!("r{n}")])).collect();
        for refresher in &mut refreshers {
            refresher.wait_for_lines(1);
        }
        for refresher in &mut refreshers {
            refresher.say("go");
        }
        // At another moment in each run.
        refreshers[run % 4].wait_for_lines(2 + run / 4 % 3);
        let removed = cache.update(&SHARED, |tokens| tokens.remove_account(ALICE, HOST)).expect("an update");
        assert!(removed.value, "the account was there");
        refreshed += refreshers.into_iter().flat_map(Process::finish).filter(|line| line == "refreshed").count();
        left += self::cache(&path).read(&SHARED, TokenCache::len).expect("a sound database");
        left += rows(&folder.database(), "entry") + rows(&folder.database(), "term");
    }
    say(&format!("{runs} sign-outs beside 4 processes that wrote {refreshed} refreshes: {left} entries left"));
    assert_eq!(left, 0);
    assert!(refreshed > runs, "the refreshes ran beside the removal");
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
        assert_eq!(lost(&acknowledged, &patient(&path)), 0, "run {run}");
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
