//! Who may read and write the files: modes, owners, links and folders, whatever the umask.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cache_core::{CacheStore as _, DocumentStore as _, ErrorKind, PartitionKey};
use cache_file::FileStore;
use cache_testkit::folder::{Mount, mode, modes_below, names, set_mode, text};
use cache_testkit::other_user::{self, NOBODY, is_root};
use cache_testkit::process::{self, Process};
use cache_testkit::secrets::capture_traces;
use cache_testkit::worker_name;

use common::{Folder, SHARED, documents, failure, keys, protector, put, within_lock};

/// Writes caches of every kind below its folder and says the mode of everything that appears there.
#[test]
#[ignore = "a worker process of other tests"]
fn mode_teller() {
    process::work(worker_name!(mode_teller), |worker| {
        let folder = PathBuf::from(&worker.arguments()[0]);
        let file = FileStore::at(folder.join("new/deep/msal.cache")).plaintext().build().expect("a path");
        put(&file, &SHARED, "a").expect("written");
        let partitions = FileStore::in_dir(folder.join("many")).protector(protector()).build().expect("a path");
        put(&partitions, &PartitionKey::user("u"), "a").expect("written");
        let lease = pollster::block_on(documents(&file).lease(&SHARED, "refresh", Duration::ZERO)).expect("a lease");
        let (sender, receiver) = std::sync::mpsc::channel();
        let within = folder.clone();
        within_lock(&file, &SHARED, move || sender.send(modes_below(&within)).expect("heard")).expect("locked");
        for line in receiver.recv().expect("looked") {
            worker.say(&line);
        }
        drop(lease);
    });
}

#[test]
fn files_and_folders_are_their_owners_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let folder = Folder::new();
        let wrapper = ["sh", "-c", &format!("umask {umask}; exec \"$0\" \"$@\"")];
        let lines = Process::start_under(&wrapper, worker_name!(mode_teller), &[&text(folder.path())]).finish();
        let count = |text: &str| lines.iter().filter(|line| line.ends_with(text)).count();
        assert_eq!((count("new"), count("deep"), count("many")), (1, 1, 1), "{lines:?}");
        assert_eq!((count(".lockfile"), count(".lease"), count(".key")), (1, 1, 2), "{lines:?}");
        assert_eq!(lines.len(), 9, "{lines:?}");
        for line in &lines {
            let is_folder = ["new", "deep", "many"].iter().any(|folder| line.ends_with(folder));
            assert!(line.starts_with(if is_folder { "0700" } else { "0600" }), "umask {umask}: {line}");
        }
    }
}

#[test]
fn a_mode_that_is_too_wide_is_corrected_with_a_warning() {
    let folder = Folder::new();
    let store = folder.plaintext();
    put(&store, &SHARED, "a").expect("written");
    for wide in [0o644, 0o666, 0o604, 0o660] {
        set_mode(&folder.cache(), wide);
        let traces = capture_traces(|| assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]));
        assert_eq!(mode(&folder.cache()), 0o600);
        assert!(traces.contains("WARN") && traces.contains(&format!("{wide:04o}")), "{traces}");
    }
    set_mode(&folder.cache(), 0o644);
    let traces = capture_traces(|| drop(put(&store, &SHARED, "b").expect("written")));
    assert_eq!(mode(&folder.cache()), 0o600);
    assert!(traces.contains("0644"), "{traces}");
    let traces = capture_traces(|| drop(put(&store, &SHARED, "c").expect("written")));
    assert!(!traces.contains("WARN"), "nothing is wrong any more: {traces}");
}

#[test]
fn a_symbolic_link_at_the_path_is_refused_and_its_target_left_alone() {
    let folder = Folder::new();
    let target = folder.path().join("target");
    let store = folder.plaintext();
    for content in [Some("{}"), None] {
        if let Some(content) = content {
            fs::write(&target, content).expect("written");
        } else {
            fs::remove_file(&target).expect("a dangling link from here on");
        }
        let _ = fs::remove_file(folder.cache());
        symlink(&target, folder.cache()).expect("linked");
        for error in [
            failure(keys(&store, &SHARED)),
            failure(put(&store, &SHARED, "a")),
            failure(pollster::block_on(store.stamp(&SHARED))),
            failure(store.stamp_now(&SHARED).expect("known without a future")),
        ] {
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(error.message().contains("symbolic link"), "{error}");
        }
        assert_eq!(fs::read_to_string(&target).ok().as_deref(), content);
        assert!(fs::symlink_metadata(folder.cache()).expect("there").is_symlink());
    }
}

#[test]
fn a_symbolic_link_to_the_folder_works() {
    let folder = Folder::new();
    let real = folder.path().join("real");
    fs::DirBuilder::new().mode(0o700).create(&real).expect("made");
    symlink(&real, folder.path().join("link")).expect("linked");
    let store = FileStore::at(folder.path().join("link/msal.cache")).plaintext().build().expect("a path");
    put(&store, &SHARED, "a").expect("written");
    assert_eq!(names(&real), ["msal.cache"]);
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
}

#[test]
fn something_else_at_the_path_is_an_error_and_not_a_wait() {
    let folder = Folder::new();
    let store = folder.plaintext();
    let refused = |store: &FileStore| {
        for error in [failure(keys(store, &SHARED)), failure(put(store, &SHARED, "a"))] {
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        }
    };
    fs::create_dir(folder.cache()).expect("a folder");
    refused(&store);
    fs::remove_dir(folder.cache()).expect("removed");
    assert!(Command::new("mkfifo").arg(folder.cache()).status().expect("mkfifo is there").success());
    refused(&store);
    assert!(fs::symlink_metadata(folder.cache()).expect("there").file_type().is_fifo());
    fs::remove_file(folder.cache()).expect("removed");
    let _socket = std::os::unix::net::UnixListener::bind(folder.cache()).expect("a socket");
    refused(&store);
}

#[test]
fn a_folder_that_others_may_write_to_is_refused_also_a_sticky_one() {
    let folder = Folder::new();
    for wide in [0o777, 0o1777, 0o702] {
        let open = folder.path().join(format!("{wide:o}"));
        fs::create_dir(&open).expect("made");
        set_mode(&open, wide);
        let file = FileStore::at(open.join("msal.cache")).plaintext().build().expect("a path");
        let partitions = FileStore::in_dir(&open).plaintext().build().expect("a path");
        for store in [file, partitions] {
            let lease = pollster::block_on(documents(&store).lease(&SHARED, "refresh", Duration::ZERO));
            for error in [
                failure(keys(&store, &SHARED)),
                failure(put(&store, &SHARED, "a")),
                failure(pollster::block_on(store.partitions(None, 9))),
                failure(lease),
            ] {
                assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            }
        }
        assert_eq!(names(&open), [""; 0]);
        assert_eq!(mode(&open), wide, "the folder is its owner's business");
    }
}

#[test]
fn a_group_writable_folder_works_with_one_warning() {
    let folder = Folder::new();
    set_mode(folder.path(), 0o770);
    let store = folder.plaintext();
    let traces = capture_traces(|| {
        put(&store, &SHARED, "a").expect("written");
        put(&store, &SHARED, "b").expect("written");
        assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b"]);
    });
    assert_eq!(traces.matches("WARN").count(), 1, "{traces}");
    assert!(traces.contains("group"), "{traces}");
}

#[test]
fn files_and_folders_of_another_user_are_refused() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let store = folder.plaintext();
    put(&store, &SHARED, "a").expect("written");
    let before = fs::read(folder.cache()).expect("read");
    chown(folder.cache(), Some(NOBODY), None).expect("root may");
    for error in [failure(keys(&store, &SHARED)), failure(put(&store, &SHARED, "b"))] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.message().contains("another user"), "{error}");
    }
    assert_eq!(fs::read(folder.cache()).expect("read"), before);

    chown(folder.cache(), Some(0), None).expect("root may");
    chown(folder.path(), Some(NOBODY), None).expect("root may");
    let error = failure(keys(&store, &SHARED));
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

/// Reads and tries to write the caches of its folder, and says what came of it.
#[test]
#[ignore = "a worker process of other tests"]
fn reader_without_rights() {
    process::work(worker_name!(reader_without_rights), |worker| {
        let folder = PathBuf::from(&worker.arguments()[0]);
        for name in ["msal.cache", "damaged.cache", "protected.cache"] {
            let builder = FileStore::at(folder.join(name)).lock_wait(Duration::from_secs(60));
            let builder = if name == "protected.cache" { builder.protector(protector()) } else { builder.plaintext() };
            let store = builder.build().expect("a path");
            let read = keys(&store, &SHARED).map_or_else(|error| error.to_string(), |keys| keys.join(" "));
            worker.say(&format!("{name}: {read}"));
            for error in [
                failure(put(&store, &SHARED, "b")),
                failure(pollster::block_on(documents(&store).remove(&SHARED))),
                failure(pollster::block_on(documents(&store).lease(&SHARED, "refresh", Duration::ZERO))),
            ] {
                worker.say(&format!("{name}: {:?} {error}", error.kind()));
            }
        }
    });
}

/// A folder with a sound, a damaged and a protected cache in it, for a user who may only read it.
fn read_only_folder(parent: &Path) -> PathBuf {
    let folder = parent.join("read-only");
    fs::DirBuilder::new().mode(0o755).create(&folder).expect("made");
    let store = FileStore::at(folder.join("msal.cache")).plaintext().build().expect("a path");
    put(&store, &SHARED, "a").expect("written");
    let mut torn = fs::read(folder.join("msal.cache")).expect("read");
    torn.truncate(torn.len() - 2);
    fs::write(folder.join("damaged.cache"), torn).expect("written");
    set_mode(&folder.join("damaged.cache"), 0o600);
    let store = FileStore::at(folder.join("protected.cache")).protector(protector()).build().expect("a path");
    put(&store, &SHARED, "a").expect("written");
    folder
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    names(folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(&name)).expect("read"))).collect()
}

fn assert_read_only(lines: &[String]) {
    assert_eq!(lines.len(), 12, "{lines:?}");
    for four in lines.chunks(4) {
        assert!(four[0].ends_with(": a"), "a read works: {four:?}");
        assert!(four[1..].iter().all(|line| line.contains(": Denied file:")), "a write is refused: {four:?}");
    }
}

#[test]
fn a_folder_without_the_right_to_write_is_read_without_a_lock_file() {
    if !is_root() {
        return;
    }
    let parent = Folder::new();
    set_mode(parent.path(), 0o755);
    let folder = read_only_folder(parent.path());
    for name in names(&folder) {
        other_user::give(&folder.join(name));
    }
    let before = contents(&folder);
    let lines = other_user::start(parent.path(), worker_name!(reader_without_rights), &[&text(&folder)]).finish();
    assert_read_only(&lines);
    assert!(contents(&folder) == before, "nothing has changed: {:?}", names(&folder));
}

#[test]
fn a_read_only_file_system_is_read_without_a_lock_file() {
    if !is_root() {
        return;
    }
    let parent = Folder::new();
    let Some(mount) = Mount::new(parent.path().join("mount"), "size=4m,mode=0700") else { return };
    let folder = read_only_folder(mount.path());
    set_mode(&folder.join("msal.cache"), 0o644);
    let before = contents(&folder);
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(mount.path()).status().expect("mount is there");
    assert!(status.success());
    let lines = Process::start(worker_name!(reader_without_rights), &[&text(&folder)]).finish();
    assert_read_only(&lines);
    assert!(contents(&folder) == before);
}
