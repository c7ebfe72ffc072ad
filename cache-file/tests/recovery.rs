//! What a user can do: give a cache another key, and begin anew where one cannot be opened any more.

mod common;

use std::fs;
use std::sync::Arc;

use cache_core::{DocumentStore as _, ErrorKind, PartitionKey, Protector};
use cache_crypto::{Envelope, Key, KeyRing};
use cache_file::{FileStore, FileStoreBuilder};

use common::{Folder, SHARED, failure, keys, put};

fn key(seed: u8) -> Key {
    Key::from_bytes(&[seed; Key::LEN])
}

fn only(seed: u8) -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(key(seed)))
}

/// Writes with the first key and reads with both.
fn rotated(new: u8, old: u8) -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key_ring(KeyRing::from(key(new)).and(key(old))))
}

fn build(builder: FileStoreBuilder, protector: Arc<dyn Protector>) -> FileStore {
    builder.protector(protector).build().expect("a path")
}

#[test]
fn after_protecting_anew_the_old_key_is_needed_no_more() {
    let folder = Folder::in_memory();
    let users: Vec<PartitionKey> = (0..5).map(|n| PartitionKey::user(&n.to_string())).collect();
    let in_dir = |protector| build(FileStore::in_dir(folder.path()), protector);
    for user in &users {
        put(&in_dir(only(1)), user, "a").expect("written");
    }
    let names = folder.names();
    assert_eq!(pollster::block_on(in_dir(rotated(2, 1)).reprotect()).expect("protected anew"), 5);
    assert_eq!(folder.names(), names, "nobody's name changes");
    let new = in_dir(only(2));
    for user in &users {
        assert_eq!(keys(&new, user).expect("read"), ["a"]);
    }
    let mut listed = pollster::block_on(new.partitions(None, 10)).expect("listed");
    listed.sort();
    assert_eq!(listed, users);
    assert!(keys(&in_dir(only(1)), &users[0]).is_err());
    put(&new, &users[0], "b").expect("written");
}

#[test]
fn a_single_file_is_protected_anew_too() {
    let folder = Folder::in_memory();
    let at = |protector| build(FileStore::at(folder.cache()), protector);
    assert_eq!(pollster::block_on(at(only(1)).reprotect()).expect("nothing is there"), 0);
    put(&at(only(1)), &SHARED, "a").expect("written");
    assert_eq!(pollster::block_on(at(rotated(2, 1)).reprotect()).expect("protected anew"), 1);
    assert_eq!(keys(&at(only(2)), &SHARED).expect("read"), ["a"]);
    assert_eq!(failure(pollster::block_on(folder.plaintext().reprotect())).kind(), ErrorKind::InvalidInput);
}

#[test]
fn protecting_anew_moves_plaintext_under_protection_where_that_is_allowed() {
    let folder = Folder::in_memory();
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    let migrating = build(FileStore::at(folder.cache()).migrate_plaintext(true), only(1));
    assert_eq!(pollster::block_on(migrating.reprotect()).expect("protected"), 1);
    assert_eq!(keys(&build(FileStore::at(folder.cache()), only(1)), &SHARED).expect("read"), ["a"]);
}

#[test]
fn what_cannot_be_opened_any_more_is_moved_aside_on_demand() {
    let folder = Folder::in_memory();
    let store = build(FileStore::at(folder.cache()), only(1));
    assert_eq!(pollster::block_on(store.move_aside(&SHARED)).expect("nothing is there"), None);
    put(&build(FileStore::at(folder.cache()), only(2)), &SHARED, "a").expect("written");
    let bytes = fs::read(folder.cache()).expect("read");
    assert!(put(&store, &SHARED, "b").is_err());
    let aside = pollster::block_on(store.move_aside(&SHARED)).expect("moved").expect("it was there");
    assert_eq!(fs::read(&aside).expect("read"), bytes);
    #[cfg(unix)]
    assert_eq!(cache_testkit::folder::mode(&aside), 0o600);
    assert_eq!(keys(&store, &SHARED).expect("read"), [""; 0]);
    put(&store, &SHARED, "b").expect("written");
    assert_eq!(folder.names().len(), 2);
}
