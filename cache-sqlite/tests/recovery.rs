//! Recoveries: what can be read of a damaged database is kept, the rest is moved aside, and nothing else is touched.

mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheStore as _, Change, Changes, ErrorKind, ManualClock, PartitionKey};
use cache_sqlite::SqliteStore;
use cache_testkit::access_tokens::{keys, put};
use pollster::block_on;

use common::users::{NOW, count, entries, put_all, token, tokens, user, with_keys};
use common::{Folder, SHARED, connection, damage_last_entry, rows};

#[test]
fn an_entry_that_was_altered_is_found_and_left_out() {
    for is_protected in [false, true] {
        let folder = Folder::in_memory();
        let store = if is_protected { with_keys(&folder, &[1]) } else { folder.plaintext() };
        put_all(&store, &user(1), &entries([token("a", NOW.plus(60)), token("b", NOW.plus(60))]));
        let sql = connection(&folder.database());
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
fn damaged(folder: &Folder, damage: impl Fn(usize, &mut [u8])) -> SqliteStore {
    let store = with_keys(folder, &[1]);
    for number in 0..40 {
        put_all(&store, &user(number), &entries((0..5).map(|n| token(&format!("t{n}"), NOW.plus(3600)))));
    }
    // The last connection takes the log into the database.
    drop(store);
    let mut bytes = std::fs::read(folder.database()).expect("read");
    for (number, page) in bytes.chunks_mut(4096).enumerate() {
        damage(number, page);
    }
    std::fs::write(folder.database(), bytes).expect("written");
    with_keys(folder, &[1])
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
    put_all(store, &user(99), &entries([token("new", NOW.plus(60))]));
    assert_eq!(count(store, &user(99)), 3, "the new database is written to");
    recovered.kept
}

#[test]
fn what_can_be_read_of_a_damaged_database_is_kept() {
    let folder = Folder::in_memory();
    // Some pages in the middle, whatever is on them.
    let store = damaged(&folder, |number, page| {
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
    let folder = Folder::in_memory();
    let store = damaged(&folder, |number, page| {
        if number == 0 {
            page[..100].fill(0);
        }
    });
    assert_eq!(block_on(store.load(&user(1))).expect_err("no head").kind(), ErrorKind::Corrupt);
    assert_eq!(recovered(&store), 0);
}

#[test]
fn a_head_that_names_no_layout_costs_nothing_of_what_stands_behind_it() {
    let folder = Folder::in_memory();
    let store = with_keys(&folder, &[1]);
    put_all(&store, &user(1), &entries([token("a", NOW.plus(60))]));
    drop(store);
    connection(&folder.database()).pragma_update(None, "user_version", 0).expect("altered");

    let store = with_keys(&folder, &[1]);
    assert_eq!(block_on(store.load(&user(1))).expect_err("no layout").kind(), ErrorKind::Corrupt);
    let recovered = block_on(store.recover()).expect("recovered");
    assert_eq!((recovered.kept, recovered.lost), (3, 0));
    assert_eq!(tokens(&store, &user(1)), ["secret of a"]);
}

#[test]
fn nothing_is_made_to_recover_what_is_not_there() {
    let folder = Folder::in_memory();
    let path = folder.database().with_file_name("no").join("such.db");
    let store = SqliteStore::at(&path).plaintext().open().expect("a usable path");
    assert_eq!(block_on(store.recover()).expect("nothing to do").aside, None);
    assert!(!path.parent().expect("a folder").exists());
}

#[test]
fn an_empty_file_is_kept_aside_and_a_new_database_begun() {
    let folder = Folder::in_memory();
    std::fs::write(folder.database(), b"").expect("written");
    let store = with_keys(&folder, &[1]);
    assert_eq!(block_on(store.load(&user(1))).expect_err("empty").kind(), ErrorKind::Corrupt);
    assert_eq!(block_on(store.commit(&user(1), &Changes::new(vec![]))).expect_err("empty").kind(), ErrorKind::Corrupt);
    assert_eq!(recovered(&store), 0);
}

#[test]
fn a_sound_database_and_one_of_others_stay_where_they_are() {
    let folder = Folder::in_memory();
    let store = folder.plaintext();
    put_all(&store, &user(1), &entries([]));
    assert_eq!(block_on(store.recover()).expect("sound").aside, None);
    assert_eq!(count(&store, &user(1)), 2);
    drop(store);

    assert_eq!(block_on(with_keys(&folder, &[1]).recover()).expect_err("plaintext").kind(), ErrorKind::Unsupported);
    connection(&folder.database()).pragma_update(None, "application_id", 7).expect("another program's");
    assert_eq!(block_on(folder.plaintext().recover()).expect_err("another program's").kind(), ErrorKind::Unsupported);
    std::fs::write(folder.database(), "export PATH=/bin").expect("written");
    assert_eq!(block_on(folder.plaintext().recover()).expect_err("no database").kind(), ErrorKind::Unsupported);
    assert_eq!(asides(&folder), [""; 0]);
}

/// What was moved aside.
fn asides(folder: &Folder) -> Vec<String> {
    folder.names().into_iter().filter(|name| name.contains(".corrupt-")).collect()
}

#[test]
fn writers_go_on_through_a_recovery() {
    let folder = Folder::in_memory();
    let store = damaged(&folder, |number, page| {
        // An index of entries, not what a commit has to read.
        if number == 30 {
            page.fill(0xA5);
        }
    });
    // Open before the recovery, and writing all the time.
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let store = with_keys(&folder, &[1]);
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

#[test]
fn nothing_that_was_moved_aside_is_overwritten_by_the_next_recovery() {
    let folder = Folder::in_memory();
    // The names carry the time in seconds.
    let store = folder.at().plaintext().clock(Arc::new(ManualClock::at(NOW))).open().expect("a path");
    let mut moved = Vec::new();
    for n in 1..4 {
        put(&store, &SHARED, &n.to_string()).expect("written");
        connection(&folder.database()).execute("DELETE FROM term", ()).expect("an index is damaged");
        moved.push((block_on(store.recover()).expect("recovered").aside.expect("moved"), n));
    }
    assert_eq!(keys(&store, &SHARED).expect("read"), ["1", "2", "3"]);
    for (aside, entries) in moved {
        assert_eq!(rows(&aside, "entry"), entries, "{aside:?} is the one that was moved there");
    }
}

#[test]
fn an_index_that_does_not_fit_is_found_and_made_anew() {
    let folder = Folder::in_memory();
    let store = with_keys(&folder, &[1]);
    let all = entries([token("a", NOW.plus(60))]);
    put_all(&store, &user(1), &all);
    let terms: Vec<_> = all.iter().flat_map(cache_core::Entry::lookup_terms).collect();
    let found = || block_on(store.find(&user(1), &terms)).expect("sound").map_or(0, |found| found.entries.len());
    let before = found();
    assert!(before > 0);
    connection(&folder.database()).execute("DELETE FROM term", ()).expect("deleted");
    assert_eq!(found(), 0);
    assert!(!block_on(store.verify()).expect("verified").is_sound());
    let recovered = block_on(store.recover()).expect("recovered");
    assert_eq!((recovered.kept, recovered.lost), (3, 0));
    assert_eq!(found(), before);
    assert!(block_on(store.verify()).expect("verified").is_sound());
}

/// The file and its log cannot be moved at one moment. So the log goes into the file before, which an old reader hinders.
#[test]
fn a_recovery_that_a_reader_hinders_is_busy_and_changes_nothing() {
    let folder = Folder::in_memory();
    let store = folder.at().plaintext().lock_wait(Duration::from_millis(100)).open().expect("a path");
    put(&store, &user(1), "a").expect("written");
    put(&store, &user(2), "b").expect("written");
    damage_last_entry(&folder.database());
    let reader = connection(&folder.database());
    reader.execute_batch("BEGIN; SELECT count(*) FROM entry").expect("it reads");
    put(&store, &user(3), "c").expect("acknowledged");
    let error = block_on(store.recover()).expect_err("a reader is there");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(asides(&folder), [""; 0]);
    reader.execute_batch("ROLLBACK").expect("it has read");
    let recovered = block_on(store.recover()).expect("recovered");
    assert_eq!((recovered.kept, recovered.lost), (2, 1));
    for (number, key) in [(1, "a"), (3, "c")] {
        assert_eq!(keys(&store, &user(number)).expect("read"), [key]);
    }
}
