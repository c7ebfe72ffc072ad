//! How long keys stay: no partition and no lease is ever without an expiry, which is that of what it holds the longest.
#![cfg(unix)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    CacheStore as _, Change, Changes, Clock, Entry, EntryId, ManualClock, PartitionKey, PersistedTokenCache,
    UnixMillis, UnixSeconds, blocking,
};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::{self, ALICE, HOST};
use cache_testkit::entries::{access_token, account, app_metadata, id_token, refresh_token, unknown_section};
use cache_testkit::random::Random;
use cache_testkit::redis::{Reply, Server, is_installed};

use common::{SHARED, at, names, protector};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// How long what does not expire by itself is kept where a test says so.
const KEPT_FOR: i64 = 10 * DAY;

/// However soon all of it expires, a partition stays so long: in seconds.
const LEAST: i64 = 300;

/// A store in a server of its own, with a clock of the test's.
struct Setup {
    server: Server,
    clock: Arc<ManualClock>,
    store: RedisStore,
}

impl Setup {
    fn new() -> Self {
        let (server, clock) = (Server::start(), Arc::new(ManualClock::at(NOW)));
        let store = at(&server).protector(protector()).clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let store = store.kept_for(Duration::from_secs(KEPT_FOR.unsigned_abs())).open().expect("a usable address");
        Self { server, clock, store }
    }

    fn commit(&self, changes: Vec<Change>) {
        let done = pollster::block_on(self.store.commit(&SHARED, &Changes::new(changes))).expect("committed");
        assert_eq!(done.skipped, []);
    }

    fn put(&self, entries: impl IntoIterator<Item = Entry>) {
        self.commit(entries.into_iter().map(Change::put).collect());
    }

    /// For how many seconds the only partition stays.
    #[track_caller]
    fn stays_for(&self) -> i64 {
        let left = milliseconds_left(&self.server, &common::only_partition(&self.server, "token-cache"));
        // Rounded up: some of it has passed.
        (left + 999) / 1000
    }

    #[track_caller]
    fn assert_stays_for(&self, seconds: i64) {
        let left = self.stays_for();
        // A loaded machine may take a while to get here.
        assert!((seconds - 60..=seconds).contains(&left), "{left} s left, not {seconds}");
    }
}

/// As `PTTL` tells it: -1 without an expiry.
fn milliseconds_left(server: &Server, key: &str) -> i64 {
    let Reply::Integer(left) = server.command(&["PTTL", key]) else { panic!("a number") };
    left
}

/// Every key of the server, a page at a time.
fn scan(server: &Server) -> Vec<String> {
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    loop {
        let page = server.command(&["SCAN", &cursor, "COUNT", "100"]);
        let [next, found] = page.items() else { panic!("a cursor and keys: {page}") };
        keys.extend(found.items().iter().map(Reply::to_string));
        cursor = next.to_string();
        if cursor == "0" {
            return keys;
        }
    }
}

/// Only the head of the store and the list of its partitions stay for ever.
#[track_caller]
fn assert_all_expire(server: &Server) -> usize {
    let mut expire = 0;
    for key in scan(server) {
        if key.ends_with(":head") || key.contains(":{list-") {
            continue;
        }
        assert!(milliseconds_left(server, &key) > 0, "{key} has no expiry");
        expire += 1;
    }
    expire
}

fn token(key: &str, lives_for: i64) -> Entry {
    access_token(key).of(ALICE, HOST).expires(NOW.plus(lives_for)).entry()
}

#[test]
fn no_key_is_ever_without_an_expiry() {
    if !is_installed() {
        return;
    }
    let setup = Setup::new();
    let mut random = Random(0x5851_F42D_4C95_7F2D);
    let (mut most, mut fewest) = (0, usize::MAX);
    for n in 0..400 {
        let partition = PartitionKey::user(&random.below(8).to_string());
        let key = ["a", "b", "c"][random.below(3)];
        let put = |entry: Entry| Changes::new(vec![Change::put(entry)]);
        let lives_for = [-9 * DAY, -1, 60, HOUR, 20 * DAY, i64::MAX / 2_000][random.below(6)];
        let changes = match random.below(12) {
            0 => put(refresh_token(key).of(ALICE, HOST).secret(&n.to_string()).entry()),
            1 => put(account(key).of(ALICE, HOST).field("username", &n.to_string()).entry()),
            2 => put(id_token(key).of(ALICE, HOST).entry()),
            3 => put(app_metadata(key).entry()),
            4 => put(unknown_section("Other", &format!("{{\"n\":{n}}}"))),
            5 | 6 => put(token(key, lives_for)),
            7 => Changes::new(vec![Change::remove(EntryId::new("AccessToken", key))]),
            8 => Changes::new(vec![Change::RemoveAccount {
                home_account_id: ALICE.into(),
                environments: [HOST.into()].into(),
            }]),
            9 => put(token(key, HOUR)).with_fence("refresh", NOW.to_millis().0.unsigned_abs() + n),
            10 => {
                pollster::block_on(setup.store.remove(&partition)).expect("removed");
                Changes::default()
            }
            _ => {
                let lease = pollster::block_on(setup.store.lease(&partition, key, Duration::from_secs(60)));
                let mut lease = lease.expect("nobody else has it for long");
                assert_all_expire(&setup.server);
                pollster::block_on(lease.renew()).expect("it is ours");
                assert_all_expire(&setup.server);
                pollster::block_on(lease.release()).expect("released");
                Changes::default()
            }
        };
        pollster::block_on(setup.store.commit(&partition, &changes)).expect("committed");
        let expire = assert_all_expire(&setup.server);
        (most, fewest) = (most.max(expire), fewest.min(expire));
        setup.clock.advance(Duration::from_secs(random.below(HOUR as usize) as u64));
    }
    assert!(most >= 20 && fewest <= 3, "partitions and leases came and went: {fewest} to {most} keys");
    assert!(names(&setup.server, "*:l:*").len() > 1, "leases are among them");
}

#[test]
fn a_partition_stays_until_its_last_token_expires() {
    if !is_installed() {
        return;
    }
    let setup = Setup::new();
    setup.put([token("a", HOUR)]);
    setup.assert_stays_for(HOUR);
    setup.put([token("b", 5 * HOUR)]);
    setup.assert_stays_for(5 * HOUR);
    // One that expires earlier, written later, shortens nothing.
    setup.put([token("c", 2 * HOUR)]);
    setup.assert_stays_for(5 * HOUR);
    // Nor does a clock that goes ahead of the server's.
    setup.clock.advance(Duration::from_secs(2 * 3600));
    setup.put([token("d", 3 * HOUR)]);
    setup.assert_stays_for(5 * HOUR);
}

#[test]
fn what_a_sign_in_for_access_tokens_alone_writes_goes_with_them() {
    if !is_installed() {
        return;
    }
    let setup = Setup::new();
    let cache = PersistedTokenCache::builder(setup.store.clone()).clock(Arc::clone(&setup.clock) as Arc<dyn Clock>);
    let cache = blocking::PersistedTokenCache::new(cache.build());
    let app = PartitionKey::app("client", Some("tenant"));
    let stored = cache.update(&app, |tokens| {
        tokens.insert(cache_core::schema::AccessToken { home_account_id: None, ..access_tokens::token("graph", NOW) })
    });
    stored.expect("an update").value.expect("a complete token");
    setup.assert_stays_for(HOUR);
    // An ID token and an account beside them do not keep them.
    setup.server.flush();
    setup.put([
        token("a", HOUR),
        id_token("i").of(ALICE, HOST).entry(),
        account("u").of(ALICE, HOST).entry(),
        app_metadata("m").entry(),
    ]);
    setup.assert_stays_for(HOUR);
    setup.put([account("u").of(ALICE, HOST).field("username", "another").entry()]);
    setup.assert_stays_for(HOUR);
}

#[test]
fn refresh_tokens_and_what_is_not_understood_stay_as_long_as_the_store_says() {
    if !is_installed() {
        return;
    }
    let setup = Setup::new();
    for entry in [
        refresh_token("r").of(ALICE, HOST).entry(),
        unknown_section("Other", "{}"),
        access_token("of no expiry").of(ALICE, HOST).entry(),
        account("alone").of(ALICE, HOST).entry(),
    ] {
        setup.server.flush();
        setup.put([entry.clone()]);
        setup.assert_stays_for(KEPT_FOR);
        // Nothing was written: that is no use of it.
        setup.clock.advance(Duration::from_secs(DAY.unsigned_abs()));
        setup.put([entry]);
        setup.assert_stays_for(KEPT_FOR);
    }
    setup.server.flush();
    setup.put([refresh_token("r").of(ALICE, HOST).entry(), token("a", HOUR)]);
    setup.assert_stays_for(KEPT_FOR);
    // A clock that is far ahead makes nothing go earlier.
    let now = setup.clock.now();
    setup.clock.advance(Duration::from_secs((2 * KEPT_FOR).unsigned_abs()));
    setup.put([token("b", HOUR)]);
    setup.assert_stays_for(KEPT_FOR);
    setup.clock.set(now);
    // A rotated one is kept anew.
    setup.clock.advance(Duration::from_secs(DAY.unsigned_abs()));
    setup.put([refresh_token("r").of(ALICE, HOST).secret("rotated").entry()]);
    setup.assert_stays_for(KEPT_FOR);
}

#[test]
fn whatever_the_entries_say_the_expiry_is_neither_now_nor_beyond_what_redis_takes() {
    if !is_installed() {
        return;
    }
    let setup = Setup::new();
    for (lives_for, seconds) in [(-DAY, LEAST), (0, LEAST), (1, LEAST), (i64::MAX / 4, 3650 * DAY)] {
        setup.server.flush();
        setup.put([token("a", lives_for)]);
        setup.assert_stays_for(seconds);
    }
    // A clock that is wrong by ages does no harm either.
    for now in [UnixMillis(0), UnixMillis(NOW.to_millis().0 * 4)] {
        setup.server.flush();
        setup.clock.set(now);
        setup.put([token("a", HOUR), refresh_token("r").of(ALICE, HOST).entry()]);
        assert!(setup.stays_for() >= LEAST);
    }
}

#[test]
fn a_lease_is_remembered_for_its_fences_and_no_longer() {
    if !is_installed() {
        return;
    }
    let setup = Setup::new();
    let lease = pollster::block_on(setup.store.lease(&SHARED, "refresh", Duration::ZERO)).expect("nobody has it");
    let changes = Changes::new(vec![Change::put(token("a", HOUR))]).with_fence("refresh", lease.fence());
    pollster::block_on(setup.store.commit(&SHARED, &changes)).expect("committed");
    pollster::block_on(lease.release()).expect("released");
    let leases = names(&setup.server, "*:l:*");
    assert_eq!(leases.len(), 1);
    let left = milliseconds_left(&setup.server, &leases[0]) / 1000;
    assert!((DAY - 60..=DAY).contains(&left), "{left} s left");
}

/// Redis itself drops the partition: nobody needs to come by.
#[test]
fn an_expired_partition_is_gone_from_the_store_and_from_its_list() {
    if !is_installed() {
        return;
    }
    let setup = Setup::new();
    setup.put([token("a", HOUR)]);
    let key = common::only_partition(&setup.server, "token-cache");
    setup.server.command(&["PEXPIRE", &key, "0"]);
    assert!(pollster::block_on(setup.store.load(&SHARED)).expect("loaded").is_none());
    assert_eq!(pollster::block_on(setup.store.stamp(&SHARED)).expect("read"), None);
    assert_eq!(pollster::block_on(setup.store.partitions(None, 9)).expect("listed"), []);
    let before = pollster::block_on(setup.store.commit(&SHARED, &Changes::new(vec![Change::put(token("b", HOUR))])));
    assert_eq!(before.expect("committed").before, None);
    assert_eq!(pollster::block_on(setup.store.partitions(None, 9)).expect("listed"), [SHARED]);
}
