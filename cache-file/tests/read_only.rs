//! A read-only store writes nothing at all: no lock file, no folder, no mode, no repair; every write is refused.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cache_core::{DocumentStore as _, Error, ErrorKind, PartitionKey};
use cache_file::{FileStore, FileStoreBuilder};
use cache_testkit::folder::names;
use cache_testkit::secrets::capture_traces;

use common::{Folder, SHARED, documents, failure, keys, protector, put, set_age, within_lock};

/// What can be seen of a file or folder without opening it, and the content of a file.
#[derive(Debug, PartialEq)]
struct Seen {
    path: PathBuf,
    content: Option<Vec<u8>>,
    modified: SystemTime,
    /// Mode, time of change and identity, where there are such.
    status: Option<[i64; 4]>,
}

/// Everything at and below a folder.
fn picture(folder: &Path) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut paths = vec![folder.to_owned()];
    while let Some(path) = paths.pop() {
        let metadata = path.symlink_metadata().expect("it is there");
        if metadata.is_dir() {
            paths.extend(names(&path).into_iter().map(|name| path.join(name)));
        }
        let content = metadata.is_file().then(|| fs::read(&path).expect("read"));
        #[cfg(unix)]
        let status = {
            use std::os::unix::fs::MetadataExt as _;
            Some([metadata.mode().into(), metadata.ctime(), metadata.ctime_nsec(), metadata.ino().cast_signed()])
        };
        #[cfg(not(unix))]
        let status = None;
        seen.push(Seen { content, modified: metadata.modified().expect("a time"), status, path });
    }
    seen
}

/// Does everything that a store can do, and answers what came of the reads. Each write must be refused.
fn everything(builder: FileStoreBuilder, partition: &PartitionKey) -> Result<Vec<String>, Error> {
    let store = builder.read_only(true).build().expect("a usable path");
    let read = keys(&store, partition);
    let _ = keys(&store, partition);
    let _ = pollster::block_on(store.stamp(partition));
    let _ = store.stamp_now(partition);
    let _ = pollster::block_on(store.partitions(None, 9));
    let _ = pollster::block_on(store.file_of(partition));
    let _ = pollster::block_on(store.mode_of(partition));

    let lease = pollster::block_on(documents_lease(&store, partition));
    let refused = [
        put(&store, partition, "new").expect_err("a write"),
        within_lock(&store, partition, || panic!("no edit is called")).expect_err("a write that changes nothing"),
        pollster::block_on(store.move_aside(partition)).expect_err("a write"),
        pollster::block_on(store.reprotect()).expect_err("a write"),
        lease.expect_err("a lease makes a file"),
    ];
    for error in refused {
        assert_eq!((error.kind(), error.store()), (ErrorKind::Denied, Some("file")), "{error}");
        assert!(error.message().contains("read-only") && error.message().contains("`read_only(false)`"), "{error}");
    }
    read
}

async fn documents_lease(store: &FileStore, partition: &PartitionKey) -> Result<(), Error> {
    use cache_core::CacheStore as _;
    documents(store).lease(partition, "refresh", Duration::ZERO).await.map(drop)
}

/// The key texts that a read answers.
type Answer = Result<Vec<&'static str>, ErrorKind>;

#[test]
fn nothing_is_written_whatever_is_found() {
    let whole = {
        let folder = Folder::new();
        put(&folder.plaintext(), &SHARED, "a").expect("written");
        fs::read(folder.cache()).expect("read")
    };
    let torn = [&whole[..], b"}}"].concat();
    let cases: [(&str, Option<&[u8]>, Answer); 7] = [
        ("no file", None, Ok(vec![])),
        ("sound", Some(&whole), Ok(vec!["a"])),
        ("longer content behind it", Some(&torn), Ok(vec!["a"])),
        ("half", Some(&whole[..whole.len() / 2]), Ok(vec![])),
        ("empty", Some(b""), Ok(vec![])),
        ("only NUL", Some(b"\0\0\0\0"), Ok(vec![])),
        ("foreign", Some(b"MSTC\x01"), Err(ErrorKind::Unsupported)),
    ];
    for (name, content, expected) in cases {
        for is_young in [false, true] {
            let folder = Folder::new();
            if let Some(content) = content {
                fs::write(folder.cache(), content).expect("written");
                if !is_young {
                    set_age(&folder.cache(), Duration::from_secs(5));
                }
            }
            widen(&folder.cache());
            // What a writer would remove: the lock of a process that is gone, and what it left in the making.
            fs::write(folder.lock_file(), "1 gone").expect("written");
            set_age(&folder.lock_file(), Duration::from_secs(600));
            let left_behind = folder.path().join("msal.cache.1.0123456789abcdef.tmp");
            fs::write(&left_behind, "x").expect("written");
            set_age(&left_behind, Duration::from_secs(600));

            let before = picture(folder.path());
            let read = everything(FileStore::at(folder.cache()).plaintext(), &SHARED).map_err(|error| error.kind());
            assert_eq!(read, expected.clone().map(|keys| keys.into_iter().map(str::to_owned).collect()), "{name}");
            assert_eq!(picture(folder.path()), before, "{name}, young: {is_young}");
        }
    }
}

#[test]
fn no_folder_is_made() {
    let folder = Folder::new();
    let builders = [
        FileStore::at(folder.path().join("new/msal.cache")).plaintext(),
        FileStore::at(folder.path().join("new/msal.cache")).protector(protector()),
        FileStore::in_dir(folder.path().join("many")).protector(protector()),
    ];
    let before = picture(folder.path());
    for builder in builders {
        assert_eq!(everything(builder, &SHARED).expect("read"), [""; 0]);
    }
    assert_eq!(picture(folder.path()), before);
}

#[test]
fn protected_caches_are_read_and_left_alone() {
    let folder = Folder::new();
    put(&folder.protected(), &SHARED, "a").expect("written");
    let user = PartitionKey::user("uid.utid");
    let many = || FileStore::in_dir(folder.path().join("many")).protector(protector());
    put(&many().build().expect("a path"), &user, "b").expect("written");
    for name in names(&folder.path().join("many")) {
        widen(&folder.path().join("many").join(name));
    }
    let before = picture(folder.path());
    assert_eq!(everything(FileStore::at(folder.cache()).protector(protector()), &SHARED).expect("read"), ["a"]);
    assert_eq!(everything(many(), &user).expect("read"), ["b"]);
    assert_eq!(everything(many(), &PartitionKey::user("other")).expect("read"), [""; 0]);
    assert_eq!(picture(folder.path()), before);
}

#[test]
fn a_file_that_was_emptied_is_told_of_without_the_lock() {
    let folder = Folder::new();
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    let reader = FileStore::at(folder.cache()).plaintext().read_only(true).build().expect("a path");
    assert_eq!(keys(&reader, &SHARED).expect("read"), ["a"]);
    fs::write(folder.cache(), "").expect("emptied");
    set_age(&folder.cache(), Duration::from_secs(5));
    let before = picture(folder.path());
    assert_eq!(failure(keys(&reader, &SHARED)).kind(), ErrorKind::Corrupt);
    assert_eq!(keys(&reader, &SHARED).expect("a new cache by now"), [""; 0]);
    assert_eq!(picture(folder.path()), before);
}

#[test]
fn a_lock_that_is_held_keeps_no_reader_waiting() {
    let folder = Folder::new();
    let writer = folder.plaintext();
    fs::write(folder.cache(), "{\"Account\":{}}}").expect("written");
    set_age(&folder.cache(), Duration::from_secs(5));
    let reader = FileStore::at(folder.cache()).plaintext().read_only(true).build().expect("a path");
    within_lock(&writer, &SHARED, move || assert_eq!(keys(&reader, &SHARED).expect("read"), [""; 0])).expect("locked");
}

#[cfg(unix)]
#[test]
fn a_wide_mode_is_warned_about_and_stays() {
    use cache_testkit::folder::{mode, set_mode};

    let folder = Folder::new();
    put(&folder.plaintext(), &SHARED, "a").expect("written");
    set_mode(&folder.cache(), 0o644);
    let traces = capture_traces(|| {
        let reader = FileStore::at(folder.cache()).plaintext().read_only(true).build().expect("a path");
        assert_eq!(keys(&reader, &SHARED).expect("read"), ["a"]);
    });
    assert!(traces.contains("others can open this file") && traces.contains("0644"), "{traces}");
    assert_eq!(mode(&folder.cache()), 0o644);
}

/// Gives everybody the right to read the file, if it is there and there are such rights.
fn widen(path: &Path) {
    #[cfg(unix)]
    if path.exists() {
        cache_testkit::folder::set_mode(path, 0o644);
    }
    #[cfg(not(unix))]
    let _ = path;
}
