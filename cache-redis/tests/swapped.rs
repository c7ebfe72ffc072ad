//! What somebody can do who may write to the server and has no key: values and fields moved between users, accounts, entries
//! and stores, and altered where they are readable. None is handed out in another's place.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::slice;

use cache_core::{
    Blob, CacheStore as _, Change, Changes, Entry, EntryId, PartitionKey, Stored, UnixMillis, UnixSeconds,
};
use cache_redis::{RedisStore, RedisStoreBuilder};
use cache_testkit::entries::{access_token, account, refresh_token};
use cache_testkit::redis::{Server, is_installed};

use common::{at, entries, entry_field, names, protector, set_field};

const KINDS: [fn(RedisStoreBuilder) -> RedisStoreBuilder; 2] =
    [RedisStoreBuilder::insecure_plaintext, |store| store.protector(protector())];

const PREFIXES: [&str; 2] = ["a", "b"];
const HOST: &str = "login.windows.net";

/// Where the parts of a stored entry lie.
const FLAGS: usize = 1;
const WRITTEN: usize = 2;
const EXPIRES: usize = 10;
const ACCOUNT: usize = 18;
const VALUE: usize = 52;

fn users() -> [PartitionKey; 2] {
    ["alice.home", "bob.home"].map(PartitionKey::user)
}

/// Both users have the same entries under the same ids, with secrets of their own; and so it is under both prefixes.
struct Setup {
    server: Server,
    stores: [RedisStore; 2],
}

/// An entry's place: its store, its user, its id.
type At = (usize, usize, EntryId);

impl Setup {
    fn new(open: fn(RedisStoreBuilder) -> RedisStoreBuilder) -> Self {
        let server = Server::start();
        let stores = PREFIXES.map(|prefix| open(at(&server).prefix(prefix)).open().expect("a usable address"));
        let setup = Self { server, stores };
        setup.fill();
        setup
    }

    fn fill(&self) {
        self.server.flush();
        for (which, store) in self.stores.iter().enumerate() {
            for (n, user) in users().iter().enumerate() {
                let changes = of_user(which, n).into_iter().map(Change::put).collect();
                pollster::block_on(store.commit(user, &Changes::new(changes))).expect("committed");
            }
        }
    }

    /// The keys of the partitions: two under the first prefix, two under the second.
    fn keys(&self) -> [String; 4] {
        names(&self.server, "*:h").try_into().expect("two users in two stores")
    }

    /// Every stored entry: its key, its tag, what is stored.
    fn all(&self) -> Vec<(String, Vec<u8>, Vec<u8>)> {
        let of = |key: String| {
            let entries = entries(&self.server, &key);
            entries.into_iter().map(move |(tag, stored)| (key.clone(), tag, stored))
        };
        self.keys().into_iter().flat_map(of).collect()
    }

    /// All that is handed out, by every way to read.
    fn handed_out(&self) -> BTreeMap<At, Stored> {
        let mut all = BTreeMap::new();
        for (which, store) in self.stores.iter().enumerate() {
            for (n, user) in users().iter().enumerate() {
                let of_user = of_user(which, n);
                let ids: Vec<EntryId> = of_user.iter().map(|entry| entry.id.clone()).collect();
                let terms: Vec<_> = of_user.iter().flat_map(Entry::lookup_terms).collect();
                let loaded = pollster::block_on(store.load(user)).expect("loaded").map(|loaded| loaded.entries);
                let found = pollster::block_on(store.find(user, &terms)).expect("found").map(|found| found.entries);
                let got = pollster::block_on(store.get(user, &ids)).expect("read");
                let one_by_one =
                    ids.iter().flat_map(|id| pollster::block_on(store.get(user, slice::from_ref(id))).expect("read"));
                assert_eq!(one_by_one.collect::<Vec<_>>(), got);
                for (id, got) in ids.iter().zip(&got) {
                    assert!(got.as_ref().is_none_or(|got| got.entry.id == *id), "another entry than the one asked for");
                }
                for stored in [loaded, found, Some(got.into_iter().flatten().collect())].into_iter().flatten().flatten()
                {
                    let key = (which, n, stored.entry.id.clone());
                    let other = all.insert(key, stored.clone());
                    assert!(other.is_none_or(|other| other == stored), "two answers");
                }
            }
        }
        all
    }
}

fn of_user(store: usize, user: usize) -> Vec<Entry> {
    let (home, secret) = (["alice.home", "bob.home"][user], format!("secret of {user} in {store}"));
    let now = UnixMillis(1_800_000_000_000);
    let expires = UnixSeconds(1_800_003_600);
    vec![
        account("account").of(home, HOST).field("username", &secret).at(now).entry(),
        refresh_token("rt").of(home, HOST).secret(&secret).at(now).entry(),
        access_token("at 1").of(home, HOST).secret(&secret).at(now).expires(expires).entry(),
        access_token("at 2").of(home, HOST).secret(&format!("another {secret}")).at(now).expires(expires).entry(),
        // Of another account in the same partition.
        access_token("guest").of("guest.home", HOST).secret(&secret).at(now).expires(expires).entry(),
    ]
}

/// What was tried, and how many entries are handed out after it at most.
/// One of many things that was done to the server: what is handed out after it is what was there before, and less.
#[track_caller]
fn assert_fewer(setup: &Setup, before: &BTreeMap<At, Stored>, fewer: usize, what: &str) {
    let after = setup.handed_out();
    assert_eq!(after.len(), before.len() - fewer, "{what}");
    for (key, stored) in &after {
        assert_eq!(before.get(key), Some(stored), "{what}");
    }
}

#[test]
fn a_value_in_the_place_of_another_is_not_handed_out() {
    if !is_installed() {
        return;
    }
    for open in KINDS {
        let setup = Setup::new(open);
        let before = setup.handed_out();
        assert_eq!(before.len(), 2 * 2 * 5);
        let all = setup.all();
        for (key, tag, original) in &all {
            // Of another entry, another account, another user, another store.
            for (from, _, value) in all.iter().filter(|(_, _, value)| value != original) {
                set_field(&setup.server, key, &entry_field(tag), value);
                assert_fewer(&setup, &before, 1, &format!("from {from} to {key}"));
            }
            set_field(&setup.server, key, &entry_field(tag), original);
        }
        assert_eq!(setup.handed_out(), before, "all is as it was");
    }
}

#[test]
fn a_field_of_another_partition_is_not_handed_out() {
    if !is_installed() {
        return;
    }
    for open in KINDS {
        let setup = Setup::new(open);
        let before = setup.handed_out();
        for (from, tag, value) in setup.all() {
            for to in setup.keys().into_iter().filter(|to| *to != from) {
                set_field(&setup.server, &to, &entry_field(&tag), &value);
            }
        }
        assert_fewer(&setup, &before, 0, "copied in beside the others");
        // Nor does it get in the way: what is written and removed there is.
        let id = EntryId::new("AccessToken", "at 1");
        for (store, user) in setup.stores.iter().flat_map(|store| users().map(|user| (store, user))) {
            let changes = Changes::new(vec![Change::remove(id.clone())]);
            assert_eq!(pollster::block_on(store.commit(&user, &changes)).expect("committed").skipped, []);
        }
        assert_fewer(&setup, &before, 4, "one of each was removed");
    }
}

#[test]
fn partitions_that_changed_their_names_hand_out_nothing() {
    if !is_installed() {
        return;
    }
    for open in KINDS {
        let setup = Setup::new(open);
        let [a, b, c, d] = setup.keys();
        for [one, two] in [[&a, &b], [&c, &d], [&b, &c]] {
            setup.server.command(&["RENAME", one, "meanwhile"]);
            setup.server.command(&["RENAME", two, one]);
            setup.server.command(&["RENAME", "meanwhile", two]);
        }
        assert_eq!(setup.handed_out().len(), 0);
    }
}

#[test]
fn what_is_readable_of_an_entry_is_part_of_what_is_sealed() {
    if !is_installed() {
        return;
    }
    let [_, open] = KINDS;
    let setup = Setup::new(open);
    let before = setup.handed_out();
    for (key, tag, original) in setup.all() {
        let alter = |what: &str, alter: &dyn Fn(&mut [u8])| {
            let mut altered = original.clone();
            alter(&mut altered);
            set_field(&setup.server, &key, &entry_field(&tag), &altered);
            assert_fewer(&setup, &before, 1, what);
            set_field(&setup.server, &key, &entry_field(&tag), &original);
        };
        let flags = original[FLAGS];
        if flags & 1 != 0 {
            alter("nobody's", &|entry| entry[FLAGS] &= !1);
            alter("another account's", &|entry| entry[ACCOUNT] ^= 1);
        }
        if flags & 2 != 0 {
            alter("of no time", &|entry| entry[FLAGS] &= !2);
            alter("written a millisecond later", &|entry| entry[EXPIRES - 1] ^= 1);
            alter("written ages ago", &|entry| entry[WRITTEN] = 0);
        }
        if flags & 4 == 0 {
            alter("that expires", &|entry| entry[FLAGS] |= 4);
        } else {
            alter("that never expires", &|entry| entry[FLAGS] &= !4);
            alter("that expires a second later", &|entry| entry[ACCOUNT - 1] ^= 1);
        }
    }
}

/// The rest of it tells the script how to merge, and stands for no content: whatever it says, an entry is what it was.
#[test]
fn no_byte_in_front_of_the_value_makes_another_entry_of_it() {
    if !is_installed() {
        return;
    }
    for (open, is_protected) in KINDS.into_iter().zip([false, true]) {
        let setup = Setup::new(open);
        let before = setup.handed_out();
        for (key, tag, original) in setup.all().into_iter().take(5) {
            for at in (0..VALUE).chain((VALUE..original.len()).step_by(5)) {
                let mut altered = original.clone();
                altered[at] ^= 1 << (at % 8);
                set_field(&setup.server, &key, &entry_field(&tag), &altered);
                let after = setup.handed_out();
                assert!(after.len() + 1 >= before.len(), "byte {at} takes others along");
                for (id, stored) in after {
                    let (was, is) = (before[&id].entry.clone(), stored.entry);
                    assert_eq!(told(&is), told(&was), "byte {at}");
                    // Times of plaintext are only as good as the server.
                    assert!(!is_protected || is == was, "byte {at}");
                }
            }
            set_field(&setup.server, &key, &entry_field(&tag), &original);
        }
    }
}

/// What an entry says, but for times; a host is the same in either case.
fn told(entry: &Entry) -> (&EntryId, Option<(&str, String)>, &Blob) {
    let account = entry.account.as_ref().map(|of| (&*of.home_account_id, of.environment.to_ascii_lowercase()));
    (&entry.id, account, &entry.json)
}
