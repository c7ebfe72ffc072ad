//! The promises about processes that share one cache, with real processes and real kills: what the tests of every store
//! do alike. What differs is told by a function: how the cache at an address is opened, how a token is added.
//!
//! A worker function belongs to the test program that it runs in; its body is a call of this module:
//!
//! ```no_run
//! use cache_testkit::process;
//! use cache_testkit::{promises, worker_name};
//!
//! # struct Cache;
//! # fn open(_: &str) -> Cache { Cache }
//! # fn add(_: &Cache, _: &str) {}
//! # fn stored_tokens(_: &str) -> Vec<String> { vec![] }
//! #[test]
//! #[ignore = "a worker process of other tests"]
//! fn writer() {
//!     process::work(worker_name!(writer), |worker| promises::write(worker, open, add));
//! }
//!
//! #[test]
//! fn eight_processes_lose_no_update() {
//!     let updates = promises::length(200, 25);
//!     promises::no_update_is_lost(worker_name!(writer), "/tmp/cache", 8, updates, || stored_tokens("/tmp/cache"));
//! }
//! ```

mod kills;
mod sign_out;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_core::{CacheStore, PartitionKey};
use pollster::block_on;

use crate::process::{Process, Worker};

pub use self::kills::{Kills, kill_within_an_update};
pub use self::sign_out::{SignOuts, refresh};

/// `full` with `TOKEN_CACHE_FULL_LENGTH` set, for the length that is promised; else `short`.
pub fn length(full: usize, short: usize) -> usize {
    if std::env::var_os("TOKEN_CACHE_FULL_LENGTH").is_some() { full } else { short }
}

/// Says what a test saw, or that it shows less than its name says.
#[expect(clippy::print_stderr, reason = "for who runs the test")]
pub fn say(what: &str) {
    eprintln!("{what}");
}

/// Starts so many [writers](write()) of the cache at `address`, lets them begin together, and looks for the tokens of each
/// among those that are `stored` afterwards. Says what it saw.
///
/// # Panics
/// If a writer fails or acknowledges less than all its updates, and if one that was acknowledged is not stored.
pub fn no_update_is_lost(
    writer: &str,
    address: &str,
    writers: usize,
    updates: usize,
    stored: impl FnOnce() -> Vec<String>,
) {
    let count = updates.to_string();
    let start = |n| Process::start(writer, &[address, &format!("w{n}"), &count]);
    let mut started: Vec<_> = (0..writers).map(start).collect();
    for writer in &mut started {
        writer.say("go");
    }
    let acknowledged: Vec<String> = started.into_iter().flat_map(Process::finish).collect();
    assert_eq!(acknowledged.len(), writers * updates);
    let lost = lost(&acknowledged, stored());
    say(&format!("{writers} processes x {updates} updates: {lost} of {} lost", acknowledged.len()));
    assert_eq!(lost, 0, "{lost} of {} acknowledged updates are lost", acknowledged.len());
}

/// The work of a writer whose arguments are an address, a prefix and a count: opens the cache at the address, begins when
/// it hears a line, adds tokens `<prefix>-<n>`, and says the name of each when it is stored.
///
/// # Panics
/// If the arguments are others.
pub fn write<C>(worker: &mut Worker, open: impl FnOnce(&str) -> C, add: impl Fn(&C, &str)) {
    let [address, prefix, count] = worker.arguments().to_vec().try_into().expect("address, prefix, count");
    let cache = open(&address);
    worker.hear();
    for n in 0..count.parse().expect("a number") {
        let name = format!("{prefix}-{n}");
        add(&cache, &name);
        worker.say(&name);
    }
}

/// The work of a writer whose argument is an address: opens the cache there, adds each token that it hears of, and says
/// its name when it is stored.
///
/// # Panics
/// Without the argument.
pub fn write_what_is_heard<C>(worker: &mut Worker, open: impl FnOnce(&str) -> C, add: impl Fn(&C, &str)) {
    let cache = open(&worker.arguments()[0]);
    while let Some(name) = worker.hear() {
        add(&cache, &name);
        worker.say(&name);
    }
}

/// How many of the acknowledged tokens are not among the stored ones.
pub fn lost<'a>(acknowledged: impl IntoIterator<Item = &'a String>, stored: Vec<String>) -> usize {
    let stored: BTreeSet<String> = stored.into_iter().collect();
    acknowledged.into_iter().filter(|name| !stored.contains(*name)).count()
}

/// Four threads, each with a store of its own, reach `times` times for one lease: it has one holder at a time.
///
/// # Panics
/// If two hold it at once, if a holder cannot renew it, and if nobody ever has it.
pub fn a_lease_has_one_holder<S: CacheStore>(times: usize, open: impl Fn() -> S + Sync) {
    let (holders, had) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = open();
                for _ in 0..times {
                    let lease = block_on(store.lease(&PartitionKey::Shared, "refresh", Duration::ZERO));
                    let Ok(mut lease) = lease else { continue };
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold the lease");
                    had.fetch_add(1, Ordering::SeqCst);
                    block_on(lease.renew()).expect("nobody else can have it");
                    holders.fetch_sub(1, Ordering::SeqCst);
                    drop(lease);
                }
            });
        }
    });
    assert!(had.into_inner() > 0, "somebody has it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    use cache_core::MemoryStore;

    use crate::folder::{Folder, names, text};
    use crate::process;
    use crate::worker_name;

    pub(super) const WRITER: &str = worker_name!(writer);
    pub(super) const PACED_WRITER: &str = worker_name!(paced_writer);

    /// Keeps a token as an empty file, but for one: an update that is acknowledged and lost.
    pub(super) fn add(folder: &str, name: &str) {
        if name != "w1-2" {
            std::fs::write(format!("{folder}/{name}"), "").expect("written");
        }
    }

    #[test]
    #[ignore = "a worker process of other tests"]
    fn writer() {
        process::work(worker_name!(writer), |worker| write(worker, str::to_owned, |folder, name| add(folder, name)));
    }

    #[test]
    #[ignore = "a worker process of other tests"]
    fn paced_writer() {
        process::work(worker_name!(paced_writer), |worker| {
            write_what_is_heard(worker, str::to_owned, |folder, name| add(folder, name));
        });
    }

    #[test]
    #[should_panic(expected = "1 of 12 acknowledged updates are lost")]
    fn an_update_that_is_acknowledged_and_lost_fails_the_test() {
        let folder = Folder::in_memory();
        no_update_is_lost(WRITER, &text(folder.path()), 3, 4, || folder.names());
    }

    #[test]
    fn updates_that_are_stored_are_found() {
        let folder = Folder::in_memory();
        no_update_is_lost(WRITER, &text(folder.path()), 3, 2, || folder.names());
        assert_eq!(folder.names(), ["w0-0", "w0-1", "w1-0", "w1-1", "w2-0", "w2-1"]);
    }

    #[test]
    fn a_writer_adds_what_it_hears() {
        let folder = Folder::in_memory();
        let mut paced = Process::start(PACED_WRITER, &[&text(folder.path())]);
        paced.say("w1-2");
        paced.say("another");
        let acknowledged = paced.finish();
        assert_eq!(acknowledged, ["w1-2", "another"]);
        assert_eq!(lost(&acknowledged, names(folder.path())), 1);
    }

    #[test]
    fn a_lease_of_one_store_has_one_holder() {
        let store = MemoryStore::new();
        a_lease_has_one_holder(100, || store.clone());
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_lease_that_several_hold_fails_the_test() {
        let all = Barrier::new(4);
        a_lease_has_one_holder(100_000, || {
            all.wait();
            MemoryStore::new()
        });
    }
}
