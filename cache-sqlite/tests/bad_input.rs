//! What is no database, or not ours, or damaged: the right kind of error each, nothing wrong handed out, and the file left
//! as it is.

mod common;

use std::collections::BTreeMap;
use std::fs;

use cache_core::{
    CacheStore as _, Change, Changes, Entry, EntryId, Error, ErrorKind, PartitionKey, Stored, UnixMillis,
};
use cache_sqlite::{SqliteStore, SqliteStoreBuilder};
use cache_testkit::access_tokens::{keys, put};
use cache_testkit::promises::length;
use cache_testkit::random::Random;
use rusqlite::Connection;

use common::{Folder, SHARED, connection, damage_last_entry, failure, protector, protector_of};

/// Both ways to keep entries.
const KINDS: [fn(SqliteStoreBuilder) -> SqliteStoreBuilder; 2] =
    [SqliteStoreBuilder::plaintext, |store| store.protector(protector())];

/// A reader, a writer, a lister, a holder of leases: what each answers.
fn everything(store: &SqliteStore) -> [Error; 5] {
    [
        failure(keys(store, &SHARED)),
        failure(put(store, &SHARED, "new")),
        failure(pollster::block_on(store.partitions(None, 9))),
        failure(pollster::block_on(store.lease(&SHARED, "refresh", std::time::Duration::ZERO)).map(drop)),
        failure(pollster::block_on(store.stamp(&SHARED))),
    ]
}

#[track_caller]
fn assert_all(folder: &Folder, kind: ErrorKind) {
    for open in KINDS {
        for error in everything(&open(folder.at()).open().expect("a path")) {
            assert_eq!((error.kind(), error.store()), (kind, Some("sqlite")), "{error}");
        }
    }
}

/// The content of a database of both partitions, closed.
fn database(open: fn(SqliteStoreBuilder) -> SqliteStoreBuilder) -> Vec<u8> {
    let folder = Folder::in_memory();
    let store = open(folder.at()).open().expect("a path");
    fill(&store);
    drop(store);
    assert_eq!(folder.names(), ["tokens.db", "tokens.db.lock"], "the log is in it");
    fs::read(folder.database()).expect("read")
}

fn user() -> PartitionKey {
    PartitionKey::user("bob.home")
}

fn fill(store: &SqliteStore) {
    for n in 0..12 {
        put(store, &SHARED, &format!("{n:02}{}", "x".repeat(300))).expect("written");
    }
    put(store, &user(), "b").expect("written");
}

/// The entries of both partitions that are handed out, with what is told of them.
fn handed_out(store: &SqliteStore) -> Result<BTreeMap<(u8, String), Stored>, Error> {
    let mut all = BTreeMap::new();
    for (n, partition) in [(0, SHARED), (1, user())] {
        let snapshot = pollster::block_on(store.load(&partition))?;
        let entries = snapshot.map_or_else(Vec::new, |snapshot| snapshot.entries);
        all.extend(entries.into_iter().map(|stored| ((n, stored.entry.id.key().to_owned()), stored)));
    }
    Ok(all)
}

#[test]
fn what_is_no_database_is_left_alone() {
    let mut random = Random(7);
    let noise: Vec<u8> = (0..20_000).map(|_| random.below(256) as u8).collect();
    let files: [&[u8]; 5] = [b"{}", b"xy", &[b'a'; 5000], &noise, b"SQLite format 2\0 and so on"];
    for content in files {
        let folder = Folder::in_memory();
        fs::write(folder.database(), content).expect("written");
        assert_all(&folder, ErrorKind::Unsupported);
        assert_eq!(fs::read(folder.database()).expect("read"), content);
    }
}

#[test]
fn another_program_s_database_is_left_alone() {
    for journal in ["DELETE", "WAL"] {
        let folder = Folder::in_memory();
        let theirs = Connection::open(folder.database()).expect("made");
        theirs.pragma_update(None, "journal_mode", journal).expect("set");
        theirs
            .execute_batch("CREATE TABLE entry (id INTEGER PRIMARY KEY); INSERT INTO entry VALUES (1)")
            .expect("made");
        drop(theirs);
        let before = fs::read(folder.database()).expect("read");
        assert_all(&folder, ErrorKind::Unsupported);
        assert_eq!(fs::read(folder.database()).expect("read"), before);
    }
}

#[test]
fn an_empty_database_of_sqlite_s_is_another_program_s() {
    let folder = Folder::in_memory();
    Connection::open(folder.database()).expect("made").pragma_update(None, "journal_mode", "WAL").expect("set");
    assert_all(&folder, ErrorKind::Unsupported);
}

#[test]
fn a_newer_layout_is_left_alone_and_a_damaged_one_told_apart() {
    for open in KINDS {
        for (version, kind) in
            [(2, ErrorKind::Unsupported), (i32::MAX, ErrorKind::Unsupported), (-1, ErrorKind::Corrupt)]
        {
            let folder = Folder::in_memory();
            fs::write(folder.database(), database(open)).expect("written");
            connection(&folder.database()).pragma_update(None, "user_version", version).expect("set");
            let store = open(folder.at()).open().expect("a path");
            for error in everything(&store) {
                assert_eq!(error.kind(), kind, "version {version}: {error}");
            }
            drop(store);
            let connection = connection(&folder.database());
            let still: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
            assert_eq!(still, version);
        }
    }
}

#[test]
fn keys_that_do_not_fit_are_told_apart() {
    let [plaintext, protected] = KINDS.map(database);
    let folder = Folder::in_memory();
    let kinds = |content: &[u8], store: SqliteStoreBuilder| {
        fs::write(folder.database(), content).expect("written");
        let kinds = everything(&store.open().expect("a path")).map(|error| error.kind());
        assert_eq!(fs::read(folder.database()).expect("read"), content, "nothing was written");
        kinds
    };
    let other_key = || folder.at().protector(protector_of(8));
    assert_eq!(kinds(&protected, other_key()), [ErrorKind::Undecryptable; 5]);
    assert_eq!(kinds(&protected, folder.at().plaintext()), [ErrorKind::KeyUnavailable; 5]);
    assert_eq!(kinds(&plaintext, other_key()), [ErrorKind::Unsupported; 5]);
}

#[test]
fn a_path_that_names_no_file_and_a_store_without_a_choice_are_the_caller_s_mistakes() {
    for path in ["/", "..", ""] {
        assert_eq!(failure(SqliteStore::at(path).plaintext().open()).kind(), ErrorKind::InvalidInput, "{path:?}");
    }
    assert_eq!(failure(SqliteStore::at("tokens.db").open()).kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_empty_file_and_one_of_nul_bytes_are_damage() {
    for length in [0, 1, 15, 16, 100, 511, 512, 4096, 100_000] {
        let folder = Folder::in_memory();
        fs::write(folder.database(), vec![0; length]).expect("written");
        assert_all(&folder, ErrorKind::Corrupt);
        assert_eq!(fs::read(folder.database()).expect("read"), vec![0; length], "left for `recover` to move aside");
    }
}

#[test]
fn a_file_that_was_cut_off_is_damage_or_gives_what_is_left() {
    let mut random = Random(11);
    for open in KINDS {
        let whole = database(open);
        let folder = Folder::in_memory();
        fs::write(folder.database(), &whole).expect("written");
        let entries = handed_out(&open(folder.at()).open().expect("a path")).expect("sound");
        assert_eq!(entries.len(), 13);
        let boundaries = (1..whole.len() / 4096).map(|page| page * 4096);
        let others: Vec<usize> = (1..18).chain((0..50).map(|_| 1 + random.below(whole.len() - 1))).collect();
        for length in boundaries.chain(others) {
            let folder = Folder::in_memory();
            fs::write(folder.database(), &whole[..length]).expect("written");
            match handed_out(&open(folder.at()).open().expect("a path")) {
                Ok(found) => assert!(found.iter().all(|(key, entry)| entries.get(key) == Some(entry)), "at {length}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "at {length}: {error}"),
            }
            assert_eq!(fs::read(folder.database()).expect("read"), whole[..length], "a read changes nothing");
            match put(&open(folder.at()).open().expect("a path"), &SHARED, "new") {
                // Only where no page is missing as a whole.
                Ok(_) => assert!(length > whole.len() - 4096, "at {length}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "at {length}: {error}"),
            }
        }
    }
}

/// Every page in turn, some bytes in each: those of its head, and others.
#[test]
fn a_damaged_byte_is_found_or_harmless() {
    let mut random = Random(13);
    for open in KINDS {
        let whole = database(open);
        let folder = Folder::in_memory();
        fs::write(folder.database(), &whole).expect("written");
        let entries = handed_out(&open(folder.at()).open().expect("a path")).expect("sound");
        let terms = entries.values().next().expect("not empty").entry.lookup_terms();
        // Dates of plaintext rows are only as good as the disk; a host is the same in either case.
        let told = |stored: &Stored| {
            let Entry { id, account, json, .. } = stored.entry.clone();
            let account = account.map(|of| (of.home_account_id, of.environment.to_ascii_lowercase()));
            (id, account, json)
        };
        let is_true =
            |key: &(u8, String), stored: &Stored| entries.get(key).is_some_and(|whole| told(whole) == told(stored));
        let (mut errors, mut fewer) = (0, 0);
        for page in 0..whole.len() / 4096 {
            let others: Vec<usize> = (0..length(400, 40)).map(|_| random.below(4096)).collect();
            for at in (0..12).chain(others) {
                let folder = Folder::in_memory();
                let mut damaged = whole.clone();
                damaged[page * 4096 + at] ^= 1 << random.below(8);
                fs::write(folder.database(), &damaged).expect("written");
                let store = open(folder.at()).open().expect("a path");
                match handed_out(&store) {
                    Ok(found) => {
                        let is_true = found.iter().all(|(key, stored)| is_true(key, stored));
                        assert!(is_true, "wrong data after damage at {page}:{at}");
                        fewer += usize::from(found.len() < entries.len());
                    }
                    Err(error) => {
                        let kinds = [ErrorKind::Corrupt, ErrorKind::Unsupported, ErrorKind::KeyUnavailable];
                        assert!(kinds.contains(&error.kind()), "at {page}:{at}: {:?} {error}", error.kind());
                        errors += 1;
                    }
                }
                // Other ways to read, and to write: any answer, but an answer.
                if let Ok(Some(found)) = pollster::block_on(store.find(&SHARED, &terms)) {
                    assert!(found.entries.iter().all(|stored| is_true(&(0, stored.entry.id.key().to_owned()), stored)));
                }
                drop(pollster::block_on(store.partitions(None, 9)));
                drop(put(&store, &SHARED, "new"));
            }
        }
        assert!(errors > 0 && fewer > 0, "damage was done: {errors} errors, {fewer} with fewer entries");
    }
}

#[test]
fn a_damaged_entry_is_left_out_and_told_and_its_next_write_heals_it() {
    for open in KINDS {
        let folder = Folder::in_memory();
        let store = open(folder.at()).open().expect("a path");
        let handed_out = || {
            let snapshot =
                pollster::block_on(store.load(&SHARED)).expect("a sound database").expect("something is there");
            (snapshot.entries.len(), snapshot.unreadable.len())
        };
        put(&store, &SHARED, "sound").expect("written");
        put(&store, &SHARED, "damaged").expect("written");
        damage_last_entry(&folder.database());
        assert_eq!(handed_out(), (1, 1));
        let stamp = || pollster::block_on(store.stamp(&SHARED)).expect("a sound database");
        let damaged = stamp();
        // The same content as before.
        put(&store, &SHARED, "damaged").expect("written");
        assert_eq!(handed_out(), (2, 0));
        assert_ne!(stamp(), damaged, "whoever has loaded the rest loads again");
        assert_eq!(keys(&store, &SHARED).expect("read"), ["damaged", "sound"]);
    }
}

#[test]
fn a_damaged_entry_that_is_healed_and_removed_at_once_is_gone_for_all() {
    for open in KINDS {
        let folder = Folder::in_memory();
        let store = open(folder.at()).open().expect("a path");
        put(&store, &SHARED, "sound").expect("written");
        put(&store, &SHARED, "damaged").expect("written");
        let id = EntryId::new("AccessToken", "damaged");
        let found = pollster::block_on(store.get(&SHARED, std::slice::from_ref(&id))).expect("read").remove(0);
        damage_last_entry(&folder.database());
        let both = Changes::new(vec![Change::put(found.expect("it is there").entry), Change::remove(id)]);
        let done = pollster::block_on(store.commit(&SHARED, &both)).expect("committed");
        assert_ne!(done.before, done.after, "whoever has loaded both loads again");
        assert_eq!((keys(&store, &SHARED).expect("read"), counted(&folder)), (vec!["sound".to_owned()], 1));
    }
}

/// A damaged time would keep an entry from being written until it has come.
#[test]
fn a_damaged_time_is_no_reason_to_keep_an_entry() {
    let folder = Folder::in_memory();
    let store = folder.protected();
    put(&store, &SHARED, "damaged").expect("written");
    let load = || pollster::block_on(store.load(&SHARED)).expect("a sound database").expect("something is there");
    let entry = Entry { written_at: Some(UnixMillis(1_700_000_000_000)), ..load().entries.remove(0).entry };
    connection(&folder.database()).execute("UPDATE entry SET written_at = 1 << 60", ()).expect("altered");
    assert_eq!((load().entries.len(), load().unreadable.len()), (0, 1));
    let again = Changes::new(vec![Change::put(entry)]);
    assert_eq!(pollster::block_on(store.commit(&SHARED, &again)).expect("committed").skipped, []);
    assert_eq!((load().entries.len(), load().unreadable.len()), (1, 0));
    let done = pollster::block_on(store.commit(&SHARED, &again)).expect("committed");
    assert_eq!(done.before, done.after, "nothing was left to heal");
}

#[test]
fn a_count_that_is_wrong_loses_no_entry() {
    let folder = Folder::in_memory();
    let store = folder.plaintext();
    for key in ["a", "b", "c"] {
        put(&store, &SHARED, key).expect("written");
    }
    connection(&folder.database()).execute("UPDATE partition SET entries = 1", ()).expect("altered");
    let removal = Changes::new(vec![Change::remove(EntryId::new("AccessToken", "a"))]);
    pollster::block_on(store.commit(&SHARED, &removal)).expect("committed");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["b", "c"]);
    put(&store, &SHARED, "d").expect("written");
    assert_eq!(keys(&store, &SHARED).expect("read"), ["b", "c", "d"]);
    assert_eq!(counted(&folder), 3);
}

/// How many entries the only partition says it has.
fn counted(folder: &Folder) -> i64 {
    let counted = connection(&folder.database()).query_row("SELECT entries FROM partition", (), |row| row.get(0));
    counted.expect("there is one")
}

/// What somebody can do who may write to the file and has no key.
#[test]
fn a_row_that_was_moved_by_sql_is_not_handed_out() {
    let moves = [
        // Into another partition: by number, and with all that the partition has.
        "UPDATE entry SET partition = (SELECT max(id) FROM partition) WHERE id = 1",
        "CREATE TEMP TABLE old AS SELECT id, tag FROM partition; UPDATE partition SET tag = randomblob(16);
         UPDATE partition SET tag = (SELECT tag FROM old WHERE old.id = 3 - partition.id)",
        // Under another entry's name, or account.
        "CREATE TEMP TABLE old AS SELECT id, tag FROM entry; UPDATE entry SET tag = randomblob(16);
         UPDATE entry SET tag = (SELECT tag FROM old WHERE old.id = 14 - entry.id)",
        "UPDATE entry SET value = (SELECT value FROM entry WHERE id = 2) WHERE id = 1",
        "UPDATE entry SET value = (SELECT value FROM entry WHERE id = 13) WHERE id < 13",
        "UPDATE entry SET account = zeroblob(16)",
    ];
    let dates = ["UPDATE entry SET written_at = 1", "UPDATE entry SET expires_on = 99999999999"];
    for (n, open) in KINDS.into_iter().enumerate() {
        let whole = database(open);
        // The dates of plaintext rows are only as good as the disk.
        for sql in moves.iter().chain(dates.iter().take(2 * n)) {
            let folder = Folder::in_memory();
            fs::write(folder.database(), &whole).expect("written");
            let store = open(folder.at()).open().expect("a path");
            let before = handed_out(&store).expect("sound");
            connection(&folder.database()).execute_batch(sql).expect("whoever can write can do this");
            let after = handed_out(&store).expect("a sound database");
            assert!(after.len() < before.len(), "{sql}");
            assert!(after.iter().all(|(key, stored)| before.get(key) == Some(stored)), "{sql}");
            // By their ids neither.
            let ids: Vec<_> = before.values().map(|stored| stored.entry.id.clone()).collect();
            for (n, partition) in [(0, SHARED), (1, user())] {
                for stored in pollster::block_on(store.get(&partition, &ids)).expect("sound").into_iter().flatten() {
                    let key = (n, stored.entry.id.key().to_owned());
                    assert_eq!(before.get(&key), Some(&stored), "{sql}");
                }
            }
        }
    }
}
