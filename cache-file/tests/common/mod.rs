//! What the tests of this crate share.
// Each test program uses a part of it.
#![allow(dead_code)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use cache_core::{
    CacheStore, Change, Changes, Committed, DocumentStore as _, Edit, Error, PartitionKey, Protector, Result,
};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;
use cache_testkit::entries::access_token;
use cache_testkit::secrets::capture_traces;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

pub(crate) const SHARED: PartitionKey = PartitionKey::Shared;

/// A folder that is gone at the end of the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    /// In memory, where there is such a folder: for tests that write much and do not ask what the disk has.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self(tempfile::tempdir_in(parent).expect("temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path().join("msal.cache")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path().join("msal.cache.lockfile")
    }

    /// A plaintext store in one file of this folder.
    pub(crate) fn plaintext(&self) -> FileStore {
        FileStore::at(self.cache()).plaintext().build().expect("a usable path")
    }

    /// The same, with little patience.
    pub(crate) fn impatient(&self) -> FileStore {
        FileStore::at(self.cache()).plaintext().lock_wait(Duration::from_millis(200)).build().expect("a usable path")
    }

    pub(crate) fn protected(&self) -> FileStore {
        FileStore::at(self.cache()).protector(protector()).build().expect("a usable path")
    }

    /// The names in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.path())
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name()).map(OsString::into_string);
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| name(entry).expect("listed").expect("an ordinary name"))
        .collect();
    names.sort();
    names
}

pub(crate) fn protector() -> Arc<dyn Protector> {
    protector_of(7)
}

pub(crate) fn protector_of(seed: u8) -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::from_bytes(&[seed; Key::LEN])))
}

pub(crate) fn documents(store: &FileStore) -> cache_core::Documents<FileStore> {
    cache_core::Documents::new(store.clone())
}

/// Puts an access token under this key text.
pub(crate) fn put(store: &FileStore, partition: &PartitionKey, key: &str) -> Result<Committed> {
    let entry = access_token(key).of("uid.utid", "login.windows.net").secret(&format!("secret of {key}")).entry();
    pollster::block_on(documents(store).commit(partition, &Changes::new(vec![Change::put(entry)])))
}

/// The key texts that are stored, sorted.
pub(crate) fn keys(store: &FileStore, partition: &PartitionKey) -> Result<Vec<String>> {
    let snapshot = pollster::block_on(documents(store).load(partition))?;
    let mut keys: Vec<String> = snapshot
        .map_or_else(Vec::new, |snapshot| snapshot.entries)
        .into_iter()
        .map(|stored| stored.entry.id.key().to_owned())
        .collect();
    keys.sort();
    Ok(keys)
}

/// Calls `look` within the exclusive section, and adds nothing.
pub(crate) fn within_lock(
    store: &FileStore,
    partition: &PartitionKey,
    mut look: impl FnMut() + Send + 'static,
) -> Result<()> {
    let edit = move |_: Option<&cache_core::Blob>| {
        look();
        Ok(Edit::Keep)
    };
    pollster::block_on(store.modify(partition, Box::new(edit))).map(drop)
}

pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.expect_err("this must not succeed")
}

/// Makes a file look as if it was last written so long ago.
pub(crate) fn set_age(path: &Path, age: Duration) {
    let file = fs::File::options().write(true).open(path).expect("the file opens");
    file.set_modified(SystemTime::now() - age).expect("its time can be set");
}

/// Everything that `work` traces.
pub(crate) fn traces_of(work: impl FnOnce()) -> String {
    hear_every_trace();
    capture_traces(work)
}

/// As long as there is one subscriber only, `tracing` asks the thread that comes to a place of the code first whether
/// anybody wants to hear of it, and takes the answer for all threads: another test's thread would say no for this one.
/// A second one, which hears nothing, makes it ask all subscribers.
pub(crate) fn hear_every_trace() {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| Dispatch::new(NoSubscriber::default()));
}

#[cfg(unix)]
pub(crate) mod unix {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::process::Command;

    use super::*;

    pub(crate) fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
    }

    pub(crate) fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
    }

    /// Whether this process may do everything; said aloud where a test then has nothing to show.
    pub(crate) fn is_root() -> bool {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root {
            say("not root: the parts of this test that need another user or a mount are left out");
        }
        is_root
    }

    #[allow(clippy::print_stderr)] // a test that shows less than its name says must tell
    fn say(what: &str) {
        eprintln!("{what}");
    }

    /// Unmounts when the test ends, however it does.
    pub(crate) struct Mount(pub(crate) PathBuf);

    impl Mount {
        pub(crate) fn new(path: PathBuf, options: &str) -> Option<Self> {
            fs::create_dir(&path).expect("made");
            let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status();
            if status.is_ok_and(|status| status.success()) {
                return Some(Self(path));
            }
            say("cannot mount here: the part of this test that needs a mount is left out");
            None
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(&self.0).status();
        }
    }
}
