//! Entries that cannot be read: what is damaged gives way to the next write, whatever else went wrong meanwhile; what is under
//! another key is not beaten by what is older.
#![cfg(unix)]

mod common;

use std::sync::Arc;

use cache_core::{
    CacheStore as _, Change, Changes, Committed, Entry, EntryId, ErrorKind, PartitionKey, Protector, Result, Skip,
    Snapshot, UnixMillis,
};
use cache_crypto::{Envelope, Key, KeyRing};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::access_tokens::{ALICE, HOST, keys, put};
use cache_testkit::entries::{access_token, refresh_token};
use cache_testkit::redis::{Server, is_installed};

use common::{
    SHARED, at, entries, entry_field, failure, names, only_partition, protected, protector, protector_of, set_field,
    wait_until,
};

/// Both ways to keep entries.
const KINDS: [fn(RedisStoreBuilder) -> RedisStoreBuilder; 2] =
    [RedisStoreBuilder::insecure_plaintext, |store| store.protector(protector())];

/// Alters each entry of a partition, past the store.
fn alter(server: &Server, partition: &str, alter: impl Fn(&mut [u8])) {
    let mut set = vec![b"HSET".to_vec(), partition.into()];
    for (tag, mut stored) in entries(server, partition) {
        alter(&mut stored);
        set.extend([entry_field(&tag), stored]);
    }
    assert_eq!(server.command(&set).to_string(), "0", "none is new");
}

/// Its value is not what it says it is any more.
fn last_byte(stored: &mut [u8]) {
    *stored.last_mut().expect("a value") ^= 1;
}

fn load(store: &RedisStore, partition: &PartitionKey) -> Snapshot {
    pollster::block_on(store.load(partition)).expect("loaded").expect("something is there")
}

fn unreadable(store: &RedisStore) -> usize {
    load(store, &SHARED).unreadable.len()
}

fn commit(store: &RedisStore, entry: Entry) -> Result<Committed> {
    pollster::block_on(store.commit(&SHARED, &Changes::new(vec![Change::put(entry)])))
}

#[test]
fn what_is_damaged_is_healed_though_the_commit_before_failed() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for open in KINDS {
        server.flush();
        let store = open(at(&server)).open().expect("a usable address");
        put(&store, &SHARED, "a").expect("written");
        alter(&server, &only_partition(&server, "token-cache"), last_byte);
        assert_eq!(unreadable(&store), 1);
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        assert_eq!(failure(put(&store, &SHARED, "a")).kind(), ErrorKind::Unavailable);
        server.command(&["CONFIG", "SET", "maxmemory", "0"]);
        // The same content as before, and nobody has read it since.
        put(&store, &SHARED, "a").expect("written");
        assert_eq!(unreadable(&store), 0, "what is acknowledged is there");
        assert_eq!(keys(&store, &SHARED).expect("read"), ["a"]);
    }
}

/// A store remembers a thousand of them.
#[test]
fn more_damaged_entries_than_are_remembered_keep_nothing_from_healing() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = at(&server).insecure_plaintext().open().expect("a usable address");
    let user = PartitionKey::user("user");
    put(&store, &SHARED, "a").expect("written");
    alter(&server, &only_partition(&server, "token-cache"), last_byte);
    let entries = (0..1_050).map(|n| access_token(&format!("{n}")).of(ALICE, HOST).entry());
    let many = Changes::new(entries.map(Change::put).collect());
    pollster::block_on(store.commit(&user, &many)).expect("written");
    for partition in names(&server, "*:h") {
        if common::entries(&server, &partition).len() > 1 {
            alter(&server, &partition, last_byte);
        }
    }
    assert_eq!(load(&store, &user).unreadable.len(), 1_050);
    assert_eq!(unreadable(&store), 1);
    put(&store, &SHARED, "a").expect("written");
    assert_eq!(unreadable(&store), 0);
    // Those that were not remembered are, once they are met again.
    wait_until(|| {
        pollster::block_on(store.commit(&user, &many)).expect("written");
        load(&store, &user).unreadable.is_empty()
    });
    assert_eq!(load(&store, &user).entries.len(), 1_050);
}

/// Times are readable to the server, so that its script can merge; somebody may have made one of an age to come.
#[test]
fn a_damaged_time_keeps_nothing_from_being_written() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = protected(&server);
    let token = |secret: &str, at| refresh_token("a").of(ALICE, HOST).secret(secret).at(UnixMillis(at)).entry();
    commit(&store, token("first", 1_000)).expect("written");
    alter(&server, &only_partition(&server, "token-cache"), |stored| stored[2..10].fill(0xff));
    assert_eq!(unreadable(&store), 1);
    assert_eq!(commit(&store, token("second", 2_000)).expect("written").skipped, []);
    assert_eq!(load(&store, &SHARED).entries[0].entry, token("second", 2_000));
    // From then on times count again.
    let late = commit(&store, token("first", 1_000)).expect("a sound partition");
    assert_eq!(late.skipped, [(token("first", 0).id, Skip::NewerPresent)]);
}

#[test]
fn what_is_damaged_goes_with_its_account_and_by_its_id() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let store = protected(&server);
    for removal in [
        Change::remove(EntryId::new("AccessToken", "a")),
        Change::RemoveAccount { home_account_id: ALICE.into(), environments: [HOST.into()].into() },
    ] {
        put(&store, &SHARED, "a").expect("written");
        alter(&server, &only_partition(&server, "token-cache"), last_byte);
        assert_eq!(unreadable(&store), 1);
        let done = pollster::block_on(store.commit(&SHARED, &Changes::new(vec![removal]))).expect("removed");
        assert_eq!(done.after, None);
        assert!(names(&server, "*:h").is_empty());
    }
}

/// An old node does not have the key that a new one writes with: to it the entry is not readable, and not damaged either.
#[test]
fn what_is_under_a_key_that_is_not_at_hand_is_not_beaten_by_what_is_older() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let key = |seed| Key::from_bytes(&[seed; Key::LEN]);
    let both: Arc<dyn Protector> = Arc::new(Envelope::with_key_ring(KeyRing::from(key(2)).and(key(1))));
    let open = |protector| at(&server).protector(protector).open().expect("a usable address");
    let (old, new) = (open(protector_of(1)), open(both));
    let token = |secret: &str, at| refresh_token("a").of(ALICE, HOST).secret(secret).at(UnixMillis(at)).entry();
    let id = token("", 0).id;
    let newest = || {
        let found = pollster::block_on(new.get(&SHARED, std::slice::from_ref(&id))).expect("read").remove(0);
        found.expect("it is there").entry
    };
    commit(&old, token("first", 1_000)).expect("written");
    commit(&new, token("third", 3_000)).expect("written");
    assert_eq!(unreadable(&old), 1, "with a key that it does not have");

    let done = commit(&old, token("second", 2_000)).expect("a sound partition");
    assert_eq!(done.skipped, [(id.clone(), Skip::NewerPresent)]);
    assert_eq!(newest(), token("third", 3_000), "the newest refresh token is not lost");
    // The same content, under the key that it has: from now on both can read it.
    assert_eq!(commit(&old, token("third", 3_000)).expect("written").skipped, []);
    assert_eq!((unreadable(&old), newest()), (0, token("third", 3_000)));
    // And what is newer wins as ever.
    commit(&new, token("fourth", 4_000)).expect("written");
    assert_eq!(unreadable(&old), 1);
    assert_eq!(commit(&old, token("fifth", 5_000)).expect("written").skipped, []);
    assert_eq!(newest(), token("fifth", 5_000));
}

/// No list leaves one out in silence.
#[test]
fn a_damaged_name_is_told_and_written_anew_by_the_next_commit() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for open in KINDS {
        server.flush();
        let store = open(at(&server)).open().expect("a usable address");
        put(&store, &SHARED, "a").expect("written");
        set_field(&server, &only_partition(&server, "token-cache"), b"m", b"damaged");
        put(&store, &PartitionKey::user("other"), "a").expect("others are not hindered");
        let error = failure(pollster::block_on(store.partitions(None, 9)));
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{:?} {error}", error.kind());
        assert_eq!(keys(&store, &SHARED).expect("its entries are sound"), ["a"]);

        // The same content changes nothing, and so does not write it.
        put(&store, &SHARED, "b").expect("written");
        assert_eq!(pollster::block_on(store.partitions(None, 9)).expect("listed").len(), 2);
    }
}
