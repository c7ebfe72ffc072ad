//! The SQLite store beside bare statements on a table of the same size.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;

use benches::measure::{Contender, async_passes, interleaved, mean, passes, slowest};
use benches::sqlite::{
    Partitions, Rows, SMALL, Tokens, WARM_UP, bare, data_version, kept, renewals, select, store, tags,
};
use benches::{PARTITION, Probe, persisted};
use cache_core::{
    CacheStore, Change, Changes, Context, EntryId, Extent, Freshness, LookupTerm, Part, PartitionKey,
    PersistedTokenCache, Protector,
};
use cache_crypto::{Envelope, Key};
use cache_file::FileStore;
use cache_sqlite::{Durability, SqliteStore};
use pollster::block_on;
use tempfile::TempDir;

use crate::BLOCK;
use crate::table::{Table, Target};

const MILLION: usize = 1_000_000;

/// Where databases are: small ones anew for each run, large ones kept in the target directory.
struct Folders {
    new: TempDir,
    kept: PathBuf,
}

impl Folders {
    fn open() -> Self {
        let kept = kept();
        // Not in a folder that may be in memory: commits wait for this disk.
        Self { new: tempfile::tempdir_in(&kept).expect("the folder can be written to"), kept }
    }

    fn of(&self, count: usize) -> &Path {
        if count < 100_000 { self.new.path() } else { &self.kept }
    }

    fn database(&self, tokens: Tokens) -> PathBuf {
        tokens.database(self.of(tokens.count))
    }
}

pub(crate) fn lookups(table: &mut Table) {
    let folders = Folders::open();
    for (count, size) in [(1_000, "1k"), (MILLION, "1M")] {
        lookup(table, size, Tokens { count, partitions: Partitions::PerUser }, &folders);
    }
}

fn lookup(table: &mut Table, size: &str, tokens: Tokens, folders: &Folders) {
    const DRAWN: usize = 500;
    let path = folders.database(tokens);
    let plain = store(&path).open().expect("a usable path");
    let drawn: BTreeSet<usize> = tokens.drawn(DRAWN).into_iter().collect();
    let asked: Vec<(PartitionKey, EntryId)> =
        drawn.iter().map(|&n| (tokens.partition(n), tokens.refreshed(n).id)).collect();
    let table_of_all = bare(&path, Durability::Full);
    let tags_of_all = tags(&table_of_all, drawn.iter().copied());

    // A database of these alone.
    let protector: Arc<dyn Protector> = Arc::new(Envelope::with_key(Key::generate().expect("random numbers")));
    let protected_path = folders.new.path().join(format!("protected-{size}.db"));
    let protected = SqliteStore::at(&protected_path).protector(Arc::clone(&protector));
    let protected = protected.durability(Durability::Normal).open().expect("a usable path");
    for (partition, id) in &asked {
        let stored = block_on(plain.get(partition, slice::from_ref(id))).expect("the database is there");
        let change = Change::put(stored[0].clone().expect("a hit").entry);
        block_on(protected.commit(partition, &vec![change].into())).expect("the disk has room");
    }
    let protected_table = bare(&protected_path, Durability::Full);
    let protected_tags = tags(&protected_table, 0..asked.len());
    let part = Part::Entry { id: &[0; 16], written_at: None, expires_on: None, account: &[] };
    let context = Context::of("bench", &PARTITION, part);
    let (mut copy, mut copy_sealed) = (select(&table_of_all), select(&protected_table));
    let sealed = protector.protect(&copy(&tags_of_all[0]), &context).expect("the key is at hand");

    let get = async |store: &SqliteStore, (partition, id): &(PartitionKey, EntryId)| {
        let found = store.get(partition, slice::from_ref(id)).await.expect("the database is there");
        assert!(found[0].is_some(), "a hit");
    };
    let [ours, limit, ours_sealed, limit_sealed] = interleaved(
        101,
        [
            async_passes(&asked, BLOCK, async |asked| get(&plain, asked).await),
            passes(&tags_of_all, BLOCK, &mut copy),
            async_passes(&asked, BLOCK, async |asked| get(&protected, asked).await),
            passes(&protected_tags, BLOCK, |tag| {
                (copy_sealed(tag), protector.unprotect(&sealed, &context).expect("the key is at hand"))
            }),
        ],
    );
    table.times(
        &format!("SQLite: one entry, {size}"),
        "`CacheStore::get` of one entry of 1.7 KB, 500 drawn over partitions of ten; limit: a select that stays prepared, by a \
         hash of 16 bytes in the same table, and a copy of the value",
        [&ours, &limit],
        Target::AtMost(1.5),
    );
    table.times(
        &format!("SQLite: one entry, protected, of {size}"),
        "the same from an encrypted database of these 500 alone; limit: the select there, and one `unprotect` of as many bytes",
        [&ours_sealed, &limit_sealed],
        Target::AtMost(1.5),
    );
}

pub(crate) fn stamp(table: &mut Table) {
    let folders = Folders::open();
    let tokens = Tokens { count: 1_000, partitions: Partitions::PerUser };
    let path = folders.database(tokens);
    let store = store(&path).open().expect("a usable path");
    let partitions: Vec<PartitionKey> = (0..100).map(|user| tokens.user(user)).collect();
    block_on(store.stamp(&partitions[0])).expect("the database is there");
    let connection = bare(&path, Durability::Full);
    let mut version = data_version(&connection);
    let [ours, limit] = interleaved(
        301,
        [
            // Once a second it looks at the path, and then the future does.
            passes(&partitions, BLOCK, |partition| {
                let stamp = store.stamp_now(partition).unwrap_or_else(|| block_on(store.stamp(partition)));
                stamp.expect("the database is there").expect("a stamp")
            }),
            passes(&partitions, BLOCK, |_| version()),
        ],
    );
    table.times(
        "SQLite: stamp, nothing changed",
        "`CacheStore::stamp_now` of 100 partitions in turn; limit: `PRAGMA data_version` by a statement that stays prepared",
        [&ours, &limit],
        Target::AtMost(1.2),
    );
}

/// Commits changes of one token each, drawn at random over the database.
fn commits(times: usize, tokens: Tokens, store: &dyn CacheStore) -> Contender<'_> {
    let mut drawn = tokens.drawn(20_000).into_iter().cycle();
    let change = move || {
        let n = drawn.next().expect("a cycle has no end");
        (tokens.partition(n), Changes::new(vec![Change::put(tokens.refreshed(n))]))
    };
    mean(times, change, |(partition, changes)| {
        let done = block_on(store.commit(partition, changes)).expect("the disk has room");
        assert!(done.written.len() == 1 && done.before != done.after, "the change is one");
    })
}

fn upserts(times: usize, rows: &Rows) -> Contender<'_> {
    let mut upsert = rows.upsert();
    mean(times, || (), move |()| upsert())
}

const DURABILITIES: [(Durability, &str); 2] = [(Durability::Full, "FULL"), (Durability::Normal, "NORMAL")];

/// A store over a database of these tokens.
fn open(folders: &Folders, count: usize, partitions: Partitions, durability: Durability) -> (Tokens, SqliteStore) {
    let tokens = Tokens { count, partitions };
    let path = folders.database(tokens);
    let opened = |durability| store(&path).durability(durability).open().expect("a usable path");
    // The log is as long as it becomes before it is measured: while it grows, a durable commit writes twice.
    let (warm, store) = (opened(Durability::Normal), opened(durability));
    block_on(store.stamp(&tokens.partition(0))).expect("the database is there");
    commits(WARM_UP, tokens, &warm)();
    (tokens, store)
}

const COMMIT: &str = "`CacheStore::commit` of one token that was renewed, with a new expiry, drawn over a database of partitions \
                      of ten; limit: one row of as many found by its hash and changed, `BEGIN IMMEDIATE`, upsert, `COMMIT` by \
                      statements that stay prepared, with the same `synchronous`, on the same disk";

pub(crate) fn commit(table: &mut Table) {
    const COUNT: usize = 1_000;
    let folders = Folders::open();
    let copy = tempfile::tempdir_in(folders.new.path()).expect("the folder can be written to");
    for (durability, name) in DURABILITIES {
        let (tokens, store) = open(&folders, COUNT, Partitions::PerUser, durability);
        let rows = Rows::open(folders.of(COUNT), COUNT, durability);
        let by_hand = bare(&tokens.database(copy.path()), durability);
        let mut renew = renewals(&by_hand, tokens);
        let contenders = [commits(1, tokens, &store), upserts(1, &rows), mean(1, || (), move |()| renew())];
        let [ours, limit, by_hand] = interleaved(1_001, contenders);
        table.times(&format!("SQLite: commit of one change, {name}, 1k"), COMMIT, [&ours, &limit], Target::AtMost(1.5));
        table.times(
            &format!("SQLite: commit beside its statements, {name}, 1k"),
            "the same commit; limit: the rows that it changes in the store's own tables, changed by statements that stay \
             prepared: the entry with its index of expiries, and the generation of the partition",
            [&ours, &by_hand],
            Target::None,
        );
    }
}

pub(crate) fn flat(table: &mut Table) {
    let folders = Folders::open();
    for (durability, name) in DURABILITIES {
        let (few, few_store) = open(&folders, 10, Partitions::PerUser, durability);
        let (users, users_store) = open(&folders, MILLION, Partitions::PerUser, durability);
        let (one, one_store) = open(&folders, MILLION, Partitions::One, durability);
        let [few_rows, rows] = [10, MILLION].map(|count| Rows::open(folders.of(count), count, durability));
        // A commit in some hundred copies the log into the database; the mean has its share of that.
        for (what, times, rounds) in [("median", 1, 401), ("mean of 1,000", 1_000, 7)] {
            let [few, users, one, few_rows, rows] = interleaved(
                rounds,
                [
                    commits(times, few, &few_store),
                    commits(times, users, &users_store),
                    commits(times, one, &one_store),
                    upserts(times, &few_rows),
                    upserts(times, &rows),
                ],
            );
            let target = |most| if times == 1 { Target::AtMost(most) } else { Target::None };
            let figure = |size: &str| format!("SQLite: commit of one change, {name}, {size}, {what}");
            table.times(&figure("1M"), COMMIT, [&users, &rows], target(1.5));
            let measured = "the same commit; limit: the one to a database of ten tokens";
            table.times(&figure("1M over 10"), measured, [&users, &few], target(1.3));
            let measured =
                "the same commit to a database with all tokens in one partition; limit: the one to a database of ten";
            table.times(&figure("1M in one partition over 10"), measured, [&one, &few], target(1.3));
            let measured = "the bare upsert; limit: the bare upsert to a table of ten rows";
            table.times(&figure("bare, 1M over 10"), measured, [&rows, &few_rows], Target::None);
        }
    }
}

/// The store of whole documents, for comparison.
pub(crate) fn documents(table: &mut Table) {
    let folders = Folders::open();
    for (count, size, rounds) in [(10, "10", 101), (1_000, "1k", 51), (10_000, "10k", 9)] {
        let tokens = Tokens { count, partitions: Partitions::One };
        let sqlite = store(&folders.database(tokens)).open().expect("a usable path");
        let content = block_on(sqlite.load(&PARTITION)).expect("the database is there").expect("tokens");
        let file = FileStore::at(folders.new.path().join(format!("document-{count}")))
            .plaintext()
            .open()
            .expect("a usable path");
        let content = content.entries.into_iter().map(|stored| Change::put(stored.entry)).collect::<Vec<_>>();
        block_on(file.commit(&PARTITION, &content.into())).expect("the disk has room");
        let [sqlite, file] = interleaved(rounds, [commits(1, tokens, &sqlite), commits(1, tokens, &file)]);
        table.times(
            &format!("SQLite: commit of one change beside a file, {size}"),
            "the commit, durable and in plaintext, to a database; limit: the same to a `FileStore`, which writes the whole \
             document",
            [&sqlite, &file],
            Target::None,
        );
    }
}

pub(crate) fn cold_open(table: &mut Table) {
    let folders = Folders::open();
    let [few, many] = [1_000, MILLION].map(|count| {
        let tokens = Tokens { count, partitions: Partitions::PerUser };
        (tokens, folders.database(tokens))
    });
    let open = |(tokens, path): &(Tokens, PathBuf)| {
        let (tokens, path) = (*tokens, path.clone());
        let mut drawn = tokens.drawn(2_000).into_iter().cycle();
        let partition = move || tokens.partition(drawn.next().expect("a cycle has no end"));
        mean(1, partition, move |partition| {
            let store = store(&path).open().expect("a usable path");
            let found = block_on(store.load_within(partition, 1_000)).expect("the database is there");
            assert!(matches!(found, Some(Extent::Whole(snapshot)) if snapshot.entries.len() == 10));
        })
    };
    let [few, many] = interleaved(201, [open(&few), open(&many)]);
    table.times(
        "SQLite: cold open, 1M over 1k",
        "a new store opens a database of 1M tokens, loads a partition of ten and closes it; limit: the same with 1k tokens",
        [&many, &few],
        Target::AtMost(2.0),
    );
}

pub(crate) fn large_partition(table: &mut Table) {
    const CALLS: usize = 500;
    let folders = Folders::open();
    let tokens = Tokens { count: 200_000, partitions: Partitions::OneAndSmall };
    let store = store(&folders.database(tokens)).open().expect("a usable path");
    let large: Vec<(PartitionKey, Probe)> =
        tokens.drawn(20_000).into_iter().map(|n| (PARTITION, tokens.probe(n))).collect();
    let small: Vec<(PartitionKey, Probe)> = (0..SMALL)
        .map(|n| n * 7 % SMALL)
        .map(|user| (tokens.user(user), tokens.probe(user * 10 + user % 10)))
        .collect();

    let find = |store: &SqliteStore, (partition, probe): &(PartitionKey, Probe)| {
        let term: LookupTerm = probe.query().lookup_term().expect("the query names a tenant");
        let found = block_on(store.find(partition, &[term])).expect("the database is there").expect("the partition");
        assert_eq!(found.entries.len(), 1, "one token has the scope");
        found
    };
    for (share, name) in [(0.5, "median"), (0.99, "p99")] {
        let finds = |probes| slowest(share, CALLS, probes, || store.clone(), find);
        let [ours, limit] = interleaved(41, [finds(&large), finds(&small)]);
        table.times(
            &format!("SQLite: find in 200k, {name}"),
            "`CacheStore::find` of tokens by one of their scopes, each asked for once, in a partition of 200,000; limit: the \
             same in partitions of ten of the same database",
            [&ours, &limit],
            Target::AtMost(2.0),
        );
    }
    for (share, name) in [(0.5, "median"), (0.99, "p99")] {
        // In a cache that has been asked for nothing before; so few that its first answer counts in the p99.
        const ASKED: usize = 50;
        let new = || persisted(store.clone(), Freshness::default());
        let ask = |cache: &PersistedTokenCache, (partition, probe): &(PartitionKey, Probe)| {
            block_on(cache.access_token(partition, &probe.query())).expect("the database is there").expect("a hit")
        };
        let [ours, limit] =
            interleaved(11, [slowest(share, ASKED, &large, new, ask), slowest(share, ASKED, &small, new, ask)]);
        table.times(
            &format!("SQLite: a token of 200k, {name}"),
            "`PersistedTokenCache::access_token` of tokens by one of their scopes, each for the first time, in a partition of \
             200,000; limit: the same in partitions of ten of the same database, which are loaded at it",
            [&ours, &limit],
            Target::AtMost(2.0),
        );
    }
}
