//! What is stored stays stored: full disks, killed processes, files that were left behind, readers and watchers beside
//! a writer.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use cache_core::{DocumentStore as _, PartitionKey};
use cache_file::FileStore;
use cache_testkit::folder::{Mount, names, text};
use cache_testkit::other_user::is_root;
use cache_testkit::process::{self, Process};
use cache_testkit::worker_name;

use common::{Folder, SHARED, failure, keys, protector, put, set_age, within_lock};

/// Fills the cache with a token of the size that it is told, and says what came of it.
#[test]
#[ignore = "a worker process of other tests"]
fn large_writer() {
    process::work(worker_name!(large_writer), |worker| {
        let [path, size] = worker.arguments().to_vec().try_into().expect("path, size");
        let store = FileStore::at(path).plaintext().build().expect("a path");
        let key = "k".repeat(size.parse().expect("a number"));
        let error = failure(put(&store, &SHARED, &key));
        worker.say(&format!("{:?} {error}", error.kind()));
    });
}

#[test]
fn a_full_disk_leaves_the_old_content_and_nothing_else() {
    if !is_root() {
        return;
    }
    let parent = Folder::new();
    let Some(mount) = Mount::new(parent.path().join("mount"), "size=64k,mode=0700") else { return };
    let cache = mount.path().join("msal.cache");
    let store = FileStore::at(&cache).plaintext().build().expect("a path");
    put(&store, &SHARED, "a").expect("written");
    let lines = Process::start(worker_name!(large_writer), &[&text(&cache), "200000"]).finish();
    assert!(lines[0].starts_with("Unavailable") && lines[0].contains("No space"), "{lines:?}");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
    assert_eq!(names(mount.path()), ["msal.cache"]);
}

#[test]
fn a_file_size_limit_leaves_the_old_content_and_nothing_else() {
    let folder = Folder::new();
    let store = folder.plaintext();
    put(&store, &SHARED, "a").expect("written");
    let path = text(&folder.cache());
    // The system kills a process that goes over the limit, unless that ignores the signal.
    let wrapper = ["sh", "-c", "trap '' XFSZ; exec prlimit --fsize=8192 \"$0\" \"$@\""];
    let lines = Process::start_under(&wrapper, worker_name!(large_writer), &[&path, "200000"]).finish();
    assert!(lines[0].starts_with("Unavailable") && lines[0].contains("too large"), "{lines:?}");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
    assert_eq!(folder.names(), ["msal.cache"]);
}

#[test]
fn a_process_that_dies_of_the_limit_leaves_the_old_content_and_blocks_nobody() {
    let folder = Folder::new();
    let store = folder.impatient();
    put(&store, &SHARED, "a").expect("written");
    let path = text(&folder.cache());
    let mut writer = Process::start_under(&["prlimit", "--fsize=8192"], worker_name!(large_writer), &[&path, "200000"]);
    assert_eq!(writer.next_line(), None, "it is dead before it can say anything");
    let left = folder.names();
    assert!(left.iter().any(|name| name.ends_with(".lockfile")), "it died while it held the lock: {left:?}");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
    put(&store, &SHARED, "b").expect("its lock is recovered at once");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b"]);
}

#[test]
fn files_that_were_left_behind_are_removed_after_a_minute_and_not_before() {
    let folder = Folder::new();
    let old = ["msal.cache.4194305.0123456789abcdef.tmp", "msal.cache.lockfile.17.0123456789abcdef.tmp"];
    let young = ["msal.cache.4194305.00000000000000ff.tmp"];
    let foreign = ["msal.cache2.17.0123456789abcdef.tmp", "msal.cache.17.tmp", "other.tmp", "msal.cache.corrupt-17"];
    for name in old.iter().chain(&young).chain(&foreign) {
        fs::write(folder.path().join(name), "x").expect("written");
        set_age(&folder.path().join(name), Duration::from_secs(if young.contains(name) { 50 } else { 61 }));
    }
    keys(&folder.plaintext(), &SHARED).expect("a read");
    assert_eq!(folder.names().len(), 7, "a read removes nothing");
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    let left = folder.names();
    assert!(old.iter().all(|name| !left.contains(&(*name).to_owned())), "{left:?}");
    assert_eq!(left.len(), young.len() + foreign.len() + 1, "{left:?}");
}

#[test]
fn files_that_were_left_behind_in_a_folder_of_partitions_are_removed_too() {
    let folder = Folder::new();
    let store = || FileStore::in_dir(folder.path()).protector(protector()).build().expect("a path");
    put(&store(), &PartitionKey::user("u"), "a").expect("written");
    let before = folder.names();
    let name = before.iter().find_map(|name| name.strip_suffix(".key").filter(|&name| name != "names"));
    let name = name.expect("the key of the partition");
    for target in [name, "names.key", &format!("{name}.key"), "mine"] {
        let path = folder.path().join(format!("{target}.17.0123456789abcdef.tmp"));
        fs::write(&path, "x").expect("written");
        set_age(&path, Duration::from_secs(61));
    }
    put(&store(), &PartitionKey::user("u"), "b").expect("written");
    let left: Vec<_> = folder.names().into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(left, ["mine.17.0123456789abcdef.tmp"]);
}

#[test]
fn a_reader_beside_a_writer_sees_whole_documents_only() {
    let folder = Folder::in_memory();
    let store = folder.plaintext();
    put(&store, &SHARED, "00").expect("written");
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..50 {
                put(&store, &SHARED, &format!("{n:02}")).expect("written");
            }
            is_done.store(true, Ordering::SeqCst);
        });
        let reader = folder.plaintext();
        let mut seen = 0;
        while !is_done.load(Ordering::SeqCst) {
            let keys = keys(&reader, &SHARED).expect("a whole document");
            let expected: Vec<String> = (0..keys.len()).map(|n| format!("{n:02}")).collect();
            assert_eq!(keys, expected);
            assert!(keys.len() >= seen, "no step back");
            seen = keys.len();
        }
    });
    assert_eq!(keys(&store, &SHARED).expect("read").len(), 50);
    assert_eq!(folder.names(), ["msal.cache"]);
}

#[test]
fn an_open_file_keeps_the_old_content_when_it_is_replaced() {
    let folder = Folder::new();
    let store = folder.plaintext();
    put(&store, &SHARED, "a").expect("written");
    let before = fs::read(folder.cache()).expect("read");
    let mut open = fs::File::open(folder.cache()).expect("opens");
    put(&store, &SHARED, "b").expect("written");
    let mut still = Vec::new();
    std::io::Read::read_to_end(&mut open, &mut still).expect("read");
    assert_eq!(still, before);
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b"]);
}

#[test]
fn what_is_written_has_no_byte_order_mark_also_where_there_was_one() {
    let folder = Folder::new();
    fs::write(folder.cache(), "\u{feff}{\"Account\":{}}").expect("written");
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    assert!(fs::read(folder.cache()).expect("read").starts_with(b"{"));
}

#[test]
fn the_time_of_the_last_write_grows_by_a_millisecond_at_least() {
    let folder = Folder::new();
    let store = folder.plaintext();
    put(&store, &SHARED, "a").expect("written");
    let modified = || fs::metadata(folder.cache()).expect("there").modified().expect("a time");
    // A clock that is ahead, or was set back.
    let ahead = SystemTime::now() + Duration::from_secs(3600);
    fs::File::options().write(true).open(folder.cache()).expect("opens").set_modified(ahead).expect("set");
    let before = modified();
    put(&store, &SHARED, "b").expect("written");
    assert_eq!(modified(), before + Duration::from_millis(1));
    for n in 0..20 {
        let before = modified();
        put(&store, &SHARED, &n.to_string()).expect("written");
        assert!(modified() >= before + Duration::from_millis(1));
    }
}

#[test]
fn the_last_change_of_a_file_of_ours_is_not_its_last_write() {
    for folder in [Folder::new(), Folder::in_memory()] {
        let store = folder.plaintext();
        for n in 0..20 {
            put(&store, &SHARED, &n.to_string()).expect("written");
            let stat = fs::metadata(folder.cache()).expect("there");
            assert_ne!((stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec()));
        }
    }
}

/// The watcher of MSAL.NET raises an event for these, and none for a rename.
#[cfg(target_os = "linux")]
#[test]
fn watchers_hear_of_a_write_under_the_name_of_the_cache() {
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

    let folder = Folder::new();
    let store = folder.plaintext();
    put(&store, &SHARED, "a").expect("written");
    let watcher = init(CreateFlags::NONBLOCK).expect("watches");
    add_watch(&watcher, folder.path(), WatchFlags::ATTRIB | WatchFlags::MODIFY | WatchFlags::MOVED_TO)
        .expect("watches");
    put(&store, &SHARED, "b").expect("written");

    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(&watcher, &mut buffer);
    let mut heard = Vec::new();
    while let Ok(event) = events.next() {
        if event.file_name().is_some_and(|name| name.to_bytes() == b"msal.cache") {
            heard.push(event.events());
        }
    }
    assert_eq!(heard, [ReadFlags::MOVED_TO, ReadFlags::ATTRIB]);
}

#[test]
fn the_cache_file_itself_is_never_locked() {
    let folder = Folder::new();
    let store = folder.plaintext();
    put(&store, &SHARED, "a").expect("written");
    let cache = folder.cache();
    within_lock(&store, &SHARED, move || {
        // MSAL.NET takes a file whose lock it does not get for an empty cache.
        let file = fs::File::open(&cache).expect("opens");
        fs4::FileExt::try_lock(&file).expect("nobody locks the cache file");
    })
    .expect("locked");
    let held = fs::File::open(folder.cache()).expect("opens");
    fs4::FileExt::try_lock(&held).expect("free");
    put(&store, &SHARED, "b").expect("and nobody minds who locks it");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b"]);
}

#[test]
fn a_failed_edit_leaves_everything_as_it_is() {
    let folder = Folder::new();
    let store = folder.plaintext();
    put(&store, &SHARED, "a").expect("written");
    let before = (fs::read(folder.cache()).expect("read"), store.stamp_now(&SHARED));
    let refuse = |_: Option<&cache_core::Blob>| Err(cache_core::Error::new(cache_core::ErrorKind::Internal, "no"));
    let error = failure(pollster::block_on(store.modify(&SHARED, Box::new(refuse))));
    assert_eq!(error.message(), "no");
    let panics = |_: Option<&cache_core::Blob>| panic!("a merge that fails");
    let outcome = std::panic::catch_unwind(|| pollster::block_on(folder.plaintext().modify(&SHARED, Box::new(panics))));
    assert!(outcome.is_err());
    assert_eq!(fs::read(folder.cache()).expect("read"), before.0);
    assert_eq!(format!("{:?}", store.stamp_now(&SHARED)), format!("{:?}", before.1));
    assert_eq!(names(folder.path()), ["msal.cache"], "and the lock is free");
}
