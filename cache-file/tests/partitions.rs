//! A folder of partitions: names that hide whose they are, pages that leave none out, and a key beside each file.

mod common;

use std::fs;

use cache_core::{CacheStore as _, DocumentStore as _, ErrorKind, PartitionKey};
use cache_file::FileStore;
use cache_testkit::folder::names;

use common::{Folder, SHARED, documents, failure, keys, protector, protector_of, put};

fn store(folder: &Folder) -> FileStore {
    FileStore::in_dir(folder.path()).protector(protector()).build().expect("a path")
}

fn list(store: &FileStore, page: usize) -> Vec<PartitionKey> {
    let mut all: Vec<PartitionKey> = Vec::new();
    loop {
        let next = pollster::block_on(store.partitions(all.last(), page)).expect("listed");
        assert!(next.len() <= page);
        if next.is_empty() {
            return all;
        }
        all.extend(next);
    }
}

fn users(count: usize) -> Vec<PartitionKey> {
    (0..count).map(|n| PartitionKey::user(&format!("user {n:02}"))).collect()
}

#[test]
fn pages_show_every_partition_once() {
    let folder = Folder::in_memory();
    let store = store(&folder);
    assert_eq!(list(&store, 10), []);
    let mut partitions = users(23);
    partitions.extend([
        SHARED,
        PartitionKey::app("client", None),
        PartitionKey::obo("assertion"),
        PartitionKey::long_running("session \u{1f511} /../\\"),
        PartitionKey::custom(""),
    ]);
    for partition in &partitions {
        put(&store, partition, "a").expect("written");
    }
    partitions.sort();
    for page in [1, 5, 28, 100] {
        let mut listed = list(&store, page);
        listed.sort();
        assert_eq!(listed, partitions, "in pages of {page}");
    }
    // Where a page ended may be gone when the next one is asked for.
    let page = pollster::block_on(store.partitions(None, 5)).expect("listed");
    pollster::block_on(documents(&store).remove(&page[4])).expect("removed");
    let rest = pollster::block_on(store.partitions(Some(&page[4]), 100)).expect("listed");
    assert_eq!(rest.len(), partitions.len() - 5);
    assert_eq!(pollster::block_on(store.partitions(None, 0)).expect("listed"), []);
}

#[test]
fn nothing_in_the_folder_tells_whose_it_is() {
    let folder = Folder::in_memory();
    let planted = cache_testkit::secrets::Planted::new("partition");
    let user = PartitionKey::user(planted.text());
    put(&store(&folder), &user, "a").expect("written");
    let lease = pollster::block_on(documents(&store(&folder)).lease(&user, planted.text(), std::time::Duration::ZERO));
    let names = folder.names();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in &names {
        planted.assert_absent_from(name);
        planted.assert_absent_from(fs::read(folder.path().join(name)).expect("read"));
    }
    planted.assert_absent_from(format!("{:?} {lease:?}", store(&folder)));
    // Not by a guess either: the same user has another name elsewhere.
    drop(lease);
    let other = Folder::in_memory();
    put(&store(&other), &user, "a").expect("written");
    assert!(other.names().iter().all(|name| name == "names.key" || !names.contains(name)));
}

#[test]
fn a_removed_partition_is_not_listed_and_leaves_no_file() {
    let folder = Folder::in_memory();
    let store = store(&folder);
    let [alice, bob] = ["alice", "bob"].map(PartitionKey::user);
    put(&store, &alice, "a").expect("written");
    put(&store, &bob, "a").expect("written");
    pollster::block_on(documents(&store).remove(&alice)).expect("removed");
    assert_eq!(list(&store, 10), std::slice::from_ref(&bob));
    assert_eq!(folder.names().len(), 3);
    // Another handle, which remembers the key file as it was, writes it anew.
    put(&store, &alice, "b").expect("written");
    assert_eq!(list(&store, 10).len(), 2);
    pollster::block_on(documents(&self::store(&folder)).remove(&alice)).expect("removed by another handle");
    put(&store, &alice, "c").expect("written");
    assert_eq!(list(&store, 10).len(), 2);
}

#[test]
fn a_key_file_without_its_cache_is_no_partition() {
    // What a kill between the two writes leaves behind.
    let folder = Folder::in_memory();
    let store = store(&folder);
    let [alice, bob] = ["alice", "bob"].map(PartitionKey::user);
    put(&store, &alice, "a").expect("written");
    put(&store, &bob, "a").expect("written");
    let path = pollster::block_on(store.file_of(&alice)).expect("known").expect("there");
    fs::remove_file(&path).expect("removed");
    assert_eq!(list(&store, 10), [bob]);
    put(&store, &alice, "a").expect("written");
    assert_eq!(list(&store, 1).len(), 2);
}

#[test]
fn a_damaged_key_file_is_an_error_until_the_next_write_puts_it_right() {
    let folder = Folder::in_memory();
    let [alice, bob] = ["alice", "bob"].map(PartitionKey::user);
    put(&store(&folder), &alice, "a").expect("written");
    put(&store(&folder), &bob, "a").expect("written");
    let key_file = |user| {
        let path = pollster::block_on(store(&folder).file_of(user)).expect("known").expect("there");
        path.with_extension("key")
    };
    let whole = fs::read(key_file(&alice)).expect("read");
    // Damaged, another partition's, empty.
    for bytes in [whole[..whole.len() - 1].to_vec(), fs::read(key_file(&bob)).expect("read"), Vec::new()] {
        fs::write(key_file(&alice), &bytes).expect("written");
        match pollster::block_on(store(&folder).partitions(None, 10)) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.message().contains(".key"), "it names the file: {error}");
            }
            Ok(listed) => assert_eq!(listed, [bob.clone(), bob.clone()]),
        }
        let entry = format!("after {}", bytes.len());
        put(&store(&folder), &alice, &entry).expect("written");
        assert_eq!(list(&store(&folder), 10).len(), 2);
        assert!(list(&store(&folder), 10).contains(&alice));
    }
}

#[test]
fn the_wrong_key_opens_no_partition_not_even_one_that_is_not_there() {
    let folder = Folder::in_memory();
    let alice = PartitionKey::user("alice");
    put(&store(&folder), &alice, "a").expect("written");
    let before = folder.names();
    let other = FileStore::in_dir(folder.path()).protector(protector_of(8)).build().expect("a path");
    for error in [
        failure(keys(&other, &alice)),
        failure(keys(&other, &PartitionKey::user("nobody"))),
        failure(put(&other, &PartitionKey::user("nobody"), "a")),
        failure(pollster::block_on(other.partitions(None, 10))),
        failure(pollster::block_on(other.stamp(&alice))),
    ] {
        assert!(matches!(error.kind(), ErrorKind::Undecryptable | ErrorKind::KeyUnavailable), "{error}");
    }
    assert_eq!(folder.names(), before);
}

#[test]
fn a_lost_key_of_the_names_is_an_error_and_not_an_empty_folder() {
    let folder = Folder::in_memory();
    let alice = PartitionKey::user("alice");
    let old = store(&folder);
    put(&old, &alice, "a").expect("written");
    let names_key = folder.path().join("names.key");
    let whole = fs::read(&names_key).expect("read");
    let partition_key = pollster::block_on(old.file_of(&alice)).expect("known").expect("there").with_extension("key");
    let partition_key = fs::read(partition_key).expect("read");
    let broken: [Option<&[u8]>; 4] = [None, Some(b""), Some(&whole[..whole.len() - 1]), Some(&partition_key)];
    for content in broken {
        match content {
            None => fs::remove_file(&names_key).expect("removed"),
            Some(content) => fs::write(&names_key, content).expect("written"),
        }
        for store in [&store(&folder), &old] {
            for error in [
                failure(keys(store, &alice)),
                failure(put(store, &alice, "b")),
                failure(pollster::block_on(store.partitions(None, 10))),
            ] {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.message().contains("names.key"), "{error}");
            }
        }
    }
    fs::write(&names_key, &whole).expect("restored");
    assert_eq!(keys(&store(&folder), &alice).expect("read"), ["a"]);
    assert_eq!(keys(&old, &alice).expect("read"), ["a"]);
}

#[test]
fn a_folder_that_was_made_anew_is_learnt_anew() {
    let folder = Folder::in_memory();
    let path = folder.path().join("caches");
    let open = || FileStore::in_dir(&path).protector(protector()).build().expect("a path");
    let alice = PartitionKey::user("alice");
    let old = open();
    put(&old, &alice, "a").expect("written");
    fs::remove_dir_all(&path).expect("removed");
    assert_eq!(keys(&old, &alice).expect("read"), [""; 0]);
    put(&open(), &alice, "b").expect("written by another handle");
    assert_eq!(keys(&old, &alice).expect("read"), ["b"]);
    put(&old, &alice, "c").expect("written");
    assert_eq!(keys(&open(), &alice).expect("read"), ["b", "c"]);
    assert_eq!(names(&path).len(), 3);
}

#[test]
fn many_handles_agree_on_the_names_of_a_new_folder() {
    for _ in 0..10 {
        let folder = Folder::in_memory();
        let path = folder.path().join("caches");
        std::thread::scope(|scope| {
            for n in 0..4 {
                let store = FileStore::in_dir(&path).protector(protector()).build().expect("a path");
                scope.spawn(move || put(&store, &PartitionKey::user("alice"), &n.to_string()).expect("written"));
            }
        });
        let store = FileStore::in_dir(&path).protector(protector()).build().expect("a path");
        assert_eq!(keys(&store, &PartitionKey::user("alice")).expect("read"), ["0", "1", "2", "3"]);
        assert_eq!(names(&path).len(), 3);
    }
}

#[test]
fn a_store_of_one_file_holds_the_shared_partition_only() {
    let folder = Folder::in_memory();
    let store = folder.plaintext();
    let planted = cache_testkit::secrets::Planted::new("partition");
    let user = PartitionKey::user(planted.text());
    for error in [
        failure(keys(&store, &user)),
        failure(put(&store, &user, "a")),
        failure(pollster::block_on(documents(&store).remove(&user))),
        failure(store.stamp_now(&user).expect("known without a future")),
        failure(pollster::block_on(store.stamp(&user))),
        failure(pollster::block_on(documents(&store).lease(&user, "refresh", std::time::Duration::ZERO))),
    ] {
        assert_eq!((error.kind(), error.store()), (ErrorKind::InvalidInput, Some("file")), "{error}");
        assert!(error.message().contains("in_dir"), "it says what to do: {error}");
        planted.assert_absent_from(cache_testkit::secrets::shown(&error));
    }
    assert_eq!(folder.names(), [""; 0]);
    assert_eq!(list(&store, 10), []);
    put(&store, &SHARED, "a").expect("written");
    assert_eq!(list(&store, 10), [SHARED]);
}
