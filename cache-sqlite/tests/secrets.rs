//! Planted secrets: tokens, keys and ids stand in no `Debug`, error or trace, whatever goes well or wrong; and in no byte of
//! a protected database and its log.

mod common;

use std::fs;
use std::sync::Arc;

use cache_core::{CacheStore as _, Change, Changes, PartitionKey, Protector, UnixSeconds};
use cache_crypto::{Envelope, Key};
use cache_sqlite::{Durability, SqliteStore};
use cache_testkit::access_tokens::put;
use cache_testkit::entries::access_token;
use cache_testkit::secrets::{Exposure, Planted, capture_traces};

use common::{Folder, connection, protector_of};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

#[test]
fn nothing_shows_while_a_database_is_used_and_abused() {
    let check = Exposure::new();
    // A key made of planted text.
    let mut bytes = [b'.'; Key::LEN];
    let text = check.key.text().as_bytes();
    let length = text.len().min(Key::LEN);
    bytes[..length].copy_from_slice(&text[..length]);
    let protector: Arc<dyn Protector> = Arc::new(Envelope::with_key(Key::from_bytes(&bytes)));
    let traces = capture_traces(|| {
        for is_protected in [false, true] {
            let folder = Folder::in_memory();
            let at =
                || if is_protected { folder.at().protector(Arc::clone(&protector)) } else { folder.at().plaintext() };
            check.show(&at());
            let store = at().open().expect("a path");
            check.use_all(&store);

            // Rows that do not open, rows that are no rows of ours, other keys, other choices.
            check.answer(folder.at().protector(protector_of(9)).open());
            for other in [folder.at().protector(protector_of(9)), folder.at().plaintext()] {
                check.use_all(&other.open().expect("a path"));
            }
            let sql = connection(&folder.database());
            for damage in [
                "UPDATE entry SET value = CAST(value || x'00' AS BLOB) WHERE id % 3 = 0",
                "UPDATE entry SET tag = randomblob(16) WHERE id % 3 = 1",
                "UPDATE partition SET name = CAST(name || x'00' AS BLOB)",
                "UPDATE entry SET version = x'00'",
                "DROP TABLE term",
            ] {
                sql.execute_batch(damage).expect("whoever can write can do this");
                check.use_all(&store);
                check.use_all(&at().open().expect("a path"));
            }
            drop((store, sql));
            let good = fs::read(folder.database()).expect("read");
            for at_byte in (0..good.len()).step_by(good.len() / 20) {
                let mut damaged = good.clone();
                damaged[at_byte] ^= 1;
                fs::write(folder.database(), &damaged).expect("written");
                check.use_all(&at().open().expect("a path"));
            }
            fs::write(folder.database(), check.token.text().repeat(40)).expect("written");
            check.use_all(&at().open().expect("a path"));
        }
    });
    assert!(traces.contains("token_cache.commit"), "the spans were seen");
    check.text(&traces);
    // The key may be longer than a key is: its beginning counts.
    assert!(!check.seen().contains(&check.key.text()[..20]), "the key is shown");
    check.finish();
}

/// The bytes of everything in the folder: while the database is open, and when it is closed.
fn bytes_of(check: &Exposure, folder: &Folder, store: SqliteStore) -> [Vec<u8>; 2] {
    check.use_all(&store);
    let read = || {
        let names = folder.names().into_iter();
        names.flat_map(|name| fs::read(folder.path().join(name)).expect("read")).collect::<Vec<u8>>()
    };
    assert!(folder.beside("-wal").metadata().expect("there").len() > 100_000, "the log is in use");
    let open = read();
    drop(store);
    [open, read()]
}

#[test]
fn a_protected_database_and_its_log_hold_no_name() {
    let (check, folder) = (Exposure::new(), Folder::in_memory());
    let store = folder.at().protector(protector_of(7)).durability(Durability::Normal).open().expect("a path");
    for bytes in bytes_of(&check, &folder, store) {
        for planted in check.all() {
            planted.assert_absent_from(&bytes);
        }
        for host in ["login.windows.net", "AccessToken", "home_account_id"] {
            let found = bytes.windows(host.len()).any(|window| window.eq_ignore_ascii_case(host.as_bytes()));
            assert!(!found, "{host} is in it");
        }
    }
}

/// The same search does find what is there.
#[test]
fn a_plaintext_database_holds_them() {
    let (check, folder) = (Exposure::new(), Folder::in_memory());
    for bytes in bytes_of(&check, &folder, folder.plaintext()) {
        for planted in check.all().into_iter().filter(|planted| planted.text() != check.lease.text()) {
            assert!(planted.found_in(&bytes).is_some(), "{planted:?}");
        }
    }
}

/// Nor does what was removed stay in it: pages that are free again are overwritten, and the log goes with the last handle.
#[test]
fn what_was_removed_is_not_in_the_file_any_more() {
    let (check, folder) = (Exposure::new(), Folder::in_memory());
    let store = folder.plaintext();
    check.use_all(&store);
    for partition in check.partitions() {
        pollster::block_on(store.remove(&partition)).expect("removed");
    }
    drop(store);
    let bytes = fs::read(folder.database()).expect("read");
    for planted in check.all() {
        planted.assert_absent_from(&bytes);
    }
}

/// Nor what was removed or pruned among other entries, of any length, which then lie on pages that are in use.
#[test]
fn what_was_removed_among_others_is_not_in_the_file_any_more() {
    let folder = Folder::in_memory();
    let store = folder.at().plaintext().durability(Durability::Normal).open().expect("a path");
    let commit = |user: usize, changes: Vec<Change>| {
        let partition = PartitionKey::user(&user.to_string());
        let committed = pollster::block_on(store.commit(&partition, &Changes::new(changes))).expect("written");
        assert_eq!(committed.skipped, []);
    };
    let (gone, kept) = (Planted::new("gone"), Planted::new("kept"));
    let key = |n: usize| format!("token-{n}");
    for user in 0..60 {
        let token = |n: usize| {
            let secret = format!("{}{}", "x".repeat((user * 37 + n * 101) % 900), gone.text());
            let lives_for = if n < 3 { -60 } else { 60 };
            Change::put(access_token(&key(n)).secret(&secret).expires(NOW.plus(lives_for)).entry())
        };
        let stays = Change::put(access_token("stays").secret(kept.text()).expires(NOW.plus(60)).entry());
        commit(user, (0..7).map(token).chain([stays]).collect());
    }
    for user in (0..60).step_by(3) {
        pollster::block_on(store.remove(&PartitionKey::user(&user.to_string()))).expect("removed");
    }
    assert_eq!(pollster::block_on(store.prune(NOW)).expect("pruned"), 40 * 3);
    for user in (0..60).filter(|user| user % 3 > 0) {
        let remove = |n| Change::Remove { id: access_token(&key(n)).entry().id, if_match: None };
        commit(user, (3..7).map(remove).collect());
    }
    drop(store);
    assert_eq!(folder.names(), ["tokens.db", "tokens.db.lock"], "the log is in it");
    let bytes = fs::read(folder.database()).expect("read");
    gone.assert_absent_from(&bytes);
    assert!(kept.found_in(&bytes).is_some(), "the same search finds what is there");
}

#[test]
fn two_users_with_the_same_token_do_not_show_without_the_key() {
    let folder = Folder::in_memory();
    let store = folder.protected();
    for user in ["a", "b"].map(PartitionKey::user) {
        put(&store, &user, "same").expect("written");
    }
    let sql = connection(&folder.database());
    for column in ["tag", "account", "version", "terms", "value"] {
        let count = format!("SELECT count(DISTINCT {column}) FROM entry");
        let distinct: i64 = sql.query_row(&count, (), |row| row.get(0)).expect("counted");
        assert_eq!(distinct, 2, "{column}");
    }
}
