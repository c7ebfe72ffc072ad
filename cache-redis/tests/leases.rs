//! Leases over handles and processes: one holder at a time, named to those who wait; freed by its end, and by time.
#![cfg(unix)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use cache_core::{
    CacheStore as _, Change, Changes, Clock, ErrorKind, Lease, ManualClock, PartitionKey, Result, Skip, UnixMillis,
    UnixSeconds,
};
use cache_redis::RedisStore;
use cache_testkit::access_tokens::{keys, put, secret_of};
use cache_testkit::entries::access_token;
use cache_testkit::process::{self, Process};
use cache_testkit::redis::{Server, is_installed};
use cache_testkit::worker_name;

use common::proxy::{Asked, in_front_of};
use common::{PATIENCE, SHARED, SHORT, at_url, failure, names, protected, wait_until};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// How long a lease holds without a renewal.
const LENGTH: Duration = Duration::from_secs(60);
const ALMOST: Duration = Duration::from_millis(59_999);

fn take(store: &RedisStore, wait: Duration) -> Result<Lease> {
    pollster::block_on(store.lease(&SHARED, "refresh", wait))
}

fn clocked(url: &str, clock: &Arc<ManualClock>) -> RedisStore {
    let store = at_url(url).insecure_plaintext().clock(Arc::clone(clock) as Arc<dyn Clock>);
    store.open().expect("a usable address")
}

/// A server, a clock, and two stores that share nothing else.
fn two() -> (Server, Arc<ManualClock>, RedisStore, RedisStore) {
    let (server, clock) = (Server::start(), Arc::new(ManualClock::at(NOW)));
    let (a, b) = (clocked(&server.url(), &clock), clocked(&server.url(), &clock));
    (server, clock, a, b)
}

fn busy<T>(result: Result<T>) -> String {
    let error = result.err().expect("somebody else holds it");
    assert_eq!((error.kind(), error.store()), (ErrorKind::Busy, Some("redis")), "{error}");
    error.message().to_owned()
}

/// What the store says of a write under this fence.
fn write(store: &RedisStore, fence: u64, key: &str) -> Vec<Skip> {
    let changes = Changes::new(vec![Change::put(access_token(key).secret(&secret_of(key)).entry())]);
    let committed = pollster::block_on(store.commit(&SHARED, &changes.with_fence("refresh", fence)));
    committed.expect("a usable server").skipped.into_iter().map(|(_, skip)| skip).collect()
}

/// Takes the lease, says its fence, and keeps it until it is killed or hears a line.
#[test]
#[ignore = "a worker process of other tests"]
fn holder() {
    process::work(worker_name!(holder), |worker| {
        let store = clocked(&worker.arguments()[0], &Arc::new(ManualClock::at(NOW)));
        let lease = take(&store, LENGTH).expect("a lease");
        worker.say(&lease.fence().to_string());
        worker.hear();
        pollster::block_on(lease.release()).expect("released");
    });
}

fn start_holder(server: &Server) -> Process {
    let mut holder = Process::start(worker_name!(holder), &[&server.url()]);
    holder.wait_for_lines(1);
    holder
}

#[test]
fn another_processs_lease_is_busy_and_its_holder_and_age_are_named() {
    if !is_installed() {
        return;
    }
    let (server, clock, store, other) = two();
    let holder = start_holder(&server);
    clock.advance(Duration::from_millis(1234));
    for store in [&store, &other] {
        let message = busy(take(store, Duration::from_millis(20)));
        assert!(message.contains(&format!("process {}", holder.id())) && message.contains("1234 ms"), "{message}");
    }
    put(&store, &SHARED, "a").expect("a lease blocks no write");
    // Other names and other partitions are other leases.
    drop(pollster::block_on(store.lease(&SHARED, "other", Duration::ZERO)).expect("free"));
    drop(pollster::block_on(store.lease(&PartitionKey::user("u"), "refresh", Duration::ZERO)).expect("free"));
    holder.finish();
    take(&store, Duration::ZERO).expect("its end freed it");
}

#[test]
fn a_lease_is_free_after_a_release_and_soon_after_a_drop() {
    if !is_installed() {
        return;
    }
    let (_server, _, store, other) = two();
    let mut fences = Vec::new();
    for _ in 0..3 {
        // Whoever drops it does not wait for the server.
        let lease = take(&store, PATIENCE).expect("free");
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
    if !is_installed() {
        return;
    }
    let (_server, clock, store, other) = two();
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
    pollster::block_on(lease.release()).expect("nothing to do");
    pollster::block_on(next.renew()).expect("still held");
    busy(take(&store, Duration::ZERO));
}

#[test]
fn a_late_holder_whom_nobody_followed_renews() {
    if !is_installed() {
        return;
    }
    let (_server, clock, store, other) = two();
    let mut lease = take(&store, Duration::ZERO).expect("free");
    clock.advance(3 * LENGTH);
    pollster::block_on(lease.renew()).expect("nobody else had it");
    busy(take(&other, Duration::ZERO));
}

#[test]
fn a_clock_that_was_set_back_holds_no_lease_for_ever_and_takes_none_away() {
    if !is_installed() {
        return;
    }
    let (_server, clock, store, other) = two();
    let mut held = take(&store, Duration::ZERO).expect("free");
    // Clocks are corrected by moments all the time.
    clock.set(UnixMillis(NOW.to_millis().0 - 5));
    busy(take(&other, Duration::ZERO));
    pollster::block_on(held.renew()).expect("still held");
    clock.set(UnixMillis(NOW.to_millis().0 - 3_600_000));
    let next = take(&other, Duration::ZERO).expect("an end an hour from now is none of ours");
    assert!(next.fence() > held.fence(), "whatever the clock says");
}

#[test]
fn a_killed_holders_lease_is_free_after_its_time() {
    if !is_installed() {
        return;
    }
    let (server, clock, store, _) = two();
    let mut highest = 0;
    for _ in 0..3 {
        clock.set(NOW.to_millis());
        let mut holder = start_holder(&server);
        let fence: u64 = holder.lines()[0].parse().expect("a number");
        holder.kill();
        assert!(busy(take(&store, Duration::ZERO)).contains(&format!("process {}", holder.id())));
        clock.advance(LENGTH);
        let lease = take(&store, Duration::ZERO).expect("its time is over");
        assert!(fence > highest && lease.fence() > fence);
        highest = lease.fence();
        pollster::block_on(lease.release()).expect("released");
    }
}

#[test]
fn a_waiter_gets_the_lease_when_it_is_given_back() {
    if !is_installed() {
        return;
    }
    let (server, _, store, _) = two();
    let holder = start_holder(&server);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| take(&store, Duration::MAX).map(drop));
        holder.finish();
        waiter.join().expect("no panic").expect("a lease");
    });
}

#[test]
fn a_fence_that_has_passed_shuts_its_holder_out() {
    if !is_installed() {
        return;
    }
    let (_server, clock, store, other) = two();
    let late = take(&store, Duration::ZERO).expect("free");
    assert_eq!(write(&store, late.fence(), "a"), []);
    clock.advance(LENGTH);
    let next = take(&other, Duration::ZERO).expect("its time is over");
    // Also before the next holder has written anything.
    assert_eq!(write(&store, late.fence(), "b"), [Skip::Fenced]);
    assert_eq!(write(&other, next.fence(), "c"), []);
    assert_eq!(write(&store, late.fence(), "d"), [Skip::Fenced]);
    // Given back, and the partition removed: fences never fall.
    pollster::block_on(next.release()).expect("released");
    pollster::block_on(store.remove(&SHARED)).expect("removed");
    assert_eq!(write(&store, late.fence(), "e"), [Skip::Fenced]);
    assert!(keys(&store, &SHARED).expect("read").is_empty());
}

/// Also of a store with a runtime of its own, where work goes on that nobody waits for.
#[test]
fn who_waits_no_more_asks_for_no_lease() {
    if !is_installed() {
        return;
    }
    let (server, _, store, other) = two();
    let held = take(&other, Duration::ZERO).expect("free");
    let mut waiting = store.lease(&SHARED, "refresh", Duration::MAX);
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(waiting);
    let asked = || {
        // Several times as long as there is between two tries.
        std::thread::sleep(Duration::from_millis(500));
        let scripts = server.command(&["INFO", "commandstats"]).to_string();
        scripts.lines().find(|line| line.contains("evalsha")).map(str::to_owned)
    };
    assert_eq!(asked(), asked());
    pollster::block_on(held.release()).expect("released");
}

/// Numbers in scripts are exact up to 2^53.
#[test]
fn a_fence_that_no_store_has_given_is_refused_and_spoils_no_lease() {
    if !is_installed() {
        return;
    }
    let (server, _, store, other) = two();
    for wild in [(1 << 52) + 1, u64::MAX] {
        let put = Changes::new(vec![Change::put(access_token("a").entry())]).with_fence("refresh", wild);
        assert_eq!(failure(pollster::block_on(store.commit(&SHARED, &put))).kind(), ErrorKind::InvalidInput);
    }
    assert!(names(&server, "*").is_empty(), "nothing was written");
    let lease = take(&other, Duration::ZERO).expect("free");
    assert_eq!(write(&other, lease.fence(), "a"), []);
}

#[test]
fn a_lease_of_a_server_that_was_emptied_is_lost() {
    if !is_installed() {
        return;
    }
    let (server, _, store, other) = two();
    let mut lease = take(&store, Duration::ZERO).expect("free");
    server.flush();
    busy(pollster::block_on(lease.renew()));
    let mut next = take(&other, Duration::ZERO).expect("free");
    pollster::block_on(lease.release()).expect("nothing to do");
    pollster::block_on(next.renew()).expect("still held");
}

/// Its holder may write late, into the server that was emptied: under a fence that must not shut out those who came after it.
#[test]
fn a_holder_from_before_the_server_was_emptied_shuts_nobody_out() {
    if !is_installed() {
        return;
    }
    let (server, clock, store, other) = two();
    for _ in 0..3 {
        pollster::block_on(take(&store, Duration::ZERO).expect("free").release()).expect("released");
    }
    let late = take(&store, Duration::ZERO).expect("free");
    server.flush();
    clock.advance(Duration::from_secs(1));
    let next = take(&other, Duration::ZERO).expect("free");
    write(&store, late.fence(), "late");
    assert_eq!(write(&other, next.fence(), "next"), []);
    assert!(keys(&other, &SHARED).expect("read").contains(&"next".to_owned()));
}

/// The server has given it, and nobody has heard.
#[test]
fn a_lease_whose_answer_was_lost_is_held_by_who_asks_again_and_else_by_nobody() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let other = protected(&server);
    put(&other, &SHARED, "a").expect("written");
    // It knows the scripts.
    pollster::block_on(take(&other, Duration::ZERO).expect("free").release()).expect("released");
    // In the place of the answer: that the server is not ready yet, and nothing.
    for instead in [&b"-LOADING wait\r\n"[..], b""] {
        let (control, is_given) = (Mutex::new(server.connect()), Arc::new(AtomicBool::new(false)));
        let url = in_front_of(&server, {
            let is_given = Arc::clone(&is_given);
            move |request| {
                let is_first = || !is_given.swap(true, Ordering::SeqCst);
                if request.asked() == Asked::Lease && request.has("take") && is_first() {
                    let reply = control.lock().expect("no panic").command(&request.0).expect("the server answers");
                    assert_eq!(reply.items()[0].to_string(), "held");
                    return Some(instead.to_vec());
                }
                None
            }
        });
        let store = at_url(&url).protector(common::protector());
        if instead.is_empty() {
            let store = store.deadline(SHORT).open().expect("a usable address");
            // A loaded machine may keep the question from the server until it is late.
            wait_until(|| {
                assert_eq!(failure(take(&store, Duration::ZERO).map(drop)).kind(), ErrorKind::Unavailable);
                is_given.load(Ordering::SeqCst)
            });
        } else {
            let store = store.open().expect("a usable address");
            let held = take(&store, Duration::ZERO).expect("it is its own");
            assert!(is_given.load(Ordering::SeqCst), "the server has given it");
            busy(take(&other, Duration::ZERO));
            pollster::block_on(held.release()).expect("released");
        }
        let next = take(&other, PATIENCE).expect("it was given back");
        pollster::block_on(next.release()).expect("released");
    }
}

/// Whoever is cancelled while it asks holds nothing.
#[test]
fn a_lease_that_nobody_waits_for_any_more_is_given_back() {
    if !is_installed() {
        return;
    }
    let (_server, _, store, other) = two();
    let mut begun = 0;
    for _ in 0..50 {
        let mut asked = store.lease(&SHARED, "refresh", Duration::ZERO);
        // An answer may have come before this thread is on again.
        begun += usize::from(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(asked);
        let lease = take(&other, PATIENCE).expect("nobody keeps it");
        pollster::block_on(lease.release()).expect("released");
    }
    assert!(begun > 10, "the server was asked {begun} times");
}
