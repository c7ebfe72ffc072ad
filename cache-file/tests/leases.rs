//! Leases over processes: one holder at a time, named to those who wait, freed by its death.
#![cfg(unix)]

mod common;

use std::fs;
use std::future::Future as _;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use cache_core::{CacheStore as _, ErrorKind, Lease, Result};
use cache_file::FileStore;
use cache_testkit::folder::{mode, text};
use cache_testkit::process::{self, Process};
use cache_testkit::{promises, worker_name};

use common::{Folder, SHARED, documents, failure, put};

fn take(store: &FileStore, wait: Duration) -> Result<Lease> {
    pollster::block_on(documents(store).lease(&SHARED, "refresh", wait))
}

/// Takes the lease, says so, and keeps it until it is killed or hears a line.
#[test]
#[ignore = "a worker process of other tests"]
fn holder() {
    process::work(worker_name!(holder), |worker| {
        let store = FileStore::at(&worker.arguments()[0]).plaintext().build().expect("a path");
        let lease = take(&store, Duration::from_secs(60)).expect("a lease");
        worker.say("holds");
        worker.hear();
        drop(lease);
    });
}

fn start_holder(folder: &Folder) -> Process {
    let mut holder = Process::start(worker_name!(holder), &[&text(&folder.cache())]);
    holder.wait_for_lines(1);
    holder
}

#[test]
fn another_processs_lease_is_busy_and_its_holder_named() {
    let folder = Folder::new();
    let store = folder.plaintext();
    let mut holder = start_holder(&folder);
    for wait in [Duration::ZERO, Duration::from_millis(100)] {
        let error = failure(take(&store, wait));
        assert_eq!((error.kind(), error.store()), (ErrorKind::Busy, Some("file")), "{error}");
        assert!(error.message().contains(&format!("process {}", holder.id())), "{error}");
    }
    let lease_file = folder.names();
    assert_eq!(lease_file.len(), 1, "{lease_file:?}");
    assert_eq!(mode(&folder.path().join(&lease_file[0])), 0o600);
    put(&store, &SHARED, "a").expect("a lease blocks no write");
    holder.say("go on");
    holder.finish();
    assert_eq!(folder.names(), ["msal.cache"], "no file is left");
    take(&store, Duration::ZERO).expect("free");
}

#[test]
fn a_killed_process_frees_its_lease() {
    let folder = Folder::new();
    let store = folder.plaintext();
    for _ in 0..3 {
        let mut holder = start_holder(&folder);
        holder.kill();
        assert_eq!(folder.names().len(), 1, "its file is still there");
        let lease = take(&store, Duration::ZERO).expect("freed by death, at once");
        assert_eq!((lease.fence(), lease.remaining()), (0, None));
        pollster::block_on(lease.release()).expect("released");
    }
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn a_waiter_gets_the_lease_when_its_holder_dies() {
    let folder = Folder::new();
    let mut holder = start_holder(&folder);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| take(&folder.plaintext(), Duration::MAX).map(drop));
        holder.kill();
        waiter.join().expect("no panic").expect("a lease");
    });
}

#[test]
fn a_lease_whose_file_was_removed_cannot_be_renewed() {
    let folder = Folder::new();
    let store = folder.plaintext();
    let mut lease = take(&store, Duration::ZERO).expect("free");
    pollster::block_on(lease.renew()).expect("still held");
    let path = folder.path().join(&folder.names()[0]);
    fs::remove_file(&path).expect("removed");
    assert_eq!(failure(pollster::block_on(lease.renew())).kind(), ErrorKind::Busy);
    // Another one has it by now, and keeps it when this one ends.
    let mut other = take(&store, Duration::ZERO).expect("free");
    drop(lease);
    pollster::block_on(other.renew()).expect("still held");
    assert!(path.exists());
}

#[test]
fn something_else_at_the_leases_path_is_an_error_and_not_a_wait() {
    let folder = Folder::new();
    let store = folder.plaintext();
    drop(take(&store, Duration::ZERO).expect("free"));
    let lease = take(&store, Duration::ZERO).expect("free");
    let path = folder.path().join(&folder.names()[0]);
    drop(lease);
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo is there").success());
    assert_eq!(failure(take(&store, Duration::MAX)).kind(), ErrorKind::Denied);
    fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink(folder.path().join("target"), &path).expect("linked");
    assert_eq!(failure(take(&store, Duration::MAX)).kind(), ErrorKind::Denied);
    assert!(!folder.path().join("target").exists());
}

#[test]
fn a_lease_needs_no_cache_and_makes_its_folder() {
    let folder = Folder::new();
    let store = FileStore::at(folder.path().join("new/msal.cache")).plaintext().build().expect("a path");
    drop(take(&store, Duration::ZERO).expect("free"));
    assert_eq!(mode(&folder.path().join("new")), 0o700);
}

#[test]
fn a_dropped_future_leaves_no_lease_behind() {
    let folder = Folder::new();
    let store = documents(&folder.plaintext());
    for _ in 0..3 {
        let mut future = Box::pin(store.lease(&SHARED, "refresh", Duration::ZERO));
        // With or without a poll, which takes it.
        let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(future);
        let started = Instant::now();
        drop(take(&folder.plaintext(), Duration::from_secs(60)).expect("free"));
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn a_lease_that_is_given_back_while_another_reaches_for_it_has_one_holder() {
    let folder = Folder::in_memory();
    promises::a_lease_has_one_holder(2000, || documents(&folder.plaintext()));
}
