//! Stamps: a change is never missed, also one that comes in the same tick of the clock as the look before it, and what
//! did not change is not read again.
#![cfg(unix)]

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use cache_core::{CacheStore as _, DocumentStore as _, PartitionKey, Version};
use cache_file::FileStore;

use common::{Folder, SHARED, documents, protector, put};

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
