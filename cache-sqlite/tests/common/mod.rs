//! What the tests of this crate share.
// Each test program uses a part of it.
#![allow(dead_code)]

pub(crate) mod slow;
pub(crate) mod users;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cache_core::{CacheStore as _, Change, Changes, Committed, Error, PartitionKey, Protector, Result};
use cache_crypto::{Envelope, Key};
use cache_sqlite::{SqliteStore, SqliteStoreBuilder};
use cache_testkit::entries::access_token;
use rusqlite::{Connection, OpenFlags};
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

pub(crate) const SHARED: PartitionKey = PartitionKey::Shared;
pub(crate) const ALICE: &str = "alice.home";
pub(crate) const HOST: &str = "login.windows.net";

/// A folder that is gone at the end of the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// On the disk.
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

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("tokens.db")
    }

    /// The same as text, for the arguments of a worker.
    pub(crate) fn argument(&self) -> String {
        text(&self.database())
    }

    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.database(), suffix)
    }

    pub(crate) fn at(&self) -> SqliteStoreBuilder {
        SqliteStore::at(self.database())
    }

    pub(crate) fn plaintext(&self) -> SqliteStore {
        self.at().plaintext().open().expect("a usable path")
    }

    pub(crate) fn protected(&self) -> SqliteStore {
        self.at().protector(protector()).open().expect("a usable path")
    }

    /// Deletes the database and what belongs to it, whether or not somebody has it open.
    pub(crate) fn delete_database(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.beside(suffix));
        }
    }

    /// The names in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.path())
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("an ordinary path").to_owned()
}

/// The path of what lies beside a database: `-wal`, `-shm`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(suffix);
    path.into()
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("listed").file_name().into_string().expect("an ordinary name")).collect();
    names.sort();
    names
}

pub(crate) fn protector() -> Arc<dyn Protector> {
    protector_of(7)
}

pub(crate) fn protector_of(seed: u8) -> Arc<dyn Protector> {
    Arc::new(Envelope::with_key(Key::from_bytes(&[seed; Key::LEN])))
}

/// A store at `path`, protected and with as much patience as a loaded machine needs.
pub(crate) fn patient(path: &str) -> SqliteStore {
    let store = SqliteStore::at(path).protector(protector()).lock_wait(Duration::from_secs(60));
    store.open().expect("a usable path")
}

pub(crate) fn secret_of(key: &str) -> String {
    format!("secret of {key}")
}

/// Puts an access token of Alice's under this key text.
pub(crate) fn put(store: &SqliteStore, partition: &PartitionKey, key: &str) -> Result<Committed> {
    let entry = access_token(key).of(ALICE, HOST).secret(&secret_of(key)).entry();
    pollster::block_on(store.commit(partition, &Changes::new(vec![Change::put(entry)])))
}

/// The key texts that are stored, sorted; each with the secret that [`put`] gave it.
pub(crate) fn keys(store: &SqliteStore, partition: &PartitionKey) -> Result<Vec<String>> {
    let Some(snapshot) = pollster::block_on(store.load(partition))? else { return Ok(Vec::new()) };
    let mut keys = Vec::new();
    for stored in snapshot.entries {
        let key = stored.entry.id.key().to_owned();
        let json = String::from_utf8_lossy(stored.entry.json.expose()).into_owned();
        assert!(json.contains(&format!("\"{}\"", secret_of(&key))), "{key} has another secret");
        keys.push(key);
    }
    keys.sort();
    Ok(keys)
}

/// How many of `acknowledged` the database does not have.
pub(crate) fn lost<'a>(acknowledged: impl IntoIterator<Item = &'a String>, store: &SqliteStore) -> usize {
    let stored: BTreeSet<String> = keys(store, &SHARED).expect("a sound database").into_iter().collect();
    acknowledged.into_iter().filter(|key| !stored.contains(*key)).count()
}

/// A connection past the store.
pub(crate) fn connection(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).expect("a database is there");
    connection.busy_timeout(Duration::from_secs(60)).expect("set");
    connection
}

/// How many rows the table has.
pub(crate) fn rows(path: &Path, table: &str) -> usize {
    let count = connection(path).query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get::<_, i64>(0));
    usize::try_from(count.expect("a sound database")).expect("no less than none")
}

/// Alters the entry that was added last, past the store, as a failing disk may.
pub(crate) fn damage_last_entry(path: &Path) {
    let sql = "UPDATE entry SET value = CAST(substr(value, 1, length(value) - 2) || x'0102' AS BLOB)
               WHERE id = (SELECT max(id) FROM entry)";
    assert_eq!(connection(path).execute(sql, ()).expect("a sound database"), 1);
}

/// What SQLite says of every page and every index.
pub(crate) fn integrity(path: &Path) -> String {
    let connection = connection(path);
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut check = connection.prepare("PRAGMA integrity_check")?;
        check.query_map((), |row| row.get(0))?.collect()
    };
    check().map_or_else(|error| error.to_string(), |lines| lines.join("\n"))
}

pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T>) -> Error {
    result.expect_err("this must not succeed")
}

/// `full` for the promised length, else `short`.
pub(crate) fn length(full: usize, short: usize) -> usize {
    if std::env::var_os("TOKEN_CACHE_FULL_LENGTH").is_some() { full } else { short }
}

/// Numbers that are the same in each run (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or(usize::MAX) % limit.max(1)
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() >> 17 & 1 == 1
    }
}

#[allow(clippy::print_stderr)] // a test says what it saw, and one that shows less than its name says must tell
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}

/// As long as there is one subscriber only, `tracing` asks the thread that comes to a place of the code first whether
/// anybody wants to hear of it, and takes the answer for all threads. A second one, which hears nothing, makes it ask all.
pub(crate) fn hear_every_trace() {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| Dispatch::new(NoSubscriber::default()));
}

/// Whether `strace` is there and may trace. Where it is not, that is said, and with `CI` set it is a failure.
pub(crate) fn can_trace() -> bool {
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let can_trace = command.status().is_ok_and(|status| status.success());
    if !can_trace {
        assert!(std::env::var_os("CI").is_none(), "strace is missing, or may not trace");
        say("strace is missing, or may not trace: this test shows nothing");
    }
    can_trace
}

#[cfg(unix)]
pub(crate) mod unix {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

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
