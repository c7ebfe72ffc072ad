//! What keeps a database in shape: pruning, bounds, another key, a look for damage, recovery from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cache_core::schema::{AccessToken, Account, RefreshToken};
use cache_core::{
    CacheStore, Change, Changes, Entry, ErrorKind, PartitionKey, PersistedTokenCache, Protector, TokenCache,
    UnixSeconds,
};
use cache_crypto::{Envelope, Key, KeyRing};
use cache_sqlite::{SqliteStore, SqliteStoreBuilder};
use pollster::block_on;
use rusqlite::Connection;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("tokens.db")
    }

    fn store(&self) -> SqliteStoreBuilder {
        SqliteStore::at(self.path())
    }

    fn plaintext(&self) -> SqliteStore {
        self.store().plaintext().open().expect("settings")
    }

    fn protected(&self, keys: &[u8]) -> SqliteStore {
        self.store().protector(protector(keys)).open().expect("settings")
    }

    /// A connection past the store.
    fn sql(&self) -> Connection {
        Connection::open(self.path()).expect("a database")
    }
}

/// Protects with the first of these keys and opens with all.
fn protector(keys: &[u8]) -> Arc<dyn Protector> {
    let mut keys = keys.iter().map(|byte| KeyRing::from(Key::from_bytes(&[*byte; Key::LEN])));
    let first = keys.next().expect("a key");
    Arc::new(Envelope::with_key_ring(keys.fold(first, KeyRing::and)))
}

fn token(name: &str, expires_on: UnixSeconds) -> AccessToken {
    AccessToken {
        home_account_id: Some("uid.utid".into()),
        environment: "login.windows.net".into(),
        client_id: "client".into(),
        realm: "utid".into(),
        target: format!("api://{name}/.default").into(),
        secret: format!("secret of {name}").into(),
        cached_at: Some(NOW),
        expires_on: Some(expires_on),
        ..AccessToken::default()
    }
}

/// The entries of a cache with these tokens, and a user.
fn entries(tokens: impl IntoIterator<Item = AccessToken>) -> Vec<Entry> {
    let mut cache = TokenCache::default();
    cache
        .insert(Account {
            home_account_id: "uid.utid".into(),
            environment: "login.windows.net".into(),
            realm: "utid".into(),
            ..Account::default()
        })
        .expect("an account");
    cache
        .insert(RefreshToken {
            home_account_id: "uid.utid".into(),
            environment: "login.windows.net".into(),
            client_id: "client".into(),
            secret: "secret".into(),
            ..RefreshToken::default()
        })
        .expect("a refresh token");
    for token in tokens {
        cache.insert(token).expect("a token");
    }
    cache.entries().collect()
}

fn put(store: &SqliteStore, partition: &PartitionKey, entries: &[Entry]) {
    let changes: Vec<Change> = entries.iter().cloned().map(Change::put).collect();
    let done = block_on(store.commit(partition, &Changes::new(changes))).expect("committed");
    assert_eq!(done.skipped, []);
}

/// The secrets of the access tokens that the partition holds, in order.
fn tokens(store: &SqliteStore, partition: &PartitionKey) -> Vec<String> {
    let cache = PersistedTokenCache::builder(store.clone()).build();
    let names = |cache: &TokenCache| cache.access_tokens().map(|(_, token)| token.secret.expose().to_owned()).collect();
    let mut names: Vec<String> = block_on(cache.read(partition, names)).expect("read");
    names.sort();
    names
}

fn count(store: &SqliteStore, partition: &PartitionKey) -> usize {
    block_on(store.load(partition)).expect("loaded").map_or(0, |snapshot| snapshot.entries.len())
}

fn user(number: usize) -> PartitionKey {
    PartitionKey::user(&format!("{number}.utid"))
}

#[test]
fn what_has_expired_is_pruned_and_all_else_stays() {
    let files = Files::new();
    let store = files.plaintext();
    for number in 0..700 {
        // Of every third user only tokens that have expired.
        let fresh = (number % 3 > 0).then(|| token("fresh", NOW.plus(3600)));
        let tokens = fresh.into_iter().chain([token("stale", NOW.plus(-1)), token("old", NOW.plus(-4000))]);
        put(&store, &user(number), &entries(tokens));
    }
    let only_stale = PartitionKey::custom("only stale");
    let stale = entries([token("stale", NOW.plus(-1))]).into_iter().filter(|entry| entry.expires_on.is_some());
    put(&store, &only_stale, &stale.collect::<Vec<_>>());
    let before = block_on(store.stamp(&user(1))).expect("stamp");

    assert_eq!(block_on(store.prune(NOW)).expect("pruned"), 1401);
    assert_eq!(block_on(store.prune(NOW)).expect("pruned"), 0);

    assert_ne!(block_on(store.stamp(&user(1))).expect("stamp"), before, "others see that it changed");
    assert_eq!(block_on(store.stamp(&only_stale)).expect("stamp"), None, "a partition that holds nothing is none");
    assert!(block_on(store.load(&only_stale)).expect("loaded").is_none());
    assert_eq!((tokens(&store, &user(0)), count(&store, &user(0))), (vec![], 2));
    assert_eq!((tokens(&store, &user(1)), count(&store, &user(1))), (vec!["secret of fresh".to_owned()], 3));
    assert!(block_on(store.verify()).expect("verified").is_sound());
    let sql = files.sql();
    let left: i64 = sql.query_row("SELECT count(*) FROM term", (), |row| row.get(0)).expect("counted");
    assert_eq!(left, 466, "a term for each token that is left");
    let free: i64 = sql.pragma_query_value(None, "freelist_count", |row| row.get(0)).expect("pragma");
    assert!(free < 100, "{free} pages were not given back");
}

#[test]
fn nothing_is_made_to_be_pruned() {
    let files = Files::new();
    let store = files.plaintext();
    assert_eq!(block_on(store.prune(NOW)).expect("pruned"), 0);
    assert_eq!(block_on(store.inventory(None, 10, NOW)).expect("counted"), []);
    assert!(block_on(store.verify()).expect("verified").is_sound());
    assert_eq!(block_on(store.recover()).expect("recovered").aside, None);
    block_on(store.remove(&PartitionKey::Shared)).expect("removed");
    assert!(!files.path().exists());
}

#[test]
fn a_full_partition_evicts_access_tokens_that_expire_first() {
    let files = Files::new();
    let store = files.store().plaintext().most_entries(5).open().expect("settings");
    let named = |name: &str, seconds| token(name, NOW.plus(seconds));
    put(&store, &PartitionKey::Shared, &entries([named("late", 900), named("soon", 100), named("gone", -100)]));
    assert_eq!(count(&store, &PartitionKey::Shared), 5);

    let soonest = entries([named("soonest", 10)]).into_iter().filter(|entry| entry.expires_on.is_some());
    let changes = Changes::new(soonest.map(Change::put).collect());
    let done = block_on(store.commit(&PartitionKey::Shared, &changes)).expect("committed");
    assert!(done.others_changed, "a copy of the partition is not what is stored");
    assert_eq!(tokens(&store, &PartitionKey::Shared), ["secret of late", "secret of soon", "secret of soonest"]);
    assert_eq!(count(&store, &PartitionKey::Shared), 5, "the account and its refresh token stay");
}

#[test]
fn what_one_commit_writes_stays_whatever_the_bound() {
    let files = Files::new();
    let store = files.store().plaintext().most_entries(2).open().expect("settings");
    put(&store, &PartitionKey::Shared, &entries((0..10).map(|n| token(&format!("t{n}"), NOW.plus(n)))));
    assert_eq!(count(&store, &PartitionKey::Shared), 12);
    let one = entries([token("one", NOW)]).into_iter().filter(|entry| entry.expires_on.is_some());
    put(&store, &PartitionKey::Shared, &one.collect::<Vec<_>>());
    assert_eq!(tokens(&store, &PartitionKey::Shared), ["secret of one"]);
}

#[test]
fn everything_is_protected_anew_while_others_write() {
    let files = Files::new();
    let old = files.protected(&[1]);
    for number in 0..5 {
        put(&old, &user(number), &entries((0..100).map(|n| token(&format!("t{n}"), NOW.plus(3600)))));
    }
    let stamp = block_on(old.stamp(&user(0))).expect("stamp");
    assert_eq!(files.protected(&[2]).protection().name(), "protected");
    let error = block_on(files.protected(&[2]).load(&user(0))).expect_err("another key");
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);

    let both = files.protected(&[2, 1]);
    let writer = std::thread::spawn({
        let both = files.protected(&[2, 1]);
        move || (0..50).for_each(|n| put(&both, &user(9), &entries([token(&format!("w{n}"), NOW.plus(3600))])))
    });
    let done = block_on(both.reprotect()).expect("protected anew");
    writer.join().expect("written");
    assert!(done >= 510, "{done}");

    let new = files.protected(&[2]);
    for number in 0..5 {
        assert_eq!(count(&new, &user(number)), 102);
    }
    assert_eq!(count(&new, &user(9)), 52);
    assert_eq!(block_on(new.stamp(&user(0))).expect("stamp"), stamp, "what is stored has not changed");
    assert_eq!(block_on(new.partitions(None, 100)).expect("listed").len(), 6);
    let verified = block_on(new.verify()).expect("verified");
    assert!(verified.is_sound() && verified.entries == 562, "{verified:?}");
    let error = block_on(files.protected(&[1]).load(&user(0))).expect_err("the old key opens nothing");
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    assert_eq!(block_on(files.plaintext().reprotect()).expect_err("no key").kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_inventory_needs_no_key() {
    let files = Files::new();
    let store = files.protected(&[1]);
    put(&store, &user(1), &entries([token("a", NOW.plus(-1)), token("b", NOW.plus(60)), token("c", NOW.plus(90))]));
    put(&store, &user(2), &entries([]));

    let keyless = files.plaintext();
    let found = block_on(keyless.inventory(None, 10, NOW)).expect("counted");
    let shown: Vec<Vec<_>> = found
        .iter()
        .map(|partition| {
            let section = |of: &cache_sqlite::SectionInventory| (of.section, of.entries, of.expired, of.next_expiry);
            partition.sections.iter().map(section).collect()
        })
        .collect();
    let users = [(Some("RefreshToken"), 1, 0, None), (Some("Account"), 1, 0, None)];
    assert_eq!(shown[0], [&[(Some("AccessToken"), 3, 1, Some(NOW.plus(60)))], &users[..]].concat());
    assert_eq!(shown[1], users);
    let paged = block_on(keyless.inventory(Some(found[0].number), 1, NOW)).expect("counted");
    assert_eq!(paged, found[1..]);
    assert_eq!(block_on(keyless.inventory(Some(found[1].number), 1, NOW)).expect("counted"), []);
    assert_eq!(block_on(keyless.load(&user(1))).expect_err("no key").kind(), ErrorKind::KeyUnavailable);
}

#[test]
fn an_entry_that_was_altered_is_found_and_left_out() {
    for is_protected in [false, true] {
        let files = Files::new();
        let store = if is_protected { files.protected(&[1]) } else { files.plaintext() };
        put(&store, &user(1), &entries([token("a", NOW.plus(60)), token("b", NOW.plus(60))]));
        let sql = files.sql();
        let find = "SELECT id, value FROM entry WHERE kind = 1 ORDER BY id LIMIT 1";
        let row = sql.query_row(find, (), |row| Ok((row.get(0)?, row.get(1)?)));
        let (id, mut value): (i64, Vec<u8>) = row.expect("a token");
        let at = value.len() - 3;
        value[at] ^= 1;
        sql.execute("UPDATE entry SET value = ?2 WHERE id = ?1", (id, value)).expect("altered");
        drop(sql);
        let verified = block_on(store.verify()).expect("verified");
        assert_eq!((verified.problems.len(), verified.entries, verified.unreadable), (0, 3, 1), "{is_protected}");

        let recovered = block_on(store.recover()).expect("recovered");
        assert_eq!((recovered.kept, recovered.lost), (3, 1));
        assert!(recovered.aside.expect("moved").exists());
        assert!(block_on(store.verify()).expect("verified").is_sound());
        assert_eq!(tokens(&store, &user(1)).len(), 1);
    }
}

/// A database of 40 users whose pages were overwritten where `damage` says: pages from the start, in the order of the file.
fn damaged(files: &Files, damage: impl Fn(usize, &mut [u8])) -> SqliteStore {
    let store = files.protected(&[1]);
    for number in 0..40 {
        put(&store, &user(number), &entries((0..5).map(|n| token(&format!("t{n}"), NOW.plus(3600)))));
    }
    // The last connection takes the log into the database.
    drop(store);
    let mut bytes = std::fs::read(files.path()).expect("read");
    for (number, page) in bytes.chunks_mut(4096).enumerate() {
        damage(number, page);
    }
    std::fs::write(files.path(), bytes).expect("written");
    files.protected(&[1])
}

fn recovered(store: &SqliteStore) -> usize {
    let recovered = block_on(store.recover()).expect("recovered");
    let aside = recovered.aside.expect("something was wrong");
    assert!(aside.exists());
    let verified = block_on(store.verify()).expect("verified");
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.entries, recovered.kept);
    let loaded: usize = (0..40).map(|number| count(store, &user(number))).sum();
    assert_eq!(loaded, recovered.kept, "each entry is found where it belongs");
    put(store, &user(99), &entries([token("new", NOW.plus(60))]));
    assert_eq!(count(store, &user(99)), 3, "the new database is written to");
    recovered.kept
}

#[test]
fn what_can_be_read_of_a_damaged_database_is_kept() {
    let files = Files::new();
    // Some pages in the middle, whatever is on them.
    let store = damaged(&files, |number, page| {
        if number % 9 == 8 {
            page.fill(0xA5);
        }
    });
    assert!(!block_on(store.verify()).expect("verified").is_sound());
    let kept = recovered(&store);
    assert!((80..280).contains(&kept), "{kept} of 280");
}

#[test]
fn a_database_without_a_head_is_kept_aside_and_a_new_one_begun() {
    let files = Files::new();
    let store = damaged(&files, |number, page| {
        if number == 0 {
            page[..100].fill(0);
        }
    });
    assert_eq!(block_on(store.load(&user(1))).expect_err("no head").kind(), ErrorKind::Corrupt);
    assert_eq!(recovered(&store), 0);
}

#[test]
fn an_empty_file_is_kept_aside_and_a_new_database_begun() {
    let files = Files::new();
    std::fs::write(files.path(), b"").expect("written");
    let store = files.protected(&[1]);
    assert_eq!(block_on(store.load(&user(1))).expect_err("empty").kind(), ErrorKind::Corrupt);
    assert_eq!(block_on(store.commit(&user(1), &Changes::new(vec![]))).expect_err("empty").kind(), ErrorKind::Corrupt);
    assert_eq!(recovered(&store), 0);
}

#[test]
fn a_sound_database_and_one_of_others_stay_where_they_are() {
    let files = Files::new();
    let store = files.plaintext();
    put(&store, &user(1), &entries([]));
    assert_eq!(block_on(store.recover()).expect("sound").aside, None);
    assert_eq!(count(&store, &user(1)), 2);
    drop(store);

    assert_eq!(block_on(files.protected(&[1]).recover()).expect_err("plaintext").kind(), ErrorKind::Unsupported);
    files.sql().pragma_update(None, "application_id", 7).expect("another program's");
    assert_eq!(block_on(files.plaintext().recover()).expect_err("another program's").kind(), ErrorKind::Unsupported);
    std::fs::write(files.path(), "export PATH=/bin").expect("written");
    assert_eq!(block_on(files.plaintext().recover()).expect_err("no database").kind(), ErrorKind::Unsupported);
    assert_eq!(std::fs::read_dir(files.0.path()).expect("listed").filter(is_aside).count(), 0);
}

fn is_aside(file: &std::io::Result<std::fs::DirEntry>) -> bool {
    let name = file.as_ref().expect("listed").file_name();
    Path::new(&name).to_string_lossy().contains(".corrupt-")
}

#[test]
fn writers_go_on_through_a_recovery() {
    let files = Files::new();
    let store = damaged(&files, |number, page| {
        // An index of entries, not what a commit has to read.
        if number == 30 {
            page.fill(0xA5);
        }
    });
    // Open before the recovery, and writing all the time.
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let store = files.protected(&[1]);
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for n in 0..60 {
                    let partition = PartitionKey::custom(&format!("{writer} {n}"));
                    let changes = entries([token("new", NOW.plus(60))]).into_iter().map(Change::put).collect();
                    match block_on(store.commit(&partition, &Changes::new(changes))) {
                        Ok(_) => acknowledged.push(partition),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
                    }
                }
                acknowledged
            })
        })
        .collect();
    let recovered = block_on(store.recover()).expect("recovered");
    assert!(recovered.aside.is_some());
    let acknowledged: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().expect("written")).collect();
    assert!(!acknowledged.is_empty());
    for partition in acknowledged {
        assert_eq!(count(&store, &partition), 3, "what was acknowledged is there");
    }
    assert!(block_on(store.verify()).expect("verified").is_sound());
}
