//! What keeps a database in shape: pruning, bounds, another key, a look for damage.

mod common;

use std::sync::mpsc;

use cache_core::schema::section;
use cache_core::{CacheStore as _, Change, Changes, ErrorKind, PartitionKey};
use cache_testkit::entries::access_token;
use cache_testkit::process;
use pollster::block_on;
use rusqlite::Connection;

use common::users::{NOW, count, entries, put_all, token, tokens, user, with_keys};
use common::{Folder, connection};

#[test]
fn what_has_expired_is_pruned_and_all_else_stays() {
    let folder = Folder::in_memory();
    let store = folder.plaintext();
    for number in 0..700 {
        // Of every third user only tokens that have expired.
        let fresh = (number % 3 > 0).then(|| token("fresh", NOW.plus(3600)));
        let tokens = fresh.into_iter().chain([token("stale", NOW.plus(-1)), token("old", NOW.plus(-4000))]);
        put_all(&store, &user(number), &entries(tokens));
    }
    let only_stale = PartitionKey::custom("only stale");
    let stale = entries([token("stale", NOW.plus(-1))]).into_iter().filter(|entry| entry.expires_on.is_some());
    put_all(&store, &only_stale, &stale.collect::<Vec<_>>());
    let before = block_on(store.stamp(&user(1))).expect("stamp");

    assert_eq!(block_on(store.prune(NOW)).expect("pruned"), 1401);
    assert_eq!(block_on(store.prune(NOW)).expect("pruned"), 0);

    assert_ne!(block_on(store.stamp(&user(1))).expect("stamp"), before, "others see that it changed");
    assert_eq!(block_on(store.stamp(&only_stale)).expect("stamp"), None, "a partition that holds nothing is none");
    assert!(block_on(store.load(&only_stale)).expect("loaded").is_none());
    assert_eq!((tokens(&store, &user(0)), count(&store, &user(0))), (vec![], 2));
    assert_eq!((tokens(&store, &user(1)), count(&store, &user(1))), (vec!["secret of fresh".to_owned()], 3));
    assert!(block_on(store.verify()).expect("verified").is_sound());
    let sql = connection(&folder.database());
    let left: i64 = sql.query_row("SELECT count(*) FROM term", (), |row| row.get(0)).expect("counted");
    assert_eq!(left, 466, "a term for each token that is left");
    let free: i64 = sql.pragma_query_value(None, "freelist_count", |row| row.get(0)).expect("pragma");
    assert!(free < 100, "{free} pages were not given back");
}

#[test]
fn nothing_is_made_to_be_looked_at_or_emptied() {
    let folder = Folder::in_memory();
    let store = folder.plaintext();
    assert_eq!(block_on(store.prune(NOW)).expect("pruned"), 0);
    assert_eq!(block_on(store.inventory(None, 10, NOW)).expect("counted"), []);
    assert!(block_on(store.verify()).expect("verified").is_sound());
    block_on(store.remove(&PartitionKey::Shared)).expect("removed");
    let id = access_token("a").entry().id;
    let changes = Changes::new(vec![Change::Remove { id, if_match: None }]);
    assert_eq!(block_on(store.commit(&PartitionKey::Shared, &changes)).expect("nothing to do").after, None);
    assert_eq!(folder.names(), [""; 0]);
    assert_eq!(block_on(store.recover()).expect("recovered").aside, None);
    assert!(!folder.database().exists());
}

#[test]
fn a_full_partition_evicts_access_tokens_that_expire_first() {
    let folder = Folder::in_memory();
    let store = folder.at().plaintext().most_entries(5).open().expect("settings");
    let named = |name: &str, seconds| token(name, NOW.plus(seconds));
    put_all(&store, &PartitionKey::Shared, &entries([named("late", 900), named("soon", 100), named("gone", -100)]));
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
    let folder = Folder::in_memory();
    let store = folder.at().plaintext().most_entries(2).open().expect("settings");
    put_all(&store, &PartitionKey::Shared, &entries((0..10).map(|n| token(&format!("t{n}"), NOW.plus(n)))));
    assert_eq!(count(&store, &PartitionKey::Shared), 12);
    let one = entries([token("one", NOW)]).into_iter().filter(|entry| entry.expires_on.is_some());
    put_all(&store, &PartitionKey::Shared, &one.collect::<Vec<_>>());
    assert_eq!(tokens(&store, &PartitionKey::Shared), ["secret of one"]);
}

#[test]
fn everything_is_protected_anew_while_others_write() {
    let folder = Folder::in_memory();
    let old = with_keys(&folder, &[1]);
    for number in 0..5 {
        put_all(&old, &user(number), &entries((0..100).map(|n| token(&format!("t{n}"), NOW.plus(3600)))));
    }
    let stamp = block_on(old.stamp(&user(0))).expect("stamp");
    assert_eq!(with_keys(&folder, &[2]).protection().name(), "protected");
    let error = block_on(with_keys(&folder, &[2]).load(&user(0))).expect_err("another key");
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);

    let both = with_keys(&folder, &[2, 1]);
    let writer = std::thread::spawn({
        let both = with_keys(&folder, &[2, 1]);
        move || (0..50).for_each(|n| put_all(&both, &user(9), &entries([token(&format!("w{n}"), NOW.plus(3600))])))
    });
    let done = block_on(both.reprotect()).expect("protected anew");
    writer.join().expect("written");
    assert!(done >= 510, "{done}");

    let new = with_keys(&folder, &[2]);
    for number in 0..5 {
        assert_eq!(count(&new, &user(number)), 102);
    }
    assert_eq!(count(&new, &user(9)), 52);
    assert_eq!(block_on(new.stamp(&user(0))).expect("stamp"), stamp, "what is stored has not changed");
    assert_eq!(block_on(new.partitions(None, 100)).expect("listed").len(), 6);
    let verified = block_on(new.verify()).expect("verified");
    assert!(verified.is_sound() && verified.entries == 562, "{verified:?}");
    let error = block_on(with_keys(&folder, &[1]).load(&user(0))).expect_err("the old key opens nothing");
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    assert_eq!(block_on(folder.plaintext().reprotect()).expect_err("no key").kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_inventory_needs_no_key() {
    let folder = Folder::in_memory();
    let store = with_keys(&folder, &[1]);
    put_all(&store, &user(1), &entries([token("a", NOW.plus(-1)), token("b", NOW.plus(60)), token("c", NOW.plus(90))]));
    put_all(&store, &user(2), &entries([]));

    let keyless = folder.plaintext();
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

/// Who may write to the file may give a partition another's name, which the protector opens.
#[test]
fn what_stays_under_the_old_key_is_told() {
    let folder = Folder::in_memory();
    let old = with_keys(&folder, &[1]);
    for user in [user(1), user(2)] {
        put_all(&old, &user, &entries([]));
    }
    let swap = "UPDATE partition SET name = (SELECT other.name FROM partition AS other WHERE other.id <> partition.id)";
    assert_eq!(connection(&folder.database()).execute(swap, ()).expect("swapped"), 2);
    assert_eq!([user(1), user(2)].map(|user| count(&old, &user)), [2, 2], "readable by who knows the partition");
    let error = block_on(with_keys(&folder, &[2, 1]).reprotect()).expect_err("their entries cannot be found");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.message().contains("recover"), "{error}");
}

/// Takes the index out of the schema, calls `change`, and puts it back as it was.
fn without_index(folder: &Folder, index: &str, change: impl Fn(&Connection)) {
    let sql = connection(&folder.database());
    let find = "SELECT sql, rootpage FROM sqlite_schema WHERE name = ?1";
    let found = sql.query_row(find, (index,), |row| Ok((row.get(0)?, row.get(1)?)));
    let (text, root): (String, i64) = found.expect("there is such an index");
    // Each by a new connection, which reads the schema anew.
    let with_schema = |change: &dyn Fn(&Connection) -> rusqlite::Result<usize>| {
        let sql = connection(&folder.database());
        sql.execute_batch("PRAGMA writable_schema = ON").expect("set");
        assert_eq!(change(&sql).expect("whoever can write can do this"), 1);
        sql.execute_batch("PRAGMA writable_schema = RESET").expect("set");
    };
    with_schema(&|sql| sql.execute("DELETE FROM sqlite_schema WHERE name = ?1", (index,)));
    change(&connection(&folder.database()));
    let insert =
        "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('index', ?1, 'entry', ?2, ?3)";
    with_schema(&|sql| sql.execute(insert, (index, root, &text)));
}

#[test]
fn pruning_ends_though_an_index_names_what_is_not_there() {
    let folder = Folder::in_memory();
    put_all(&folder.plaintext(), &PartitionKey::Shared, &entries([token("old", NOW.plus(-50))]));
    without_index(&folder, "entry_in_partition", |sql| {
        assert_eq!(sql.execute("DELETE FROM entry WHERE expires_on IS NOT NULL", ()).expect("deleted"), 1);
    });
    let store = folder.plaintext();
    assert!(!block_on(store.verify()).expect("verified").is_sound());
    let (ends, end) = mpsc::channel();
    std::thread::spawn(move || ends.send(block_on(store.prune(NOW)).map_err(|error| error.kind())));
    let pruned = end.recv_timeout(process::DEADLINE).expect("it does not go round in circles");
    assert!(matches!(pruned, Ok(0) | Err(ErrorKind::Corrupt)), "{pruned:?}");
}

/// An index whose row of a token that is gone fits a refresh token, which has got its number since.
#[test]
fn a_refresh_token_is_not_evicted_because_of_a_damaged_index() {
    let folder = Folder::in_memory();
    let only = |tokens| entries(tokens).into_iter().filter(|entry| entry.expires_on.is_some()).collect::<Vec<_>>();
    put_all(&folder.plaintext(), &PartitionKey::Shared, &only(vec![token("a", NOW.plus(900))]));
    put_all(&folder.plaintext(), &PartitionKey::Shared, &only(vec![token("b", NOW.plus(100))]));
    without_index(&folder, "entry_in_partition", |sql| {
        assert_eq!(sql.execute("DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)", ()).expect("deleted"), 1);
    });
    let refresh_token = entries([]).into_iter().find(|entry| entry.id.section() == section::REFRESH_TOKEN);
    put_all(&folder.plaintext(), &PartitionKey::Shared, refresh_token.as_slice());
    let store = folder.at().plaintext().most_entries(2).open().expect("settings");
    put_all(&store, &PartitionKey::Shared, &only(vec![token("c", NOW.plus(500))]));
    let id = refresh_token.expect("a user has one").id;
    assert!(block_on(store.get(&PartitionKey::Shared, &[id])).expect("read").remove(0).is_some());
    assert_eq!(tokens(&store, &PartitionKey::Shared), ["secret of c"]);
}

#[test]
fn an_index_that_says_something_else_than_its_table_is_found_and_made_anew() {
    for other in ["expires_on = expires_on - 1024", "kind = kind + 1", "partition = partition + 1"] {
        let folder = Folder::in_memory();
        let tokens = || entries([token("old", NOW.plus(-50)), token("new", NOW.plus(50))]);
        put_all(&folder.plaintext(), &PartitionKey::Shared, &tokens());
        without_index(&folder, "entry_in_partition", |sql| {
            let one = "WHERE id = (SELECT min(id) FROM entry WHERE expires_on IS NOT NULL)";
            assert_eq!(sql.execute(&format!("UPDATE entry SET {other} {one}"), ()).expect("altered"), 1);
        });
        let store = folder.plaintext();
        let found = block_on(store.verify()).expect("verified");
        assert!(found.problems.iter().any(|problem| problem.contains("by their partitions")), "{other}: {found:?}");
        let recovered = block_on(store.recover()).expect("recovered");
        assert_eq!(recovered.kept + recovered.lost, 4, "{other}");
        assert!(block_on(store.verify()).expect("verified").is_sound(), "{other}");
        block_on(store.prune(NOW)).expect("pruned");
        put_all(&store, &PartitionKey::Shared, &tokens());
        block_on(store.remove(&PartitionKey::Shared)).expect("removed");
    }
}
