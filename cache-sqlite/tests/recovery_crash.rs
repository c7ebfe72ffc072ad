//! Recoveries, and commits beside them, that are killed or stand still after any of their steps, with real processes:
//! nothing is lost, nothing comes back, and nobody is told that nothing is stored.
//!
//! Needs `strace`; without it the tests say so and show nothing, and where `CI` is set they fail.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use cache_core::{CacheStore as _, ErrorKind, PartitionKey};
use cache_sqlite::SqliteStore;
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::folder::text;
use cache_testkit::process::{self, Process};
use cache_testkit::worker_name;
use pollster::block_on;
use rustix::process::{Pid, Signal, kill_process};

use common::{Folder, SHARED, can_trace, connection, damage_last_entry};

/// The calls by which a recovery moves files; the question mark is for those that this machine does not have.
const MOVES: [&str; 5] = ["?link", "?linkat", "?rename", "?renameat", "?renameat2"];
/// The users whose tokens are all sound. Each has one, of the same name.
const USERS: [&str; 3] = ["a", "b", "acknowledged"];

fn user(name: &str) -> PartitionKey {
    PartitionKey::user(name)
}

fn waiting(path: &str, wait: Duration) -> SqliteStore {
    SqliteStore::at(path).plaintext().lock_wait(wait).open().expect("a usable path")
}

fn patient(path: &str) -> SqliteStore {
    waiting(path, Duration::from_secs(60))
}

fn impatient(folder: &Folder) -> SqliteStore {
    waiting(&folder.argument(), Duration::from_millis(50))
}

/// Recovers the database and says that it has.
#[test]
#[ignore = "a worker process of other tests"]
fn recoverer() {
    process::work(worker_name!(recoverer), |worker| {
        let store = patient(&worker.arguments()[0]);
        assert!(block_on(store.recover()).expect("recovered").aside.is_some());
        worker.say("recovered");
    });
}

/// Adds a token of the user `late`.
#[test]
#[ignore = "a worker process of other tests"]
fn writer() {
    process::work(worker_name!(writer), |worker| {
        put(&patient(&worker.arguments()[0]), &user("late"), "late").expect("written");
        worker.say("written");
    });
}

/// Has the database open, so that its log stays beside it whoever closes it.
#[test]
#[ignore = "a worker process of other tests"]
fn idler() {
    process::work(worker_name!(idler), |worker| {
        let connection = connection(worker.arguments()[0].as_ref());
        connection.query_row("SELECT count(*) FROM entry", (), |row| row.get::<_, i64>(0)).expect("read");
        worker.say("open");
        worker.hear();
    });
}

/// Makes a database with a damaged entry, and an acknowledged one that is in the log alone while the answered worker lives.
fn damaged(folder: &Folder) -> Process {
    let store = folder.plaintext();
    for name in &USERS[..2] {
        put(&store, &user(name), name).expect("written");
    }
    put(&store, &SHARED, "damaged").expect("written");
    drop(store);
    damage_last_entry(&folder.database());
    let mut idler = Process::start(worker_name!(idler), &[&folder.argument()]);
    idler.wait_for_lines(1);
    put(&folder.plaintext(), &user(USERS[2]), USERS[2]).expect("written");
    idler
}

#[track_caller]
fn assert_nothing_is_lost(store: &SqliteStore, when: &str) {
    for name in USERS {
        assert_eq!(keys(store, &user(name)).expect("sound"), [name], "{when}");
    }
}

/// What a reader hears while a recovery is not complete: what is stored, or that something is wrong.
#[track_caller]
fn assert_never_empty(store: &SqliteStore, when: &str) {
    for name in USERS {
        match keys(store, &user(name)) {
            Ok(keys) => assert_eq!(keys, [name], "{when}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{when}: {error}"),
        }
    }
}

#[test]
fn a_recovery_that_is_killed_loses_nothing_and_the_next_one_completes_it() {
    if !can_trace() {
        return;
    }
    let mut kills = 0;
    for call in MOVES {
        for n in 1.. {
            let folder = Folder::in_memory();
            let mut idler = damaged(&folder);
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}"));
            let tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let mut recoverer = Process::start_under(&tracer, worker_name!(recoverer), &[&folder.argument()]);
            if recoverer.next_line().is_some() {
                // There is no such call.
                break;
            }
            // Nobody is left who could mend anything.
            idler.kill();
            kills += 1;
            let when = format!("killed at {call} {n}: {:?}", folder.names());
            let store = impatient(&folder);
            assert_never_empty(&store, &when);
            block_on(store.recover()).unwrap_or_else(|error| panic!("{when}: {error}"));
            assert_nothing_is_lost(&store, &when);
            assert!(block_on(store.verify()).expect("verified").is_sound(), "{when}");
            put(&store, &user("next"), "next").expect("written");
            assert!(folder.names().iter().all(|name| !name.contains(".new")), "{when}: {:?} stay", folder.names());
        }
    }
    assert!(kills >= 4, "the second name, the log, its index, and the new database: {kills}");
}

#[test]
fn who_comes_between_two_steps_of_a_recovery_sees_no_empty_store_and_harms_nothing() {
    if !can_trace() {
        return;
    }
    let folder = Folder::in_memory();
    let idler = damaged(&folder);
    let mut recovery = Stepped::start(worker_name!(recoverer), &folder, &[], &MOVES);
    let (mut between, mut acknowledged, mut late) = (Vec::new(), Vec::new(), None);
    while recovery.stands_still() {
        // One that waits for its end.
        late.get_or_insert_with(|| Process::start(worker_name!(writer), &[&folder.argument()]));
        let when = format!("after step {}: {:?}", between.len() + 1, folder.names());
        let store = impatient(&folder);
        assert_never_empty(&store, &when);
        let key = format!("{:02}", between.len());
        if put(&store, &user("between"), &key).is_ok() {
            acknowledged.push(key);
        }
        between.push(store);
        recovery.goes_on();
    }
    assert_eq!(recovery.process.finish(), ["recovered"]);
    assert_eq!(late.expect("it stood still").finish(), ["written"]);
    assert!(between.len() >= 4, "the second name, the log, its index, and the new database: {}", between.len());
    for (n, store) in between.iter().enumerate() {
        let key = format!("after {n:02}");
        put(store, &user("between"), &key).expect("into the new database");
        acknowledged.push(key);
    }
    drop(between);
    idler.finish();
    let store = folder.plaintext();
    assert_nothing_is_lost(&store, "at the end");
    assert_eq!(keys(&store, &user("late")).expect("sound"), ["late"]);
    assert_eq!(keys(&store, &user("between")).expect("sound"), acknowledged);
    assert!(block_on(store.verify()).expect("verified").is_sound());
}

/// A writer whose commit is done and who does not know it yet must not do it again in a recovered database.
#[test]
fn a_commit_undoes_no_sign_out_that_came_after_it() {
    const LOOKS: [&str; 5] = ["?fcntl", "?statx", "?newfstatat", "?lstat", "?stat"];
    if !can_trace() {
        return;
    }
    let folder = Folder::in_memory();
    let idler = damaged(&folder);
    let paths = [folder.argument(), text(&folder.beside("-shm"))];
    let mut writer = Stepped::start(worker_name!(writer), &folder, &paths, &LOOKS);
    let store = impatient(&folder);
    let (mut is_signed_out, mut is_recovered) = (false, false);
    while writer.stands_still() {
        // As long as the writer holds a lock, neither can be done.
        if !is_signed_out && !keys(&store, &user("late")).expect("sound").is_empty() {
            is_signed_out = block_on(store.remove(&user("late"))).is_ok();
        }
        if is_signed_out && !is_recovered {
            is_recovered = block_on(store.recover()).is_ok_and(|recovered| recovered.aside.is_some());
        }
        writer.goes_on();
    }
    assert_eq!(writer.process.finish(), ["written"]);
    assert!(is_signed_out && is_recovered, "it stood still after its commit");
    idler.finish();
    assert!(keys(&folder.plaintext(), &user("late")).expect("sound").is_empty());
    assert_nothing_is_lost(&folder.plaintext(), "at the end");
}

/// A worker that stands still after each of some calls.
struct Stepped {
    process: Process,
    /// What `strace` writes of it.
    log: Receiver<String>,
    /// The thread that stands still.
    stopped: Option<Pid>,
    _pipe: Folder,
}

impl Stepped {
    /// Starts this worker on the database of the folder. It stops after these calls, if they are about these paths; no
    /// path: all.
    fn start(name: &str, folder: &Folder, paths: &[String], calls: &[&str]) -> Self {
        let pipes = Folder::in_memory();
        let pipe = pipes.path().join("log");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there").success());
        let (lines, log) = channel();
        std::thread::spawn({
            let pipe = pipe.clone();
            // Opening waits for strace; the end of strace is the end of the lines.
            move || {
                let read = BufReader::new(File::open(pipe).expect("it is there")).lines();
                read.map_while(Result::ok).try_for_each(|line| lines.send(line))
            }
        });
        let (pipe, calls) = (text(&pipe), calls.join(","));
        let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:signal=STOP"));
        let mut tracer = vec!["strace", "-f", "-qq", "-o", &pipe, "-e", &trace, "-e", &inject];
        tracer.extend(paths.iter().flat_map(|path| ["-P", path]));
        let process = Process::start_under(&tracer, name, &[&folder.argument()]);
        Self { process, log, stopped: None, _pipe: pipes }
    }

    /// Waits until the worker stands still; `false`: it has ended.
    fn stands_still(&mut self) -> bool {
        loop {
            match self.log.recv_timeout(process::DEADLINE) {
                Ok(line) if line.contains("--- SIGSTOP {") => {
                    let thread = line.split_whitespace().next().expect("strace names the thread");
                    self.stopped = Pid::from_raw(thread.parse().expect("a number"));
                    return true;
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("the worker does nothing for {:?}", process::DEADLINE),
            }
        }
    }

    fn goes_on(&mut self) {
        let stopped = self.stopped.take().expect("it stands still");
        kill_process(stopped, Signal::CONT).expect("it is there");
    }
}
