//! Who may read and write the files: modes, owners, links and folders, whatever the umask.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, chown, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use cache_core::{CacheStore as _, Error, ErrorKind};
use cache_sqlite::SqliteStore;
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::folder::{mode, modes_below, set_mode, text};
use cache_testkit::other_user::{self, NOBODY, is_root};
use cache_testkit::process::{self, Process};
use cache_testkit::secrets::capture_traces;
use cache_testkit::worker_name;

use common::{Folder, SHARED, failure};

/// Makes and uses a database below its folder and says the mode of everything that appears there.
#[test]
#[ignore = "a worker process of other tests"]
fn mode_teller() {
    process::work(worker_name!(mode_teller), |worker| {
        let folder = PathBuf::from(&worker.arguments()[0]);
        let store = SqliteStore::at(folder.join("new/deep/tokens.db")).plaintext().open().expect("a path");
        put(&store, &SHARED, "a").expect("written");
        assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
        for line in modes_below(&folder) {
            worker.say(&line);
        }
    });
}

#[test]
fn files_and_folders_are_their_owners_whatever_the_umask() {
    for umask in ["000", "022", "077", "777"] {
        let folder = Folder::new();
        let wrapper = ["sh", "-c", &format!("umask {umask}; exec \"$0\" \"$@\"")];
        let mut lines = Process::start_under(&wrapper, worker_name!(mode_teller), &[&text(folder.path())]).finish();
        lines.sort();
        let expected = [
            "0600 tokens.db",
            "0600 tokens.db-shm",
            "0600 tokens.db-wal",
            "0600 tokens.db.lock",
            "0700 deep",
            "0700 new",
        ];
        assert_eq!(lines, expected, "umask {umask}");
    }
}

#[test]
fn a_mode_that_is_too_wide_is_corrected() {
    let folder = Folder::new();
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    for wide in [0o644, 0o666, 0o604, 0o660] {
        set_mode(&folder.database(), wide);
        assert_eq!(keys(&folder.plaintext(), &SHARED).expect("read"), ["a"]);
        assert_eq!(mode(&folder.database()), 0o600);
    }
}

/// What a reader, a writer and a holder of a lease answer.
fn refused(store: &SqliteStore) -> [Error; 4] {
    [
        failure(keys(store, &SHARED)),
        failure(put(store, &SHARED, "b")),
        failure(pollster::block_on(store.remove(&SHARED))),
        failure(pollster::block_on(store.lease(&SHARED, "refresh", Duration::ZERO)).map(drop)),
    ]
}

#[track_caller]
fn assert_denied(folder: &Folder, says: &str) {
    for error in refused(&folder.plaintext()) {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
}

#[test]
fn a_symbolic_link_at_the_path_is_refused_and_its_target_left_alone() {
    let other = Folder::new();
    put(&other.plaintext(), &SHARED, "a").expect("written");
    let before = fs::read(other.database()).expect("read");
    let folder = Folder::new();
    symlink(other.database(), folder.database()).expect("linked");
    assert_denied(&folder, "symbolic link");
    assert_eq!(fs::read(other.database()).expect("read"), before);

    fs::remove_file(folder.database()).expect("removed");
    symlink(other.path().join("nothing"), folder.database()).expect("linked");
    assert_denied(&folder, "symbolic link");
    assert!(!other.path().join("nothing").exists());
}

#[test]
fn something_else_at_the_path_is_an_error_and_not_a_wait() {
    let folder = Folder::new();
    fs::create_dir(folder.database()).expect("a folder");
    assert_denied(&folder, "a folder");
    fs::remove_dir(folder.database()).expect("removed");

    assert!(Command::new("mkfifo").arg(folder.database()).status().expect("mkfifo is there").success());
    assert_denied(&folder, "no regular file");
    assert!(fs::symlink_metadata(folder.database()).expect("there").file_type().is_fifo());
    fs::remove_file(folder.database()).expect("removed");

    let _socket = std::os::unix::net::UnixListener::bind(folder.database()).expect("a socket");
    assert_denied(&folder, "no regular file");
}

#[test]
fn a_file_in_the_place_of_the_folder_is_an_error() {
    let folder = Folder::new();
    fs::write(folder.path().join("file"), "x").expect("written");
    let store = SqliteStore::at(folder.path().join("file/tokens.db")).plaintext().open().expect("a path");
    assert!(keys(&store, &SHARED).expect("nothing is there").is_empty());
    let error = failure(put(&store, &SHARED, "a"));
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[test]
fn a_folder_that_others_may_write_to_is_refused_also_a_sticky_one() {
    for wide in [0o777, 0o1777, 0o702] {
        let folder = Folder::new();
        set_mode(folder.path(), wide);
        let error = failure(put(&folder.plaintext(), &SHARED, "a"));
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert_eq!(folder.names(), [""; 0]);
        // Nor is what lies there used.
        set_mode(folder.path(), 0o700);
        put(&folder.plaintext(), &SHARED, "a").expect("written");
        set_mode(folder.path(), wide);
        assert_denied(&folder, "other users");
        assert_eq!(mode(folder.path()), wide, "the folder is its owner's business");
    }
}

/// Its members are trusted, as far as the owner of the folder trusts them; the owner hears of it.
#[test]
fn a_folder_that_a_group_may_write_to_is_used_with_a_warning() {
    for (mode, is_warned) in [(0o700, false), (0o770, true), (0o750, false)] {
        let folder = Folder::new();
        set_mode(folder.path(), mode);
        let traces = capture_traces(|| {
            put(&folder.plaintext(), &SHARED, "a").expect("written");
            assert_eq!(keys(&folder.plaintext(), &SHARED).expect("read"), ["a"]);
        });
        let warns = traces.lines().any(|line| line.contains("WARN") && line.contains("members of a group"));
        assert_eq!(warns, is_warned, "{mode:o}: {traces}");
    }
}

#[test]
fn files_and_folders_of_another_user_are_refused() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    let before = fs::read(folder.database()).expect("read");
    chown(folder.database(), Some(NOBODY), None).expect("root may");
    assert_denied(&folder, "another user");
    assert_eq!(fs::read(folder.database()).expect("read"), before);

    chown(folder.database(), Some(0), None).expect("root may");
    chown(folder.path(), Some(NOBODY), None).expect("root may");
    assert_denied(&folder, "other users");
}

/// Reads and tries to write the database, and says what came of it.
#[test]
#[ignore = "a worker process of other tests"]
fn user_without_rights() {
    process::work(worker_name!(user_without_rights), |worker| {
        let store = SqliteStore::at(&worker.arguments()[0]).plaintext().open().expect("a path");
        let read = keys(&store, &SHARED).map_or_else(|error| format!("{:?}", error.kind()), |keys| keys.join(" "));
        worker.say(&read);
        let put = put(&store, &SHARED, "b").map(drop);
        for failed in [put, pollster::block_on(store.remove(&SHARED))] {
            worker.say(&format!("{:?}", failure(failed).kind()));
        }
    });
}

/// What the other user says of the database in a folder of this mode, itself of that mode.
fn as_nobody(folder_mode: u32, database_mode: u32) -> Vec<String> {
    let parent = Folder::new();
    set_mode(parent.path(), 0o755);
    let folder = parent.path().join("folder");
    fs::DirBuilder::new().mode(0o700).create(&folder).expect("made");
    let database = folder.join("tokens.db");
    put(&SqliteStore::at(&database).plaintext().open().expect("a path"), &SHARED, "a").expect("written");
    for path in [&folder, &database, &folder.join("tokens.db.lock")] {
        other_user::give(path);
    }
    set_mode(&database, database_mode);
    set_mode(&folder, folder_mode);
    let before = fs::read(&database).expect("read");
    let lines = other_user::start(parent.path(), worker_name!(user_without_rights), &[&text(&database)]).finish();
    assert_eq!(fs::read(&database).expect("read"), before);
    lines
}

#[test]
fn a_database_that_may_only_be_read_is_read() {
    if is_root() {
        assert_eq!(as_nobody(0o700, 0o400), ["a", "Denied", "Denied"]);
    }
}

/// Readers need the log and its shared memory beside the database.
#[test]
fn a_folder_without_the_right_to_write_is_denied() {
    if is_root() {
        assert_eq!(as_nobody(0o500, 0o600), ["Denied"; 3]);
        assert_eq!(as_nobody(0o500, 0o400), ["Denied"; 3]);
    }
}

#[test]
fn a_database_without_any_right_is_denied() {
    if is_root() {
        assert_eq!(as_nobody(0o700, 0o000), ["Denied"; 3]);
    }
}

/// Reads the database when it has as many files open as it may, and says what came of it.
#[test]
#[ignore = "a worker process of other tests"]
fn reader_without_descriptors() {
    process::work(worker_name!(reader_without_descriptors), |worker| {
        let store = SqliteStore::at(&worker.arguments()[0]).plaintext().open().expect("a path");
        let taken: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
        let error = failure(keys(&store, &SHARED));
        drop(taken);
        worker.say(&format!("{:?}", error.kind()));
        worker.say(error.message());
    });
}

#[test]
fn a_process_without_descriptors_is_not_told_that_it_lacks_rights() {
    let folder = Folder::new();
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    let wrapper = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let worker = worker_name!(reader_without_descriptors);
    let lines = Process::start_under(&wrapper, worker, &[&folder.argument()]).finish();
    assert_eq!(lines[0], "Unavailable", "{lines:?}");
    assert!(lines[1].contains("files open"), "{lines:?}");
}
