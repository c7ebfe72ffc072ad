//! Stamps: a change is never missed, also one that comes in the same tick of the clock as the look before it, and what
//! did not change is not read again.
#![cfg(unix)]

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_core::{Blob, CacheStore as _, Context, DocumentStore as _, PartitionKey, Protector, Result, Version};
use cache_file::FileStore;

use common::{Folder, SHARED, documents, keys, protector, put, set_age};

fn stamp(store: &FileStore, partition: &PartitionKey) -> Option<Version> {
    store.stamp_now(partition).expect("known without a future").expect("looked")
}

/// The bytes of a stamp, to be counted.
fn bytes(stamp: Option<&Version>) -> Vec<u8> {
    stamp.and_then(Version::as_bytes).expect("a stamp of a file").to_vec()
}

#[test]
fn no_stamp_ever_comes_twice() {
    for folder in [Folder::in_memory(), Folder::new()] {
        let store = folder.plaintext();
        let writes = if folder.path().starts_with("/dev/shm") { 1000 } else { 100 };
        let mut seen = HashSet::new();
        for n in 0..writes {
            // The same key, and a secret of the same length: the size does not tell.
            let committed = put(&store, &SHARED, &format!("{:04}", n % 2)).expect("written");
            if n < 2 || committed.before != committed.after {
                assert!(seen.insert(bytes(committed.after.as_ref())), "at write {n}");
            }
            let entry = cache_testkit::entries::access_token("k").secret(&format!("{n:04}")).entry();
            let changes = cache_core::Changes::new(vec![cache_core::Change::put(entry)]);
            let committed = pollster::block_on(documents(&store).commit(&SHARED, &changes)).expect("written");
            assert!(seen.insert(bytes(committed.after.as_ref())), "at write {n}");
        }
        assert!(seen.len() >= writes);
    }
}

#[test]
fn the_stamp_of_our_own_write_holds_at_once() {
    for folder in [Folder::in_memory(), Folder::new()] {
        let store = folder.protected();
        for n in 0..20 {
            let committed = put(&store, &SHARED, &n.to_string()).expect("written");
            assert_eq!(committed.after, stamp(&store, &SHARED), "nothing need be read again");
            assert_eq!(stamp(&folder.protected(), &SHARED), committed.after, "by nobody else either");
            let read = pollster::block_on(store.read(&SHARED)).expect("read").expect("there");
            assert_eq!(Some(read.stamp), committed.after);
        }
        let next = put(&store, &SHARED, "next").expect("written");
        assert_eq!(next.before.map(|stamp| bytes(Some(&stamp)).len()), Some(46));
    }
}

#[test]
fn the_stamp_before_a_write_is_that_of_the_write_before() {
    let folder = Folder::new();
    let store = folder.plaintext();
    let first = put(&store, &SHARED, "a").expect("written");
    assert_eq!(first.before, None);
    let second = put(&store, &SHARED, "b").expect("written");
    assert_eq!(second.before, first.after);
    let same = put(&store, &SHARED, "b").expect("nothing to write");
    assert_eq!((&same.before, &same.after), (&second.after, &second.after));
    pollster::block_on(documents(&store).remove(&SHARED)).expect("removed");
    assert_eq!(stamp(&store, &SHARED), None);
    let again = put(&store, &SHARED, "a").expect("written");
    assert_eq!(again.before, None);
    assert_ne!(again.after, first.after);
}

/// Writes of other libraries that leave the size as it is, and the file in its place.
fn in_place(path: &Path, n: u32) {
    let file = fs::File::options().write(true).open(path).expect("opens");
    file.write_all_at(format!("{n:06}").as_bytes(), 17).expect("written");
}

fn by_truncation(path: &Path, n: u32) {
    let mut file = fs::File::create(path).expect("opens");
    file.write_all(format!("{{\"Account\":{{\"k\":\"{n:06}\"}}}}").as_bytes()).expect("written");
}

#[test]
fn a_change_right_after_a_look_is_never_missed() {
    let folder = Folder::in_memory();
    for write in [in_place as fn(&Path, u32), by_truncation] {
        let store = folder.plaintext();
        by_truncation(&folder.cache(), 0);
        for n in 1..500 {
            let before = pollster::block_on(store.read(&SHARED)).expect("read").expect("there");
            let looked = stamp(&store, &SHARED);
            write(&folder.cache(), n);
            assert_ne!(stamp(&store, &SHARED), Some(before.stamp), "at write {n}");
            assert_ne!(stamp(&store, &SHARED), looked, "at write {n}");
        }
    }
}

#[test]
fn a_file_that_rests_keeps_its_stamp() {
    let folder = Folder::new();
    let store = folder.plaintext();
    by_truncation(&folder.cache(), 0);
    // Another library has just written it; for the tick of that write no stamp holds, then one does.
    let changed = fs::metadata(folder.cache()).expect("there").modified().expect("a time");
    while changed.elapsed().is_ok_and(|age| age < std::time::Duration::from_millis(30)) {
        std::thread::yield_now();
    }
    pollster::block_on(store.read(&SHARED)).expect("its mode is corrected by that, which is a change");
    while stamp(&store, &SHARED) != stamp(&store, &SHARED) {
        std::thread::yield_now();
    }
    let read = pollster::block_on(store.read(&SHARED)).expect("read").expect("there");
    assert_eq!(Some(read.stamp), stamp(&store, &SHARED));
}

#[test]
fn a_folder_of_partitions_tells_stamps_without_a_future_once_it_is_known() {
    let folder = Folder::new();
    let store = FileStore::in_dir(folder.path()).protector(protector()).build().expect("a path");
    let user = PartitionKey::user("u");
    assert!(store.stamp_now(&user).is_none(), "nothing is known yet");
    assert_eq!(pollster::block_on(store.stamp(&user)).expect("looked"), None);
    let committed = put(&store, &user, "a").expect("written");
    assert_eq!(stamp(&store, &user), committed.after);
    let other = FileStore::in_dir(folder.path()).protector(protector()).build().expect("a path");
    assert!(other.stamp_now(&user).is_none());
    assert_eq!(pollster::block_on(other.stamp(&user)).expect("looked"), committed.after);
    assert_eq!(stamp(&other, &user), committed.after);
    assert_eq!(stamp(&other, &PartitionKey::user("v")), None);
}

/// Calls `write` as soon as there is another file at the path, as a program does that is woken by the change and takes
/// no lock.
fn right_behind(path: &Path, write: impl FnOnce(&Path) + Send + 'static) -> std::thread::JoinHandle<()> {
    let inode = |path: &Path| fs::metadata(path).map(|metadata| metadata.ino());
    let (path, before) = (path.to_owned(), inode(path).expect("is there"));
    std::thread::spawn(move || {
        while inode(&path).is_ok_and(|inode| inode == before) {
            std::hint::spin_loop();
        }
        write(&path);
    })
}

#[test]
fn a_write_in_place_right_behind_our_own_is_never_taken_for_ours() {
    for round in 0..40 {
        let folder = Folder::new();
        let store = folder.plaintext();
        put(&store, &SHARED, "aaaa").expect("written");
        // The same size: the times must tell.
        let foreign = right_behind(&folder.cache(), |path| {
            let renamed = fs::read_to_string(path).expect("read").replace("aaaa", "zzzz");
            let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
            file.write_all_at(renamed.as_bytes(), 0).expect("written");
        });
        let committed = put(&store, &SHARED, "bbbb").expect("written");
        foreign.join().expect("no panic");
        assert_ne!(stamp(&store, &SHARED), committed.after, "round {round}");
        put(&store, &SHARED, "cccc").expect("written");
        assert_eq!(keys(&store, &SHARED).expect("read"), ["bbbb", "cccc", "zzzz"], "round {round}");
    }
}

#[test]
fn a_sign_out_in_place_right_behind_our_own_write_holds() {
    for round in 0..40 {
        let folder = Folder::new();
        let store = folder.plaintext();
        put(&store, &SHARED, "a").expect("written");
        let foreign = right_behind(&folder.cache(), |path| fs::write(path, "{}").expect("written"));
        put(&store, &SHARED, "b").expect("written");
        foreign.join().expect("no panic");
        put(&store, &SHARED, "c").expect("written");
        assert_eq!(keys(&store, &SHARED).expect("read"), ["c"], "round {round}");
    }
}

/// Counts how often a file is opened.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Protector>,
    opened: AtomicUsize,
}

impl Protector for Counting {
    fn prepare(&self, protected: Option<&[u8]>) -> Result<()> {
        self.inner.prepare(protected)
    }

    fn protect(&self, plaintext: &[u8], context: &Context<'_>) -> Result<Vec<u8>> {
        self.inner.protect(plaintext, context)
    }

    fn unprotect(&self, protected: &[u8], context: &Context<'_>) -> Result<Blob> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.inner.unprotect(protected, context)
    }
}

#[test]
fn what_this_process_wrote_last_is_not_opened_again_and_what_others_wrote_is() {
    let folder = Folder::new();
    let counting = Arc::new(Counting { inner: protector(), opened: AtomicUsize::new(0) });
    let store = FileStore::at(folder.cache()).protector(Arc::clone(&counting) as Arc<dyn Protector>);
    let store = store.build().expect("a usable path");
    let opened = || counting.opened.swap(0, Ordering::Relaxed);
    put(&folder.protected(), &SHARED, "a").expect("written");

    put(&store, &SHARED, "b").expect("written");
    assert_eq!(opened(), 1, "another handle had written");
    for key in ["c", "d"] {
        put(&store, &SHARED, key).expect("written");
        assert_eq!(opened(), 0, "nobody else has written");
    }
    put(&folder.protected(), &SHARED, "e").expect("written");
    put(&store, &SHARED, "f").expect("written");
    assert_eq!(opened(), 1);

    // The same bytes under another time are another file, as a copy put back is.
    set_age(&folder.cache(), Duration::from_secs(60));
    put(&store, &SHARED, "g").expect("written");
    assert_eq!(opened(), 1);
    pollster::block_on(store.move_aside(&SHARED)).expect("moved").expect("was there");
    put(&store, &SHARED, "h").expect("written");
    assert_eq!(opened(), 0, "nothing is there");
    assert_eq!(keys(&folder.protected(), &SHARED).expect("read"), ["h"]);
}

#[test]
fn a_large_document_is_not_kept_and_partitions_do_not_take_each_other_s() {
    let folder = Folder::new();
    let store = FileStore::in_dir(folder.path().join("cache")).protector(protector()).build().expect("a usable path");
    let large = "x".repeat(9 << 20);
    let write = |partition: &PartitionKey, key: &str, secret: &str| {
        let entry = cache_testkit::entries::access_token(key).secret(secret).entry();
        let changes = cache_core::Changes::new(vec![cache_core::Change::put(entry)]);
        pollster::block_on(documents(&store).commit(partition, &changes)).expect("written");
    };
    let (alice, bob) = (PartitionKey::user("alice.utid"), PartitionKey::user("bob.utid"));
    for (key, secret) in [("a", "1"), ("b", &large), ("c", "3")] {
        write(&alice, key, secret);
        write(&bob, key, secret);
        write(&bob, &format!("{key} again"), secret);
    }
    assert_eq!(keys(&store, &alice).expect("read"), ["a", "b", "c"]);
    assert_eq!(keys(&store, &bob).expect("read"), ["a", "a again", "b", "b again", "c", "c again"]);
}
