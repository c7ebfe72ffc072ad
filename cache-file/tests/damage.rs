//! Damage is survived: salvaged or named, never wiped silently, and what is not ours is left exactly as it is.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Blob, CacheStore as _, DocumentStore as _, Error, ErrorKind, Result, UnifiedDocument};
use cache_file::FileStore;
use cache_testkit::secrets::capture_traces;

use common::{Folder, SHARED, documents, failure, keys, protector, protector_of, put, set_age, within_lock};

/// A plaintext cache of three entries.
fn three() -> Vec<u8> {
    let folder = Folder::in_memory();
    for key in ["a", "b", "c"] {
        put(&folder.plaintext(), &SHARED, key).expect("written");
    }
    fs::read(folder.cache()).expect("read")
}

/// Writes a file that is too old to be one that another library is still writing.
fn write_at_rest(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    fs::write(&path, content).expect("written");
    set_age(path.as_ref(), Duration::from_secs(2));
}

fn aside(folder: &Folder) -> Vec<String> {
    folder.names().into_iter().filter(|name| name.contains(".corrupt-")).collect()
}

#[test]
fn a_torn_document_gives_its_complete_entries_at_every_length() {
    let whole = three();
    let folder = Folder::in_memory();
    let path = |length: usize| folder.path().join(format!("{length}.cache"));
    for length in 1..whole.len() {
        write_at_rest(path(length), &whole[..length]);
    }
    let mut most = 0;
    for length in 1..whole.len() {
        let store = FileStore::at(path(length)).plaintext().build().expect("a path");
        let traces = capture_traces(|| {
            let found = keys(&store, &SHARED).expect("a salvage");
            assert_eq!(found, ["a", "b", "c"][..found.len()], "at length {length}");
            assert!(found.len() >= most, "no entry is lost by a longer file");
            most = found.len();
        });
        assert!(traces.contains("damaged"), "at length {length}: {traces}");
        assert_eq!(fs::read(path(length)).expect("read"), whole[..length], "a read moves nothing");
    }
    assert_eq!(most, 3);
    assert_eq!(folder.names().len(), whole.len() - 1);
}

#[test]
fn a_write_moves_the_damaged_file_aside_and_goes_on_with_what_was_left() {
    let whole = three();
    for damaged in [[&whole[..], b",\"tail\":1}"].concat(), whole[..whole.len() - 3].to_vec()] {
        let folder = Folder::new();
        let store = folder.plaintext();
        write_at_rest(folder.cache(), &damaged);
        let traces = capture_traces(|| drop(put(&store, &SHARED, "d").expect("written")));
        assert!(traces.contains("WARN") && traces.contains("moved aside"), "{traces}");
        assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b", "c", "d"]);
        let aside = aside(&folder);
        assert_eq!((aside.len(), folder.names().len()), (1, 2));
        assert_eq!(fs::read(folder.path().join(&aside[0])).expect("read"), damaged);
        #[cfg(unix)]
        assert_eq!(cache_testkit::folder::mode(&folder.path().join(&aside[0])), 0o600);
    }
}

#[test]
fn two_damaged_files_at_most_are_kept_the_newest_ones() {
    let folder = Folder::new();
    let store = folder.plaintext();
    fs::write(folder.path().join("msal.cache.corrupt-1000"), "old").expect("written");
    fs::write(folder.path().join("other.cache.corrupt-1000"), "another cache's").expect("written");
    for n in 0..4 {
        write_at_rest(folder.cache(), format!("{{\"Account\":{{}}}} {n}"));
        put(&store, &SHARED, "a").expect("written");
    }
    let aside: Vec<_> = aside(&folder).into_iter().filter(|name| name.starts_with("msal.cache.")).collect();
    let content = |name: &String| fs::read_to_string(folder.path().join(name)).expect("read");
    let mut contents: Vec<_> = aside.iter().map(content).collect();
    contents.sort();
    assert_eq!(contents, ["{\"Account\":{}} 2", "{\"Account\":{}} 3"]);
    assert!(folder.path().join("other.cache.corrupt-1000").exists());
}

#[test]
fn removing_a_damaged_cache_keeps_it_aside() {
    let folder = Folder::new();
    let store = folder.plaintext();
    write_at_rest(folder.cache(), "{\"Account\":{}} and more");
    pollster::block_on(documents(&store).remove(&SHARED)).expect("removed");
    assert_eq!(folder.names(), aside(&folder));
    assert_eq!(aside(&folder).len(), 1);
}

#[test]
fn an_edit_that_keeps_everything_repairs_nothing() {
    let folder = Folder::new();
    write_at_rest(folder.cache(), "{\"Account\":{}} and more");
    within_lock(&folder.plaintext(), &SHARED, || ()).expect("locked");
    assert_eq!(folder.names(), ["msal.cache"]);
    assert_eq!(fs::read_to_string(folder.cache()).expect("read"), "{\"Account\":{}} and more");
}

#[test]
fn nul_bytes_are_damage_of_which_nothing_is_left() {
    let folder = Folder::new();
    let store = folder.plaintext();
    write_at_rest(folder.cache(), [0; 4096]);
    assert_eq!(keys(&store, &SHARED).expect("read"), [""; 0]);
    assert_eq!(folder.names(), ["msal.cache"]);
    put(&store, &SHARED, "a").expect("written");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
    assert_eq!(aside(&folder).len(), 1);
}

#[test]
fn what_is_no_document_is_left_as_it_is_by_reads_and_writes() {
    let folder = Folder::in_memory();
    put(&FileStore::at(folder.path().join("0")).protector(protector()).build().expect("a path"), &SHARED, "a")
        .expect("a protected file");
    for (n, foreign) in
        [&b"[]"[..], b"null", b"17", b"-----BEGIN", b"\0\0{}", b"\x80\x81", b"\xFF\xFE{\0}\0"].iter().enumerate()
    {
        write_at_rest(folder.path().join((n + 1).to_string()), foreign);
    }
    for name in folder.names() {
        let path = folder.path().join(&name);
        let before = fs::read(&path).expect("read");
        let store = FileStore::at(&path).plaintext().build().expect("a path");
        for error in [
            failure(keys(&store, &SHARED)),
            failure(put(&store, &SHARED, "b")),
            failure(pollster::block_on(documents(&store).remove(&SHARED))),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        }
        assert_eq!(fs::read(&path).expect("read"), before);
    }
    assert_eq!(folder.names().len(), 8, "nothing was moved aside");
}

#[test]
fn an_empty_plaintext_file_is_an_empty_cache() {
    // MSAL Node makes one when it starts.
    let folder = Folder::new();
    write_at_rest(folder.cache(), "");
    let store = folder.plaintext();
    assert!(pollster::block_on(store.read(&SHARED)).expect("read").is_none());
    assert!(pollster::block_on(store.stamp(&SHARED)).expect("looked").is_none());
    assert!(pollster::block_on(store.partitions(None, 9)).expect("listed").is_empty());
    put(&store, &SHARED, "a").expect("written");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
    assert_eq!(folder.names(), ["msal.cache"]);
}

#[test]
fn a_file_that_another_program_has_emptied_is_told_of_once() {
    // A kill or a full disk at the wrong moment does it to MSAL.NET.
    let read = |store: &FileStore| keys(store, &SHARED).map(drop);
    let write = |store: &FileStore| put(store, &SHARED, "b").map(drop);
    for look in [read as fn(&FileStore) -> Result<()>, write] {
        let folder = Folder::new();
        let store = folder.plaintext();
        put(&store, &SHARED, "a").expect("written");
        write_at_rest(folder.cache(), "");
        let error = failure(look(&store));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(fs::read(folder.cache()).expect("read"), b"");
        assert_eq!(keys(&store, &SHARED).expect("from now on it counts as new"), [""; 0]);
        // A handle that has never seen content has nothing to tell of.
        assert_eq!(keys(&folder.plaintext(), &SHARED).expect("read"), [""; 0]);
    }
}

#[test]
fn a_file_in_the_writing_is_waited_for() {
    let whole = three();
    for torn in [0, whole.len() / 2] {
        let folder = Folder::new();
        let store = folder.plaintext();
        fs::write(folder.cache(), &whole[..torn]).expect("written");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                fs::write(folder.cache(), &whole).expect("written");
            });
            assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b", "c"]);
        });
        fs::write(folder.cache(), &whole[..torn.max(1)]).expect("written");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                fs::write(folder.cache(), &whole).expect("written");
            });
            put(&store, &SHARED, "d").expect("written");
        });
        assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b", "c", "d"]);
        assert_eq!(folder.names(), ["msal.cache"], "and nothing was taken for damaged");
    }
}

/// A protected cache of one entry, and what a damaged copy of it answers to a read and a write.
struct Protected {
    folder: Folder,
    whole: Vec<u8>,
}

impl Protected {
    fn new() -> Self {
        let folder = Folder::in_memory();
        put(&folder.protected(), &SHARED, "a").expect("written");
        let whole = fs::read(folder.cache()).expect("read");
        Self { folder, whole }
    }

    /// Reads and writes with `bytes` in the file, which must fail in one way and leave them as they are.
    fn refused(&self, store: &FileStore, bytes: &[u8]) -> Error {
        fs::write(self.folder.cache(), bytes).expect("written");
        let error = failure(keys(store, &SHARED));
        let other = failure(put(store, &SHARED, "b"));
        assert_eq!((other.kind(), other.message()), (error.kind(), error.message()));
        assert_eq!(fs::read(self.folder.cache()).expect("read"), bytes, "left as it is");
        assert_eq!(self.folder.names(), ["msal.cache"]);
        assert!(error.message().contains("msal.cache"), "it names the file: {error}");
        error
    }
}

#[test]
fn a_protected_file_with_a_damaged_byte_is_left_as_it_is() {
    let protected = Protected::new();
    let store = protected.folder.protected();
    for at in 0..protected.whole.len() {
        let mut bytes = protected.whole.clone();
        bytes[at] ^= 0x01;
        let kind = protected.refused(&store, &bytes).kind();
        // Where the format's name and version stand, it is another format.
        let expected = [ErrorKind::Corrupt, ErrorKind::Unsupported];
        assert!(expected[..if at < 16 { 2 } else { 1 }].contains(&kind), "at {at}: {kind:?}");
    }
}

#[test]
fn a_protected_file_that_is_cut_off_is_left_as_it_is() {
    let protected = Protected::new();
    let store = protected.folder.protected();
    for length in 0..protected.whole.len() {
        let kind = protected.refused(&store, &protected.whole[..length]).kind();
        assert_eq!(kind, ErrorKind::Corrupt, "at length {length}");
    }
}

#[test]
fn a_protected_file_of_another_key_or_format_is_left_as_it_is() {
    let protected = Protected::new();
    let other = FileStore::at(protected.folder.cache()).protector(protector_of(8)).build().expect("a path");
    let kind = protected.refused(&other, &protected.whole).kind();
    assert!(matches!(kind, ErrorKind::Undecryptable | ErrorKind::KeyUnavailable), "{kind:?}");
    for plaintext in [&three()[..], b"{", b"garbage of some other program"] {
        assert_eq!(protected.refused(&protected.folder.protected(), plaintext).kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn a_protected_file_of_another_partition_does_not_open() {
    let folder = Folder::in_memory();
    let store = FileStore::in_dir(folder.path()).protector(protector()).build().expect("a path");
    let users = ["alice", "bob"].map(cache_core::PartitionKey::user);
    for user in &users {
        put(&store, user, "a").expect("written");
    }
    let [alice, bob] =
        users.each_ref().map(|user| pollster::block_on(store.file_of(user)).expect("known").expect("there"));
    let bytes = fs::read(&alice).expect("read");
    fs::write(&bob, &bytes).expect("written");
    for error in [failure(keys(&store, &users[1])), failure(put(&store, &users[1], "b"))] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(!error.to_string().contains("bob"), "{error}");
    }
    assert_eq!(fs::read(&bob).expect("read"), bytes);
    assert_eq!(keys(&store, &users[0]).expect("read"), ["a"]);
}

#[test]
fn plaintext_is_read_under_protection_only_where_that_is_allowed() {
    let folder = Folder::new();
    let whole = three();
    fs::write(folder.cache(), &whole).expect("written");
    assert_eq!(failure(keys(&folder.protected(), &SHARED)).kind(), ErrorKind::Unsupported);
    let migrating = || FileStore::at(folder.cache()).protector(protector()).migrate_plaintext(true).build();
    let store = migrating().expect("a path");
    let traces = capture_traces(|| assert_eq!(keys(&store, &SHARED).expect("read"), ["a", "b", "c"]));
    assert!(traces.contains("WARN") && traces.contains("plaintext"), "{traces}");
    assert_eq!(fs::read(folder.cache()).expect("read"), whole, "a read changes nothing");
    put(&store, &SHARED, "d").expect("written");
    assert!(UnifiedDocument::parse(&Blob::new(fs::read(folder.cache()).expect("read"))).is_err(), "protected by now");
    assert_eq!(keys(&folder.protected(), &SHARED).expect("read"), ["a", "b", "c", "d"]);
    // What does not begin as a document is not taken for one.
    write_at_rest(folder.cache(), "garbage");
    assert_eq!(failure(keys(&store, &SHARED)).kind(), ErrorKind::Unsupported);
    assert_eq!(fs::read(folder.cache()).expect("read"), b"garbage");
}

#[test]
fn errors_and_traces_show_nothing_of_the_content() {
    let planted = cache_testkit::secrets::Planted::new("file content");
    let folder = Folder::new();
    let document = format!("{{\"AccessToken\":{{\"{0}\":{{\"secret\":\"{0}\"", planted.text());
    let traces = capture_traces(|| {
        for content in [document.clone(), format!("x{document}"), format!("{document}}}}}}} {}", planted.text())] {
            write_at_rest(folder.cache(), content);
            for store in [folder.plaintext(), folder.protected()] {
                for outcome in [keys(&store, &SHARED).map(drop), put(&store, &SHARED, "a").map(drop)] {
                    if let Err(error) = outcome {
                        planted.assert_absent_from(cache_testkit::secrets::shown(&error));
                    }
                }
                planted.assert_absent_from(format!("{store:?} {:?}", documents(&store)));
            }
        }
    });
    planted.assert_absent_from(traces);
}

#[test]
fn a_lock_that_is_held_does_not_keep_a_sound_file_from_being_read() {
    let folder = Folder::new();
    let store = folder.impatient();
    put(&store, &SHARED, "a").expect("written");
    let (reader, torn) = (folder.impatient(), Arc::new(three()));
    let path = folder.cache();
    within_lock(&store, &SHARED, move || {
        assert_eq!(keys(&reader, &SHARED).expect("read"), ["a"]);
        // Of a damaged one only the lock can tell whether it is one.
        write_at_rest(&path, &torn[..torn.len() / 2]);
        assert_eq!(failure(keys(&reader, &SHARED)).kind(), ErrorKind::Busy);
    })
    .expect("locked");
}
