//! Setting a store up: protection is chosen, paths are absolute, and the store says what it is.

mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheStore as _, DocumentStore as _, ErrorKind, PartitionKey};
use cache_file::FileStore;

use common::{Folder, SHARED, failure, keys, protector, put};

#[test]
fn without_a_choice_of_protection_there_is_no_store() {
    let folder = Folder::new();
    for builder in [FileStore::at(folder.cache()), FileStore::in_dir(folder.path())] {
        for error in [failure(builder.clone().build()), failure(builder.open())] {
            assert_eq!((error.kind(), error.store()), (ErrorKind::InvalidInput, Some("file")), "{error}");
            assert!(error.message().contains("`protector`") && error.message().contains("`plaintext`"), "{error}");
        }
    }
}

#[test]
fn a_path_that_no_file_can_have_is_refused() {
    for path in ["/", "a\0b"] {
        assert_eq!(failure(FileStore::at(path).plaintext().build()).kind(), ErrorKind::InvalidInput, "{path:?}");
    }
    assert_eq!(failure(FileStore::in_dir("a\0b").plaintext().build()).kind(), ErrorKind::InvalidInput);
    assert_eq!(failure(FileStore::at("").plaintext().build()).kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_relative_path_is_taken_from_the_folder_of_its_time() {
    let store = FileStore::at("tokens.bin").plaintext().build().expect("a path");
    let here = std::env::current_dir().expect("a folder");
    assert_eq!(store.path(), here.join("tokens.bin"));
}

#[test]
fn building_and_reading_make_no_file() {
    let folder = Folder::new();
    let file = FileStore::at(folder.path().join("new/msal.cache")).plaintext().open().expect("a path");
    let partitions = FileStore::in_dir(folder.path().join("other")).protector(protector()).open().expect("a path");
    assert!(pollster::block_on(file.load(&SHARED)).expect("read").is_none());
    assert!(pollster::block_on(partitions.load(&SHARED)).expect("read").is_none());
    assert_eq!(pollster::block_on(partitions.partitions(None, 9)).expect("listed"), []);
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn a_store_says_what_it_is() {
    let folder = Folder::new();
    let file = folder.plaintext();
    let partitions = FileStore::in_dir(folder.path().join("many")).protector(protector()).build().expect("a path");
    assert_eq!(file.name(), "file");
    assert_eq!((file.protection().name(), file.protection().is_protected()), ("plaintext", false));
    assert_eq!((partitions.protection().name(), partitions.protection().is_protected()), ("protected", true));
    assert_eq!((file.path(), partitions.path()), (&*folder.cache(), &*folder.path().join("many")));

    assert_eq!(pollster::block_on(file.mode_of(&SHARED)).expect("looked"), None);
    assert_eq!(pollster::block_on(partitions.file_of(&SHARED)).expect("looked"), None);
    let user = PartitionKey::user("u");
    put(&file, &SHARED, "a").expect("written");
    put(&partitions, &user, "a").expect("written");
    assert_eq!(pollster::block_on(file.file_of(&SHARED)).expect("looked"), Some(folder.cache()));
    let path = pollster::block_on(partitions.file_of(&user)).expect("looked").expect("there");
    assert!(path.is_file() && path.starts_with(partitions.path()));
    let mode = cfg!(unix).then_some(0o600);
    assert_eq!(pollster::block_on(file.mode_of(&SHARED)).expect("looked"), mode);
    assert_eq!(pollster::block_on(partitions.mode_of(&user)).expect("looked"), mode);
}

#[test]
fn a_clone_is_another_handle_of_the_same_store() {
    let folder = Folder::new();
    let store = folder.protected();
    put(&store.clone(), &SHARED, "a").expect("written");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
}

#[test]
fn no_wait_and_an_endless_wait_are_waits() {
    let folder = Folder::new();
    for wait in [Duration::ZERO, Duration::MAX] {
        let store = FileStore::at(folder.cache()).plaintext().lock_wait(wait).build().expect("a path");
        put(&store, &SHARED, &format!("{wait:?}")).expect("written");
    }
    let shared: Arc<dyn cache_core::CacheStore> =
        Arc::new(FileStore::at(folder.cache()).plaintext().open().expect("a path"));
    assert_eq!(pollster::block_on(shared.load(&SHARED)).expect("read").expect("there").entries.len(), 2);
}
