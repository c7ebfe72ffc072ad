//! Writers of several libraries update one cache at the same moment. Of ours nothing is lost, whoever writes beside us;
//! beside libraries whose locks hold, nothing of anybody's is.
//!
//! `INTEROP_RUNS` is how often each meeting is repeated, 1 if nothing is said.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use interop::contention::{Mode, Report, Writer, lost, report, report_of_killed, write_at_once};
use interop::ours::wall_clock;
use interop::peers::{Library, Peer, available};

/// Updates of each writer.
const UPDATES: usize = 50;

/// Beside these libraries and their raw locks nobody loses anything.
#[test]
fn raw_beside_net() {
    nobody_loses(&[Library::Net]);
}

#[test]
fn raw_beside_python_with_portalocker() {
    nobody_loses(&[Library::PythonPortalocker]);
}

#[test]
fn raw_beside_python_and_node() {
    nobody_loses(&[Library::Python, Library::Node]);
}

/// The libraries lose each other's updates, by their cache layers and by locks that do not keep each other out.
#[test]
fn library_mode_beside_net() {
    we_lose_nothing(&[(Library::Net, 2)], Mode::Library);
}

#[test]
fn library_mode_beside_python_and_node() {
    we_lose_nothing(&[(Library::Python, 2), (Library::Node, 2)], Mode::Library);
}

#[test]
fn library_mode_beside_go() {
    we_lose_nothing(&[(Library::Go, 1)], Mode::Library);
}

#[test]
fn library_mode_beside_java() {
    we_lose_nothing(&[(Library::Java, 1)], Mode::Library);
}

#[test]
fn library_mode_all_together() {
    we_lose_nothing(&ALL, Mode::Library);
}

#[test]
fn raw_all_together() {
    we_lose_nothing(&ALL, Mode::Raw);
}

const ALL: [(Library, usize); 4] = [(Library::Net, 2), (Library::Python, 2), (Library::Node, 2), (Library::Go, 1)];

fn nobody_loses(libraries: &[Library]) {
    let libraries: Vec<_> = libraries.iter().map(|library| (*library, 2)).collect();
    let lost = meet(&libraries, Mode::Raw);
    assert!(lost.values().all(|(_, lost)| *lost == 0), "{lost:?}");
}

fn we_lose_nothing(libraries: &[(Library, usize)], mode: Mode) {
    let lost = meet(libraries, mode);
    assert!(lost.iter().all(|(name, (_, lost))| *name != "ours" || *lost == 0), "{lost:?}");
}

/// Acknowledged and lost updates by library, over all runs of the meeting. Nothing, if a library is missing.
#[allow(clippy::print_stderr)] // what the libraries lose is worth knowing where it is not a failure
fn meet(libraries: &[(Library, usize)], mode: Mode) -> BTreeMap<&'static str, (usize, usize)> {
    let names: Vec<Library> = libraries.iter().map(|(library, _)| *library).collect();
    let peers = available(&names);
    let mut all = BTreeMap::new();
    if peers.len() < libraries.len() {
        return all;
    }
    let _alone = alone();
    let ours = Peer::ours(env!("CARGO_BIN_EXE_ours"));
    for run in 0..runs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = folder.path().join("msal.cache");
        let mut writers = Vec::new();
        for ((_, peer), (_, count)) in peers.iter().zip(libraries) {
            writers.extend((0..*count).map(|_| peer));
        }
        writers.extend([&ours, &ours]);
        let tagged = writers.iter().enumerate();
        let writers: Vec<_> = tagged.map(|(n, peer)| Writer { peer, mode, tag: format!("w{n}") }).collect();
        let reports = write_at_once(&writers, &cache, UPDATES);
        let lost = lost(&reports, &cache);
        let mut now: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (writer, report) in writers.iter().zip(&reports) {
            let name = writer.peer.name();
            assert!(
                name != "ours" || report.acked.len() == UPDATES,
                "ours writes every update: {} of {UPDATES}, {:?}",
                report.acked.len(),
                report.errors
            );
            let (acked, gone) = now.entry(name).or_default();
            *acked += report.acked.len();
            *gone += lost[&report.tag];
        }
        let errors: Vec<_> =
            reports.iter().filter(|report| !report.errors.is_empty()).map(|report| &report.errors).collect();
        let sign_ins: u32 = reports.iter().map(|report| report.sign_ins).sum();
        eprintln!(
            "{mode:?}, run {run}: acknowledged and lost {now:?}, account found gone {sign_ins} times, {errors:?}"
        );
        for (name, (acked, gone)) in now {
            let (all_acked, all_gone) = all.entry(name).or_default();
            *all_acked += acked;
            *all_gone += gone;
        }
    }
    all
}

/// One meeting at a time: MSAL Python waits for a lock for five seconds, and gives up.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runs() -> usize {
    std::env::var("INTEROP_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1)
}

/// A .NET process that is killed leaves its lock, and now and then no byte of the file.
#[test]
#[allow(clippy::print_stderr)] // as above
fn beside_net_that_is_killed_again_and_again() {
    for run in 0..runs() {
        let peers = available(&[Library::Net]);
        let Some((_, net)) = peers.first() else { return };
        let _alone = alone();
        let ours = Peer::ours(env!("CARGO_BIN_EXE_ours"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = folder.path().join("msal.cache");
        let start_at = wall_clock();
        let writer = Writer { peer: &ours, mode: Mode::Library, tag: "ours".to_owned() };
        let mut writing = writer.start(&cache, 4 * UPDATES, 20, start_at);
        let mut reports: Vec<Report> = Vec::new();
        while !writing.has_ended() {
            let tag = format!("net{}", reports.len());
            let writer = Writer { peer: net, mode: Mode::Library, tag: tag.clone() };
            let mut killed = writer.start(&cache, 1000, 1, start_at);
            // Another moment each time: after so many of its own updates, and then somewhere within the next.
            let mut said: Vec<_> = (0..=reports.len() % 5).filter_map(|_| killed.next_line()).collect();
            std::thread::sleep(Duration::from_micros(u64::from(reports.len() as u32) * 7919 % 20_000));
            said.extend(killed.kill());
            reports.push(report_of_killed(&tag, &said));
        }
        reports.push(report(writing));
        let lost = lost(&reports, &cache);
        let net: usize = lost.iter().filter(|(tag, _)| *tag != "ours").map(|(_, lost)| lost).sum();
        eprintln!("run {run}: killed {} times; lost {} of ours, {net} of theirs", reports.len() - 1, lost["ours"]);
        assert_eq!(lost["ours"], 0);
        assert_eq!(reports.last().map(|report| report.acked.len()), Some(4 * UPDATES), "{:?}", reports.last());
    }
}
