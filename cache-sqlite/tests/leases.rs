//! Leases over handles and processes: one holder at a time, named to those who wait; freed by its end, and by time.

mod common;

use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    CacheStore as _, Change, Changes, Clock, ErrorKind, Lease, ManualClock, PartitionKey, Result, Skip, UnixMillis,
    UnixSeconds,
};
use cache_sqlite::SqliteStore;
use cache_testkit::access_tokens::{keys, put, secret_of};
use cache_testkit::entries::access_token;
use cache_testkit::process::{self, Process};
use cache_testkit::{promises, worker_name};

use common::{Folder, SHARED, damage_last_entry, failure};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// How long a lease holds without a renewal.
const LENGTH: Duration = Duration::from_secs(60);
const ALMOST: Duration = Duration::from_millis(59_999);

fn take(store: &SqliteStore, wait: Duration) -> Result<Lease> {
    pollster::block_on(store.lease(&SHARED, "refresh", wait))
}

fn clocked(folder: &Folder, clock: &Arc<ManualClock>) -> SqliteStore {
    folder.at().plaintext().clock(Arc::clone(clock) as Arc<dyn Clock>).open().expect("a path")
}

/// A folder, a clock, and two handles that share nothing else.
fn two() -> (Folder, Arc<ManualClock>, SqliteStore, SqliteStore) {
    let (folder, clock) = (Folder::in_memory(), Arc::new(ManualClock::at(NOW)));
    let (a, b) = (clocked(&folder, &clock), clocked(&folder, &clock));
    (folder, clock, a, b)
}

fn busy<T>(result: Result<T>) -> String {
    let error = result.err().expect("somebody else holds it");
    assert_eq!((error.kind(), error.store()), (ErrorKind::Busy, Some("sqlite")), "{error}");
    error.message().to_owned()
}

/// Takes the lease at the time that it is told, says so, and keeps it until it is killed or hears a line.
#[test]
#[ignore = "a worker process of other tests"]
fn holder() {
    process::work(worker_name!(holder), |worker| {
        let store = SqliteStore::at(&worker.arguments()[0]).plaintext().clock(Arc::new(ManualClock::at(NOW)));
        let lease = take(&store.open().expect("a path"), LENGTH).expect("a lease");
        worker.say(&lease.fence().to_string());
        worker.hear();
        drop(lease);
    });
}

fn start_holder(folder: &Folder) -> Process {
    let mut holder = Process::start(worker_name!(holder), &[&folder.argument()]);
    holder.wait_for_lines(1);
    holder
}

#[test]
fn another_processs_lease_is_busy_and_its_holder_and_age_are_named() {
    let (folder, clock, store, other) = two();
    let holder = start_holder(&folder);
    clock.advance(Duration::from_millis(1234));
    for store in [&store, &other] {
        let message = busy(take(store, Duration::from_millis(20)));
        assert!(message.contains(&format!("process {}", holder.id())) && message.contains("1234 ms"), "{message}");
    }
    put(&store, &SHARED, "a").expect("a lease blocks no write");
    // Other names and other partitions are other leases.
    pollster::block_on(store.lease(&SHARED, "other", Duration::ZERO)).expect("free");
    pollster::block_on(store.lease(&PartitionKey::user("u"), "refresh", Duration::ZERO)).expect("free");
    holder.finish();
    take(&store, Duration::ZERO).expect("its end freed it");
}

#[test]
fn a_lease_is_free_after_a_release_and_after_a_drop() {
    let (_folder, _, store, other) = two();
    let mut fences = Vec::new();
    for _ in 0..3 {
        let lease = take(&store, Duration::ZERO).expect("free");
        fences.push(lease.fence());
        busy(take(&other, Duration::ZERO));
        busy(take(&store, Duration::ZERO));
        pollster::block_on(lease.release()).expect("released");
        let lease = take(&other, Duration::ZERO).expect("released");
        fences.push(lease.fence());
        drop(lease);
    }
    assert!(fences.is_sorted_by(|a, b| a < b), "fences rise: {fences:?}");
}

#[test]
fn a_lease_ends_with_its_time_and_not_before() {
    let (_folder, clock, store, other) = two();
    let mut lease = take(&store, Duration::ZERO).expect("free");
    assert_eq!(lease.remaining(), Some(LENGTH));
    clock.advance(ALMOST);
    assert_eq!(lease.remaining(), Some(Duration::from_millis(1)));
    busy(take(&other, Duration::ZERO));
    pollster::block_on(lease.renew()).expect("still held");
    assert_eq!(lease.remaining(), Some(LENGTH));
    clock.advance(ALMOST);
    busy(take(&other, Duration::ZERO));
    clock.advance(Duration::from_millis(1));
    assert_eq!(lease.remaining(), Some(Duration::ZERO));
    let mut next = take(&other, Duration::ZERO).expect("its time is over");
    assert!(next.fence() > lease.fence());
    assert!(busy(pollster::block_on(lease.renew())).contains("passed to another"));
    // The end of the one that was late is not that of the next one.
    drop(lease);
    pollster::block_on(next.renew()).expect("still held");
    busy(take(&store, Duration::ZERO));
}

#[test]
fn a_late_holder_whom_nobody_followed_renews() {
    let (_folder, clock, store, other) = two();
    let mut lease = take(&store, Duration::ZERO).expect("free");
    clock.advance(3 * LENGTH);
    pollster::block_on(lease.renew()).expect("nobody else had it");
    busy(take(&other, Duration::ZERO));
}

#[test]
fn a_clock_that_was_set_back_holds_no_lease_for_longer_than_its_length() {
    let (_folder, clock, store, other) = two();
    let _lease = take(&store, Duration::ZERO).expect("free");
    clock.set(UnixMillis(NOW.to_millis().0 - 3_600_000));
    take(&other, Duration::ZERO).expect("an end an hour from now is none of ours");
}

/// Clocks are corrected by moments all the time.
#[test]
fn a_clock_that_was_set_back_a_little_takes_nobodys_lease_away() {
    let (_folder, clock, store, other) = two();
    let mut held = take(&store, Duration::ZERO).expect("free");
    clock.set(UnixMillis(NOW.to_millis().0 - 5));
    busy(take(&other, Duration::ZERO));
    pollster::block_on(held.renew()).expect("still held");
}

#[test]
fn a_killed_holders_lease_is_free_after_its_time() {
    let (folder, clock, store, _) = two();
    let mut highest = 0;
    for _ in 0..3 {
        clock.set(NOW.to_millis());
        let mut holder = start_holder(&folder);
        let fence: u64 = holder.lines()[0].parse().expect("a number");
        holder.kill();
        assert!(busy(take(&store, Duration::ZERO)).contains(&format!("process {}", holder.id())));
        clock.advance(LENGTH);
        let lease = take(&store, Duration::ZERO).expect("its time is over");
        assert!(fence > highest && lease.fence() > fence);
        highest = lease.fence();
    }
}

#[test]
fn a_waiter_gets_the_lease_when_it_is_given_back() {
    let (folder, _, store, _) = two();
    let holder = start_holder(&folder);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| take(&store, Duration::MAX).map(drop));
        holder.finish();
        waiter.join().expect("no panic").expect("a lease");
    });
}

#[test]
fn a_fence_that_has_passed_shuts_its_holder_out() {
    let (_folder, clock, store, other) = two();
    let write = |store: &SqliteStore, lease: &Lease, key: &str| {
        let changes = Changes::new(vec![Change::put(access_token(key).secret(&secret_of(key)).entry())]);
        let committed = pollster::block_on(store.commit(&SHARED, &changes.with_fence("refresh", lease.fence())));
        committed.expect("a usable database").skipped.into_iter().map(|(_, skip)| skip).collect::<Vec<_>>()
    };
    let late = take(&store, Duration::ZERO).expect("free");
    assert_eq!(write(&store, &late, "a"), []);
    clock.advance(LENGTH);
    let next = take(&other, Duration::ZERO).expect("its time is over");
    // Also before the next holder has written anything.
    assert_eq!(write(&store, &late, "b"), [Skip::Fenced]);
    assert_eq!(write(&other, &next, "c"), []);
    assert_eq!(write(&store, &late, "d"), [Skip::Fenced]);
    // Given back, and the partition removed: fences never fall.
    pollster::block_on(next.release()).expect("released");
    pollster::block_on(store.remove(&SHARED)).expect("removed");
    assert_eq!(write(&store, &late, "e"), [Skip::Fenced]);
    assert!(keys(&store, &SHARED).expect("read").is_empty());
}

#[test]
fn a_lease_of_a_database_that_was_deleted_is_lost() {
    let (folder, _, store, other) = two();
    let mut lease = take(&store, Duration::ZERO).expect("free");
    std::fs::remove_file(folder.database()).expect("removed");
    assert_eq!(failure(pollster::block_on(lease.renew())).kind(), ErrorKind::Busy);
    let mut next = take(&other, Duration::ZERO).expect("free");
    drop(lease);
    pollster::block_on(next.renew()).expect("still held");
}

/// Its holder may write late, into the new database: under a fence that must not shut out those who came after it.
#[test]
fn a_holder_from_before_a_deletion_shuts_nobody_out() {
    let (folder, clock, store, other) = two();
    for _ in 0..3 {
        pollster::block_on(take(&store, Duration::ZERO).expect("free").release()).expect("released");
    }
    let late = take(&store, Duration::ZERO).expect("free");
    folder.delete_database();
    clock.advance(Duration::from_secs(1));
    let next = take(&other, Duration::ZERO).expect("free");
    let write = |store: &SqliteStore, lease: &Lease, key: &str| {
        let changes = Changes::new(vec![Change::put(access_token(key).secret(&secret_of(key)).entry())]);
        pollster::block_on(store.commit(&SHARED, &changes.with_fence("refresh", lease.fence()))).expect("committed")
    };
    write(&store, &late, "late");
    assert_eq!(write(&other, &next, "next").skipped, []);
    assert!(keys(&other, &SHARED).expect("read").contains(&"next".to_owned()));
}

#[test]
fn a_recovery_takes_nobodys_lease_away() {
    let (folder, _, store, other) = two();
    put(&store, &SHARED, "damaged").expect("written");
    let mut held = take(&store, Duration::ZERO).expect("free");
    damage_last_entry(&folder.database());
    assert!(pollster::block_on(other.recover()).expect("recovered").aside.is_some());
    busy(take(&other, Duration::ZERO));
    pollster::block_on(held.renew()).expect("still held");
    pollster::block_on(held.release()).expect("released");
    take(&other, Duration::ZERO).expect("free");
}

#[test]
fn no_database_is_made_to_give_a_lease_back() {
    let (folder, _, store, _) = two();
    let held = ["a", "b"].map(|name| pollster::block_on(store.lease(&SHARED, name, Duration::ZERO)).expect("free"));
    folder.delete_database();
    std::fs::remove_file(folder.beside(".lock")).expect("removed");
    let [released, dropped] = held;
    drop(dropped);
    pollster::block_on(released.release()).expect("nothing to do");
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn a_lease_that_many_reach_for_has_one_holder() {
    let folder = Folder::in_memory();
    promises::a_lease_has_one_holder(200, || folder.plaintext());
}
