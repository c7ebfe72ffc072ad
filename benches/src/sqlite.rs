//! Databases of any size for the SQLite store, and its limits: statements that stay prepared, with nothing of a store
//! around them.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cache_core::schema::AccessToken;
use cache_core::{CacheStore, Change, Entry, PartitionKey, TokenCache, UnixSeconds};
use cache_sqlite::{Durability, SqliteStore, SqliteStoreBuilder};
use rusqlite::Connection;

use crate::PARTITION;
use crate::population::{Population, Random};
use crate::probe::{Asked, Probe};

/// What the store names an entry by: a keyed hash.
pub type Tag = [u8; 16];

/// Characters of an access token: an entry takes 1.7 KB then, and two rows share a page.
const SECRET_LENGTH: usize = 900;
/// The length of the value in the row of such an entry.
const VALUE_LENGTH: usize = 1_700;

/// What a database holds: access tokens of users with ten each.
#[derive(Debug, Clone, Copy)]
pub struct Tokens {
    /// How many there are.
    pub count: usize,
    /// Whether each user has a partition, or all are in one.
    pub partitions: Partitions,
}

/// How tokens are spread over partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitions {
    /// A partition per user, with ten tokens.
    PerUser,
    /// All tokens in one partition, and a partition of ten for every user of the first thousand beside it.
    OneAndSmall,
    /// All tokens in one partition.
    One,
}

/// Users with a partition beside the large one.
pub const SMALL: usize = 1_000;

impl Tokens {
    /// The partition of token `n`.
    pub fn partition(self, n: usize) -> PartitionKey {
        match self.partitions {
            Partitions::PerUser => self.user(n / 10),
            Partitions::One | Partitions::OneAndSmall => PARTITION,
        }
    }

    /// The partition of user number `user`.
    pub fn user(self, user: usize) -> PartitionKey {
        let identity = Population::Users.identity(self.count, user * 10);
        PartitionKey::user(&identity.home_account_id.expect("users have one"))
    }

    /// Token `n` as it is after a refresh at this moment: a new secret and a new expiry.
    pub fn refreshed(self, n: usize) -> Entry {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = UnixSeconds(i64::try_from(now.as_secs()).expect("a time of this age"));
        // Another secret at each call.
        let serial = i64::try_from(now.as_nanos() % (1 << 62)).expect("it fits");
        let token = Population::Users.renewed(self.count, n, serial % 1_000_000_000_000);
        entry(AccessToken { cached_at: Some(second), expires_on: Some(second.plus(3600)), ..token })
    }

    /// Numbers of tokens drawn at random.
    pub fn drawn(self, draws: usize) -> Vec<usize> {
        let mut random = Random(3);
        (0..draws).map(|_| random.below(self.count)).collect()
    }

    /// What asks for token `n` by one of its scopes.
    pub fn probe(self, n: usize) -> Probe {
        Probe::new(Population::Users.identity(self.count, n), Asked::Subset)
    }

    /// The database with these tokens in `folder`, which is made unless it is there, and read once. Nobody has it open.
    pub fn database(self, folder: &Path) -> PathBuf {
        let name = match self.partitions {
            Partitions::PerUser => "users",
            Partitions::One => "one",
            Partitions::OneAndSmall => "both",
        };
        let path = folder.join(format!("{name}-{}.db", self.count));
        if !path.exists() {
            let unfinished = folder.join(format!("{name}-{}.unfinished", self.count));
            remove(&unfinished);
            self.fill(&store(&unfinished).durability(Durability::Normal).open().expect("a usable path"));
            // The last connection is closed: everything is in the one file.
            std::fs::rename(&unfinished, &path).expect("both names are in one folder");
        }
        read_through(&path);
        path
    }

    fn fill(self, store: &SqliteStore) {
        let commit = |partition: &PartitionKey, tokens: std::ops::Range<usize>| {
            let put = |n| Change::put(entry(Population::Users.renewed(self.count, n, 0)));
            let changes: Vec<Change> = tokens.map(put).collect();
            pollster::block_on(store.commit(partition, &changes.into())).expect("the disk has room");
        };
        let per_commit = if self.partitions == Partitions::PerUser { 10 } else { 2_000 };
        for from in (0..self.count).step_by(per_commit) {
            commit(&self.partition(from), from..self.count.min(from + per_commit));
        }
        if self.partitions == Partitions::OneAndSmall {
            (0..SMALL).for_each(|user| commit(&self.user(user), user * 10..user * 10 + 10));
        }
    }
}

/// A plaintext store over the database at `path`.
pub fn store(path: &Path) -> SqliteStoreBuilder {
    SqliteStore::at(path).plaintext().lock_wait(Duration::from_secs(60))
}

/// The folder in the target directory that keeps large databases between runs. Its name has a hash of the tables that a new
/// database of this version has.
pub fn kept() -> PathBuf {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let path = Tokens { count: 1, partitions: Partitions::One }.database(scratch.path());
    let tables: String = (Connection::open(path).expect("it was just made"))
        .query_row("SELECT group_concat(sql) FROM sqlite_schema", (), |row| row.get(0))
        .expect("it has tables");
    let version = tables.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte));
    let program = std::env::current_exe().expect("the program has a path");
    let folder = program.with_file_name(format!("sqlite-databases-{version:08x}"));
    std::fs::create_dir_all(&folder).expect("the target directory can be written to");
    folder
}

/// A connection that is set up as the store's are.
pub fn bare(path: &Path, durability: Durability) -> Connection {
    let connection = Connection::open(path).expect("a usable path");
    let synchronous = if durability == Durability::Full { "FULL" } else { "NORMAL" };
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", synchronous)] {
        connection.pragma_update(None, name, value).expect("a pragma");
    }
    for name in ["cell_size_check", "secure_delete"] {
        connection.pragma_update(None, name, true).expect("a pragma");
    }
    connection
}

/// The tags of entries of a store's database, by the order in which they were inserted.
pub fn tags(store: &Connection, entries: impl IntoIterator<Item = usize>) -> Vec<Tag> {
    let mut select = store.prepare("SELECT tag FROM entry WHERE id = ?1").expect("the store's table");
    let tag = |n: usize| select.query_row((number(n + 1),), |row| row.get(0)).expect("rows are numbered from 1");
    entries.into_iter().map(tag).collect()
}

/// Copies the value of an entry of a store's database, found by its tag: the limit of a lookup.
pub fn select(store: &Connection) -> impl FnMut(&Tag) -> Vec<u8> {
    let mut select = store.prepare("SELECT value FROM entry WHERE tag = ?1").expect("the store's table");
    move |tag| select.query_row((tag,), |row| row.get(0)).expect("it is there")
}

/// Asks whether another connection has committed: the limit of a stamp.
pub fn data_version(connection: &Connection) -> impl FnMut() -> i64 {
    let mut pragma = connection.prepare("PRAGMA data_version").expect("a pragma");
    move || pragma.query_row((), |row| row.get(0)).expect("it has a value")
}

/// A table of hashes and values, as large as a store's.
#[derive(Debug)]
pub struct Rows {
    connection: Connection,
    hashes: Vec<Tag>,
    /// Counts all upserts: a value that is there already would not be written.
    values: Cell<u64>,
}

impl Rows {
    /// A table of `count` rows, in a database in `folder` that is made unless it is there.
    pub fn open(folder: &Path, count: usize, durability: Durability) -> Self {
        let path = folder.join(format!("bare-{count}.db"));
        if !path.exists() {
            let unfinished = folder.join(format!("bare-{count}.unfinished"));
            remove(&unfinished);
            let connection = bare(&unfinished, Durability::Normal);
            let table = "CREATE TABLE entry (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, value BLOB NOT NULL)";
            connection.execute_batch(table).expect("a new database");
            let rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
                        INSERT INTO entry (hash, value) SELECT randomblob(16), randomblob(?2) FROM n";
            connection.execute(rows, (number(count), number(VALUE_LENGTH))).expect("the disk has room");
            drop(connection);
            std::fs::rename(&unfinished, &path).expect("both names are in one folder");
        }
        read_through(&path);
        let connection = bare(&path, durability);
        let mut random = Random(4);
        let hashes = {
            let mut select = connection.prepare("SELECT hash FROM entry WHERE id = ?1").expect("its table");
            let mut hash =
                || select.query_row((number(random.below(count) + 1),), |row| row.get(0)).expect("it is there");
            (0..2_000).map(|_| hash()).collect()
        };
        let rows = Self { connection, hashes, values: Cell::new(0) };
        warm_up(&rows.connection, rows.upsert());
        rows
    }

    /// Changes the value of a row in a transaction: the limit of a commit.
    pub fn upsert(&self) -> impl FnMut() {
        let prepare = |sql| self.connection.prepare(sql).expect("its table");
        let (mut begin, mut commit) = (prepare("BEGIN IMMEDIATE"), prepare("COMMIT"));
        let mut upsert = prepare(
            "INSERT INTO entry (hash, value) VALUES (?1, ?2) ON CONFLICT (hash) DO UPDATE SET value = excluded.value",
        );
        let mut hashes = self.hashes.iter().cycle();
        let mut value = vec![0; VALUE_LENGTH];
        move || {
            self.values.update(|count| count + 1);
            value[..8].copy_from_slice(&self.values.get().to_le_bytes());
            begin.execute(()).expect("nobody else writes");
            upsert.execute((hashes.next(), &value)).expect("a row");
            commit.execute(()).expect("the disk works");
        }
    }
}

/// Commits needed until the log has been copied into the database once and is overwritten from then on: a log that grows
/// costs a durable commit a second write.
pub const WARM_UP: usize = 1_200;

/// Commits so often without waiting for the disk.
fn warm_up(connection: &Connection, mut commit: impl FnMut()) {
    let synchronous = |mode: i64| connection.pragma_update(None, "synchronous", mode).expect("a pragma");
    let mode = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("it has a value");
    synchronous(0);
    (0..WARM_UP).for_each(|_| commit());
    synchronous(mode);
}

/// Changes what a commit of one renewed token changes in a store's own tables: its row, the place of its expiry in the index,
/// and the generation of its partition; with nothing of a store around it.
pub fn renewals(store: &Connection, tokens: Tokens) -> impl FnMut() {
    let prepare = |sql| store.prepare(sql).expect("the store's tables");
    let rows: Vec<(Tag, i64)> = {
        let mut select = prepare("SELECT tag, partition FROM entry WHERE id = ?1");
        let mut row = |n: usize| select.query_row((number(n + 1),), |row| Ok((row.get(0)?, row.get(1)?)));
        tokens.drawn(2_000).into_iter().map(|n| row(n).expect("rows are numbered from 1")).collect()
    };
    let (mut begin, mut commit) = (prepare("BEGIN IMMEDIATE"), prepare("COMMIT"));
    let mut find = prepare("SELECT id FROM entry WHERE tag = ?1");
    let mut renew = prepare("UPDATE entry SET expires_on = ?2, version = ?3, value = ?4 WHERE id = ?1");
    let mut count = prepare("UPDATE partition SET generation = generation + 1 WHERE id = ?1");
    let mut turn = (0..rows.len()).cycle();
    let (mut random, mut value) = (Random(6), vec![0; VALUE_LENGTH]);
    let mut renewal = move || {
        let (tag, partition) = rows[turn.next().expect("a cycle has no end")];
        let new = random.next();
        value[..8].copy_from_slice(&new.to_le_bytes());
        begin.execute(()).expect("nobody else writes");
        let id: i64 = find.query_row((tag,), |row| row.get(0)).expect("it is there");
        renew.execute((id, number(random.below(1 << 31)), &value[..16], &value)).expect("a row");
        count.execute((partition,)).expect("a row");
        commit.execute(()).expect("the disk works");
    };
    warm_up(store, &mut renewal);
    renewal
}

fn entry(mut token: AccessToken) -> Entry {
    token.secret = token.secret.expose()[..SECRET_LENGTH].into();
    let mut cache = TokenCache::default();
    cache.insert(token).expect("it is complete");
    cache.entries().next().expect("it was just inserted")
}

/// Reads a file through, so that no measurement waits for the disk to read. Nobody has it open: closing a file drops the locks
/// that the process has on it.
fn read_through(path: &Path) {
    let mut file = std::fs::File::open(path).expect("the file is there");
    std::io::copy(&mut file, &mut std::io::sink()).expect("the disk works");
}

fn number(n: usize) -> i64 {
    i64::try_from(n).expect("counts are small")
}

/// Removes a database, if there is one.
fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
}
